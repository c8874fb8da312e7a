/*
 * stage: the engine with a stand-in for the session around it.  It feeds
 * octets in any pieces, answers questions (from a mailbox list, from E lines
 * or from the caller), writes down what happened as a trace of lines, and
 * holds the engine to its contract at every call.  Shared by the dialogues,
 * the model test and the fuzz target.
 */
#ifndef TESTS_DIALOG_STAGE_H_
#define TESTS_DIALOG_STAGE_H_

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/smtp/smtp.h"

/* A string of octets that grows. */
struct text {
	char  *p;
	size_t n, cap;
};

struct stage {
	struct smtp     *s;
	struct smtp_conf cf;
	struct arena     session, transaction;
	struct buf       out;
	struct text      replies; /* all that was sent */
	struct text      trace;   /* a line an event; content that follows content is one line */
	struct text      content; /* of the transaction */
	struct text      bodies;  /* contents of accepted messages, each behind its length and a ':' */
	struct text      pending; /* fed but not consumed */
	size_t           nreplies;
	unsigned         messages; /* transactions so far */
	bool             closed, handshake, in_body, had_txn, reset_seen;
	bool             lean;     /* write no trace (fuzzing) */
	bool             noted;    /* the content stands in bodies */
	char             why[200]; /* the first breach of contract, empty if none */

	/* How to answer: fill *r, or leave its code 0 for the usual yes. */
	void (*answer)(struct stage *st, enum smtp_ev q, const struct smtp_event *ev, struct reply *r);
	void *arg;
};

static const char *const stage_names[] = { "MORE", "REPLY", "CONNECT", "HELO", "MAIL", "RCPT", "DATA", "BODY", "EOM",
	"STARTTLS", "AUTH", "LINE", "XCLIENT", "UNKNOWN", "RESET", "CLOSE" };

static inline void
text_add(struct text *t, const void *p, size_t n)
{
	if (t->p == NULL || t->n + n + 1 > t->cap) {
		t->cap = 2 * (t->n + n + 1);
		t->p   = realloc(t->p, t->cap);
		if (t->p == NULL)
			abort();
	}
	if (p != NULL)
		memcpy(t->p + t->n, p, n);
	t->n += n;
	t->p[t->n] = '\0';
}

static inline void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void
text_printf(struct text *t, const char *fmt, ...)
{
	char    line[1024];
	va_list ap;
	int     n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	text_add(t, line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static inline bool
text_eq(const struct text *a, const struct text *b)
{
	return a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n) == 0);
}

static inline void
text_clear(struct text *t)
{
	t->n = 0;
}

