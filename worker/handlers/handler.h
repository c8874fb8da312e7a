/*
 * handler: who may decide about mail.
 * The one interface between a session and whoever has a say at a stage: the
 * built-in checks, C modules, milters and policy servers.  A handler reaches a
 * session only through this header and never sees a store.  It is installed:
 * letterplate-handler(3) and docs/HANDLERS.md are written for those who use it
 * from outside.
 *
 * All hooks run in the worker's one loop: they must not block.  A hook that
 * has to wait says V_LATER and is answered for by ask_answer(), from any thread
 * or from the loop, with
 *   V_NEXT, V_REPLY, V_DISCARD, V_FAIL   what the hook itself would have said;
 *   V_AGAIN   "I have it now": the same hook is asked again, q->again set, and
 *             finds its result where it put it; there it may use all of q;
 *   V_LATER   "still at work": the deadline begins anew (bounded: CHAIN_EXTEND_MAX).
 *
 * What lives how long.  q, q->session and what they point to: the call.
 * q->txn, q->rcpt and what handler_edits() gives: until the hook's answer, or
 * on_cancel, on_reset or on_close, whichever comes first; so a handler that
 * works inside the loop (a milter) may add edits while it waits.  q->mine: from
 * handler_keep() to on_close, which frees it.
 *
 * An asynchronous handler inside the loop, in short:
 *	static int open(const struct handler_env *env, void **ctx) { keep env->loop, env->section; return 0; }
 *	static enum verdict on_rcpt_to(void *ctx, const struct question *q, struct reply *r)
 *	{
 *		struct mine *m = q->mine;
 *		if (q->again)
 *			return m->verdict;                     // and *r from m
 *		if (m == NULL && ((m = calloc(1, sizeof(*m))) == NULL || handler_keep(q, m) != 0))
 *			return V_FAIL;
 *		m->ask = q->ask;
 *		... loop_watch() a descriptor, or loop_timer_set(); its callback fills m, then ask_answer(m->ask, V_AGAIN, NULL)
 *		return V_LATER;
 *	}
 *	static void on_cancel(void *ctx, const struct question *q) { nobody waits for m->ask: stop, drop the connection }
 *	static void on_close(void *ctx, const struct question *q) { free(q->mine); }
 * tests/unit/later.c has one that runs.
 */
#ifndef WORKER_HANDLERS_HANDLER_H_
#define WORKER_HANDLERS_HANDLER_H_

#include "common/reply.h"
#include "worker/smtp/edit.h"
#include "worker/smtp/txn.h"

enum {
	HANDLER_ABI     = 4,
	HANDLER_TAG_MAX = 31, /* octets of a tag */
	HANDLER_TAGS    = 16  /* tags that one message, or one session before its first message, may have */
};

/* Read-only facts about a session; good for the length of the call.  Texts from outside are hostile. */
struct session_view {
	struct span    id;       /* the session's */
	const char    *listener; /* its title in the config */
	const char    *hostname; /* ours */
	const char    *remote;   /* "192.0.2.1", "IPv6:2001:db8::1", "unix", "unknown" */
	const char    *local;    /* the same for our end */
	const char    *proxy;    /* who really sits there when remote is claimed (PROXY, XCLIENT), or NULL */
	uint16_t       remote_port, local_port; /* 0 for unix */
	const uint8_t *remote_addr;             /* 16 octets, network order, IPv4 mapped; all zero for unix */
	struct span    helo;                    /* as given; empty before HELO */
	const char    *with;                    /* transmission type: "ESMTP", "LMTP"... */
	bool           lmtp;
	const char    *client_name;              /* host name, verified by forward DNS, or NULL */
	const char    *reverse_name;             /* by reverse DNS alone, not verified, or NULL */
	const char    *user;                     /* authenticated, or NULL */
	const char    *auth_method;              /* "PLAIN"..., "XCLIENT" of a login that it claims, or NULL */
	const char    *tls_version, *tls_cipher; /* or NULL */
	const char    *tls_sni;                  /* the name the client asked for, hostile, or NULL */
	uint64_t       messages;                 /* accepted in this session so far */
	uint64_t       age_us;                   /* since it began */
	bool           skip_checks;              /* handler_skip_checks() was said */
	bool           skip_all;                 /* handler_skip_all() was said */
};

/* A one-shot right to answer later.  A handle, not a pointer: to answer after the client left is a harmless no-op. */
struct ask {
	uint32_t slot, gen;
};

