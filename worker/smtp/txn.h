/*
 * txn: one mail transaction.
 * It exists from an asked MAIL until the event SMTP_EV_RESET was taken, and
 * ending it is one call, so that "sender without recipients" or "recipients
 * without sender" cannot be left behind (Postfix 20260724, 20260803).
 * Everything in it lives in its arena.  PURE.
 */
#ifndef WORKER_SMTP_TXN_H_
#define WORKER_SMTP_TXN_H_

#include "common/addr.h"
#include "common/arena.h"
#include "common/quota.h"

enum {
	TXN_ID_MAX      = 24,    /* octets of an id with its NUL */
	TXN_ARENA_FIRST = 2048,  /* octets of a transaction's first chunk */
	TXN_ARENA_MAX = 4 << 20, /* octets a transaction may ever hold: 1,000 recipients of 320 octets, expanded, fit */
	TXN_TARGETS_MAX = 4096   /* mailboxes a transaction may reach through aliases */
};

enum txn_body { TXN_7BIT, TXN_8BITMIME, TXN_BINARYMIME };
enum { TXN_RET_FULL = 1, TXN_RET_HDRS = 2 };                                         /* RFC 3461 4.3; 0: not given */
enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 }; /* RFC 3461 4.1; 0: not given */

struct rcpt;
struct reply;
struct edits; /* edit.h */

/* A word that a handler attached: the log and the stats count it. */
struct txn_tag {
	struct txn_tag *next;
	const char     *word; /* [a-z0-9._-], in the arena */
};

/* A mailbox that the message will stand in; unique by key in a transaction. */
struct target {
	struct target     *next;
	struct span        key;    /* canonical local@domain, for Delivered-To and the log */
	struct span        dir;    /* DOMAIN/LOCAL, each path_encode()d: safe below the store's path */
	struct span        folder; /* path_encode()d sub-folder to use if it exists, or empty */
	struct quota_limit quota;
	uint32_t           hash;        /* of key, private to txn.c */
	uint32_t           nrcpt;       /* recipients that reach it, private to txn.c */
	struct target     *chain;       /* next of the same bucket, private to txn.c */
	const struct rcpt *last;        /* the newest recipient that reaches it, private to txn.c */
	const struct rcpt *rcpt;        /* the one that named it first */
	bool               folder_make; /* a handler chose it: the store makes it where it is missing */
	int                err;         /* set by the store at commit: 0 or an errno */
};

struct rcpt_target {
	struct rcpt_target *next;
	struct target      *target;
};

struct rcpt {
	struct rcpt        *next;
	struct addr         addr;    /* as the client gave it */
	struct span         orcpt;   /* ORCPT as given, xtext and type; may be empty */
	const struct reply *aside;   /* LMTP: what is said for it at the end, because a handler set it aside; or NULL */
	struct span         params;  /* the parameters of RCPT as given, for handlers; may be empty */
	uint8_t             notify;  /* NOTIFY_* bits */
	struct rcpt_target *targets; /* what it resolved to, set while RCPT is asked */
	uint32_t            ntargets;
};

struct txn {
	struct arena   *arena;          /* the session's transaction arena */
	char            id[TXN_ID_MAX]; /* of the message; unique on this host; set by the session when MAIL is asked */
	struct addr     from;
	struct rcpt    *rcpts; /* the accepted ones, in order */
	struct rcpt   **rcpt_tail;
	uint32_t        nrcpt;    /* accepted recipients */
	uint32_t        nrefused; /* refused recipients */
	struct target  *targets;  /* in order of the first mention */
	struct target **target_tail;
	uint32_t        ntargets;
	struct target **bucket;    /* targets by hash once there are many, else NULL; private to txn.c */
	uint64_t        size_decl; /* octets by SIZE=, 0 if none */
	uint64_t        size;      /* content octets received, CRLF, dots unstuffed; counted past the limit too */
	struct span     params;    /* the parameters of MAIL as given, for handlers; may be empty */
	enum txn_body   body;
	bool            smtputf8, requiretls;
	bool            size_exceeded; /* over message_size_limit: read to the end and refused there */
	bool            bare_newline;  /* a CR or LF that stands alone was seen */
	bool            nul_seen;      /* a NUL was seen */
	bool            line_too_long; /* a line over SMTP_TEXT_LINE_MAX was seen */
	uint8_t         dsn_ret;       /* TXN_RET_*, 0 if not given */
	struct span     envid;         /* xtext-decoded ENVID, may be empty */
	struct edits   *edits;         /* what handlers want changed, or NULL; its own arena, ended by the session */
	struct txn_tag *tags;          /* in order */
	struct span who; /* what the log says of the client in each of its lines, see account.c; empty: not yet said */
	const char *discard; /* the handler that wants it accepted and dropped, a name that outlives it; NULL: none */
};

/* A transaction in ${a}, which must be empty; NULL with errno ENOMEM. */
struct txn *txn_new(struct arena *a);

/* A recipient that belongs to no list yet; NULL with errno ENOMEM.  Lives as long as ${t}. */
struct rcpt *txn_rcpt_new(struct txn *t);

/* ${r} was accepted: it is counted and stands last in t->rcpts. */
void txn_rcpt_accept(struct txn *t, struct rcpt *r);

/**
 * txn_deliver(t, r, key, dir, folder, quota):
 * The message for ${r}, the newest recipient, not yet accepted, shall stand in
 * mailbox ${key} at ${dir}, which holds ${quota} at the most (copied; NULL: no limit).  Spans are copied.  A mailbox that another recipient reaches too is shared.  0, or -1
 * with errno ENOMEM, or E2BIG past TXN_TARGETS_MAX.
 */
__attribute__((visibility("default"))) int txn_deliver(struct txn *t, struct rcpt *r, struct span key, struct span dir,
    struct span folder, const struct quota_limit *quota);

/* Undo txn_deliver() for ${r}, which was refused or shall not get it: targets that it alone reached are taken out. */
void txn_undeliver(struct txn *t, struct rcpt *r);

/* Nobody's mail goes to ${tg} any more. */
void txn_drop_target(struct txn *t, struct target *tg);
#endif
