/*
 * handler: who may decide about mail.
 * The one interface between a session and whoever has a say at a stage: the
 * built-in checks, and later C modules, milters and policy servers.  A handler
 * reaches a session only through this header and never sees a store.
 */
#ifndef WORKER_HANDLERS_HANDLER_H_
#define WORKER_HANDLERS_HANDLER_H_

#include "common/reply.h"
#include "worker/smtp/txn.h"

enum { HANDLER_ABI = 1 };

/* Read-only facts about a session; good for the length of the call. */
struct session_view {
	struct span    id;                       /* the session's */
	const char    *listener;                 /* its title in the config */
	const char    *remote;                   /* "192.0.2.1", "IPv6:2001:db8::1", "unix", "unknown" */
	const char    *local;                    /* the same for our end */
	uint16_t       remote_port, local_port;  /* 0 for unix */
	const uint8_t *remote_addr;              /* 16 octets, network order, IPv4 mapped; all zero for unix */
	struct span    helo;                     /* as given; empty before HELO */
	const char    *with;                     /* transmission type: "ESMTP", "LMTP"... */
	const char    *client_name;              /* verified host name, or NULL */
	const char    *user;                     /* authenticated, or NULL */
	const char    *tls_version, *tls_cipher; /* or NULL */
	uint64_t       messages;                 /* accepted in this session so far */
};

/* A one-shot right to answer later.  A handle, not a pointer: to answer after the client left is a harmless no-op. */
struct ask {
	uint32_t slot, gen;
};

enum verdict {
	V_NEXT,  /* no objection: ask the next handler */
	V_REPLY, /* *r decides: 2xx ends the chain for this stage, 4xx and 5xx refuse */
	V_LATER  /* the session sleeps until ask_answer() or the chain's deadline (451 4.3.0) */
};

/* Hooks that are NULL have no objection.  They run in the loop and must not block. */
struct handler_ops {
	uint32_t    abi;  /* HANDLER_ABI */
	const char *name; /* [a-z0-9-] */

	int (*open)(const char *arg, void **ctx); /* before the sandbox closes; 0 or -1 with errno */
	enum verdict (*on_connect)(void *ctx, const struct session_view *s, struct ask a, struct reply *r);
	enum verdict (*on_helo)(void *ctx, const struct session_view *s, struct ask a, struct reply *r);
	enum verdict (*on_mail_from)(
	    void *ctx, const struct session_view *s, struct txn *t, struct ask a, struct reply *r);
	/* May call txn_deliver(t, rc, ...): a recipient that no handler gave a mailbox is refused with 451. */
	enum verdict (*on_rcpt_to)(
	    void *ctx, const struct session_view *s, struct txn *t, struct rcpt *rc, struct ask a, struct reply *r);
	/* For every span of content as on the wire, then once with ${end} and an empty span. */
	enum verdict (*on_data)(void *ctx, const struct session_view *s, struct txn *t, struct span chunk, bool end,
	    struct ask a, struct reply *r);
	/* The client goes; with XCLIENT another one may come in the same session, and on_connect is asked again. */
	void (*on_close)(void *ctx, const struct session_view *s);
	void (*close)(void *ctx);
};

/**
 * ask_answer(a, v, r):
 * Answer a V_LATER with V_NEXT or V_REPLY.  From any thread.  0, or -1 with
 * errno ESTALE if nobody waits for it any more; r is copied.
 */
int ask_answer(struct ask a, enum verdict v, const struct reply *r);
#endif