static inline void stage_breach(struct stage *st, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void
stage_breach(struct stage *st, const char *fmt, ...)
{
	va_list ap;

	if (st->why[0] != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(st->why, sizeof(st->why), fmt, ap);
	va_end(ap);
}

/* What was appended since ${before} must be exactly the one reply that ${sent} says, in the form RFC 5321 4.2 gives it. */
static inline void
stage_sent(struct stage *st, size_t before, const struct smtp_sent *sent)
{
	struct span v = buf_view(&st->out);
	const char *p = v.p != NULL ? (const char *)v.p + before : "";
	size_t      n = v.n - before, final = 0;
	char        enh[32] = "";

	if (sent->reason == NULL)
		stage_breach(st, "a reason is NULL");
	if ((sent->code == 0) != (n == 0))
		stage_breach(st, "%zu octets of reply were reported as code %u", n, sent->code);
	if (sent->enh != 0)
		snprintf(
		    enh, sizeof(enh), "%u.%u.%u ", ENH_CLASS(sent->enh), ENH_SUBJECT(sent->enh), ENH_DETAIL(sent->enh));
	if (sent->enh != 0 && ENH_CLASS(sent->enh) != sent->code / 100U)
		stage_breach(st, "%u has an enhanced code of class %u", sent->code, ENH_CLASS(sent->enh));
	for (const char *e; n > 0; n -= (size_t)(e - p), p = e) {
		const char *lf = memchr(p, '\n', n);
		char        code[8];

		if (lf == NULL || lf == p || lf[-1] != '\r' || lf + 1 - p > 512) {
			stage_breach(st, "a reply line is not 512 octets or less with CRLF");
			return;
		}
		e = lf + 1;
		snprintf(code, sizeof(code), "%u", sent->code);
		if (e - p < 6 || memcmp(p, code, 3) != 0 || (p[3] != ' ' && p[3] != '-'))
			stage_breach(st, "a reply line does not begin with the code %u", sent->code);
		else if (strncmp(p + 4, enh, strlen(enh)) != 0)
			stage_breach(st, "a reply line lacks the enhanced code %s", enh);
		for (const char *c = p; c < lf - 1; c++)
			if (*c < ' ' || *c > '~')
				stage_breach(st, "octet %02x in a reply", (unsigned char)*c);
		if (sent->code >= 400 && (lf - p < 7 || memcmp(lf - 7, " [SID]", 6) != 0))
			stage_breach(st, "%u does not end in the session's id", sent->code);
		final += p[3] == ' ';
		if (p[3] == ' ' && e - p != (ptrdiff_t)n)
			stage_breach(st, "more than one reply in a call");
	}
	if (sent->code != 0) {
		st->nreplies++;
		if (final != 1)
			stage_breach(st, "a reply has no last line");
	}
}

static inline void
stage_drain(struct stage *st)
{
	struct span v = buf_view(&st->out);

	if (!st->lean)
		text_add(&st->replies, v.p, v.n);
	buf_drop(&st->out, v.n);
}

static inline void
stage_init(struct stage *st, const struct smtp_conf *cf)
{
	memset(st, 0, sizeof(*st));
	st->cf = *cf;
	arena_init(&st->session, 512, 16384);
	arena_init(&st->transaction, TXN_ARENA_FIRST, TXN_ARENA_MAX);
	buf_init(&st->out, 4 * SMTP_OUT_MIN);
	st->s = smtp_new(&st->cf, SPAN("SID"), &st->session, &st->transaction);
	if (st->s == NULL)
		abort();
}

static inline void
stage_fini(struct stage *st)
{
	struct text *all[] = { &st->replies, &st->trace, &st->content, &st->bodies, &st->pending };

	arena_reset(&st->session);
	arena_reset(&st->transaction);
	buf_free(&st->out);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]->p);
}

/* The trace's line for a span of content, or for an address: printable, short. */
static inline void
stage_octets(struct stage *st, const char *p, size_t n)
{
	uint32_t hash = 2166136261U;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)p[i]) * 16777619U;
	text_printf(&st->trace, "BODY %zu %08x\n", n, hash);
}

static inline void
stage_path(struct stage *st, const struct addr *a)
{
	char    out[ADDR_TEXT_MAX];
	ssize_t n = addr_format(a, out, sizeof(out));

	if (n < 0)
		stage_breach(st, "addr_format failed");
	else
		text_printf(&st->trace, "<%.*s>", (int)n, out);
}

static inline void
stage_span(struct stage *st, const char *name, struct span s)
{
	if (s.n > 0)
		text_printf(&st->trace, " %s=%.*s", name, (int)s.n, (const char *)s.p);
}

static inline void
stage_trace_mail(struct stage *st, const struct txn *t)
{
	static const char *const body[] = { "7bit", "8bitmime", "binarymime" };
	static const char *const ret[]  = { "", " ret=full", " ret=hdrs" };

	text_printf(&st->trace, "MAIL ");
	stage_path(st, &t->from);
	text_printf(&st->trace, " size=%llu body=%s%s%s%s", (unsigned long long)t->size_decl, body[t->body],
	    t->smtputf8 ? " smtputf8" : "", t->requiretls ? " requiretls" : "", ret[t->dsn_ret]);
	stage_span(st, "envid", t->envid);
	stage_span(st, "params", t->params);
	text_printf(&st->trace, " with=%s\n", smtp_with(st->s));
}

