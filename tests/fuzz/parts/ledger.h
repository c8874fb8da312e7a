/*
 * ledger: all that the worker says, held against each other: its log, which
 * comes here and goes nowhere else; what the client heard; what the store has.
 * Included once, by the target: it takes the place of the library's log_sink.
 */
#ifndef TESTS_FUZZ_PARTS_LEDGER_H_
#define TESTS_FUZZ_PARTS_LEDGER_H_

#include "common/log.h"
#include "common/log_sink.h"
#include "tests/fuzz/parts/login.h"
#include "worker/smtp/txn.h"

enum { LEDGER_MESSAGES = 1024, LEDGER_KEYS = 64 };

/* A transaction, by its id. */
struct entry_of {
	char     id[TXN_ID_MAX];
	unsigned stored, lines, accepted, discarded, heard;
};

static struct {
	struct entry_of message[LEDGER_MESSAGES];
	unsigned        nmessage, nsession; /* lines of sessions */
	uint64_t        replies, refusals, messages;
	bool            show; /* on standard error too */
} ledger;

static struct entry_of *
ledger_of(struct span id)
{
	struct entry_of *e = ledger.message;

	if (id.n == 0 || id.n >= sizeof(e->id))
		breach("an id of %zu octets", id.n);
	for (; e < ledger.message + ledger.nmessage; e++)
		if (strlen(e->id) == id.n && memcmp(e->id, id.p, id.n) == 0)
			return e;
	if (ledger.nmessage == LEDGER_MESSAGES)
		breach("more messages than an input can make");
	*e = (struct entry_of){ .lines = 0 };
	memcpy(e->id, id.p, id.n);
	ledger.nmessage++;
	return e;
}

/* --- a line of the log --- */

struct ledger_field {
	struct span key, value; /* without its quotes, still escaped */
};

/* The next field of *s. */
static struct ledger_field UNTRACED
ledger_field(struct span *s)
{
	struct ledger_field f  = { .key = *s };
	const uint8_t      *eq = memchr(s->p, '=', s->n);
	size_t              n;

	if (eq == NULL)
		breach("a field of the log without a value: %.*s", (int)s->n, (const char *)s->p);
	f.key.n = (size_t)(eq - s->p);
	*s      = span_skip(*s, f.key.n + 1);
	for (size_t i = 0; i < f.key.n; i++)
		if ((f.key.p[i] < 'a' || f.key.p[i] > 'z') && f.key.p[i] != '_')
			breach("a key of the log is none");
	if (s->n > 0 && s->p[0] == '"') {
		for (n = 1; n < s->n && s->p[n] != '"'; n++)
			n += s->p[n] == '\\';
		if (n >= s->n)
			breach("a value of the log has no end");
		f.value = span_of(s->p + 1, n - 1);
		n++;
	} else {
		for (n = 0; n < s->n && s->p[n] != ' '; n++)
			continue;
		f.value = span_head(*s, n);
	}
	*s = span_skip(*s, n);
	if (s->n > 0 && s->p[0] != ' ')
		breach("a value of the log runs into the next field");
	*s = span_skip(*s, s->n > 0);
	return f;
}

static struct span UNTRACED
ledger_get(const struct ledger_field *f, unsigned n, const char *key)
{
	for (unsigned i = 0; i < n; i++)
		if (span_eq(f[i].key, span_str(key)))
			return f[i].value;
	return (struct span){ NULL, 0 };
}

static uint64_t
ledger_number(const struct ledger_field *f, unsigned n, const char *key)
{
	struct span v = ledger_get(f, n, key);
	uint64_t    x = 0;

	if (v.n == 0)
		breach("a line of the log lacks %s", key);
	for (size_t i = 0; i < v.n; i++)
		x = 10 * x + (uint64_t)(v.p[i] - '0');
	return x;
}

static void
ledger_note(const struct ledger_field *f, unsigned n)
{
	struct span event = ledger_get(f, n, "event"), result = ledger_get(f, n, "result");

	login_logged(event, ledger_get(f, n, "user"));
	if (span_eq(event, SPAN("session"))) {
		ledger.nsession++;
		ledger.replies += ledger_number(f, n, "replies");
		ledger.refusals += ledger_number(f, n, "refusals");
		ledger.messages += ledger_number(f, n, "messages");
	} else if (span_eq(event, SPAN("transaction"))) {
		struct entry_of *e = ledger_of(ledger_get(f, n, "id"));

		if (e->lines++ > 0)
			breach("two lines for the end of %s", e->id);
		e->accepted  = span_eq(result, SPAN("accepted"));
		e->discarded = span_eq(result, SPAN("discarded"));
	}
}

