/*
 * trace: writing Received, Return-Path, Delivered-To and X-Original-To.
 * What came from outside passes clean_name() or put_address() and nothing else
 * on its way into a line.  PURE.
 */
#include "worker/smtp/trace.h"

#include "common/date.h"

enum {
	TRACE_FOLD = 78,      /* columns, RFC 5322 2.1.1 */
	TRACE_NAME_MAX = 255, /* octets of a host name in a line */
	TRACE_WORD_MAX = 200, /* octets of a word of ours: tls, with, id */
	TRACE_ADDR_MAX = 1032 /* octets of an address: a canonical key has up to 511, each of which may be quoted */
};

/* Lines on their way to the caller's memory. */
struct lines {
	char *out;
	size_t n, cap;
	size_t column;
	bool tight; /* something did not fit */
};

static void
put(struct lines *l, struct span s)
{
	if (s.n > l->cap - l->n) {
		l->tight = true;
		return;
	}
	if (s.n > 0)
		memcpy(l->out + l->n, s.p, s.n);
	l->n += s.n;
	l->column += s.n;
}

/* A word with what clings to it, behind a space, or on a line of its own if asked or too long. */
static void
put_word(struct lines *l, bool fold, struct span before, struct span word, struct span after)
{
	if (fold || l->column + 1 + before.n + word.n + after.n > TRACE_FOLD) {
		put(l, SPAN("\n\t"));
		l->column = 8;
	} else {
		put(l, SPAN(" "));
	}
	put(l, before);
	put(l, word);
	put(l, after);
}

static struct span
ours(const char *s)
{
	struct span w = span_str(s);

	return w.n > TRACE_WORD_MAX ? span_head(w, TRACE_WORD_MAX) : w;
}

/* ${s} without what could end a word, a comment or a line; ${room} has TRACE_NAME_MAX octets. */
static struct span
clean_name(struct span s, bool utf8, char *room)
{
	bool literal = addr_literal_ok(s);
	size_t i;

	if (utf8 && addr_domain_ok(s, true))
		return s;
	if (s.n == 0)
		return SPAN("unknown");
	for (i = 0; i < s.n && i < TRACE_NAME_MAX; i++) {
		uint8_t c = s.p[i];
		bool good = (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
		    c == '-' || c == '_' || (literal && (c == '[' || c == ']' || c == ':'));

		room[i] = good ? (char)c : '?';
	}
	return span_of(room, i);
}

/* ${a} as addr_format() writes it; a control character cannot be in it, and if one is, it ends here. */
static struct span
put_address(const struct addr *a, char room[static TRACE_ADDR_MAX])
{
	ssize_t n = addr_format(a, room, TRACE_ADDR_MAX);

	for (ssize_t i = 0; i < n; i++)
		if ((uint8_t)room[i] < ' ' || room[i] == 0x7f)
			room[i] = '?';
	return span_of(room, n > 0 ? (size_t)n : 0);
}

/* from HELO (rdns [ip]) */
static void
put_from(struct lines *l, const struct trace *tr, bool utf8)
{
	char helo[TRACE_NAME_MAX], rdns[TRACE_NAME_MAX], ip[TRACE_NAME_MAX];
	struct span remote = span_str(tr->remote);
	const struct span none = { NULL, 0 };

	put(l, SPAN("Received: from"));
	put_word(l, false, none, clean_name(tr->helo, utf8, helo), none);
	if (span_eq(remote, SPAN("unix")) || span_eq(remote, SPAN("unknown"))) {
		put_word(l, false, SPAN("("), remote, SPAN(")"));
		return;
	}
	/* An address literal is a name with brackets and colons to clean_name(); remote has none yet. */
	size_t n = remote.n < TRACE_NAME_MAX - 2 ? remote.n : TRACE_NAME_MAX - 2;

	ip[0] = '[';
	memcpy(ip + 1, remote.p, n);
	ip[n + 1] = ']';
	if (tr->rdns != NULL) {
		put_word(l, false, SPAN("("), clean_name(span_str(tr->rdns), false, rdns), none);
		put_word(l, false, none, span_of(ip, n + 2), SPAN(")"));
	} else {
		put_word(l, false, SPAN("("), span_of(ip, n + 2), SPAN(")"));
	}
}

ssize_t
trace_received(const struct trace *tr, const struct txn *t, char *out, size_t cap)
{
	struct lines l = { .out = out, .cap = cap };
	const struct span none = { NULL, 0 };
	char name[TRACE_NAME_MAX], date[DATE_MAIL_MAX], rcpt[TRACE_ADDR_MAX];
	bool with_for;

	put_from(&l, tr, t->smtputf8);
	put_word(&l, true, SPAN("by "), clean_name(span_str(tr->hostname), false, name), none);
	put_word(&l, false, none, SPAN("(Letterplate)"), none);
	put_word(&l, false, SPAN("with "), ours(tr->with), none);
	if (tr->tls != NULL)
		put_word(&l, false, none, ours(tr->tls), none);
	/* A UTF-8 recipient of a message that is not SMTPUTF8 cannot be; if it is, the field stays ASCII. */
	with_for = t->nrcpt == 1 && (t->smtputf8 || !t->rcpts->addr.utf8);
	put_word(&l, false, SPAN("id "), ours(tr->id), with_for ? none : SPAN(";"));
	if (with_for)
		put_word(&l, true, SPAN("for <"), put_address(&t->rcpts->addr, rcpt), SPAN(">;"));
	date_mail(tr->date, tr->gmtoff, date);
	put_word(&l, true, none, span_of(date, DATE_MAIL_MAX - 1), SPAN("\n"));
	return l.tight ? -1 : (ssize_t)l.n;
}

/* A canonical key as an address.  Its domain has no '@', so the last one divides it. */
static struct addr
key_addr(struct span key)
{
	size_t at = key.n;

	while (at > 0 && key.p[at - 1] != '@')
		at--;
	if (at == 0)
		return (struct addr){ .local = key };
	return (struct addr){ .local = span_head(key, at - 1), .domain = span_skip(key, at) };
}

static void
put_field(struct lines *l, struct span name, struct span before, const struct addr *a, struct span after)
{
	char room[TRACE_ADDR_MAX];

	put(l, name);
	put(l, before);
	put(l, put_address(a, room));
	put(l, after);
}

ssize_t
trace_target(
    const struct txn *t, const struct target *tg, bool delivered_to, struct span received, char *out, size_t cap)
{
	struct lines l = { .out = out, .cap = cap };
	const struct span none = { NULL, 0 };
	struct addr key = key_addr(tg->key);

	put_field(&l, SPAN("Return-Path: "), SPAN("<"), &t->from, SPAN(">\n"));
	if (delivered_to) {
		const struct addr *given = tg->rcpt != NULL ? &tg->rcpt->addr : &key;

		put_field(&l, SPAN("Delivered-To: "), none, &key, SPAN("\n"));
		if (!span_eq(given->local, key.local) || !span_eq(given->domain, key.domain))
			put_field(&l, SPAN("X-Original-To: "), none, given, SPAN("\n"));
	}
	put(&l, received);
	return l.tight ? -1 : (ssize_t)l.n;
}
