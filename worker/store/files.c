/*
 * files: create, fill, sync, move.
 */
#include "worker/store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	TRIES = 8,              /* new names for one file; a second one is never seen to be needed */
	COPY_BY_HAND = 32 << 10 /* octets of stack; a pool thread has 256 KiB */
};

int
files_create(int tmp, struct unique *u, struct unique_name *n)
{
	char name[UNIQUE_MAX];
	int fd = -1;

	for (int i = 0; i < TRIES; i++) {
		unique_next(u, n);
		unique_tmp(u, n, name);
		fd = openat(tmp, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd != -1 || errno != EEXIST)
			break;
	}
	return fd;
}

int
files_nameless(int new)
{
	return openat(new, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
}

void
files_hold(int fd)
{
	(void)flock(fd, LOCK_EX | LOCK_NB);
}

int
files_write(int fd, struct span a, struct span b)
{
	while (a.n + b.n > 0) {
		struct iovec v[2] = { { (void *)(uintptr_t)a.p, a.n }, { (void *)(uintptr_t)b.p, b.n } };
		ssize_t w = writev(fd, v, 2);
		size_t n;

		if (w == -1 && errno == EINTR)
			continue;
		if (w <= 0) {
			errno = w == 0 ? EIO : errno;
			return -1;
		}
		n = (size_t)w < a.n ? (size_t)w : a.n;
		a = span_skip(a, n);
		b = span_skip(b, (size_t)w - n);
	}
	return 0;
}

static int
copy_by_hand(int fd, int from, off_t at, uint64_t n)
{
	uint8_t buf[COPY_BY_HAND];

	while (n > 0) {
		ssize_t r = pread(from, buf, n < sizeof(buf) ? (size_t)n : sizeof(buf), at);

		if (r == -1 && errno == EINTR)
			continue;
		if (r <= 0) {
			errno = r == 0 ? EIO : errno;
			return -1;
		}
		if (files_write(fd, span_of(buf, (size_t)r), span_of(NULL, 0)) == -1)
			return -1;
		at += r;
		n -= (uint64_t)r;
	}
	return 0;
}

int
files_copy(int fd, int from, off_t at, uint64_t n)
{
	while (n > 0) {
		size_t want = n < 1 << 30 ? (size_t)n : 1 << 30;
		ssize_t r = copy_file_range(from, &at, fd, NULL, want, 0);

		if (r > 0) {
			n -= (uint64_t)r;
			continue;
		}
		if (r == -1 && errno == EINTR)
			continue;
		/* Not here, not between these two, or a file system that says 0 for "cannot": what is missing is then found missing below. */
		if (r == 0 || errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP ||
		    errno == EPERM)
			return copy_by_hand(fd, from, at, n);
		return -1;
	}
	return 0;
}

int
files_finish(int fd)
{
	int err = fsync(fd) == -1 ? errno : 0;

	if (close(fd) == -1 && err == 0)
		err = errno;
	errno = err;
	return err == 0 ? 0 : -1;
}

/* For file systems that know no RENAME_NOREPLACE. */
static int
move_by_link(int tmp, const char *old, int new, const char *name)
{
	int err;

	if (linkat(tmp, old, new, name, 0) == -1)
		return -1;
	if (files_remove(tmp, old) == 0)
		return 0;
	err = errno;
	(void)files_remove(new, name);
	errno = err;
	return -1;
}

/* By the descriptor, which Linux 6.10 and later let its owner do; else by its name in /proc. */
static int
name_it(int fd, int new, const char *name)
{
	char path[sizeof("/proc/self/fd/") + 10];

	if (linkat(fd, "", new, name, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOENT)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, new, name, AT_SYMLINK_FOLLOW);
}

static int
move_it(int tmp, const char *old, int new, const char *name)
{
	int r = renameat2(tmp, old, new, name, RENAME_NOREPLACE);

	return r == -1 && (errno == EINVAL || errno == ENOSYS) ? move_by_link(tmp, old, new, name) : r;
}

/* ${old} NULL: the file ${from} itself. */
static int
place(int from, const char *old, int new, struct unique *u, struct unique_name *n, uint64_t size)
{
	char name[UNIQUE_MAX];
	int r = -1;

	for (int i = 0; i < TRIES; i++) {
		unique_new(u, n, size, name);
		r = old == NULL ? name_it(from, new, name) : move_it(from, old, new, name);
		if (r == 0 || errno != EEXIST)
			break;
		unique_next(u, n);
	}
	return r;
}

int
files_place(int tmp, const char *old, int new, struct unique *u, struct unique_name *n, uint64_t size)
{
	return place(tmp, old, new, u, n, size);
}

int
files_name(int fd, int new, struct unique *u, struct unique_name *n, uint64_t size)
{
	return place(fd, NULL, new, u, n, size);
}

int
files_remove(int at, const char *name)
{
	for (int i = 0; i < TRIES; i++)
		if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
			return 0;
	return -1;
}
