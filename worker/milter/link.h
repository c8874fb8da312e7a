/*
 * link: one connection to a milter: its socket, its buffers, its packets.
 * Non-blocking, in the loop.  It belongs to one session at a time, or to the
 * pool, which keeps it for the next; it knows nothing of what is asked.  Answers
 * are read into one scratch area; only what is no whole packet is kept.
 */
#ifndef WORKER_MILTER_LINK_H_
#define WORKER_MILTER_LINK_H_

#include <bsd/sys/queue.h>
#include <sys/socket.h>

#include "worker/milter/state.h"
#include "worker/net/loop.h"

enum {
	MILTER_OUT_MAX  = 256 << 10, /* octets for a milter that does not read; then its session's client is not read */
	MILTER_OUT_HIGH = 128 << 10, /* ... of which so many let a session go on: one more packet fits always */
	MILTER_OUT_KEEP = 16 << 10,  /* octets of memory for output that a link keeps while a session has it */
	MILTER_READ     = 16 << 10,  /* octets read at a time */
	MILTER_READS    = 16,        /* reads a turn before others have theirs */
	MILTER_BURST_MAX = 4096      /* answers a turn; a milter that has more to say waits for the next */
};

struct milter_link;
struct milter_pool;

/* Whose it is, and what that one is told.  In it the link may be closed, or given away. */
struct milter_owner {
	/* It is connected, or its output has room again. */
	void (*ready)(struct milter_owner *o);
	/* A packet. */
	void (*packet)(struct milter_owner *o, uint8_t cmd, struct span data);
	/* It broke, for ${why}, a static word; it is closed. */
	void (*lost)(struct milter_owner *o, const char *why);
};

struct milter_link {
	TAILQ_ENTRY(milter_link) entry; /* of the pool */
	struct loop_src      src;
	struct loop         *loop;
	struct loop_task     task;  /* there is more to read */
	struct milter_owner *owner; /* NULL: idle in the pool */
	struct milter_state  st;
	struct buf           out, in;
	struct span          symbols[MILTER_M_N]; /* copies that the milter asked for; p NULL: not asked */
	struct loop_timer    mute;                /* the pool's: a link that was used before must answer soon */
	uint64_t             idle_ms;             /* since when, by loop_now_ms() */
	bool                *gone;                /* private: set when it is closed */
	bool                 connecting, writable;
	bool                 hup;    /* its end stands behind what it said */
	bool                 reused; /* another session had it before */
	bool                 heard;  /* it has answered since it got its owner */
	bool                 told_connect, told_helo;
	struct milter_pool  *pool;
	void (*drop)(struct milter_link *k); /* the pool's: it broke, or spoke, while idle */
};

/**
 * milter_link_open(l, to, len, owner):
 * Begin to connect.  ready() or lost() follows.  NULL with errno; EAGAIN: the
 * milter's queue of connections is full, try again later.
 */
struct milter_link *milter_link_open(
    struct loop *l, const struct sockaddr *to, socklen_t len, struct milter_owner *owner);

/* Close and free it; nothing is said any more. */
void milter_link_close(struct milter_link *k);

/* A k->drop for a link that is closed by whoever calls. */
void milter_link_nobody(struct milter_link *k);

/* Send what is queued in k->out.  False: it broke, and the owner was told. */
bool milter_link_send(struct milter_link *k);

/* No session has it: memory that it keeps is given back. */
void milter_link_rest(struct milter_link *k);

/* Keep what the milter wants to know.  0, or -1 with errno ENOMEM. */
int milter_link_symbols(struct milter_link *k, const struct milter_options *o);

#endif
