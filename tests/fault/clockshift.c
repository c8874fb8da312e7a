/*
 * clockshift: a library for LD_PRELOAD that sets the wall clock of a process,
 * and of that alone, as often as a test likes.
 * By how many seconds stands in the file "clock" beside the program, which is
 * mapped before main() begins: a sandbox forbids to open it later.  What the
 * kernel says of its own accord, the times of files above all, stays as it is.
 */
#include <sys/mman.h>
#include <sys/time.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static _Atomic int64_t nothing;
static const _Atomic int64_t *shift = &nothing;
static int (*real_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void
begin(void)
{
	char path[PATH_MAX + 8];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	char *slash;
	void *p;
	int fd;

	real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	if (n <= 0 || real_clock == NULL)
		abort();
	path[n] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash + 1, "clock");
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return;
	p = mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		abort();
	close(fd);
	shift = p;
}

EXPORT int
clock_gettime(clockid_t which, struct timespec *ts)
{
	int rc;

	if (real_clock == NULL) /* another library's constructor */
		begin();
	rc = real_clock(which, ts);
	if (rc == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
		ts->tv_sec += (time_t)atomic_load(shift);
	return rc;
}

EXPORT time_t
time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out != NULL)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

EXPORT int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}
