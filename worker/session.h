/*
 * session: engine events to handlers and store, and answers back.
 * The one place where a transaction ends.  session.c has the connection's
 * events, session_ask.c what the engine asks, session_time.c its deadlines,
 * session_tls.c its handshakes; message.c the content's way, account.c what is
 * counted and logged.
 */
#ifndef WORKER_SESSION_H_
#define WORKER_SESSION_H_

#include "worker/handlers/limits.h"
#include "worker/net/conn.h"
#include "worker/worker.h"

enum {
	SESSION_ARENA_FIRST =
	    464, /* octets of a session's first chunk: what one that is greeted needs, and an idle one stays below 1 KiB */
	SESSION_PROXY_MS  = 5000,   /* how long a PROXY header may take; its text asks for 3 s at least */
	SESSION_SNI_MAX   = 255,    /* octets of a server name that are kept: those of a domain */
	SESSION_ARENA_MAX = 8 << 10 /* octets a session keeps beside its transaction */
};

/* Whom the open question waits for. */
enum session_wait {
	SESSION_AWAKE,
	SESSION_HANDLER, /* a handler said later; has a deadline */
	SESSION_PAUSE,   /* nobody: it made too many errors and goes on when its deadline comes */
	SESSION_ROOM,    /* the store's buffers are full */
	SESSION_COMMIT   /* the store makes it durable; the session outlives its client until it has */
};

/* Whether the greeting waits for greeting_delay. */
enum session_hold { SESSION_HOLD_DUE, SESSION_HOLDING, SESSION_HOLD_OVER };

struct message; /* message.h */
struct peer_claims;
struct hooks;

/* What is known of a handshake, done or failed. */
struct session_tls {
	const char *version, *cipher; /* static words, or NULL */
	const char *sni;              /* in arena, hostile; NULL: none */
};

struct session {
	struct conn conn;
	LIST_ENTRY(session) entry;
	struct worker         *w;
	const struct listener *listener;
	struct smtp           *smtp;
	struct arena           arena, tarena;
	struct hooks          *hooks; /* hooks.h; NULL: no handler keeps anything */
	struct message        *msg;   /* from DATA to the transaction's end; lives in tarena */
	struct chain_run       run;
	enum session_wait      wait;
	enum session_hold      hold;
	struct rcpt           *asked;          /* whom the open question is about, or NULL */
	const char            *remote, *local; /* in arena */
	const char *proxy;       /* who really sits at the other end, when remote is only claimed; in arena, or NULL */
	const char *name, *user; /* the client's host and its login, as XCLIENT claims, or NULL */
	const char *named;       /* who it is if it is let in now, by handler_user(); NULL: who it says */
	struct peer_claims *claims; /* peer.c's, or NULL */
	const char         *end;    /* why it ended, a static word */
	struct session_tls *tls;    /* in arena; NULL: in clear */
	uint64_t            missed; /* chain_about.missed */
	uint64_t            opened_us;
	uint64_t            data_due_us;       /* when more content must have come: session_came(); 0: none is coming */
	uint64_t            octets;            /* accepted */
	uint32_t            messages;          /* the same */
	uint32_t            replies, refusals; /* sent; of them 4xx and 5xx */
	uint32_t            weighed;           /* refusals for which it was asked whether the session tires */
	uint16_t            remote_port, local_port;
	uint16_t            last_code;
	char                id[TXN_ID_MAX];
	uint8_t             tapped;    /* taps that want it for one of its recipients, a bit each (tap.c) */
	uint8_t             addr[16];  /* the client's, IPv4 mapped; all zero for unix */
	uint8_t             over;      /* enum limits_found, when it was counted */
	bool                counted;   /* by limits_enter(), for addr */
	bool                lingering; /* it had its last word, and is one of w->nlingering */
	bool                proxy_due; /* a PROXY header must come before anything else */
	bool                greeted;   /* the handlers know it */
	bool                gone;      /* the socket is closed; a commit is awaited */
	bool                accounted; /* the transaction that smtp_txn() still shows was counted and logged */
	bool                progress;  /* since the deadline was last moved */
	bool                trickles;  /* content came last, and slower than it may on the whole */
};

/* Take over a connection.  On failure it is closed and counted; there is nothing for the caller to do. */
void session_start(struct worker *w, const struct listener *ls, int fd, const struct sockaddr_storage *peer);

/* The worker drains: 421 4.3.2 now if idle, else as soon as the transaction is over. */
void session_drain(struct session *s);

/* The drain's time is over: 421 4.3.2 also inside a transaction, except while a commit is under way. */
void session_expel(struct session *s);

/* For limits: what was found when the session of ${q} was counted. */
enum limits_found session_over(const struct question *q);

/* An answer from a handler (asks_told). */
void session_told(void *who, enum verdict v, const struct reply *r);

/* --- for message.c --- */

/* Ask the chain on about ${rc} or ${chunk}; a "later" sets the deadline and the wait.  Never V_DISCARD: that is a V_NEXT, noted. */
enum verdict session_ask(struct session *s, struct rcpt *rc, struct span chunk, struct reply *r);

/* The same for a piece of edited content, shown to the handler whose turn it is. */
enum verdict session_show(struct session *s, struct span chunk, struct reply *r);

/* The message is through or the store has room: go on with the session. */
void session_wake(struct session *s);

#endif
