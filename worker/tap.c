/*
 * tap: see tap.h.  Which sessions who wants, and what is said of them; how a
 * record is written is taprecord.c's.
 */
#include "worker/tap.h"

#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/facts.h"
#include "common/ipc.h"
#include "common/log.h"
#include "worker/taprecord.h"

struct tap {
	struct loop_src src; /* fd -1: not in use */
	char filter[IPC_TEXT_MAX];
	struct conf_net net[IPC_TRACE_TERMS];
	struct conf_nets nets;
	const char *recipient[IPC_TRACE_TERMS], *listener[IPC_TRACE_TERMS]; /* in filter */
	unsigned nrecipient, nlistener;
	uint64_t lost; /* records, since this was last said */
};

struct taps {
	struct worker *w;
	unsigned n;
	struct tap tap[TAP_MAX];
};

/* Not allocated: it is there when memory is short too. */
static struct taps taps;

static void tap_answered(
    void *who, const struct chain_link *k, unsigned stage, enum stats_answer how, const struct reply *r, uint32_t us);

/* Look at nothing any more, or begin to. */
static void
tap_switch(bool on)
{
	struct session *s;

	taps.w->taps = on ? &taps : NULL;
	taps.w->chain.answered = on ? tap_answered : NULL;
	LIST_FOREACH(s, &taps.w->sessions, entry)
		smtp_show_lines(s->smtp, on);
}

static void
tap_close(struct tap *t)
{
	loop_unwatch(taps.w->loop, &t->src);
	close(t->src.fd);
	t->src.fd = -1;
	if (--taps.n == 0)
		tap_switch(false);
}

