/*
 * pool: the connections of one worker to one milter.
 * As many as sessions have something to ask, up to a bound; who comes then
 * waits in line, and a session that asks nothing just now gives its own up.
 * Where the milter knows how (version 6), a connection serves one session
 * after another; who only says so (libmilter: see pool.c) is found out once.
 */
#ifndef WORKER_MILTER_POOL_H_
#define WORKER_MILTER_POOL_H_

#include "worker/milter/link.h"
#include "worker/milter/milter.h"

enum {
	MILTER_IDLE_MAX = 32,    /* of MILTER_LINKS_MAX connections so many are kept without a session */
	MILTER_IDLE_MS  = 60000, /* ... and for so long */
	MILTER_MUTE_MS  = 500,   /* a link that was used before and says nothing for so long is given up */
	MILTER_RETRY_MS = 200    /* between tries when a milter on a unix socket takes no more connections */
};

/* Who wants a connection; embedded. */
struct milter_seat {
	struct milter_owner owner;
	struct milter_link *link;    /* its own, or NULL */
	bool                waiting; /* in line */
	TAILQ_ENTRY(milter_seat) entry;
	/* Whether it can do without its link now. */
	bool (*spares)(struct milter_seat *s);
};

struct milter_pool {
	struct loop           *loop;
	const struct sockaddr *to;
	socklen_t              to_len;
	TAILQ_HEAD(milter_links, milter_link) idle, busy; /* idle: the newest first; busy: the longest first */
	TAILQ_HEAD(milter_seats, milter_seat) line;
	unsigned          n, nidle;
	struct loop_timer timer;
	struct loop_task  task;
	bool     mute;  /* the milter fell silent on a link that another session had: none is handed on any more */
	bool     known; /* what the milter agreed to last time: */
	uint32_t version, steps;
};

void milter_pool_init(struct milter_pool *p, struct loop *l, const struct sockaddr *to, socklen_t len);
void milter_pool_fini(struct milter_pool *p);

/**
 * milter_pool_take(p, s, fresh):
 * Get ${s} a connection, s->link, not yet connected perhaps.  ${fresh}: not one
 * that was used before.  0; or 0 with s->link NULL and s->waiting: its
 * owner.ready() is called when it has one, owner.lost() if it is not to be; or -1 with errno.
 */
int milter_pool_take(struct milter_pool *p, struct milter_seat *s, bool fresh);

/* ${s} needs its connection no more, or its place in line: a good one is kept, else it is closed with a good-bye. */
void milter_pool_give(struct milter_pool *p, struct milter_seat *s, bool good);

#endif
