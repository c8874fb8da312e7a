/*
 * folder: the directory's folder, its lock, and the current snapshot.
 * Changes nothing but the lock file and what a killed job left behind.  And the
 * folder of a dry run, which is elsewhere.
 */
#include <sys/file.h>
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/mailboxes/tool.h"

enum { POLL_MS = 50 };

int
tool_fail(const struct tool *t, const char *what, const char *name)
{
	int e = errno;

	if (e == EBADMSG) {
		warnx(
		    "%s/%s is damaged or no snapshot of this version; load the list again, or roll back", t->dir, name);
		return EX_DATAERR;
	}
	warnx("cannot %s %s/%s: %s", what, t->dir, name, strerror(e));
	switch (e) {
	case ENOENT:
	case EACCES:
	case EPERM:
	case EROFS:
	case ENOSPC:
	case EDQUOT:
		return EX_CANTCREAT;
	case ENOMEM:
		return EX_OSERR;
	default:
		return EX_IOERR;
	}
}

int
tool_open(struct tool *t, const char *dir)
{
	t->dir = dir;
	t->lockfd = -1;
	t->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->dirfd >= 0)
		return 0;
	warnx("cannot open the directory %s: %s%s", dir, strerror(errno), errno == ENOENT ? " (create it first)" : "");
	return EX_NOINPUT;
}

/* Wait for the lock, saying so once. */
static int
wait_lock(struct tool *t)
{
	const struct timespec nap = { .tv_nsec = POLL_MS * 1000000L };

	for (int i = 0; flock(t->lockfd, LOCK_EX | LOCK_NB) != 0; i++) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return tool_fail(t, "lock", TOOL_LOCK);
		if (i == 0)
			warnx("another letterplate-mailboxes is changing %s; waiting for it", t->dir);
		if (i == TOOL_LOCK_WAIT_S * 1000 / POLL_MS) {
			warnx("it still is after %d seconds; nothing was changed", TOOL_LOCK_WAIT_S);
			return EX_TEMPFAIL;
		}
		nanosleep(&nap, NULL);
	}
	return 0;
}

int
tool_lock(struct tool *t)
{
	struct stat st;
	int rc;

	/* Whoever could open it could hold it: a worker that was taken over, or anybody who reads the list. */
	t->lockfd = openat(t->dirfd, TOOL_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (t->lockfd < 0)
		return tool_fail(t, "create", TOOL_LOCK);
	if (fstat(t->lockfd, &st) != 0 ||
	    (st.st_uid == geteuid() && (st.st_mode & 07777) != 0600 && fchmod(t->lockfd, 0600) != 0))
		return tool_fail(t, "make private", TOOL_LOCK);
	rc = wait_lock(t);
	if (rc != 0)
		return rc;
	tool_discard(t);
	if (unlinkat(t->dirfd, TOOL_OLD, 0) != 0 && errno != ENOENT)
		return tool_fail(t, "remove", TOOL_OLD);
	return 0;
}

int
tool_away(struct tool *t)
{
	static char path[PATH_MAX];
	const char *tmp = getenv("TMPDIR");

	snprintf(path, sizeof(path), "%s/letterplate-mailboxes.XXXXXX", tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
	if (mkdtemp(path) == NULL) {
		warn("cannot make the folder %s for a dry run: see TMPDIR", path);
		return EX_CANTCREAT;
	}
	return tool_open(t, path);
}

void
tool_away_end(struct tool *t)
{
	tool_discard(t);
	close(t->dirfd);
	(void)rmdir(t->dir);
}

int
tool_current(const struct tool *t, struct mdb **m)
{
	*m = NULL;
	if (mdb_open(t->dir, MDB_FILE, m) == 0 || errno == ENOENT)
		return 0;
	return tool_fail(t, "open", MDB_FILE);
}
