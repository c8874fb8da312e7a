/*
 * hooks: what a handler may do to a session, and what a session keeps for its
 * handlers: their own pointers, tags, and names they found.  Nothing of it is
 * allocated before it is used.
 */
#ifndef WORKER_HOOKS_H_
#define WORKER_HOOKS_H_

#include "worker/session.h"

enum { HOOKS_NAME_MAX = 256 }; /* octets of a host name with its NUL */

/* What handlers said about the question at hand for the case that others do not refuse, [0], or do, [1]. */
struct hooks_defer {
	struct reply reply[2]; /* code 0: none */
	uint8_t      by[2];    /* places in the chain */
};

/* In the session's arena; made once, so that XCLIENT again and again fills no arena. */
struct hooks {
	void **mine;                      /* by place in the chain, or NULL */
	char (*tag)[HANDLER_TAG_MAX + 1]; /* HANDLER_TAGS of them, or NULL: given before MAIL */
	char (*name)[HOOKS_NAME_MAX];     /* two of them: verified, reverse; or NULL */
	unsigned            ntag;
	bool                has_name, has_reverse;
	bool                skip_checks, skip_all;
	struct hooks_defer *defer;   /* or NULL */
	const char         *discard; /* the handler that wants all messages dropped, or NULL */
};

/* Facts for the handlers; good until the session changes. */
void hooks_view(const struct session *s, struct session_view *out);

/* What the chain is to be told: ${view} is filled. */
struct chain_about hooks_about(struct session *s, struct session_view *view);

/* A question begins: nothing was said about it yet. */
void hooks_begin(struct session *s);

/* All were asked, and ${v} with *r is what it came to: what it comes to when handler_defer() was said. */
enum verdict hooks_conclude(struct session *s, enum verdict v, struct reply *r);

/* What is to be changed in ${t}, made when it is first asked for; in the transaction's arena.  NULL: no memory. */
struct edits *hooks_edits(const struct session *s, struct txn *t);

/* A handler wants the message, or before MAIL all of this session's, accepted and dropped. */
void hooks_discard(struct session *s, const char *by);

/* The transaction or the session ends: tell the handlers, and free what is theirs. */
void hooks_reset(struct session *s, bool delivered);
void hooks_closed(struct session *s);

/* Nobody waits for a handler any more. */
void hooks_cancel(struct session *s);

/*
 * The threads that handlers may block in: ${modules}, and the store's for quota, which reads what the store writes and
 * must not wait for a module that hangs, nor mail for one.  NULL: not wanted.  ${stats} is told whose code they run.
 * Set by main.c.
 */
struct iopool;
void hooks_pools(struct iopool *modules, struct iopool *store, struct stats_slot *stats);

#endif
