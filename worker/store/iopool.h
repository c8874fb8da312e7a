/*
 * iopool: a few threads that may block, so that the loop never does.
 * A job is handed over whole: one side owns it at any time.
 */
#ifndef WORKER_STORE_IOPOOL_H_
#define WORKER_STORE_IOPOOL_H_

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	/* a worker; 16 writers gave 6.6 times the fsyncs of one on ext4 (measured, docs/decisions) */
	IOPOOL_THREADS = 16,
	IOPOOL_STACK   = 256 << 10, /* octets of stack a thread */
	IOPOOL_BEHIND  = 4 /* jobs a thread is called for: of those that wait, and of those that are kept back */
};

struct iojob {
	void (*run)(struct iojob *j);  /* in a pool thread, which owns *j */
	void (*done)(struct iojob *j); /* in the loop, which owns *j again and may free it */
	struct iojob *next;            /* private */
	bool          promised;        /* private */
	bool          quick; /* run() takes microseconds until it says iopool_slow(); set before it is handed over */
	bool          kept;  /* its end is not run()'s return but iopool_ended(); set before it is handed over */
	uint16_t      row;   /* for who hands it over */
};

struct iopool;

/* All of this is the loop's: call it from one thread. */

/**
 * iopool_start(nthreads, maxqueued):
 * Start the threads; call after Landlock and before seccomp.  When it returns
 * each of them has done its set-up and only run()s and waits from now on.  At
 * most ${maxqueued} jobs are at work or promised at a time.  NULL with errno.
 */
struct iopool *iopool_start(unsigned nthreads, unsigned maxqueued);

/**
 * iopool_gather(p), iopool_go(p):
 * From the first on, up to IOPOOL_BEHIND quick jobs are kept back until the
 * second is called, so that a thread is called once for them and not for each.
 * The caller promises to do that before it waits for anything.
 */
void iopool_gather(struct iopool *p);
void iopool_go(struct iopool *p);

/* Hand ${j} over.  0, or -1 with errno EAGAIN when the queue is full (the caller still owns it). */
int iopool_submit(struct iopool *p, struct iojob *j);

/**
 * iopool_reserve(p):
 * Promise room for one job at a time, again and again, until
 * iopool_unreserve(): what must not fail later (making a message durable,
 * cleaning up after it) asks for its room first.  0, or -1 with errno EAGAIN.
 */
int  iopool_reserve(struct iopool *p);
void iopool_unreserve(struct iopool *p);

/* Hand ${j} over on a promise.  Cannot fail. */
void iopool_submit_reserved(struct iopool *p, struct iojob *j);

/**
 * iopool_ended(p, j):
 * In any thread: the kept jobs that are chained by next from ${j} on have
 * ended, in this order.  run() must not look at its job any more once another
 * thread may have done this.
 */
void iopool_ended(struct iopool *p, struct iojob *j);

/**
 * iopool_slow(p):
 * In run() of a quick job: from here on it waits (for a disk, for somebody
 * else), so another thread is called for what is queued.  Nothing for other
 * jobs, in other threads, or said twice.
 */
void iopool_slow(struct iopool *p);

/**
 * iopool_tick(p):
 * Now and then, in the loop: a quick job that was at work at the last call
 * already is taken for one that has said iopool_slow(), so that nothing waits
 * for more than two calls behind a disk that hangs.
 */
void iopool_tick(struct iopool *p);

/**
 * iopool_more(p, run):
 * In run(): the job that is next in the queue, if it has the same ${run}; the
 * caller does its work too.  It must be a kept one.  Else NULL.
 */
struct iojob *iopool_more(struct iopool *p, void (*run)(struct iojob *j));

/* A thread like those of a pool: their signals, their stack.  0, or an errno. */
int iopool_thread(pthread_t *t, void *(*run)(void *arg), void *arg);

/* An eventfd that is readable when done() calls are due.  Owned by the pool. */
int iopool_fd(const struct iopool *p);

/* In the loop: run done() of all jobs that ended.  Return how many. */
unsigned iopool_reap(struct iopool *p);

/* Jobs handed over and not yet reaped. */
unsigned iopool_pending(const struct iopool *p);

/* Wait for all jobs, run their done(), end the threads, free.  NULL is a no-op. */
void iopool_stop(struct iopool *p);
#endif