enum verdict {
	V_NEXT, /* no objection: ask the next handler */
	V_REPLY, /* *r decides: 2xx ends the chain for this stage, 4xx and 5xx refuse, r->close (421) closes the session */
	V_LATER,   /* the session sleeps until ask_answer() or the handler's deadline */
	V_DISCARD, /* say yes and drop it: this message, or outside of one (connect, HELO) all messages of the session */
	V_FAIL,    /* could not find out: counted, and what the section's on_failure says (default: 451 4.3.0) */
	V_AGAIN    /* in ask_answer() alone: ask me again, I have it now */
};

/* What a client gave to prove who it is, for on_auth. */
struct auth_try {
	const char *method;   /* "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER" */
	struct span user;     /* who it says it is */
	struct span password; /* or token; wiped after the call */
	const void *exchange; /* worker/smtp/sasl.h; not for modules */
	struct span
	    binding; /* of SCRAM with channel binding: what we see of the channel; empty: nothing of that kind */
};

/* One question to one handler. */
struct question {
	const struct session_view *session;
	struct txn                *txn;   /* the transaction; NULL before MAIL and in on_close */
	struct rcpt               *rcpt;  /* whom on_rcpt_to is asked about, not yet in the list; else NULL */
	const struct auth_try     *auth;  /* of on_auth, else NULL */
	struct span                chunk; /* of on_data; the line of on_unknown, good until its answer; else empty */
	void                      *mine;  /* what this handler keeps with this session; NULL until handler_keep() */
	struct ask                 ask;   /* good after V_LATER */
	bool                       again; /* after V_AGAIN */
	bool                       delivered; /* on_reset: the message was accepted, and stored unless discarded */
	void                      *session_private;
	unsigned                   index_private;
};

struct handler_job;
struct conf;
struct loop;
struct dns;
struct recipients;

/* What a handler is opened with.  All of it outlives the handler. */
struct handler_env {
	const char        *name;      /* the section's title; names the handler in log and stats */
	const char        *argument;  /* of a module; "" if none */
	const struct conf *conf;      /* common/conf.h; not for modules */
	const void        *section;   /* the struct conf_handler; not for modules */
	struct loop       *loop;      /* worker/net/loop.h; not for modules */
	struct dns        *dns;       /* worker/net/dns.h, NULL without a section dns; not for modules */
	void              *stats;     /* struct stats_slot, written from the loop alone; not for modules */
	struct recipients *directory; /* worker/handlers/recipients.h, NULL for modules; not for modules */
};

/*
 * Hooks that are NULL have no objection.  A module exports one of these under
 * the name letterplate_handler.
 */
struct handler_ops {
	uint32_t    abi;  /* HANDLER_ABI */
	const char *name; /* [a-z0-9-]: the kind ("milter") or the module's own name */

	/* Whether networks.skip_checks spares a session this handler; for checks of the client and its mail. */
	bool check;
	/* It may add edits. */
	bool edits;
	/* It wants to see what handlers before it edited: it is shown the content at its end, with their edits, when one of
	   those has .edits; else, as all others, while the content comes. */
	bool sees_edits;
	/* Its on_rcpt_to says where mail goes: it alone is asked, and may not be late, about recipients that handlers add. */
	bool resolves;

	/* Once a worker, before the sandbox closes: open what needs a path.  0, or -1 with errno and one clear line logged. */
	int (*open)(const struct handler_env *env, void **ctx);

	/* In the order in which they come.  HELO may come more than once. */
	enum verdict (*on_connect)(void *ctx, const struct question *q, struct reply *r);
	enum verdict (*on_helo)(void *ctx, const struct question *q, struct reply *r);
	/* 2xx: let it in as q->auth->user; V_NEXT: ask on, the credentials file last.  Not asked about SCRAM. */
	enum verdict (*on_auth)(void *ctx, const struct question *q, struct reply *r);
	enum verdict (*on_mail_from)(void *ctx, const struct question *q, struct reply *r);
	/* May call txn_deliver(q->txn, q->rcpt, ...): a recipient that no handler gave a mailbox is refused with 451. */
	enum verdict (*on_rcpt_to)(void *ctx, const struct question *q, struct reply *r);
	/* Told, not asked: ${r} (4xx, 5xx) is what another one before it has refused q->rcpt with, or puts it off with by
	   handler_defer(), though somebody behind this one may still refuse it for good. */
	void (*on_rcpt_refused)(void *ctx, const struct question *q, const struct reply *r);
	/* DATA or the first BDAT was said; no content has come yet. */
	enum verdict (*on_data_begin)(void *ctx, const struct question *q, struct reply *r);
	/* q->chunk, a command line (of a long one its beginning), is no command here.  It is refused in any case: *r, 4xx or
	   5xx, by its words; otherwise 500 or 502.  What fails, or is late, changes nothing. */
	enum verdict (*on_unknown)(void *ctx, const struct question *q, struct reply *r);
	/* For every span of content as on the wire (CRLF, dots unstuffed, without the fields that we drop). */
	enum verdict (*on_data)(void *ctx, const struct question *q, struct reply *r);
	/* The content is complete; t->size, t->size_exceeded are known. */
	enum verdict (*on_end)(void *ctx, const struct question *q, struct reply *r);

