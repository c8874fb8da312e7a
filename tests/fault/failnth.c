/*
 * failnth: a library for LD_PRELOAD that lets system calls of the pool's
 * threads fail, and writes down the order in which they happened.
 *	FAILNTH=CALL:N:ERRNO	the N-th call of CALL fails; ERRNO -1: does half;
 *				-2: before it the file system shuts down (fsync);
 *				CALL:N+:ERRNO: all of them from there on; several
 *				of these, with commas between them
 *	FAILRATE=PERCENT:SEED	any call fails with EIO, this often
 *	FAILFIRED=FILE		made when the N-th call was reached
 *	FAILTRACE=FILE		a line a call that worked; one call at a time
 *	FAILLEDGER=FILE		writes to this file stand in the trace too
 * Only threads named io-* count: the loop makes none of these calls.
 */
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CUT_IOCTL  _IOR('X', 125, uint32_t) /* as in storedrive.c */
#define EXPORT     __attribute__((visibility("default")))
#define REAL(name) ((__typeof__(&name))real(#name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule {
	char call[32];
	unsigned nth;
	bool on; /* not that one alone: all from there on */
	int error;
	_Atomic unsigned count;
} rule[4];
static char ledger[PATH_MAX];
static unsigned rate;
static int trace = -1, fired = -1;
static _Atomic unsigned seed;

static void *
real(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if (p == NULL)
		abort();
	return p;
}

