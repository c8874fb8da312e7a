/*
 * log_sink: log lines to standard error, at once or through a thread.
 * Two halves of a ring: one is filled by whoever logs, the other is written by
 * the thread, without the lock.  A reader that hangs stops the thread alone;
 * lines that find the half full are dropped, counted, and said afterwards.
 */
#include "common/log_sink.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"

enum {
	HALF = LOG_RING / 2,
	BATCH_FILE = 64 << 10, /* octets of one write(2) to a file: it takes any number at once */
	BATCH = PIPE_BUF,      /* to a pipe, that other processes write to as well: only this many stay together */
	DIRECT_WAIT_MS = 1000, /* how long a process without the thread waits for a reader that hangs */
	STACK = 256 << 10      /* octets of the thread's stack, of which two pages are used */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	bool running; /* set once, before anybody else logs */
	bool up;      /* the thread is past the C library's start-up */
	bool busy;    /* the thread writes what it took */
	char *half[2];
	unsigned fill; /* the half that is being filled */
	size_t n;      /* octets in it */
	size_t batch;
	uint64_t unsaid; /* dropped and not yet said */
	_Atomic uint64_t dropped;
} sink = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

void
log_sink_init(void)
{
	int fd;

	while (fcntl(STDERR_FILENO, F_GETFD) == -1 && errno == EBADF) {
		if ((fd = open("/dev/null", O_RDWR)) == -1 || fd > STDERR_FILENO)
			break;
	}
}

uint64_t
log_dropped(void)
{
	return atomic_load_explicit(&sink.dropped, memory_order_relaxed);
}

/* All of it, or -1 with errno. */
static int
write_all(const char *p, size_t n)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };

	while (n > 0) {
		ssize_t w = write(STDERR_FILENO, p, n);

		if (w >= 0) {
			p += w;
			n -= (size_t)w;
		} else if (errno == EAGAIN) {
			poll(&pfd, 1, -1);
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return 0;
}

/* The same without the thread: each wait for a reader takes ${wait_ms} at the most. */
static int
write_patiently(int fd, const char *p, size_t n, int wait_ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };

	while (n > 0) {
		ssize_t w;

		if (poll(&pfd, 1, wait_ms) == 0) {
			errno = EAGAIN;
			return -1;
		}
		w = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (w == -1 && errno == ENOTSOCK)
			w = write(fd, p, n);
		if (w >= 0) {
			p += w;
			n -= (size_t)w;
		} else if (errno != EINTR && errno != EAGAIN) {
			return -1;
		}
	}
	return 0;
}

/*
 * Standard error for a process that must not be stopped by who reads it.  Its
 * pipe is shared with others, that may fill it behind poll(2), and O_NONBLOCK
 * would be shared too: so a way in of our own, where /proc gives one.
 */
static int
direct_open(void)
{
	struct stat st;
	int fd = -1;

	if (fstat(STDERR_FILENO, &st) == 0 && S_ISFIFO(st.st_mode))
		fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	return fd != -1 ? fd : STDERR_FILENO;
}

/* A process that did not ask for it must not die of a log reader that went away: SIGPIPE is held back and taken. */
static int
write_direct(const char *p, size_t n)
{
	static bool hangs; /* who did not read the line before is not waited for again */
	struct timespec none = { 0 };
	sigset_t pipe_only, old, pending;
	int fd = direct_open(), r, err;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
	sigpending(&pending);
	r = write_patiently(fd, p, n, hangs ? 0 : DIRECT_WAIT_MS);
	err = errno;
	hangs = r != 0 && err == EAGAIN;
	if (r != 0 && err == EPIPE && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe_only, NULL, &none);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (fd != STDERR_FILENO)
		close(fd);
	errno = err;
	return r;
}

