/*
 * quota: what a mailbox holds, by its maildirsize or counted anew.  It knows
 * paths alone: the mailbox's limit is the one that the file has.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/maildirsize.h"
#include "tools/mailboxes/tool.h"

/* By root: as the mailbox's owner, whose the new file is to be from its first moment on. */
static int
quota_become(int home)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	return fstat(home, &st) == 0 && setegid(st.st_gid) == 0 && seteuid(st.st_uid) == 0 ? 0 : -1;
}

static const char *
quota_advice(int error)
{
	switch (error) {
	case ENOENT:
	case EBADMSG:
		return "; --recalculate makes it";
	case EBUSY:
		return ": another program has kept the mailbox locked for 2 s; try again, or look whether one is "
		       "stopped";
	default:
		return "";
	}
}

int
tool_quota(const char *path, bool anew)
{
	struct maildirsize m = { .octets = 0 };
	int home = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (home == -1) {
		warn("%s", path);
		return EX_NOINPUT;
	}
	rc = maildirsize_read(home, &m);
	if (anew && (rc == 0 || errno == ENOENT || errno == EBADMSG)) {
		rc = quota_become(home);
		if (rc == 0)
			rc = maildirsize_recalculate(
			    home, &(struct quota_limit){ m.limit.octets, m.limit.messages }, &m);
	}
	if (rc != 0) {
		warnx("%s: its maildirsize cannot be %s: %s%s", path, anew ? "written" : "read",
		    errno == EBADMSG ? "it makes no sense" : strerror(errno), quota_advice(errno));
		close(home);
		return EX_NOINPUT;
	}
	close(home);
	printf("%lld octets, %lld messages; ", (long long)m.octets, (long long)m.messages);
	if (!quota_limited(&m.limit))
		printf("no limit noted");
	if (m.limit.octets > 0)
		printf("limit %llu octets", (unsigned long long)m.limit.octets);
	if (m.limit.messages > 0)
		printf("%s %llu messages", m.limit.octets > 0 ? "," : "limit", (unsigned long long)m.limit.messages);
	printf("\n");
	return EX_OK;
}
