/*
 * talk: what one milter hears of one session, and what comes of it.
 * Each hook of the handler sets a goal; the talk says what is missing on the
 * connection until the goal is reached, and so can begin anew on another one.
 * It never waits: what has to, goes on when the loop says so.
 */
#ifndef WORKER_MILTER_TALK_H_
#define WORKER_MILTER_TALK_H_

#include "common/conf.h"
#include "common/stats.h"
#include "worker/milter/fields.h"
#include "worker/milter/macros.h"
#include "worker/milter/pool.h"

enum {
	TALK_TODO_HIGH = 64 << 10,  /* octets of content not yet told at which the session stops reading its client */
	TALK_TODO_MAX  = 256 << 10, /* ... and at which there is no more: a span of content on top of the above fits */
	TALK_DIRECT = 4 << 10,  /* octets of a body that are a packet at once, for a milter that answers none of them */
	TALK_HOLD   = 16 << 10, /* octets that are kept back while no answer is waited for: one call in place of many */
	TALK_EXTEND = 4         /* an answer of "still at work" counts once a timeout's fourth */
};

#define TALK_QUARANTINE "Quarantine" /* the folder of the mailbox that quarantined mail goes to */

/* One section of the config, in one worker. */
struct milter {
	const struct conf_handler *conf;
	const char                *name;
	struct milter_pool         pool;
	struct stats_slot         *stats; /* or NULL */
};

enum talk_goal {
	TALK_NONE,
	TALK_CONNECT,
	TALK_HELO,
	TALK_UNKNOWN,
	TALK_MAIL,
	TALK_RCPT,
	TALK_DATA,
	TALK_CONTENT,
	TALK_END
};

struct talk {
	struct milter_seat   seat;
	struct milter       *m;
	struct milter_facts *facts;
	struct ask           ask; /* of the hook that waits */
	enum talk_goal       goal;
	bool                 waiting; /* a hook said V_LATER */
	bool                 in_hook; /* a hook is running: its verdict goes here: */
	bool                 decided;
	enum verdict         verdict;
	struct reply        *reply;
	bool                 said;       /* the goal's own command was said */
	bool                 retried;    /* a connection of the pool was dead: another was tried */
	bool                 message;    /* from MAIL to reset */
	bool                 failed;     /* could not be asked about this message any more */
	bool                 accepted;   /* it wants to hear no more of this session */
	bool                 passed;     /* it failed where that is no objection: this session goes on without it */
	bool                 body_begun; /* ... its new body, of this message */
	bool                 told_end;   /* the end of the message was answered */
	bool                 content;    /* fields, todo and body are in use */
	bool                 drained;    /* all of the content went through fields */
	enum verdict         early;      /* decided while nobody asked; V_NEXT: not so */
	struct reply        *early_reply;
	const struct txn    *txn;
	const struct rcpt   *rcpt;
	struct edits        *edits;
	struct fields        fields;
	struct span          chunk;      /* of the hook that runs */
	struct span          line;       /* of TALK_UNKNOWN */
	struct buf           todo, body; /* content not yet cut; body not yet said */
	uint64_t             extended_ms;
};

/* Owner: the caller, who gives it to talk_free().  NULL with errno ENOMEM. */
struct talk *talk_new(struct milter *m);
void         talk_free(struct talk *t);

/* The session is who ${s} says.  0, or -1 with errno. */
int talk_know(struct talk *t, const struct session_view *s);

/**
 * talk_hook(t, goal, q, r):
 * A hook asks: V_NEXT, V_REPLY with *r, V_DISCARD, V_FAIL, or V_LATER: q->ask is
 * answered later.
 */
enum verdict talk_hook(struct talk *t, enum talk_goal goal, const struct question *q, struct reply *r);

/* The same of q->chunk, which is no command; of a milter that has no say in it, or not now, V_NEXT. */
enum verdict talk_unknown(struct talk *t, const struct question *q, struct reply *r);

/* The recipient was refused with ${r} by somebody before this milter. */
void talk_refused(struct talk *t, const struct question *q, const struct reply *r);

/* Nobody waits any more; the transaction is over. */
void talk_cancel(struct talk *t);
void talk_reset(struct talk *t);

/* Edits that the milter asks for, into t->edits.  0, or -1 with *why. */
int talk_edit(struct talk *t, const struct milter_reply *r, const char **why);

#endif
