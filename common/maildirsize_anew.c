/*
 * maildirsize_anew: a mailbox is counted by the names of its files, and the
 * new maildirsize takes the old one's place, while nobody delivers to it.
 */
#include "common/maildirsize.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <bsd/stdlib.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_MAX_ = 48, /* octets of a line of ours */
	NAME_MAX_ = 64, /* octets of the name that a new file has first */
	NAP_MS = 5,     /* between looks whether a lock is free, at the most */
	SETTLED_S =
	    2 /* a folder that was changed before that shows each change by its time, which may be in whole seconds */
};

/* --- locks --- */

/* Wait for a lock, not for ever.  0, or -1 with errno EBUSY. */
static int
lock(int fd, int how)
{
	struct timespec nap = { .tv_nsec = 500000 };
	int waited_ms = 0;

	while (flock(fd, how | LOCK_NB) == -1) {
		/* Not on this file system (NFS, where a folder is opened to be read): the best that can be had. */
		if (errno == EBADF || errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS)
			return 0;
		if (errno != EWOULDBLOCK)
			return -1;
		if (waited_ms >= MAILDIRSIZE_WAIT_MS) {
			errno = EBUSY;
			return -1;
		}
		if (2 * nap.tv_nsec <= NAP_MS * 1000000L)
			nap.tv_nsec *= 2;
		(void)nanosleep(&nap, NULL);
		waited_ms += (int)(nap.tv_nsec / 1000000);
	}
	return 0;
}

