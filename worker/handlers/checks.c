/*
 * checks: all are answered at MAIL, when it shows whether the client said who it
 * is: who logs in may call itself what it likes.  Nor is a stranger who comes by
 * a unix socket or LMTP, from this machine, or from a network that is spared.
 */
#include "worker/handlers/checks.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdlib.h>

#include "common/conf.h"
#include "common/ip.h"
#include "common/norm.h"
#include "worker/handlers/recipients.h"
#include "worker/net/dns.h"

struct checks {
	const struct conf_checks *on;
	struct dns *dns; /* NULL without a section dns: then sender_domain is off */
	struct recipients *directory;
};

/* What DNS says about a sender's domain. */
enum checks_domain { CHECKS_GOOD, CHECKS_NONE, CHECKS_NULL_MX, CHECKS_UNKNOWN };

/* The look-up of a session that asks; kept for the next one. */
struct checks_mine {
	struct dns_query query; /* first */
	struct checks *c;
	struct ask ask;
	unsigned step; /* which type is asked for */
	enum checks_domain result;
	char domain[DNS_NAME_MAX];
};

static int
checks_open(const struct handler_env *env, void **ctx)
{
	struct checks *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -1;
	*c = (struct checks){ &env->conf->checks, env->dns, env->directory };
	*ctx = c;
	return 0;
}

static bool
checks_is_literal(struct span s)
{
	return s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']';
}

/* A name and its literal: whether ${s} is [ADDRESS] with the address ${addr}. */
static bool
checks_literal_is(struct span s, const uint8_t addr[16])
{
	uint8_t a[16];

	return ip_parse_tagged(span_of(s.p + 1, s.n - 2), a) && memcmp(a, addr, sizeof(a)) == 0;
}

/*
 * Whether a domain, whose syntax the engine has checked, is a full name
 * (RFC 5321 2.3.5): two labels, and the last one is not digits alone, which no
 * top-level domain is (RFC 3696 2), but every IPv4 address without brackets.
 */
static bool
checks_is_full(struct span name)
{
	size_t end = name.n > 0 && name.p[name.n - 1] == '.' ? name.n - 1 : name.n, dot = end;
	bool digits = true;

	while (dot > 0 && name.p[dot - 1] != '.') {
		digits = digits && name.p[dot - 1] >= '0' && name.p[dot - 1] <= '9';
		dot--;
	}
	return dot > 0 && !digits;
}

static bool
checks_stranger(const struct session_view *s)
{
	static const uint8_t none[16]; /* a unix socket's */
	uint8_t local[16];

	if (s->user != NULL || s->lmtp || memcmp(s->remote_addr, none, sizeof(none)) == 0)
		return false;
	return !ip_parse_tagged(span_str(s->local), local) || memcmp(local, s->remote_addr, sizeof(local)) != 0;
}

/* Our host name, with the dot that ends every name or without it, or an address of ours with or without brackets. */
static bool
checks_is_ours(struct span helo, const struct session_view *s)
{
	uint8_t a[16], local[16];
	struct span bare;

	if (helo.n > 0 && helo.p[helo.n - 1] == '.')
		helo.n--;
	bare = checks_is_literal(helo) ? span_of(helo.p + 1, helo.n - 2) : helo;
	if (span_caseeq(helo, span_str(s->hostname)))
		return true;
	return ip_parse_tagged(bare, a) && ip_parse_tagged(span_str(s->local), local) &&
	    memcmp(a, local, sizeof(a)) == 0;
}

/* False: *r says why not. */
static bool
checks_helo(const struct conf_checks *on, const struct session_view *s, struct reply *r)
{
	struct span helo = s->helo;
	bool literal = checks_is_literal(helo);

	if (on->helo_own && checks_is_ours(helo, s)) {
		reply_set(r, 550, ENH(5, 7, 1), "helo-own", "%s is my name, and not yours", s->hostname);
		return false;
	}
	if (on->helo_full && !literal && !checks_is_full(helo)) {
		reply_set(r, 550, ENH(5, 7, 1), "helo-not-full",
		    "what you said at HELO is neither a full host name nor an address in brackets");
		return false;
	}
	if (on->helo_literal && literal && !checks_literal_is(helo, s->remote_addr)) {
		reply_set(
		    r, 550, ENH(5, 7, 1), "helo-literal", "the address you said at HELO is not %s, yours", s->remote);
		return false;
	}
	return true;
}

/* The domain of a reverse-path, without asking anybody far away.  False: *r says why not. */
static bool
checks_sender(const struct checks *c, const struct session_view *s, const struct addr *from, struct reply *r)
{
	struct span d = from->domain;
	int ours;

	if (c->on->sender_full && (from->literal ? !checks_literal_is(d, s->remote_addr) : !checks_is_full(d))) {
		reply_set(r, 550, ENH(5, 1, 7), "sender-not-full",
		    "the sender's domain is no full name, and mail to it would not reach anybody");
		return false;
	}
	if (!c->on->sender_own || from->literal)
		return true;
	ours = span_caseeq(d, span_str(s->hostname)) ? 1 : recipients_domain(c->directory, d);
	if (ours == 0)
		return true;
	if (ours == 1)
		reply_set(r, 550, ENH(5, 7, 1), "sender-own",
		    "mail from this domain is taken from those alone who say who they are");
	else
		reply_set(r, 451, ENH(4, 3, 0), "directory-unavailable",
		    "it is not known now whose domain that is, try again later");
	return false;
}

