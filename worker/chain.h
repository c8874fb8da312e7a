/*
 * chain: asks the handlers in the order of the config, one stage at a time.
 * A handler that says "later" suspends the chain; the answer, or the handler's
 * deadline, takes it up where it stood.  The chain counts what was answered and
 * decides nothing itself.
 */
#ifndef WORKER_CHAIN_H_
#define WORKER_CHAIN_H_

#include "common/conf.h"
#include "common/stats.h"
#include "worker/handlers/handler.h"

enum {
	CHAIN_MAX        = 64,    /* handlers of a worker */
	CHAIN_LATER_MS   = 30000, /* how long one without a section may take */
	CHAIN_EXTEND_MAX = 20     /* how often a handler may say "still at work" to one question */
};

enum chain_stage {
	CHAIN_CONNECT,
	CHAIN_HELO,
	CHAIN_AUTH,
	CHAIN_MAIL,
	CHAIN_RCPT,
	CHAIN_DATA,   /* DATA was said, content is to come */
	CHAIN_BODY,   /* one span of content */
	CHAIN_END,    /* the content is complete */
	CHAIN_UNKNOWN /* a line that is no command here, which is refused whatever they say */
};

_Static_assert(CHAIN_MAX <= 64, "a handler has a bit of chain_about.missed");

struct chain {
	struct chain_link {
		const struct handler_ops  *ops;
		void                      *ctx;
		const char                *name;   /* in log and stats */
		const struct conf_handler *conf;   /* its section; NULL: built in and always asked */
		unsigned                   row;    /* of the stats */
		bool                       replay; /* it is shown the content at its end, edited */
	} link[CHAIN_MAX];
	unsigned           n;
	bool               wants_body; /* some handler has on_data while content comes */
	bool               wants_replay;
	uint32_t           later_ms; /* how long one without a section may take; 0: CHAIN_LATER_MS */
	struct stats_slot *stats;    /* NULL: nothing is counted */
	/* Told what ${link} came to after ${us}, with the reply that stands, or NULL; NULL: nobody wants to know. */
	void (*answered)(void *who, const struct chain_link *link, unsigned stage, enum stats_answer how,
	    const struct reply *r, uint32_t us);
};

/* Stages by their words: "connect" to "unknown". */
extern const char *const chain_stage_name[CHAIN_UNKNOWN + 1];

/* One stage under way for one session; embedded in the session. */
struct chain_run {
	uint8_t    stage;    /* enum chain_stage */
	uint8_t    next;     /* the handler to ask next */
	bool       waiting;  /* link[next - 1] said later */
	bool       again;    /* ... and wants to be asked again */
	bool       replayed; /* link[next] was shown the edited content */
	bool       showing;  /* link[next] is being shown it, or link[next - 1] thinks about a piece */
	uint8_t    extended; /* times its deadline was put off */
	uint32_t   since_us; /* asked, or the one before it answered, at: the loop's clock, low bits; 0: not yet */
	struct ask ask;      /* its right, while waiting */
	/* What the recipient is put off with if nobody refuses it (handler_defer()), or NULL. */
	const struct reply *put_off;
};

/* What a stage is about; fields that do not apply are NULL or empty. */
struct chain_about {
	const struct session_view *view;
	struct txn                *txn;
	struct rcpt               *rcpt;
	const struct auth_try     *auth;
	struct span                chunk;
	uint64_t *
	    missed; /* who has not heard all of this transaction, a bit for each place; 0 before MAIL; NULL: not kept */
	void **mine; /* what each handler keeps, by its place; NULL: nobody keeps anything */
	void  *who;  /* the session */
};

/* Append a handler with its section (NULL: built in).  0, or -1 with errno E2BIG, or EPROTO for another ABI. */
int chain_add(struct chain *c, const struct handler_ops *ops, void *ctx, const struct conf_handler *section);

/* Begin ${stage}: nothing is asked yet. */
void chain_begin(struct chain_run *run, enum chain_stage stage);

/**
 * chain_ask(c, run, about, r):
 * Ask on from where ${run} stands.  V_NEXT: nobody objects; V_REPLY: *r
 * decides; V_DISCARD: yes, and drop it; V_LATER: asks_told(about->who, ...)
 * will follow, then call chain_told(), or chain_late() at its deadline.  For
 * CHAIN_BODY a reply is a refusal to remember.  V_AGAIN (at CHAIN_END alone):
 * link[run->next] is to be shown the edited content first: see chain_show().
 */
enum verdict chain_ask(const struct chain *c, struct chain_run *run, const struct chain_about *about, struct reply *r);

/**
 * chain_show(c, run, about, r):
 * Show about->chunk to link[run->next], which asked for edited content: as
 * chain_ask().  With run->again it is the same piece once more.  After V_NEXT, or
 * when chain_told() says V_NEXT, it may be shown more as long as run->showing;
 * after the last piece chain_shown(), and on with chain_ask().
 */
enum verdict chain_show(const struct chain *c, struct chain_run *run, const struct chain_about *about, struct reply *r);

/* All of it was shown, or its handler is not interested any more. */
void chain_shown(struct chain_run *run);

/* Ask who resolves recipients about about->rcpt; V_NEXT: it did. */
enum verdict chain_resolve(const struct chain *c, const struct chain_about *about, struct reply *r);

/**
 * chain_told(c, run, about, v, r):
 * The suspended handler said ${v}.  V_NEXT: chain_ask() goes on; V_REPLY with
 * *r, V_DISCARD: decided; V_LATER: it still works, its deadline begins anew.
 */
enum verdict chain_told(
    const struct chain *c, struct chain_run *run, const struct chain_about *about, enum verdict v, struct reply *r);

/* Its time is over: the same with the verdict that its section has for that. */
enum verdict chain_late(const struct chain *c, struct chain_run *run, const struct chain_about *about, struct reply *r);

/* How long the handler that said later may take, in milliseconds. */
uint32_t chain_later_ms(const struct chain *c, const struct chain_run *run);

/* Give up: a later answer finds nobody, and the handler is told.  Nobody waits: a no-op. */
void chain_cancel(const struct chain *c, struct chain_run *run, const struct chain_about *about);

/* The name of the handler that was asked last, for the log; "" before any. */
const char *chain_name(const struct chain *c, const struct chain_run *run);

/* Tell every handler that the transaction ends, or the session. */
void chain_reset(const struct chain *c, const struct chain_about *about, bool delivered);
void chain_closed(const struct chain *c, const struct chain_about *about);

/* Close all handlers. */
void chain_close(struct chain *c);
#endif
