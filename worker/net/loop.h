/*
 * loop: the one event loop of a worker: descriptors, deadlines, and work that
 * was put off to the next turn.  The only file that knows epoll.  It runs
 * what it calls to the end; nothing in it may wait for a disk or a peer.
 */
#ifndef WORKER_NET_LOOP_H_
#define WORKER_NET_LOOP_H_

#include <stdbool.h>
#include <stdint.h>

enum {
	LOOP_BATCH   = 256, /* events taken from the kernel a turn */
	LOOP_NAP_US  = 1000,
	LOOP_TICK_MS = 20,   /* grain of deadlines: never early, late by two of these at the most */
	LOOP_WHEEL   = 4096, /* spokes of the timing wheel: a power of two */
	LOOP_SLEEP   = 50    /* ticks that it sleeps at the most: those that nobody waits for are slept through */
};

enum { /* what a descriptor is watched for, and what is said of it */
	LOOP_IN  = 1,
	LOOP_OUT = 2,
	LOOP_HUP = 4, /* the peer closed its side, or an error waits */
	/* Nobody reads what would be written: a reset, an error, or both sides closed.  LOOP_HUP is set too. */
	LOOP_GONE = 8
};

struct loop;

/* A watched descriptor; embedded in whoever owns the descriptor. */
struct loop_src {
	int fd;
	void (*ready)(struct loop_src *src, unsigned what);
};

/* A deadline; embedded.  Zeroed: not set. */
struct loop_timer {
	struct loop_timer *next, **prev; /* private; prev NULL: not set */
	uint64_t           at_ms;        /* by loop_now_ms() */
	void (*fire)(struct loop_timer *t);
};

/* Work for the next turn; embedded.  Zeroed: not queued. */
struct loop_task {
	struct loop_task *next, **prev; /* private; prev NULL: not queued */
	void (*run)(struct loop_task *t);
};

/* NULL with errno.  Owner: the caller, who gives it to loop_free(). */
struct loop *loop_new(void);
void         loop_free(struct loop *l);

/* Monotonic time as of this turn. */
uint64_t loop_now_ms(const struct loop *l);
uint64_t loop_now_us(const struct loop *l);

/* Monotonic time now, by the clock; for measuring within a turn. */
uint64_t loop_clock_us(void);

/* Called at the end of each turn, before the loop waits again: how many events it had, and how long it took without its waiting, in microseconds; NULL: nobody. */
void loop_observe(struct loop *l, void (*turn)(void *arg, uint64_t us, unsigned events), void *arg);

/**
 * loop_watch(l, src): report changes of src->fd in either direction, once a
 * change (edge-triggered: who stops before EAGAIN must remember that more is
 * there).  loop_watch_level: whenever it is readable; ${exclusive}: where
 * several processes wait on it, wake one (EPOLLEXCLUSIVE: a listener shared so
 * lost 0 of 400 connections when a worker was killed, SO_REUSEPORT 106).
 * 0, or -1 with errno.
 */
int loop_watch(struct loop *l, struct loop_src *src);
int loop_watch_level(struct loop *l, struct loop_src *src, bool exclusive);

/* Report nothing more of it, not even what this turn has already fetched.  Before close(2). */
void loop_unwatch(struct loop *l, struct loop_src *src);

/* The same without a system call, for a descriptor that nobody has a copy of and that is closed at once: epoll forgets it then (epoll(7)). */
void loop_forget(struct loop *l, const struct loop_src *src);

/* Fire ${t} once, ${ms} from now; set again, the old moment is forgotten.  Never fails. */
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t ms);
void loop_timer_clear(struct loop_timer *t); /* not set: a no-op */

/* Run ${t} in the next turn, which then does not wait.  Queued already: a no-op. */
void loop_later(struct loop *l, struct loop_task *t);
void loop_task_clear(struct loop *l, struct loop_task *t); /* not queued: a no-op */

/**
 * loop_nap(l, t):
 * Run ${t} in the first turn that is LOOP_NAP_US from now, of those that nap
 * already from when the first of them began; a turn waits no longer than that.
 * Napping already: a no-op.  It cannot be called off.
 */
void loop_nap(struct loop *l, struct loop_task *t);

/* Turn until loop_stop(); may be called again.  0, or -1 with errno when epoll fails. */
int  loop_run(struct loop *l);
void loop_stop(struct loop *l);
#endif
