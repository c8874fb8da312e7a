/*
 * lock: see lock.h.  Locks are flock(2)'s: they end with the process, however
 * it ends, and go over to the program that it becomes at an upgrade.
 */
#include "master/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"

/* The file, for its owner alone also where something made it otherwise.  A descriptor, or -1 with errno. */
static int
open_file(int dir)
{
	int fd = openat(dir, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600), err;
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && (st.st_uid != geteuid() || (st.st_mode & 07777) == 0600 || fchmod(fd, 0600) == 0))
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

/* Wait for the file's lock, then for the folder's.  How many of the two are had. */
static unsigned
take_both(const struct master *m, int wait_ms)
{
	static const struct timespec pause = { 0, 20 * 1000 * 1000 };
	int64_t until = master_now_ms() + wait_ms;
	unsigned n = 0;

	for (;;) {
		if (n == 0 && flock(m->lock_fd, LOCK_EX | LOCK_NB) == 0)
			n = 1;
		if (n == 1 && flock(m->state_fd, LOCK_EX | LOCK_NB) == 0)
			return 2;
		if (master_now_ms() >= until)
			return n;
		nanosleep(&pause, NULL);
	}
}

int
lock_take(struct master *m, const char *dir, int wait_ms, char *why)
{
	unsigned n;

	m->state_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->state_fd < 0) {
		snprintf(why, LISTEN_WHY_MAX, "state_dir \"%s\": %s", dir, strerror(errno));
		return EX_CONFIG;
	}
	m->lock_fd = open_file(m->state_fd);
	if (m->lock_fd < 0) {
		snprintf(why, LISTEN_WHY_MAX, "cannot open \"%s/" LOCK_FILE "\": %s", dir, strerror(errno));
		return EX_CANTCREAT;
	}
	n = take_both(m, wait_ms);
	if (n == 0 || (n == 1 && ctl_answers(m))) {
		snprintf(why, LISTEN_WHY_MAX,
		    "state_dir \"%s\" is used by another letterplate that runs; give each its own", dir);
		return EX_UNAVAILABLE;
	}
	if (n == 1)
		log_msg(LOG_L_WARN, "start", "somebody who is no letterplate has locked the folder %s; it does no harm",
		    dir);
	return 0;
}

void
lock_resume(struct master *m)
{
	if (m->lock_fd < 0)
		m->lock_fd = open_file(m->state_fd);
	/* Who went back to such a build and forth again has it already, by a descriptor that he does not know of. */
	if (m->lock_fd >= 0 && (flock(m->lock_fd, LOCK_EX | LOCK_NB) == 0 || errno == EWOULDBLOCK))
		return;
	log_msg(LOG_L_WARN, "upgrade", "%s in state_dir is not locked: %s", LOCK_FILE, strerror(errno));
}