static inline void
stage_trace(struct stage *st, enum smtp_ev e, const struct smtp_event *ev)
{
	const struct txn *t = smtp_txn(st->s);

	if (st->lean)
		return;
	switch (e) {
	case SMTP_EV_HELO:
	case SMTP_EV_UNKNOWN:
		text_printf(&st->trace, "%s %.*s\n", stage_names[e], (int)ev->span.n, (const char *)ev->span.p);
		break;
	case SMTP_EV_MAIL:
		stage_trace_mail(st, t);
		break;
	case SMTP_EV_RCPT:
		text_printf(&st->trace, "RCPT ");
		stage_path(st, &ev->rcpt->addr);
		text_printf(&st->trace, " notify=%u", ev->rcpt->notify);
		stage_span(st, "orcpt", ev->rcpt->orcpt);
		text_add(&st->trace, "\n", 1);
		break;
	case SMTP_EV_EOM:
		text_printf(&st->trace, "EOM size=%llu nrcpt=%u%s%s ", (unsigned long long)t->size, t->nrcpt,
		    t->nul_seen ? " nul" : "", t->bare_newline ? " bare" : "");
		if (ev->rcpt != NULL)
			stage_path(st, &ev->rcpt->addr);
		text_add(&st->trace, "\n", 1);
		break;
	case SMTP_EV_REPLY:
	case SMTP_EV_RESET:
		text_printf(&st->trace, "%s %u %s\n", stage_names[e], ev->sent.code, ev->sent.reason);
		break;
	case SMTP_EV_XCLIENT:
		text_printf(&st->trace, "XCLIENT given=%02x known=%02x", ev->xclient->given, ev->xclient->known);
		stage_span(st, "name", ev->xclient->name);
		stage_span(st, "login", ev->xclient->login);
		text_printf(&st->trace, " addr=%02x..%02x%02x port=%u destport=%u\n", ev->xclient->addr[0],
		    ev->xclient->addr[14], ev->xclient->addr[15], ev->xclient->port, ev->xclient->destport);
		break;
	case SMTP_EV_AUTH:
		text_printf(
		    &st->trace, "AUTH %s step=%u user=%s", sasl_name[ev->sasl->mech], ev->sasl->step, ev->sasl->user);
		stage_span(st, "password", ev->sasl->password);
		text_add(&st->trace, "\n", 1);
		break;
	case SMTP_EV_CONNECT:
	case SMTP_EV_DATA:
	case SMTP_EV_STARTTLS:
	case SMTP_EV_CLOSE:
		text_printf(&st->trace, "%s\n", stage_names[e]);
		break;
	case SMTP_EV_LINE:
		text_printf(
		    &st->trace, "LINE %.*s%s\n", (int)ev->span.n, (const char *)ev->span.p, ev->hidden ? " ***" : "");
		break;
	case SMTP_EV_MORE:
	case SMTP_EV_BODY:
		break;
	}
}

static inline bool
stage_is_question(enum smtp_ev e)
{
	return e == SMTP_EV_CONNECT || e == SMTP_EV_HELO || e == SMTP_EV_MAIL || e == SMTP_EV_RCPT ||
	    e == SMTP_EV_DATA || e == SMTP_EV_EOM || e == SMTP_EV_STARTTLS || e == SMTP_EV_AUTH ||
	    e == SMTP_EV_XCLIENT || e == SMTP_EV_UNKNOWN;
}

/* While a question is open the same event comes again and nothing is consumed, nothing said. */
static inline void
stage_ask_again(struct stage *st, enum smtp_ev e, const struct smtp_event *ev, struct span *in)
{
	struct smtp_event again;
	size_t            left = in->n, out = buf_len(&st->out);

	if (smtp_next(st->s, in, &st->out, &again) != e || !span_eq(again.span, ev->span) || again.rcpt != ev->rcpt)
		stage_breach(st, "an open %s was not asked again", stage_names[e]);
	if (in->n != left || buf_len(&st->out) != out)
		stage_breach(st, "input or output moved while %s was open", stage_names[e]);
	if (!smtp_busy(st->s))
		stage_breach(st, "not busy while %s is open", stage_names[e]);
}

static inline void
stage_answer(struct stage *st, enum smtp_ev e, const struct smtp_event *ev, struct span *in)
{
	struct txn      *t = smtp_txn(st->s);
	struct smtp_sent sent;
	struct reply     r = { .code = 0 };
	size_t           before;

	stage_ask_again(st, e, ev, in);
	if (e == SMTP_EV_MAIL) {
		if (t == NULL) {
			stage_breach(st, "MAIL is asked without a transaction");
			return;
		}
		snprintf(t->id, sizeof(t->id), "M%u", ++st->messages);
		text_clear(&st->content);
		st->noted = false;
	}
	if ((e == SMTP_EV_RCPT || e == SMTP_EV_DATA || e == SMTP_EV_EOM) && t == NULL)
		stage_breach(st, "%s is asked without a transaction", stage_names[e]);
	if ((e == SMTP_EV_DATA || e == SMTP_EV_EOM) && t != NULL && t->nrcpt == 0)
		stage_breach(st, "%s is asked without a recipient", stage_names[e]);
	if (e == SMTP_EV_EOM && (ev->rcpt != NULL) != st->cf.lmtp)
		stage_breach(st, "EOM is not asked as the protocol wants");
	if (st->answer != NULL)
		st->answer(st, e, ev, &r);
	before = buf_len(&st->out);
	sent   = smtp_answer(st->s, r.code != 0 ? &r : NULL, &st->out);
	stage_sent(st, before, &sent);
	if (!st->lean)
		text_printf(&st->trace, "  -> %u %s\n", sent.code, sent.reason);
	if (e == SMTP_EV_EOM && sent.code / 100 == 2 && !st->lean && !st->noted) {
		st->noted = true;
		text_printf(&st->bodies, "%zu:", st->content.n);
		text_add(&st->bodies, st->content.p, st->content.n);
	}
	if (e == SMTP_EV_STARTTLS && sent.code == 220)
		st->handshake = true;
}