/* A record whole, at once or not at all.  False: it could not be sent. */
static bool
tap_write(int fd, const struct taprecord *r)
{
	ssize_t n;

	do {
		n = send(fd, r->text, r->n, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n >= 0;
}

static bool
tap_say_lost(struct tap *t)
{
	struct taprecord r;

	taprecord_begin(&r, "lost");
	taprecord_u64(&r, "records", t->lost);
	taprecord_end(&r);
	if (!tap_write(t->src.fd, &r))
		return false;
	t->lost = 0;
	return true;
}

static void
tap_send(struct tap *t, const struct taprecord *r)
{
	if ((t->lost == 0 || tap_say_lost(t)) && tap_write(t->src.fd, r))
		return;
	if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
		t->lost++;
		stats_add(taps.w->stats, STATS_TRACE_LOST, 1);
	}
	/* Otherwise its reader is gone: tap_ready() is told.  Not here, a caller goes through the taps. */
}

/* It has room again, or nobody reads it any more. */
static void
tap_ready(struct loop_src *src, unsigned what)
{
	struct tap *t = (struct tap *)((char *)src - offsetof(struct tap, src));

	if ((what & LOOP_HUP) != 0)
		tap_close(t);
	else if (t->lost > 0)
		(void)tap_say_lost(t);
}

/* --- filters --- */

/* A name that nothing will ever come of is a mistake, not silence. */
static const char *
tap_listener(struct tap *t, const struct conf *cf, const char *name)
{
	static char why[128];

	t->listener[t->nlistener++] = name;
	for (size_t i = 0; i < cf->nlistener; i++)
		if (strcmp(cf->listener[i].name, name) == 0)
			return NULL;
	snprintf(why, sizeof(why), "there is no listener \"%.80s\"", name);
	return why;
}

static const char *
tap_term(struct tap *t, const struct conf *cf, const char *key, const char *value)
{
	if (t->nets.n + t->nrecipient + t->nlistener == IPC_TRACE_TERMS)
		return "the filter has too many words";
	if (strcmp(key, "network") == 0)
		return conf_value_net(value, &t->net[t->nets.n++]);
	if (strcmp(key, "recipient") == 0)
		t->recipient[t->nrecipient++] = value;
	else if (strcmp(key, "listener") == 0)
		return tap_listener(t, cf, value);
	else
		return "the filter has a word that this server does not know";
	return NULL;
}

/* Take t->filter apart, in place.  NULL, or what is wrong with it. */
static const char *
tap_parse(struct tap *t, const struct conf *cf)
{
	struct fact line;
	char *at = t->filter;
	const char *why = NULL;

	t->nets = (struct conf_nets){ t->net, 0 };
	t->nrecipient = t->nlistener = 0;
	if (facts_next(&at, &line) != 1 || *at != '\0' || strcmp(line.kind, "filter") != 0)
		return "the filter is not understood";
	for (size_t i = 0; i < line.n && why == NULL; i++)
		why = tap_term(t, cf, line.field[i].key, line.field[i].value);
	return why;
}

static void
tap_refuse(int fd, const char *why)
{
	struct taprecord r;

	taprecord_begin(&r, "refused");
	taprecord_str(&r, "reason", why);
	taprecord_end(&r);
	(void)tap_write(fd, &r);
	close(fd);
}

void
tap_open(struct worker *w, int fd, const char *filter)
{
	struct session *s;
	struct tap *t = NULL;
	const char *why = "too many look already";
	unsigned i = 0;

	taps.w = w;
	while (i < TAP_MAX && taps.tap[i].src.ready != NULL && taps.tap[i].src.fd != -1)
		i++;
	if (i < TAP_MAX) {
		t = &taps.tap[i];
		t->src = (struct loop_src){ -1, tap_ready };
		t->lost = 0;
		memset(t->filter, 0, sizeof(t->filter));
		memcpy(t->filter, filter, strnlen(filter, sizeof(t->filter) - 1));
		why = tap_parse(t, w->conf);
	}
	if (why != NULL) {
		tap_refuse(fd, why);
		return;
	}
	t->src.fd = fd;
	if (loop_watch(w->loop, &t->src) != 0) {
		t->src.fd = -1;
		tap_refuse(fd, "the server cannot watch it");
		return;
	}
	LIST_FOREACH(s, &w->sessions, entry)
		s->tapped &= (uint8_t) ~(1U << i);
	if (taps.n++ == 0)
		tap_switch(true);
}

static bool
tap_wants(const struct tap *t, unsigned i, const struct session *s)
{
	unsigned k = 0;

	if (t->src.fd == -1 || t->src.ready == NULL || (t->nets.n > 0 && !conf_nets_have(&t->nets, s->addr)))
		return false;
	while (k < t->nlistener && strcmp(t->listener[k], s->listener->conf->name) != 0)
		k++;
	if (t->nlistener > 0 && k == t->nlistener)
		return false;
	return t->nrecipient == 0 || (s->tapped >> i & 1) != 0;
}

/* Whether anybody wants ${s}. */
static bool
tap_wanted(const struct session *s)
{
	for (unsigned i = 0; i < TAP_MAX; i++)
		if (tap_wants(&taps.tap[i], i, s))
			return true;
	return false;
}

/* Whether ${rc} is one of the recipients: an address, or "@" and a domain. */
static bool
tap_names(const struct tap *t, const struct rcpt *rc)
{
	char text[ADDR_TEXT_MAX];
	ssize_t n = addr_format(&rc->addr, text, sizeof(text));
	struct span whole = span_of(text, n > 0 ? (size_t)n : 0);

	for (unsigned k = 0; k < t->nrecipient; k++) {
		struct span want = span_str(t->recipient[k]);

		if (span_caseeq(whole, want))
			return true;
		if (want.n > 1 && want.p[0] == '@' && span_caseeq(rc->addr.domain, span_skip(want, 1)))
			return true;
	}
	return false;
}

/* --- what happened --- */

static void
tap_begin(struct taprecord *r, const struct session *s, const char *event)
{
	taprecord_begin(r, event);
	taprecord_str(r, "session", s->id);
	taprecord_str(r, "remote", s->remote);
	taprecord_str(r, "proxy", s->proxy);
	taprecord_str(r, "listener", s->listener->conf->name);
}

static void
tap_finish(struct taprecord *r, const struct session *s)
{
	taprecord_end(r);
	for (unsigned i = 0; i < TAP_MAX; i++)
		if (tap_wants(&taps.tap[i], i, s))
			tap_send(&taps.tap[i], r);
}

void
tap_command(struct session *s, struct span line, bool hidden)
{
	struct taprecord r;

	if (!tap_wanted(s))
		return;
	tap_begin(&r, s, "command");
	taprecord_span(&r, "text", line);
	if (hidden)
		taprecord_true(&r, "hidden");
	tap_finish(&r, s);
}

/* The last reply of ${out}: its last line, and those with a '-' before it. */
static struct span
tap_last_reply(struct span out)
{
	size_t from = out.n;

	while (from > 0) {
		size_t line = from - 1;

		while (line > 0 && out.p[line - 1] != '\n')
			line--;
		if (from < out.n && (from - line < 4 || out.p[line + 3] != '-'))
			break;
		from = line;
	}
	return span_skip(out, from);
}

void
tap_reply(struct session *s, struct smtp_sent sent)
{
	struct taprecord r;

	if (!tap_wanted(s))
		return;
	tap_begin(&r, s, "reply");
	taprecord_u64(&r, "code", sent.code);
	taprecord_str(&r, "reason", sent.reason);
	/* A challenge is one side of a secret's proof. */
	if (sent.code == 334)
		taprecord_true(&r, "hidden");
	else
		taprecord_lines(&r, "text", tap_last_reply(buf_view(&s->conn.out)));
	tap_finish(&r, s);
}

void
tap_recipient(struct session *s, const struct rcpt *rc)
{
	const struct txn *t = smtp_txn(s->smtp);
	struct taprecord r;

	for (unsigned i = 0; i < TAP_MAX; i++)
		if (taps.tap[i].src.ready != NULL && taps.tap[i].src.fd != -1 && tap_names(&taps.tap[i], rc))
			s->tapped |= (uint8_t)(1U << i);
	if (!tap_wanted(s))
		return;
	tap_begin(&r, s, "recipient");
	taprecord_span(&r, "helo", smtp_helo(s->smtp));
	if (t != NULL) {
		taprecord_str(&r, "id", t->id);
		taprecord_addr(&r, "from", &t->from);
	}
	taprecord_addr(&r, "to", &rc->addr);
	tap_finish(&r, s);
}

static void
tap_answered(void *who, const struct chain_link *k, unsigned stage, enum stats_answer how, const struct reply *reply,
    uint32_t us)
{
	const struct session *s = who;
	struct taprecord r;

	if (!tap_wanted(s))
		return;
	tap_begin(&r, s, "answer");
	taprecord_str(&r, "handler", k->name);
	taprecord_str(&r, "stage", chain_stage_name[stage]);
	taprecord_str(&r, "verdict", stats_answer_name[how]);
	if (reply != NULL && reply->code != 0) {
		taprecord_u64(&r, "code", reply->code);
		if (stage == CHAIN_AUTH)
			taprecord_true(&r, "hidden");
		else
			taprecord_span(&r, "text", span_of(reply->text, reply->n));
	}
	taprecord_ms(&r, "ms", us);
	tap_finish(&r, s);
}

void
tap_tls(struct session *s, const char *why)
{
	struct taprecord r;

	if (!tap_wanted(s))
		return;
	tap_begin(&r, s, "tls");
	taprecord_str(&r, "failed", why);
	if (s->tls != NULL) {
		taprecord_str(&r, "version", s->tls->version);
		taprecord_str(&r, "cipher", s->tls->cipher);
		taprecord_str(&r, "sni", s->tls->sni);
	}
	tap_finish(&r, s);
}

void
tap_transaction(struct session *s, const char *result, uint64_t commit_us)
{
	const struct txn *t = smtp_txn(s->smtp);
	struct taprecord r;

	if (!tap_wanted(s))
		return;
	tap_begin(&r, s, "transaction");
	taprecord_str(&r, "id", t->id);
	taprecord_str(&r, "result", result);
	taprecord_u64(&r, "size", t->size);
	if (commit_us != 0)
		taprecord_ms(&r, "commit_ms", commit_us);
	tap_finish(&r, s);
}

void
tap_end(struct session *s)
{
	struct taprecord r;

	if (!tap_wanted(s))
		return;
	tap_begin(&r, s, "end");
	taprecord_str(&r, "reason", s->end);
	taprecord_ms(&r, "ms", loop_now_us(s->w->loop) - s->opened_us);
	tap_finish(&r, s);
}