	/* Nobody waits for the V_LATER of this handler any more: deadline, lost client, shutdown. */
	void (*on_cancel)(void *ctx, const struct question *q);
	/* The transaction ends, whatever ended it; its memory is gone afterwards. */
	void (*on_reset)(void *ctx, const struct question *q);
	/* The client goes; with XCLIENT another one may come in the same session, and on_connect is asked again. */
	void (*on_close)(void *ctx, const struct question *q);

	void (*close)(void *ctx); /* the worker ends; ctx may be freed */
};

#pragma GCC visibility push(default) /* for C modules */

/**
 * ask_answer(a, v, r):
 * Answer a V_LATER; r is for V_REPLY and is copied.  From any thread.  0, or -1
 * with errno ESTALE if nobody waits for it any more, ENOMEM, ENOBUFS.
 */
int ask_answer(struct ask a, enum verdict v, const struct reply *r);

/* --- what a hook may do with its question; in the call alone --- */

/* Keep ${mine} with the session for this handler.  0, or -1 with errno ENOMEM. */
int handler_keep(const struct question *q, void *mine);

/**
 * handler_edits(q):
 * The edits of this message (worker/smtp/edit.h), made when first asked for.
 * What a handler adds in a stage stands only if it has no objection in the end:
 * after a refusal, a failure or a missed deadline all of it is taken back.
 * NULL with errno ENOMEM, or EINVAL without a transaction.
 */
struct edits *handler_edits(const struct question *q);

/**
 * handler_tag(q, word):
 * Attach ${word} ([a-z0-9._-], HANDLER_TAG_MAX octets) to the message, or before
 * MAIL to the session: it stands in the log line and is counted.  Twice is once.
 * 0, or -1 with errno EINVAL, ENOMEM, or ENOSPC past HANDLER_TAGS.
 */
int handler_tag(const struct question *q, const char *word);

/**
 * handler_user(q, name):
 * In on_auth: whoever is let in by this hook is ${name} (copied; prepared as
 * letterplate-credentials does), and not who it says it is.  0, or -1 with errno
 * EINVAL when it can be nobody's name, ENOMEM.
 */
int handler_user(const struct question *q, struct span name);

/* The client's host name is ${name} (verified), ${reverse} (not verified); NULL: none.  Copied.  0, or -1 with errno ENOMEM. */
int handler_client_name(const struct question *q, const char *name, const char *reverse);

/* Handlers with .check are not asked in this session any more. */
void handler_skip_checks(const struct question *q);

/* No handler of a section is asked in this session any more, but for what keeps mailboxes within their quota. */
void handler_skip_all(const struct question *q);

/**
 * handler_defer(q, r, if_reject):
 * ${r} (4xx, copied) is the answer to this question if nobody refuses it, or,
 * with ${if_reject}, in place of a 5xx: Postfix's DEFER_IF_PERMIT and
 * DEFER_IF_REJECT.  The first one said stands.  0, or -1 with errno ENOMEM.
 */
int handler_defer(const struct question *q, const struct reply *r, bool if_reject);

/* One line of the log that names the session and the handler; ${level}: 0 error, 1 warning, 2 info, 3 debug. */
void handler_log(const struct question *q, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/**
 * handler_pool(q, j):
 * Have j->run(j) called in a thread that may block, then j->done(j) in the loop.
 * The hook says V_LATER, and run() or done() answers j->ask, which is set here.
 * The job owns what it needs: the session may be gone when it runs.  A job whose
 * turn comes when nobody waits for it any more (the client left, it is too late)
 * is not run: done() alone is called.  Threads are
 * few (16) and not the store's.  0, or -1 with errno EAGAIN when
 * too many jobs wait: say V_FAIL.
 */
struct handler_job {
	void (*run)(struct handler_job *j);
	void (*done)(struct handler_job *j); /* frees what the job owns; never NULL */
	struct ask ask;
	void      *private_[4];
};
int handler_pool(const struct question *q, struct handler_job *j);

#pragma GCC visibility pop
#endif
