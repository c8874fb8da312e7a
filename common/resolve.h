/*
 * resolve: from an address to mailboxes, on one snapshot.
 * Exact entry, then without the delimiter's extension, then the domain's
 * catch-all; aliases and domain aliases are followed.  The worker and
 * `letterplate-mailboxes show` give the same answer because both ask here.
 */
#ifndef COMMON_RESOLVE_H_
#define COMMON_RESOLVE_H_

#include "common/addr.h"
#include "common/mdb.h"
#include "common/quota.h"
#include "common/reply.h"

enum {
	RESOLVE_DEPTH_MAX = 10,   /* alias hops; more is a loop: 5.4.6 */
	RESOLVE_BOXES_MAX = 4096, /* mailboxes one address may reach */
	RESOLVE_STEPS_MAX = 20000 /* look-ups one address may cost */
};

struct resolve_conf {
	const char *delimiters; /* recipient_delimiters, "" for none */
	const char *postmaster; /* canonical, or "" when none is configured */
	const char *hostname;   /* <postmaster> without a postmaster setting: postmaster@hostname */
};

struct resolve_box {
	struct resolve_box *next;
	struct span         key;       /* canonical local@domain */
	struct span         dir;       /* DOMAIN/LOCAL, path_encode()d */
	struct span         extension; /* what stood behind the delimiter, canonical, not encoded; or empty */
	struct quota_limit  quota;
};

enum resolve_res {
	RESOLVE_OK, /* at least one mailbox */
	RESOLVE_REPLY /* refuse with *reply: 550 5.1.1, 550 5.7.1, 550 5.4.6, the list's reject or defer, 451 4.3.0 when it cannot be known */
};

/* Told each step in words, for `show`; NULL is silence. */
typedef void resolve_step(void *arg, unsigned depth, const char *text);

/**
 * resolve(m, cf, a, ar, boxes, r, step, arg):
 * ${m} may be NULL (no snapshot: 451).  Where it is older than the newest, what
 * it has is answered, and 451 stands for the 550 of what it lacks.  With RESOLVE_OK *r has code 0.  *boxes is a list without doubles in
 * ${ar}, NULL with RESOLVE_REPLY.  Never answers 5xx for what it could not look
 * up.  Reasons: no-such-mailbox, not-our-domain, alias-loop, listed-reject,
 * listed-defer, directory-unavailable, alias-too-large.
 */
enum resolve_res resolve(struct mdb *m, const struct resolve_conf *cf, const struct addr *a, struct arena *ar,
    struct resolve_box **boxes, struct reply *r, resolve_step *step, void *arg);
#endif
