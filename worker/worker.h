/*
 * worker: what the sessions of one worker share.  Set up by main.c, immutable
 * afterwards but for the counts and the draining.
 */
#ifndef WORKER_WORKER_H_
#define WORKER_WORKER_H_

#include <sys/socket.h>

#include <bsd/sys/queue.h>

#include "common/conf.h"
#include "common/conns.h"
#include "common/reply.h"
#include "common/stats.h"
#include "worker/chain.h"
#include "worker/net/loop.h"
#include "worker/net/tls.h"
#include "worker/smtp/smtp.h"
#include "worker/store/store.h"

enum {
	/* descriptors that are no session's: listeners, pool, map, log, the store's open folders; setup_descriptors() on top */
	WORKER_FDS_FIXED = 1400,
	/* one descriptor in so many is kept for messages over STORE_CHUNK that come in; when they run out: 451 */
	WORKER_SPOOL_SHARE = 4,
	/* sockets that had their last word and are kept a moment; of few descriptors, a quarter of what sessions have */
	WORKER_LINGER_MAX   = 256,
	WORKER_SAID_MAX     = 1024, /* octets of a refusal's fields of the log that are kept for the next one */
	WORKER_SESSIONS_MIN = 16    /* sessions that must fit, or the worker says so and does not start */
};

struct session;
struct plugin;
struct dsn_spool; /* dsn.h */
struct taps;      /* tap.h */
struct recipients;
struct limits; /* handlers/limits.h */

/* What was said last to who was refused, and its fields of the log as they were written; private to account.c. */
struct account_said {
	const char  *by; /* the handler's name */
	struct reply reply;
	size_t       n; /* 0: nothing yet */
	char         fields[WORKER_SAID_MAX];
};

struct worker {
	struct loop            *loop;
	const struct conf      *conf;
	struct stats_slot      *stats;
	struct dns             *dns; /* NULL: nobody asks */
	struct recipients      *recipients;
	struct conns           *conns;
	const struct limits    *limits; /* NULL: nobody counts sessions */
	struct chain            chain;
	struct plugin          *plugins; /* modules, by the place of their section; NULL: none */
	const struct store_ops *store;
	void                   *store_ctx;
	struct dsn_spool       *dsn; /* NULL: DSN is not offered */
	LIST_HEAD(, session) sessions;
	uint32_t nsessions, sessions_max; /* the lingering are among the first, and may come on top of the second */
	uint32_t nlingering, lingering_max;
	bool     draining;                 /* an idle session is told 421 4.3.2 */
	void (*emptied)(struct worker *w); /* the last session is gone */
	/* Somebody wants to see sessions: ${fd}, which is the callee's now, takes them; ${filter} says which.  NULL: not to be had. */
	void (*trace)(struct worker *w, int fd, const char *filter);
	struct account_said said;
	const struct taps  *taps; /* NULL: nobody looks at sessions */
};

/* A listening socket of ours. */
struct listener {
	struct loop_src             src;
	struct loop_timer           retry;
	struct loop_task            nap;    /* it leaves what comes to other workers for a moment */
	uint64_t                    others; /* how many sessions those had when it did so last */
	unsigned                    naps;   /* how often it did so since that last changed */
	struct worker              *w;
	const struct conf_listener *conf;
	struct smtp_conf            smtp;
	struct tls_port            *tls;   /* NULL: it offers none */
	struct sockaddr_storage     local; /* of all its connections; AF_UNSPEC: each may have another one */
	bool                        is_unix;
};

#endif