void
log_sink_put(const char *line, size_t n)
{
	int err = errno; /* whoever logs an error may look at it again */

	if (!sink.running) {
		if (write_direct(line, n) != 0)
			atomic_fetch_add_explicit(&sink.dropped, 1, memory_order_relaxed);
		errno = err;
		return;
	}
	pthread_mutex_lock(&sink.lock);
	if (n > HALF - sink.n) {
		sink.unsaid++;
		atomic_fetch_add_explicit(&sink.dropped, 1, memory_order_relaxed);
	} else {
		memcpy(sink.half[sink.fill] + sink.n, line, n);
		if (sink.n == 0)
			pthread_cond_signal(&sink.wake);
		sink.n += n;
	}
	pthread_mutex_unlock(&sink.lock);
	errno = err;
}

/* Octets of the whole lines at the start of ${p} that fit one write; at least one line. */
static size_t
batch_len(const char *p, size_t n)
{
	const char *end;

	if (n <= sink.batch)
		return n;
	end = memrchr(p, '\n', sink.batch);
	return end != NULL ? (size_t)(end - p) + 1 : n;
}

/* How many lines of ${p} standard error did not take. */
static uint64_t
write_lines(const char *p, size_t n)
{
	uint64_t lost = 0;

	while (n > 0) {
		size_t b = batch_len(p, n);

		if (write_all(p, b) != 0)
			for (size_t i = 0; i < b; i++)
				lost += p[i] == '\n';
		p += b;
		n -= b;
	}
	return lost;
}

/* Written by the thread itself: the half that is being filled may be full again. */
static void
say_dropped(uint64_t n)
{
	struct log_line l;

	log_begin(&l, LOG_L_WARN, "log-dropped");
	log_u64(&l, "n", n);
	log_finish(&l);
	write_all(l.text, l.n);
}

static void *
writer(void *arg)
{
	uint64_t lost, unsaid;
	const char *p;
	size_t n;

	(void)arg;
	pthread_mutex_lock(&sink.lock);
	sink.up = true;
	pthread_cond_broadcast(&sink.idle);
	for (;;) {
		while (sink.n == 0)
			pthread_cond_wait(&sink.wake, &sink.lock);
		p = sink.half[sink.fill];
		n = sink.n;
		unsaid = sink.unsaid;
		sink.fill ^= 1;
		sink.n = 0;
		sink.unsaid = 0;
		sink.busy = true;
		pthread_mutex_unlock(&sink.lock);
		lost = write_lines(p, n);
		if (unsaid > 0)
			say_dropped(unsaid);
		pthread_mutex_lock(&sink.lock);
		sink.busy = false;
		sink.unsaid += lost;
		atomic_fetch_add_explicit(&sink.dropped, lost, memory_order_relaxed);
		if (sink.n == 0)
			pthread_cond_broadcast(&sink.idle);
	}
	return NULL;
}

static int
start_writer(void)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t t;
	int err;

	if ((err = pthread_attr_init(&attr)) != 0)
		return err;
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&t, &attr, writer, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (err != 0)
		return err;
	/* A new thread makes system calls (rseq, set_robust_list) that the caller is about to forbid. */
	pthread_mutex_lock(&sink.lock);
	while (!sink.up)
		pthread_cond_wait(&sink.idle, &sink.lock);
	pthread_mutex_unlock(&sink.lock);
	return 0;
}

int
log_thread_start(void)
{
	pthread_condattr_t mono;
	struct stat st;
	char *p;
	int err;

	if (sink.running)
		return 0;
	p = mmap(NULL, LOG_RING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -1;
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&sink.idle, &mono);
	pthread_condattr_destroy(&mono);
	sink.half[0] = p;
	sink.half[1] = p + HALF;
	sink.batch = fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode) ? BATCH_FILE : BATCH;
	if ((err = start_writer()) != 0) {
		munmap(p, LOG_RING);
		errno = err;
		return -1;
	}
	sink.running = true;
	return 0;
}

void
log_flush(unsigned ms)
{
	struct timespec until;

	if (!sink.running)
		return;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&sink.lock);
	while (sink.n > 0 || sink.busy)
		if (pthread_cond_timedwait(&sink.idle, &sink.lock, &until) != 0)
			break;
	pthread_mutex_unlock(&sink.lock);
}
