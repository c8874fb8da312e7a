/*
 * log_out: write(2) and send(2) of log lines.
 * What a full disk or a dead daemon does not take is lost and counted; it
 * neither ends us nor tears the lines that follow.
 */
#include "common/log_out.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/log_wire.h"

enum {
	BATCH_FILE = 64 << 10, /* octets of one write(2) to a file: it takes any number at once */
	BATCH = PIPE_BUF,      /* to a pipe, that other processes write to as well: only this many stay together */
	DIRECT_WAIT_MS = 1000  /* how long a process without the thread waits for a reader that hangs */
};

static struct {
	enum log_to to;
	int fd;
	size_t batch;     /* octets of one write(2) */
	atomic_bool torn; /* the last write ended within a line */
	atomic_bool lost;
} target = { .fd = STDERR_FILENO, .batch = BATCH };

/* Asked here, for the sandbox of the key process lets nobody ask later. */
static void
look_at_target(void)
{
	struct stat st;

	target.batch = fstat(target.fd, &st) == 0 && S_ISREG(st.st_mode) ? BATCH_FILE : BATCH;
}

void
log_out_init(void)
{
	int fd;

	while (fcntl(STDERR_FILENO, F_GETFD) == -1 && errno == EBADF) {
		if ((fd = open("/dev/null", O_RDWR)) == -1 || fd > STDERR_FILENO)
			break;
	}
	look_at_target();
}

void
log_to(enum log_to to, int fd)
{
	target.to = to;
	target.fd = to == LOG_TO_STDERR ? STDERR_FILENO : fd;
	target.torn = false;
	look_at_target();
}

void
log_leave(int fd)
{
	if (target.to != LOG_TO_STDERR && target.fd == fd)
		log_to(LOG_TO_STDERR, -1);
}

int
log_reopened(int fd)
{
	int r = target.to == LOG_TO_STDERR ? 0 : dup3(fd, target.fd, O_CLOEXEC), err = errno;

	target.torn = false;
	close(fd);
	errno = err;
	return r < 0 ? -1 : 0;
}

bool
log_lost(void)
{
	return atomic_exchange_explicit(&target.lost, false, memory_order_relaxed);
}

static bool
by_datagram(void)
{
	return target.to == LOG_TO_JOURNAL || target.to == LOG_TO_SYSLOG;
}

/* ${line} as what the daemon takes, into ${out}. */
static size_t
frame(const char *line, size_t n, char out[LOG_WIRE_MAX])
{
	return target.to == LOG_TO_JOURNAL ? log_wire_journal(line, n, out) : log_wire_syslog(line, n, out);
}

/* The daemon is not there any more, or the socket is shut down: whoever can may connect anew. */
static void
note_lost(int err)
{
	if (err == ECONNREFUSED || err == ENOTCONN || err == ECONNRESET || (err == EPIPE && by_datagram()))
		atomic_store_explicit(&target.lost, true, memory_order_relaxed);
}

/* --- the thread's way: it may wait --- */

/* All of it, or -1 with errno and *done octets written. */
static int
write_all(const char *p, size_t n, size_t *done)
{
	struct pollfd pfd = { .fd = target.fd, .events = POLLOUT };

	for (*done = 0; *done < n;) {
		ssize_t w = write(target.fd, p + *done, n - *done);

		if (w >= 0) {
			*done += (size_t)w;
		} else if (errno == EAGAIN) {
			poll(&pfd, 1, -1);
		} else if (errno != EINTR) {
			return -1;
		}
	}
	return 0;
}

/* Octets of the whole lines at the start of ${p} that fit one write; at least one line. */
static size_t
batch_len(const char *p, size_t n)
{
	const char *end;

	if (n <= target.batch)
		return n;
	end = memrchr(p, '\n', target.batch);
	return end != NULL ? (size_t)(end - p) + 1 : n;
}

static uint64_t
count_lines(const char *p, size_t n)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < n; i++)
		lines += p[i] == '\n';
	return lines;
}

static uint64_t
stream_lines(const char *p, size_t n)
{
	size_t done;
	uint64_t lost = 0;

	while (n > 0) {
		size_t b = batch_len(p, n);

		/* A disk that was full in the middle of a line: the next one begins on its own. */
		if (target.torn && write_all("\n", 1, &done) == 0)
			target.torn = false;
		if (write_all(p, b, &done) != 0) {
			lost += count_lines(p + done, b - done);
			target.torn = target.torn || (done > 0 && p[done - 1] != '\n');
		}
		p += b;
		n -= b;
	}
	return lost;
}

static uint64_t
datagram_lines(const char *p, size_t n)
{
	char wire[LOG_WIRE_MAX];
	uint64_t lost = 0;

	while (n > 0) {
		const char *end = memchr(p, '\n', n);
		size_t k = end != NULL ? (size_t)(end - p) + 1 : n;
		size_t octets = frame(p, k, wire);
		ssize_t sent;

		do
			sent = send(target.fd, wire, octets, MSG_NOSIGNAL);
		while (sent == -1 && errno == EINTR);
		if (sent == -1) {
			note_lost(errno);
			lost++;
		}
		p += k;
		n -= k;
	}
	return lost;
}

uint64_t
log_out_lines(const char *p, size_t n)
{
	return by_datagram() ? datagram_lines(p, n) : stream_lines(p, n);
}

/* --- without the thread --- */

/* Each wait for a reader takes ${wait_ms} at the most. */
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

	if (target.to == LOG_TO_STDERR && fstat(STDERR_FILENO, &st) == 0 && S_ISFIFO(st.st_mode))
		fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	return fd != -1 ? fd : target.fd;
}

/* A process that did not ask for it must not die of a log reader that went away: SIGPIPE is held back and taken. */
int
log_out_now(const char *line, size_t n)
{
	/* Who did not read the line before is not waited for again; threads may come at once. */
	static atomic_bool hangs;
	struct timespec none = { 0 };
	sigset_t pipe_only, old, pending;
	int fd = direct_open(), r, err;
	char wire[LOG_WIRE_MAX];

	if (by_datagram()) {
		n = frame(line, n, wire);
		line = wire;
	}
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
	sigpending(&pending);
	r = write_patiently(fd, line, n, hangs ? 0 : DIRECT_WAIT_MS);
	err = errno;
	hangs = r != 0 && err == EAGAIN;
	if (r != 0)
		note_lost(err);
	if (r != 0 && err == EPIPE && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe_only, NULL, &none);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (fd != target.fd)
		close(fd);
	errno = err;
	return r;
}