static inline void
stage_body(struct stage *st, const struct smtp_event *ev, const uint8_t *from, size_t n)
{
	if (ev->span.n == 0 || smtp_txn(st->s) == NULL)
		stage_breach(st, "BODY is empty or has no transaction");
	if (ev->span.p < from || ev->span.p + ev->span.n > from + n)
		stage_breach(st, "BODY is not a piece of the input");
	if (smtp_phase(st->s) != SMTP_PHASE_DATA)
		stage_breach(st, "BODY outside of the data phase");
	text_add(&st->content, ev->span.p, ev->span.n);
	st->in_body = true;
}

/* Take events until the engine wants more, closes, or stands before a handshake.  *in is what it may consume. */
static inline void
stage_pull(struct stage *st, struct span *in)
{
	for (size_t calls = 0; !st->closed && !st->handshake && st->why[0] == '\0'; calls++) {
		struct span       was    = *in;
		size_t            before = buf_len(&st->out);
		struct smtp_event ev;
		enum smtp_ev      e = smtp_next(st->s, in, &st->out, &ev);

		if (calls > 10 * was.n + 100000)
			stage_breach(st, "no end of events");
		if (st->reset_seen && e != SMTP_EV_MAIL && smtp_txn(st->s) != NULL)
			stage_breach(st, "a transaction outlived its RESET");
		st->reset_seen = false;
		if (in->n > was.n || (in->n > 0 && in->p + in->n != was.p + was.n))
			stage_breach(st, "the input was not consumed from its front");
		if (st->in_body && e != SMTP_EV_BODY && e != SMTP_EV_MORE) {
			if (!st->lean)
				stage_octets(st, st->content.p, st->content.n);
			st->in_body = false;
		}
		if (e == SMTP_EV_REPLY) {
			if (ev.sent.code == 0)
				stage_breach(st, "REPLY without a reply");
			stage_sent(st, before, &ev.sent);
		} else if (buf_len(&st->out) != before) {
			stage_breach(st, "%s appended a reply", stage_names[e]);
		}
		stage_trace(st, e, &ev);
		if (e == SMTP_EV_RESET && smtp_txn(st->s) == NULL)
			stage_breach(st, "RESET without a transaction");
		st->reset_seen = e == SMTP_EV_RESET;
		if (e == SMTP_EV_BODY)
			stage_body(st, &ev, was.p, was.n);
		if (stage_is_question(e))
			stage_answer(st, e, &ev, in);
		if (e == SMTP_EV_CLOSE)
			st->closed = true;
		stage_drain(st);
		if (e == SMTP_EV_MORE) {
			if (in->n >= SMTP_AUTH_LINE_MAX)
				stage_breach(st, "MORE with %zu octets left", in->n);
			break;
		}
	}
}

/* Feed one piece: what was left over comes first, in memory of exactly its size, so that a sanitizer sees a read beyond. */
static inline void
stage_feed(struct stage *st, const char *p, size_t n)
{
	uint8_t    *exact;
	struct span in;

	if (st->closed)
		return;
	text_add(&st->pending, p, n);
	exact = malloc(st->pending.n > 0 ? st->pending.n : 1);
	if (exact == NULL)
		abort();
	memcpy(exact, st->pending.p, st->pending.n);
	in = span_of(exact, st->pending.n);
	stage_pull(st, &in);
	memmove(st->pending.p, st->pending.p + st->pending.n - in.n, in.n);
	st->pending.n = in.n;
	free(exact);
}
#endif
