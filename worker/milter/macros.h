/*
 * macros: what a milter may know about a session and a message, by Sendmail's
 * names, with Postfix's lists where the milter names none.
 * The facts of a session are copied, since a milter's answers outlive the
 * hook's call, and a milter that comes in late is told all of it again.
 */
#ifndef WORKER_MILTER_MACROS_H_
#define WORKER_MILTER_MACROS_H_

#include "worker/handlers/handler.h"
#include "worker/milter/packet.h"

enum {
	MILTER_MACROS_MAX = 48,      /* macros of one stage */
	MILTER_FACTS_MAX  = 2 << 10, /* octets of all facts of a session */
	MILTER_SCRATCH    = 2048     /* octets of values that are made for one stage: an address, and its host */
};

/* One allocation; texts point into it. */
struct milter_facts {
	const char *hostname, *helo, *user, *method, *tls_version, *tls_cipher, *tls_sni;
	const char *name;        /* verified, or NULL */
	const char *reverse;     /* not verified, or NULL */
	const char *addr, *here; /* without "IPv6:"; "unknown" */
	const char *id;          /* the session's, for the log */
	uint16_t    port, here_port;
	char        family; /* of CONNECT */
	char        text[];
};

/* A copy of what ${s} says, NULL with errno ENOMEM or E2BIG.  Owner: the caller, who gives it to free(). */
struct milter_facts *milter_facts_new(const struct session_view *s);

/* Whether HELO or what TLS and AUTH say has changed since. */
bool milter_facts_same(const struct milter_facts *f, const struct session_view *s);

/* What the macros of one stage are made of. */
struct milter_about {
	const struct milter_facts *facts;
	const struct txn          *txn;     /* NULL before MAIL */
	const struct rcpt         *rcpt;    /* at RCPT */
	const struct reply        *refused; /* what it was told, or NULL */
	char                       scratch[MILTER_SCRATCH];
	size_t                     used;
};

/* About a step of ${t}: all but the scratch, which is large, is set. */
static inline void
milter_about_init(struct milter_about *ab, const struct milter_facts *f, const struct txn *t, const struct rcpt *rc)
{
	ab->facts   = f;
	ab->txn     = t;
	ab->rcpt    = rc;
	ab->refused = NULL;
	ab->used    = 0;
}

/**
 * milter_macros(ab, stage, symbols, out):
 * Names and values in turn, for milter_put_macros(), into ${out}, which has
 * 2 * MILTER_MACROS_MAX spans; their number.  ${symbols} (p NULL: none named)
 * is the milter's own list.  What is not known is left out.
 */
size_t milter_macros(struct milter_about *ab, enum milter_stage stage, struct span symbols, struct span *out);

#endif