/* A folder of the mailbox, locked by nobody else.  The descriptor, or -1 with errno. */
static int
lock_folder(int home, const char *name)
{
	int fd = openat(home, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), error;

	if (fd == -1 || lock(fd, LOCK_EX) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

int
maildirsize_hold(int home, uint64_t id)
{
	if (lock(home, LOCK_SH) == -1)
		return -1;
	if (id == 0 || maildirsize_id(home) == id)
		return 0;
	errno = ESTALE;
	return -1;
}

/* --- counting --- */

/* The folders in three parts: of these as a rule only new/ has changed a moment ago. */
enum part_name { PART_NEW, PART_CUR, PART_SUBS, PARTS };

struct part {
	int64_t octets, messages;
	uint64_t stamp; /* of when its folders were changed */
	bool settled;   /* not a moment before they were looked at: a change since then would be another stamp */
};

/* Octets of a message: as its name says (",S=123"), else as the file is.  -1: it is gone. */
static int64_t
count_one(int at, const char *name)
{
	const char *s = strstr(name, ",S=");
	struct stat st;
	char *end;
	int64_t v;

	if (s != NULL && s[3] >= '0' && s[3] <= '9') {
		errno = 0;
		v = strtoll(s + 3, &end, 10);
		if (errno == 0 && (*end == '\0' || *end == ',' || *end == ':'))
			return v;
	}
	return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_size : -1;
}

static DIR *
open_folder(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;

	if (d == NULL && fd != -1)
		close(fd);
	return d;
}

static int
count_messages(int at, const char *name, struct part *out)
{
	DIR *d = open_folder(at, name);
	const struct dirent *e;
	int error;

	if (d == NULL)
		return errno == ENOENT ? 0 : -1;
	for (errno = 0; (e = readdir(d)) != NULL; errno = 0) {
		int64_t octets = e->d_name[0] != '.' ? count_one(dirfd(d), e->d_name) : -1;

		out->octets += octets > 0 ? octets : 0;
		out->messages += octets != -1;
	}
	error = errno;
	closedir(d);
	errno = error;
	return error == 0 ? 0 : -1;
}

/* One folder more of a part.  Without ${read}: only when it was changed. */
static int
part_add(int at, const char *name, bool read, struct part *out)
{
	struct stat st;

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -1;
	out->stamp =
	    out->stamp * 31 + st.st_ino + (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
	out->settled &= time(NULL) - st.st_mtim.tv_sec > SETTLED_S;
	return read ? count_messages(at, name, out) : 0;
}

/* The sub-folders ".NAME". */
static int
part_subs(int home, bool read, struct part *out)
{
	DIR *d = open_folder(home, ".");
	const struct dirent *e;
	int rc = 0;

	if (d == NULL)
		return -1;
	while (rc == 0 && (e = readdir(d)) != NULL) {
		int sub;

		if (e->d_name[0] != '.' || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		sub = openat(home, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub == -1)
			continue;
		rc = part_add(sub, "new", read, out) != 0 || part_add(sub, "cur", read, out) != 0 ? -1 : 0;
		close(sub);
	}
	closedir(d);
	return rc;
}

static int
part_count(int home, enum part_name which, bool read, struct part *out)
{
	*out = (struct part){ .stamp = 1, .settled = true };
	switch (which) {
	case PART_NEW:
		return part_add(home, "new", read, out);
	case PART_CUR:
		return part_add(home, "cur", read, out);
	case PART_SUBS:
	case PARTS:
		break;
	}
	return part_subs(home, read, out);
}

/* Count what may have changed since ${c}, which is all zero at first.  1: something had; 0: nothing; -1 with errno. */
static int
count_again(int home, struct part c[PARTS])
{
	int changed = 0;

	for (enum part_name i = PART_NEW; i < PARTS; i++) {
		struct part now;

		if (part_count(home, i, false, &now) == -1)
			return -1;
		if (now.stamp == c[i].stamp && c[i].settled)
			continue;
		if (part_count(home, i, true, &now) == -1)
			return -1;
		if (now.stamp != c[i].stamp || now.octets != c[i].octets || now.messages != c[i].messages)
			changed = 1;
		c[i] = now;
	}
	return changed;
}

/* --- the new file --- */

/* As Dovecot writes it: what is not limited is left out, but for a line without anything. */
static int
write_anew(int home, int fd, const char *name, const struct quota_limit *limit, const struct part c[PARTS])
{
	long long octets = c[PART_NEW].octets + c[PART_CUR].octets + c[PART_SUBS].octets,
		  messages = c[PART_NEW].messages + c[PART_CUR].messages + c[PART_SUBS].messages;
	char text[3 * LINE_MAX_], count[LINE_MAX_] = "";
	ssize_t w;
	int n;

	if (limit->messages != 0)
		snprintf(count, sizeof(count), "%lluC", (unsigned long long)limit->messages);
	if (limit->octets != 0 || limit->messages == 0)
		n = snprintf(text, sizeof(text), "%lluS%s%s\n%lld %lld\n", (unsigned long long)limit->octets,
		    limit->messages != 0 ? "," : "", count, octets, messages);
	else
		n = snprintf(text, sizeof(text), "%s\n%lld %lld\n", count, octets, messages);
	if ((w = write(fd, text, (size_t)n)) != n) {
		errno = w == -1 ? errno : ENOSPC;
		return -1;
	}
	return renameat(home, name, home, MAILDIRSIZE_FILE);
}

/*
 * Nobody else counts.  All is counted once before others have to wait, and then
 * what has changed since; for a reader may have moved a message from under our
 * eyes, or twice before them, until the folders are as they were.
 */
static int
count_and_write(int home, int fd, const char *name, const struct quota_limit *limit)
{
	struct part c[PARTS] = { { .stamp = 0 } };
	int alone, rc, error;

	if (count_again(home, c) == -1 || (alone = lock_folder(home, ".")) == -1)
		return -1;
	rc = 1;
	for (int i = 1; i < MAILDIRSIZE_PASSES && rc == 1; i++)
		rc = count_again(home, c);
	if (rc != -1)
		rc = write_anew(home, fd, name, limit, c);
	error = errno;
	close(alone);
	errno = error;
	return rc;
}

/* Nobody else counts.  The new one is there before the old one goes: two files in a row never have the same number. */
static int
count_anew(int home, const struct quota_limit *limit)
{
	char name[NAME_MAX_];
	int fd, rc, error;

	snprintf(
	    name, sizeof(name), "tmp/%s.%08x%08x", MAILDIRSIZE_FILE, (unsigned)arc4random(), (unsigned)arc4random());
	fd = openat(home, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return -1;
	rc = count_and_write(home, fd, name, limit);
	error = errno;
	close(fd);
	if (rc == -1)
		(void)unlinkat(home, name, 0);
	errno = error;
	return rc;
}

/* Whether it can stay, for one who found the file of ${id} wanting. */
static bool
is_good(const struct maildirsize *m, const struct quota_limit *limit, uint64_t id)
{
	return m->id != id && quota_same(&m->limit, limit) && !m->too_long;
}

/* ${others}: somebody else's will do. */
static int
anew(int home, const struct quota_limit *limit, bool others, uint64_t id, struct maildirsize *out)
{
	int turn = lock_folder(home, "tmp"), rc, error;

	if (turn == -1)
		return -1;
	if (others && maildirsize_read(home, out) == 0 && is_good(out, limit, id)) {
		close(turn);
		return 0;
	}
	rc = count_anew(home, limit);
	error = errno;
	close(turn);
	errno = error;
	return rc == 0 ? maildirsize_read(home, out) : -1;
}

int
maildirsize_recalculate(int home, const struct quota_limit *limit, struct maildirsize *out)
{
	return anew(home, limit, false, 0, out);
}

int
maildirsize_renew(int home, const struct quota_limit *limit, uint64_t id, struct maildirsize *out)
{
	return anew(home, limit, true, id, out);
}
