/*
 * chain: asks the handlers in the order of the config, one stage at a time.
 * A handler that says "later" suspends the chain; the answer, or the chain's
 * deadline, takes it up where it stood.  The chain decides nothing itself.
 */
#ifndef WORKER_CHAIN_H_
#define WORKER_CHAIN_H_

#include "worker/handlers/handler.h"

enum {
	CHAIN_MAX      = 64,   /* handlers of a worker */
	CHAIN_LATER_MS = 30000 /* how long a handler may take before its answer is 451 4.3.0 */
};

enum chain_stage {
	CHAIN_CONNECT,
	CHAIN_HELO,
	CHAIN_MAIL,
	CHAIN_RCPT,
	CHAIN_BODY, /* one span of content */
	CHAIN_END   /* the content is complete */
};

struct chain {
	struct chain_link {
		const struct handler_ops *ops;
		void                     *ctx;
	} link[CHAIN_MAX];
	unsigned n;
	bool     wants_body; /* some handler has on_data */
	uint32_t later_ms;   /* how long one may take; 0: CHAIN_LATER_MS */
};

/* One stage under way for one session; embedded in the session. */
struct chain_run {
	enum chain_stage stage;
	unsigned         next;    /* the handler to ask next */
	bool             waiting; /* link[next - 1] said later */
	struct ask       ask;     /* its right, while waiting */
};

/* What a stage is about; fields that do not apply are NULL or empty. */
struct chain_about {
	const struct session_view *view;
	struct txn                *txn;
	struct rcpt               *rcpt;
	struct span                chunk;
};

/* Append a handler.  0, or -1 with errno E2BIG, or EPROTO for another ABI. */
int chain_add(struct chain *c, const struct handler_ops *ops, void *ctx);

/* Begin ${stage}: nothing is asked yet. */
void chain_begin(struct chain_run *run, enum chain_stage stage);

/**
 * chain_ask(c, run, who, about, r):
 * Ask on from where ${run} stands.  V_NEXT: nobody objects; V_REPLY: *r
 * decides; V_LATER: asks_told(who, ...) will follow, then call
 * chain_answered().  For CHAIN_BODY a reply is a refusal to remember.
 */
enum verdict chain_ask(
    const struct chain *c, struct chain_run *run, void *who, const struct chain_about *about, struct reply *r);

/* The suspended handler answered (or its time is over): V_NEXT lets chain_ask() go on behind it. */
void chain_answered(struct chain_run *run);

/* Give up: a later answer finds nobody. */
void chain_cancel(struct chain_run *run);

/* The name of the handler that was asked last, for the log; "" before any. */
const char *chain_name(const struct chain *c, const struct chain_run *run);

/* Tell every handler that the session ends. */
void chain_session_closed(const struct chain *c, const struct session_view *view);

/* Close all handlers. */
void chain_close(struct chain *c);
#endif