/* --- the sender's domain: MX, or an address in its place (RFC 5321 5.1) --- */

static const enum dns_type checks_types[] = { DNS_MX, DNS_A, DNS_AAAA };

enum { CHECKS_TYPES = sizeof(checks_types) / sizeof(checks_types[0]) };

/* From the answer ${a} on, or from the first question with NULL.  True: m->result is known; false: it comes. */
static bool
checks_ask(struct checks_mine *m, const struct dns_answer *a)
{
	if (a == NULL) {
		m->step = 0;
		a = dns_ask(m->c->dns, &m->query, checks_types[0], m->domain);
	}
	while (a != NULL) {
		if (a->status != DNS_NOTHING) {
			m->result = a->status == DNS_FAILED                 ? CHECKS_UNKNOWN
			    : checks_types[m->step] == DNS_MX && a->null_mx ? CHECKS_NULL_MX
									    : CHECKS_GOOD;
			return true;
		}
		if (++m->step == CHECKS_TYPES) {
			m->result = CHECKS_NONE;
			return true;
		}
		a = dns_ask(m->c->dns, &m->query, checks_types[m->step], m->domain);
	}
	return false;
}

static void
checks_done(struct dns_query *q, const struct dns_answer *a)
{
	struct checks_mine *m = (struct checks_mine *)q;

	if (checks_ask(m, a))
		(void)ask_answer(m->ask, V_AGAIN, NULL);
}

static enum verdict
checks_judge(const struct checks_mine *m, struct reply *r)
{
	switch (m->result) {
	case CHECKS_GOOD:
		return V_NEXT;
	case CHECKS_NONE:
		reply_set(r, 550, ENH(5, 1, 8), "sender-no-domain",
		    "the sender's domain %s has no mail server and no address", m->domain);
		break;
	case CHECKS_NULL_MX:
		reply_set(r, 550, ENH(5, 7, 27), "sender-null-mx", "the sender's domain %s says that it takes no mail",
		    m->domain);
		break;
	case CHECKS_UNKNOWN:
		reply_set(r, 451, ENH(4, 4, 3), "sender-unknown",
		    "the sender's domain %s cannot be looked up now, try again later", m->domain);
		break;
	}
	return V_REPLY;
}

static struct checks_mine *
checks_keep(struct checks *c, const struct question *q)
{
	struct checks_mine *m = q->mine;

	if (m != NULL)
		return m;
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		return NULL;
	m->c = c;
	m->query.done = checks_done;
	if (handler_keep(q, m) == 0)
		return m;
	free(m);
	return NULL;
}

static enum verdict
checks_look_up(struct checks *c, const struct question *q, struct reply *r)
{
	struct checks_mine *m = checks_keep(c, q);
	ssize_t n;

	if (m == NULL)
		return V_FAIL;
	n = norm_domain(q->txn->from.domain, m->domain, sizeof(m->domain) - 1);
	if (n < 0 && errno == ENOMEM)
		return V_FAIL;
	m->domain[n > 0 ? n : 0] = '\0';
	m->ask = q->ask;
	if (n <= 0)
		m->result = CHECKS_NONE; /* no such name can exist */
	else if (!checks_ask(m, NULL))
		return V_LATER;
	return checks_judge(m, r);
}

static enum verdict
checks_on_mail_from(void *ctx, const struct question *q, struct reply *r)
{
	struct checks *c = ctx;
	const struct addr *from = &q->txn->from;

	if (q->again)
		return checks_judge(q->mine, r);
	if (!checks_stranger(q->session))
		return V_NEXT;
	if (!checks_helo(c->on, q->session, r))
		return V_REPLY;
	if (from->is_null)
		return V_NEXT;
	if (!checks_sender(c, q->session, from, r))
		return V_REPLY;
	return c->on->sender_domain && !from->literal ? checks_look_up(c, q, r) : V_NEXT;
}

static void
checks_on_cancel(void *ctx, const struct question *q)
{
	(void)ctx;
	if (q->mine != NULL)
		dns_cancel(&((struct checks_mine *)q->mine)->query);
}

static void
checks_on_close(void *ctx, const struct question *q)
{
	checks_on_cancel(ctx, q);
	free(q->mine);
}

static void
checks_close(void *ctx)
{
	free(ctx);
}

const struct handler_ops checks_ops = {
	.abi = HANDLER_ABI,
	.name = "checks",
	.check = true,
	.open = checks_open,
	.on_mail_from = checks_on_mail_from,
	.on_cancel = checks_on_cancel,
	.on_close = checks_on_close,
	.close = checks_close,
};