__attribute__((constructor)) static void
start(void)
{
	const char *s;
	char *end;

	s = getenv("FAILNTH");
	for (size_t i = 0; s != NULL && i < sizeof(rule) / sizeof(rule[0]) && (end = strchr(s, ':')) != NULL; i++) {
		snprintf(rule[i].call, sizeof(rule[i].call), "%.*s", (int)(end - s), s);
		rule[i].nth = (unsigned)strtoul(end + 1, &end, 10);
		rule[i].on = *end == '+';
		end += rule[i].on;
		rule[i].error = (int)strtol(end + 1, &end, 10);
		s = *end == ',' ? end + 1 : NULL;
	}
	if ((s = getenv("FAILRATE")) != NULL) {
		rate = (unsigned)strtoul(s, &end, 10);
		atomic_store(&seed, (unsigned)strtoul(end + 1, NULL, 10));
	}
	if ((s = getenv("FAILTRACE")) != NULL)
		trace = open(s, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if ((s = getenv("FAILLEDGER")) != NULL)
		snprintf(ledger, sizeof(ledger), "%s", s);
	if ((s = getenv("FAILFIRED")) != NULL)
		fired = open(s, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static bool
ours(void)
{
	char name[16];

	return pthread_getname_np(pthread_self(), name, sizeof(name)) == 0 && strncmp(name, "io-", 3) == 0;
}

static bool
rule_fails(struct rule *r, bool *half)
{
	unsigned now = atomic_fetch_add(&r->count, 1) + 1;

	if (now < r->nth || (now > r->nth && !r->on))
		return false;
	if (fired != -1 && syscall(SYS_write, fired, "x", 1) != 1)
		abort();
	*half = r->error < 0;
	errno = r->error;
	return !*half;
}

/* Whether this call shall fail; *half: do half of it instead. */
static bool
fails(const char *name, bool *half)
{
	*half = false;
	if (!ours())
		return false;
	if (rate > 0) {
		unsigned x = atomic_fetch_add(&seed, 1) * 2654435761U;

		if ((x >> 8) % 100 < rate) {
			errno = EIO;
			return true;
		}
	}
	for (size_t i = 0; i < sizeof(rule) / sizeof(rule[0]); i++)
		if (strcmp(name, rule[i].call) == 0)
			return rule_fails(&rule[i], half);
	return false;
}

static const char *
path_of(int fd, const char *name, char buf[static PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, PATH_MAX - 1);
	if (n < 0)
		n = 0;
	if (name != NULL && strcmp(name, ".") != 0)
		n += snprintf(buf + n, PATH_MAX - (size_t)n, "/%s", name);
	buf[n] = '\0';
	return buf;
}

__attribute__((format(printf, 1, 2))) static void
say(const char *fmt, ...)
{
	char line[2 * PATH_MAX + 64];
	va_list ap;
	int n, saved = errno;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (syscall(SYS_write, trace, line, (size_t)n) != n)
		abort();
	errno = saved;
}

/* One call at a time while a trace is written, so that the order on paper is the order in the kernel. */
static bool
enter(void)
{
	if (trace == -1 || !ours())
		return false;
	pthread_mutex_lock(&lock);
	return true;
}

#define TRACED(r, ok, ...) \
	do { \
		if (traced) { \
			int saved_ = errno; \
			if (ok) \
				say(__VA_ARGS__); \
			pthread_mutex_unlock(&lock); \
			errno = saved_; \
		} \
		return r; \
	} while (0)

/* The C library's declarations name what they take in its own reserved way. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
EXPORT int
openat(int at, const char *name, int flags, ...)
{
	char p[PATH_MAX];
	mode_t mode = 0;
	bool half, traced, nameless = (flags & O_TMPFILE) == O_TMPFILE;
	va_list ap;
	int r;

	if ((flags & O_CREAT) != 0 || nameless) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	if (fails(nameless ? "tmpfile" : (flags & O_CREAT) != 0 ? "create" : "openat", &half))
		return -1;
	traced = enter();
	r = REAL(openat)(at, name, flags, mode);
	TRACED(r, r != -1 && (flags & O_CREAT) != 0, "create %s\n", path_of(at, name, p));
}

/* What has no function of its own in the C library. */
EXPORT long
syscall(long number, ...)
{
	long a[6];
	va_list ap;
	bool half;

	va_start(ap, number);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2 && fails("openat2", &half))
		return -1;
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

EXPORT int
mkdirat(int at, const char *name, mode_t mode)
{
	char p[PATH_MAX];
	bool half, traced;
	int r;

	if (fails("mkdirat", &half))
		return -1;
	traced = enter();
	r = REAL(mkdirat)(at, name, mode);
	TRACED(r, r == 0, "mkdir %s\n", path_of(at, name, p));
}

EXPORT ssize_t
write(int fd, const void *buf, size_t n)
{
	char p[PATH_MAX];
	struct stat st;
	bool half = false, traced, file = ours() && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	ssize_t r;

	if (file && fails("write", &half))
		return -1;
	if (trace != -1 && !file && ledger[0] != '\0' && strcmp(path_of(fd, NULL, p), ledger) == 0) {
		pthread_mutex_lock(&lock);
		say("note %.*s", (int)n, (const char *)buf);
		pthread_mutex_unlock(&lock);
	}
	traced = file && enter();
	r = REAL(write)(fd, buf, half ? (n + 1) / 2 : n);
	TRACED(r, r > 0, "write %s\n", path_of(fd, NULL, p));
}

EXPORT ssize_t
writev(int fd, const struct iovec *v, int nv)
{
	char p[PATH_MAX];
	bool half, traced;
	ssize_t r;

	if (fails("writev", &half))
		return -1;
	traced = enter();
	r = half ? REAL(write)(fd, v[0].iov_base, (v[0].iov_len + 1) / 2) : REAL(writev)(fd, v, nv);
	TRACED(r, r > 0, "write %s\n", path_of(fd, NULL, p));
}

EXPORT ssize_t
copy_file_range(int in, off_t *ino, int out, off_t *outo, size_t n, unsigned flags)
{
	char p[PATH_MAX];
	bool half, traced;
	ssize_t r;

	if (fails("copy_file_range", &half))
		return -1;
	traced = enter();
	r = REAL(copy_file_range)(in, ino, out, outo, half ? (n + 1) / 2 : n, flags);
	TRACED(r, r > 0, "write %s\n", path_of(out, NULL, p));
}

EXPORT int
fsync(int fd)
{
	char p[PATH_MAX];
	bool half, traced;
	int r;

	if (fails("fsync", &half))
		return -1;
	if (half) {
		uint32_t nologflush = 2;

		if (ioctl(fd, CUT_IOCTL, &nologflush) == -1)
			abort();
	}
	traced = enter();
	r = REAL(fsync)(fd);
	TRACED(r, r == 0, "fsync %s\n", path_of(fd, NULL, p));
}

EXPORT int
fdatasync(int fd)
{
	bool half;

	return fails("fdatasync", &half) ? -1 : REAL(fdatasync)(fd);
}

EXPORT int
syncfs(int fd)
{
	bool half, traced;
	int r;

	if (fails("syncfs", &half))
		return -1;
	traced = enter();
	r = REAL(syncfs)(fd);
	TRACED(r, r == 0, "%s\n", "syncfs");
}

EXPORT ssize_t
pwritev(int fd, const struct iovec *v, int nv, off_t at)
{
	bool half;

	if (fails("pwritev", &half))
		return -1;
	return half ? REAL(pwrite)(fd, v[0].iov_base, (v[0].iov_len + 1) / 2, at) : REAL(pwritev)(fd, v, nv, at);
}

EXPORT ssize_t
pwrite(int fd, const void *buf, size_t n, off_t at)
{
	bool half;

	if (fails("pwrite", &half))
		return -1;
	return REAL(pwrite)(fd, buf, half ? (n + 1) / 2 : n, at);
}

EXPORT int
close(int fd)
{
	bool half;
	int r;

	if (!fails("close", &half))
		return REAL(close)(fd);
	r = errno;
	REAL(close)(fd);
	errno = r;
	return -1;
}

EXPORT int
renameat2(int a, const char *old, int b, const char *new, unsigned flags)
{
	char p[PATH_MAX], q[PATH_MAX];
	bool half, traced;
	int r;

	if (fails("renameat2", &half))
		return -1;
	traced = enter();
	r = REAL(renameat2)(a, old, b, new, flags);
	TRACED(r, r == 0, "rename %s %s\n", path_of(a, old, p), path_of(b, new, q));
}

EXPORT int
linkat(int a, const char *old, int b, const char *new, int flags)
{
	char p[PATH_MAX], q[PATH_MAX];
	bool half, traced;
	int r;

	if (fails("linkat", &half))
		return -1;
	traced = enter();
	r = REAL(linkat)(a, old, b, new, flags);
	TRACED(r, r == 0, "link %s %s\n", path_of(a, old, p), path_of(b, new, q));
}

EXPORT int
unlinkat(int at, const char *name, int flags)
{
	char p[PATH_MAX];
	bool half, traced;
	int r;

	if (fails("unlinkat", &half))
		return -1;
	traced = enter();
	r = REAL(unlinkat)(at, name, flags);
	TRACED(r, r == 0, "unlink %s\n", path_of(at, name, p));
}

EXPORT int
flock(int fd, int how)
{
	bool half;

	return fails("flock", &half) ? -1 : REAL(flock)(fd, how);
}

EXPORT int
sync_file_range(int fd, off_t at, off_t n, unsigned flags)
{
	bool half;

	return fails("sync_file_range", &half) ? -1 : REAL(sync_file_range)(fd, at, n, flags);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