void UNTRACED
log_sink_put(const char *line, size_t n, bool may_drop)
{
	struct ledger_field f[LEDGER_KEYS];
	struct span         s     = span_of(line, n);
	unsigned            nkeys = 0;

	(void)may_drop;
	if (ledger.show)
		fwrite(line, 1, n, stderr);
	login_check(s, "the log");
	if (n == 0 || n >= LOG_LINE_MAX + 96 || line[n - 1] != '\n')
		breach("a line of the log of %zu octets", n);
	s.n--;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] == 0x7f)
			breach("octet %02x in the log", s.p[i]);
	while (s.n > 0) {
		if (nkeys == LEDGER_KEYS)
			breach("a line of the log has too many fields");
		f[nkeys] = ledger_field(&s);
		for (unsigned i = 0; i < nkeys; i++)
			if (span_eq(f[i].key, f[nkeys].key))
				breach("a line of the log has %.*s twice", (int)f[i].key.n, (const char *)f[i].key.p);
		nkeys++;
	}
	if (nkeys == 0 || !span_eq(f[0].key, SPAN("time")))
		breach("a line of the log begins without a time");
	ledger_note(f, nkeys);
}

/* The rest of log_sink.c, of which nobody wants anything here. */
void
log_sink_init(void)
{
}

uint64_t
log_dropped(void)
{
	return 0;
}

void
log_set_rate(uint32_t lines)
{
	(void)lines;
}

void
log_tick(void)
{
}

int
log_thread_start(void)
{
	return 0;
}

void
log_flush(unsigned ms)
{
	(void)ms;
}

/* --- what the client heard --- */

/* "queued as ID": it may now forget the message. */
static void
ledger_queued(const uint8_t *p, size_t n)
{
	static const char words[] = "queued as ";
	const uint8_t    *at      = memmem(p, n, words, sizeof(words) - 1);
	size_t            k       = 0;

	if (at == NULL || p[0] != '2')
		return;
	at += sizeof(words) - 1;
	while (at + k < p + n && ((at[k] >= '0' && at[k] <= '9') || (at[k] >= 'a' && at[k] <= 'v')))
		k++;
	ledger_of(span_of(at, k))->heard++;
}

/* Replies in ${p}, counted by code, each as RFC 5321 4.2 has it; ${cut}: the last one may have no end. */
static void UNTRACED
ledger_replies(const uint8_t *p, size_t n, bool cut, uint64_t by_code[static 600])
{
	unsigned code = 0;
	bool     over = false;

	login_check(span_of(p, n), "a reply");
	for (const uint8_t *lf; n > 0; n -= (size_t)(lf + 1 - p), p = lf + 1) {
		unsigned now;

		lf = memchr(p, '\n', n);
		if (lf == NULL && cut)
			return;
		if (lf == NULL || lf - p < 4 || lf[-1] != '\r' || lf + 1 - p > 512)
			breach("a reply line is not 6 to 512 octets with CRLF");
		if (over)
			breach("something is said behind a last word");
		for (const uint8_t *c = p; c < lf - 1; c++)
			if (*c < ' ' || *c > '~')
				breach("octet %02x in a reply", *c);
		now = (unsigned)(p[0] - '0') * 100 + (unsigned)(p[1] - '0') * 10 + (unsigned)(p[2] - '0');
		if (now < 200 || now >= 600 || (p[3] != ' ' && p[3] != '-'))
			breach("a reply begins with no code: %.*s", (int)(lf - p), (const char *)p);
		if (code != 0 && now != code)
			breach("a reply of the codes %u and %u", code, now);
		code = p[3] == '-' ? now : 0;
		if (code != 0)
			continue;
		by_code[now]++;
		over = now == 221;
		ledger_queued(p, (size_t)(lf - p));
	}
	if (code != 0 && !cut)
		breach("a reply has no last line");
}

/* --- the end --- */

/* All is over. */
static void
ledger_check(unsigned sessions, bool lmtp)
{
	unsigned accepted = 0;

	if (ledger.nsession != sessions)
		breach("%u lines for the end of %u sessions", ledger.nsession, sessions);
	for (const struct entry_of *e = ledger.message; e < ledger.message + ledger.nmessage; e++) {
		accepted += e->accepted;
		if (e->lines != 1)
			breach("%u lines for the end of %s", e->lines, e->id);
		if (e->stored != e->accepted)
			breach("%s was stored %u times and accepted %u times", e->id, e->stored, e->accepted);
		if (e->heard > 0 && e->accepted == 0 && e->discarded == 0)
			breach("the client takes %s for accepted", e->id);
		if (e->heard > 1 && !lmtp)
			breach("%s is said to be queued twice", e->id);
	}
	if (ledger.messages != accepted)
		breach("sessions count %llu messages, and %u were accepted", (unsigned long long)ledger.messages,
		    accepted);
}
#endif
