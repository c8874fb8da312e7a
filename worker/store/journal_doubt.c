/*
 * journal_doubt: a sync of the file system that failed.
 * The kernel tells of it once to each descriptor that was open by then, and
 * calls the pages clean: no later sync, by whomever, proves anything of what was
 * written before.  So it is remembered until all of a journal was written anew:
 * in memory for our own, and as a file N.repair for each journal N, whose owner
 * may be dead already or may die before it was told itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/store/folders.h"
#include "worker/store/journal.h"

static void
doubt_name(unsigned id, char out[static 32])
{
	snprintf(out, 32, "%u.repair", id);
}

static int
doubt_one(struct journal *j, unsigned id, bool unused)
{
	char name[32];
	int fd;

	(void)unused;
	if (id >= JOURNAL_IDS)
		return 0;
	doubt_name(id, name);
	/* For the death of processes: what a crash of the machine leaves is compared octet by octet, so it need not be durable. */
	if ((fd = openat(j->dir, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600)) == -1)
		return -1;
	return close(fd);
}

void
journal_doubt(struct journal *j)
{
	if (j->dir != -1 && journal_each(j, doubt_one, false) == -1)
		log_msg(
		    LOG_L_ERROR, "journal", "cannot mark journals that are to be written anew: %s", strerror(errno));
}

bool
journal_doubted(const struct journal *j, unsigned id)
{
	struct stat st;
	char name[32];

	doubt_name(id, name);
	return fstatat(j->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void
journal_doubt_end(const struct journal *j, unsigned id)
{
	char name[32];

	doubt_name(id, name);
	if (unlinkat(j->dir, name, 0) == -1 && errno != ENOENT)
		log_msg(LOG_L_WARN, "journal", "cannot remove %s: %s", name, strerror(errno));
}

int
journal_sync_all(struct journal *j)
{
	int err;

	if (folders_sync_all(j->md->root) == 0)
		return 0;
	err = errno;
	log_msg(LOG_L_ERROR, "journal", "syncing the mailboxes failed: %s", strerror(err));
	/* Before anybody looks at what is placed: what was written before and is placed after that knows by it. */
	j->failures++;
	pthread_mutex_lock(&j->mutex);
	j->must_repair = true;
	pthread_mutex_unlock(&j->mutex);
	journal_doubt(j);
	errno = err;
	return -1;
}
