/*
 * log_sink: log lines on their way out, at once or through a thread.
 * Two halves of a ring: one is filled by whoever logs, the other is written by
 * the thread, without the lock.  A reader that hangs stops the thread alone;
 * lines that find the half full are dropped, counted, and said afterwards.
 */
#include "common/log_sink.h"

#include <sys/mman.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/log_out.h"

enum {
	HALF = LOG_RING / 2,
	GATHER = HALF / 4, /* octets that are written at once */
	/* After a write fewer wait for others so long: to call a thread for each line costs more than the line. */
	GATHER_NS = 5000000,
	STACK = 256 << 10 /* octets of the thread's stack, of which a few pages are used */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	pthread_cond_t more; /* no need to wait for further lines */
	bool running;        /* set once, before anybody else logs */
	bool up;             /* the thread is past the C library's start-up */
	bool busy;           /* the thread writes what it took */
	char *half[2];
	unsigned fill;           /* the half that is being filled */
	size_t n;                /* octets in it */
	bool say;                /* wake up for what was dropped */
	bool gathering;          /* the thread waits for further lines */
	bool urgent;             /* ... and shall not */
	uint64_t unsaid, capped; /* dropped and not yet said: no room or no disk; above the rate */
	uint32_t rate, taken;    /* lines a second; of this second */
	time_t second;
	_Atomic uint64_t dropped;
} sink = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

void
log_sink_init(void)
{
	log_out_init();
}

uint64_t
log_dropped(void)
{
	return atomic_load_explicit(&sink.dropped, memory_order_relaxed);
}

void
log_set_rate(uint32_t lines)
{
	pthread_mutex_lock(&sink.lock);
	sink.rate = lines;
	pthread_mutex_unlock(&sink.lock);
}

/* Whether the second's share of lines is used up; counts one more.  Called with the lock. */
static bool
above_rate(void)
{
	struct timespec now = { 0 };

	if (sink.rate == 0)
		return false;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec != sink.second) {
		sink.second = now.tv_sec;
		sink.taken = 0;
	}
	return sink.taken++ >= sink.rate;
}

static void
drop(uint64_t *why)
{
	++*why;
	atomic_fetch_add_explicit(&sink.dropped, 1, memory_order_relaxed);
}

void
log_sink_put(const char *line, size_t n, bool may_drop)
{
	int err = errno; /* whoever logs an error may look at it again */
	bool first = false, enough = false;

	if (!sink.running) {
		if (log_out_now(line, n) != 0)
			atomic_fetch_add_explicit(&sink.dropped, 1, memory_order_relaxed);
		errno = err;
		return;
	}
	pthread_mutex_lock(&sink.lock);
	if (may_drop && above_rate()) {
		drop(&sink.capped);
	} else if (n > HALF - sink.n) {
		drop(&sink.unsaid);
	} else {
		memcpy(sink.half[sink.fill] + sink.n, line, n);
		first = sink.n == 0;
		sink.n += n;
		if (!may_drop)
			sink.urgent = true;
		enough = sink.gathering && (sink.urgent || sink.n >= GATHER);
		if (enough) /* told once */
			sink.gathering = false;
	}
	pthread_mutex_unlock(&sink.lock);
	/* Without the lock, on which the thread would sleep again. */
	if (first)
		pthread_cond_signal(&sink.wake);
	if (enough)
		pthread_cond_signal(&sink.more);
	errno = err;
}

void
log_tick(void)
{
	if (!sink.running)
		return;
	pthread_mutex_lock(&sink.lock);
	if (sink.unsaid + sink.capped > 0 && !sink.busy) {
		sink.say = true;
		pthread_cond_signal(&sink.wake);
		pthread_cond_signal(&sink.more);
	}
	pthread_mutex_unlock(&sink.lock);
}

/* Written by the thread itself: the half that is being filled may be full again.  ${n}, or 0 if it was said. */
static uint64_t
say_dropped(uint64_t n, const char *reason)
{
	struct log_line l;

	if (n == 0)
		return 0;
	log_begin(&l, LOG_L_WARN, "log-dropped");
	log_u64(&l, "n", n);
	log_str(&l, "reason", reason);
	log_finish(&l);
	return log_out_lines(l.text, l.n) == 0 ? 0 : n;
}

static struct timespec
after_ns(uint64_t ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	ns += (uint64_t)t.tv_nsec;
	t.tv_sec += (time_t)(ns / 1000000000);
	t.tv_nsec = (long)(ns % 1000000000);
	return t;
}

/* Called with the lock: a moment for what comes right behind, if what came before was written a moment ago.  A single line is written at once. */
static void
gather(const struct timespec *until)
{
	sink.gathering = true;
	while (sink.n < GATHER && !sink.urgent && !sink.say)
		if (pthread_cond_timedwait(&sink.more, &sink.lock, until) != 0)
			break;
	sink.gathering = sink.urgent = false;
}

static void *
writer(void *arg)
{
	struct timespec until = { 0 }; /* what comes before is gathered; long over */
	uint64_t lost, unsaid, capped;
	const char *p;
	size_t n;

	(void)arg;
	pthread_mutex_lock(&sink.lock);
	sink.up = true;
	pthread_cond_broadcast(&sink.idle);
	for (;;) {
		while (sink.n == 0 && !sink.say)
			pthread_cond_wait(&sink.wake, &sink.lock);
		gather(&until);
		p = sink.half[sink.fill];
		n = sink.n;
		unsaid = sink.unsaid;
		capped = sink.capped;
		sink.fill ^= 1;
		sink.n = 0;
		sink.unsaid = sink.capped = 0;
		sink.say = false;
		sink.busy = true;
		pthread_mutex_unlock(&sink.lock);
		lost = log_out_lines(p, n);
		unsaid = say_dropped(unsaid, "full");
		capped = say_dropped(capped, "rate");
		until = after_ns(GATHER_NS);
		pthread_mutex_lock(&sink.lock);
		sink.busy = false;
		/* What could not be said, while the disk is full, will be. */
		sink.unsaid += lost + unsaid;
		sink.capped += capped;
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
	pthread_cond_init(&sink.more, &mono);
	pthread_condattr_destroy(&mono);
	sink.half[0] = p;
	sink.half[1] = p + HALF;
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
	until = after_ns((uint64_t)ms * 1000000);
	pthread_mutex_lock(&sink.lock);
	sink.urgent = true;
	pthread_cond_signal(&sink.more);
	while (sink.n > 0 || sink.busy)
		if (pthread_cond_timedwait(&sink.idle, &sink.lock, &until) != 0)
			break;
	pthread_mutex_unlock(&sink.lock);
}
