/*
 * slowsync: a library that makes a disk slow: once in SLOWSYNC_EVERY_MS, counted
 * from its end, a process's fsync, fdatasync or syncfs takes SLOWSYNC_MS longer.
 * The others go on meanwhile; that is what is measured.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { SLOWSYNC_MS = 5000, SLOWSYNC_EVERY_MS = 1000 };

static _Atomic uint64_t due_ms;
static int (*real_fsync)(int), (*real_fdatasync)(int), (*real_syncfs)(int);

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

__attribute__((constructor)) static void
start(void)
{
	*(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
	*(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	*(void **)&real_syncfs = dlsym(RTLD_NEXT, "syncfs");
	if (real_fsync == NULL || real_fdatasync == NULL || real_syncfs == NULL)
		abort();
	due_ms = now_ms() + SLOWSYNC_EVERY_MS;
}

/* The one who moves the time on is the slow one. */
static void
dawdle(void)
{
	struct timespec left = { SLOWSYNC_MS / 1000, SLOWSYNC_MS % 1000 * 1000000L };
	uint64_t now = now_ms(), due = due_ms;
	int saved = errno;

	if (now < due || !atomic_compare_exchange_strong(&due_ms, &due, now + SLOWSYNC_MS + SLOWSYNC_EVERY_MS))
		return;
	while (nanosleep(&left, &left) == -1 && errno == EINTR)
		continue;
	errno = saved;
}

/* The C library's declarations name what they take in its own reserved way. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
EXPORT int
fsync(int fd)
{
	int rc = real_fsync(fd);

	dawdle();
	return rc;
}

EXPORT int
fdatasync(int fd)
{
	int rc = real_fdatasync(fd);

	dawdle();
	return rc;
}

EXPORT int
syncfs(int fd)
{
	int rc = real_syncfs(fd);

	dawdle();
	return rc;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
