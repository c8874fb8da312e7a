/*
 * sweep: what a crash left in tmp/ goes.
 * A message on its way holds a lock on its file (flock, see files_hold()), but
 * for one that the journal answers for, which is there for milliseconds: so one
 * of ours that is an hour old and unlocked belongs to nobody.  What
 * other programs write there has no such mark and gets the 36 hours that the
 * Maildir format names, by its mtime (docs/decisions/010-maildir-store.md).
 * A clock that was set forward makes no file older: see common/steady.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/store/folders.h"

static time_t
later(time_t a, time_t b)
{
	return a > b ? a : b;
}

/* Whether no process has the file at work; ${unsure} where nothing says so, as on a file system without locks. */
static bool
abandoned(int tmp, const char *name, bool unsure)
{
	int fd = openat(tmp, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool free_;

	if (fd == -1)
		return unsure;
	free_ = flock(fd, LOCK_EX | LOCK_NB) == 0 || (unsure && errno != EWOULDBLOCK);
	close(fd);
	return free_;
}

/* The hour is for what a crash left, whose mtime and ctime are both old; 36 hours of mtime are enough for any file. */
static bool
stale(int tmp, const char *name, const struct unique *u, time_t now)
{
	struct stat st;
	bool old;

	if (fstatat(tmp, name, &st, AT_SYMLINK_NOFOLLOW) == -1 || !S_ISREG(st.st_mode))
		return false;
	old = now - st.st_mtime > FOLDERS_STALE_OTHER_S;
	if (!unique_ours(u, name))
		return old;
	return (old || now - later(st.st_mtime, st.st_ctime) > FOLDERS_STALE_OURS_S) && abandoned(tmp, name, old);
}

unsigned
folders_sweep(int tmp, const struct unique *u, time_t now)
{
	_Alignas(struct dirent64) char buf[8192];
	const struct dirent64 *d;
	unsigned seen = 0, gone = 0;
	ssize_t n;

	while (seen < FOLDERS_SWEEP_MAX && (n = getdents64(tmp, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < n; at += d->d_reclen, seen++) {
			d = (const struct dirent64 *)(const void *)(buf + at);
			if (d->d_name[0] != '.' && stale(tmp, d->d_name, u, now) && unlinkat(tmp, d->d_name, 0) == 0)
				gone++;
		}
	return gone;
}
