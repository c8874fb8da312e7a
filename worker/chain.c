/*
 * chain: the order of asking, and what an answer means.
 */
#include "worker/chain.h"

#include <errno.h>
#include <string.h>

#include "worker/asks.h"
#include "worker/net/loop.h"

int
chain_add(struct chain *c, const struct handler_ops *ops, void *ctx, const struct conf_handler *section)
{
	struct chain_link *k = &c->link[c->n];

	if (ops->abi != HANDLER_ABI) {
		errno = EPROTO;
		return -1;
	}
	if (c->n == CHAIN_MAX) {
		errno = E2BIG;
		return -1;
	}
	*k = (struct chain_link){ .ops = ops, .ctx = ctx, .conf = section };
	for (unsigned i = 0; i < c->n; i++)
		k->replay = k->replay || (ops->sees_edits && c->link[i].ops->edits);
	k->name = section != NULL ? section->name : ops->name;
	if (c->stats != NULL)
		k->row = stats_handler(c->stats, k->name);
	c->wants_body = c->wants_body || (ops->on_data != NULL && !k->replay);
	c->wants_replay = c->wants_replay || k->replay;
	c->n++;
	return 0;
}

void
chain_begin(struct chain_run *run, enum chain_stage stage)
{
	*run = (struct chain_run){ .stage = (uint8_t)stage };
}

typedef enum verdict chain_hook(void *ctx, const struct question *q, struct reply *r);

/* ${k}'s code is about to be called (1), or has come back (-1): should the worker die meanwhile, the master says in whose. */
static void
chain_runs(const struct chain *c, const struct chain_link *k, int by)
{
	if (c->stats != NULL)
		stats_running(c->stats, k->row, by);
}

/* What the handler has for the stage; NULL: it has no say. */
static chain_hook *
chain_hook_of(const struct chain_link *k, enum chain_stage stage)
{
	const struct handler_ops *o = k->ops;

	switch (stage) {
	case CHAIN_CONNECT:
		return o->on_connect;
	case CHAIN_HELO:
		return o->on_helo;
	case CHAIN_AUTH:
		return o->on_auth;
	case CHAIN_MAIL:
		return o->on_mail_from;
	case CHAIN_RCPT:
		return o->on_rcpt_to;
	case CHAIN_DATA:
		return o->on_data_begin;
	case CHAIN_BODY:
		return k->replay ? NULL : o->on_data;
	case CHAIN_END:
		return o->on_end;
	case CHAIN_UNKNOWN:
		return o->on_unknown;
	}
	return NULL;
}

static bool
cond_holds(enum conf_cond c, bool is)
{
	return c == CONF_ANY || (c == CONF_YES) == is;
}

/* SCRAM shows nobody a password: only the credentials can tell. */
static bool
chain_can_tell(const struct chain_link *k, const struct chain_about *ab)
{
	return ab->auth == NULL || ab->auth->password.n > 0 || k->conf == NULL;
}

/* Whether the handler is to be asked by its section's conditions. */
static bool
chain_wanted(const struct chain_link *k, const struct session_view *v)
{
	const struct conf_when *w;
	size_t i = 0;

	if (v == NULL)
		return true;
	if (k->ops->check && v->skip_checks)
		return false;
	if (k->conf == NULL)
		return true;
	if (v->skip_all && k->conf->kind != CONF_K_QUOTA && k->conf->kind != CONF_K_TOKENS)
		return false;
	w = &k->conf->when;
	while (i < w->nlistener && strcmp(w->listener[i], v->listener) != 0)
		i++;
	if (w->nlistener > 0 && i == w->nlistener)
		return false;
	if (w->networks.n > 0 && !conf_nets_have(&w->networks, v->remote_addr))
		return false;
	return cond_holds(w->authenticated, v->user != NULL) && cond_holds(w->tls, v->tls_version != NULL);
}

/* Whether it has lost track of this transaction: it was not asked about MAIL, or about a recipient that was accepted. */
static bool
chain_missed(
    const struct chain *c, const struct chain_link *k, const struct chain_run *run, const struct chain_about *ab)
{
	bool message = run->stage >= CHAIN_MAIL && run->stage <= CHAIN_END;

	return message && ab->missed != NULL && (*ab->missed >> (k - c->link) & 1) != 0;
}

/*
 * ${run} came to an end with who was asked last: those behind did not hear of
 * it.  libmilter says nothing more to a recipient without MAIL, or to content without a
 * recipient, so whoever follows a message from question to question is asked
 * about the rest of it no more.  A policy server takes each question by
 * itself, and so do the built-in handlers.
 */
static void
chain_miss(const struct chain *c, const struct chain_run *run, const struct chain_about *ab)
{
	if (ab->missed == NULL || run->stage < CHAIN_MAIL || run->stage > CHAIN_DATA)
		return;
	for (unsigned i = run->next; i < c->n; i++) {
		const struct chain_link *k = &c->link[i];
		bool follows = k->conf != NULL && (k->conf->kind == CONF_K_MILTER || k->conf->kind == CONF_K_HANDLER);

		if (follows && chain_hook_of(k, (enum chain_stage)run->stage) != NULL)
			*ab->missed |= UINT64_C(1) << i;
	}
}

static struct question
chain_question(unsigned i, const struct chain_about *ab)
{
	return (struct question){
		.session = ab->view,
		.txn = ab->txn,
		.rcpt = ab->rcpt,
		.auth = ab->auth,
		.chunk = ab->chunk,
		.mine = ab->mine != NULL ? ab->mine[i] : NULL,
		.session_private = ab->who,
		.index_private = i,
	};
}

static void
chain_count(const struct chain *c, const struct chain_link *k, enum stats_answer a)
{
	if (c->stats != NULL)
		stats_answer(c->stats, k->row, a);
}

const char *const chain_stage_name[] = { [CHAIN_CONNECT] = "connect",
	[CHAIN_HELO] = "helo",
	[CHAIN_AUTH] = "auth",
	[CHAIN_MAIL] = "mail",
	[CHAIN_RCPT] = "rcpt",
	[CHAIN_DATA] = "data",
	[CHAIN_BODY] = "body",
	[CHAIN_END] = "end",
	[CHAIN_UNKNOWN] = "unknown" };

/* Those behind ${k} would not hear of the recipient. */
static void
chain_tell_refused(const struct chain *c, const struct chain_link *k, const struct chain_run *run,
    const struct chain_about *ab, const struct reply *r)
{
	for (k++; k < &c->link[c->n]; k++) {
		struct question q = chain_question((unsigned)(k - c->link), ab);

		if (k->ops->on_rcpt_refused == NULL || !chain_wanted(k, ab->view) || chain_missed(c, k, run, ab))
			continue;
		chain_runs(c, k, 1);
		k->ops->on_rcpt_refused(k->ctx, &q, r);
		chain_runs(c, k, -1);
	}
}

/* It came to ${a}, and ${r} is what stands, or NULL. */
static void
chain_tell(const struct chain *c, const struct chain_link *k, struct chain_run *run, const struct chain_about *ab,
    enum stats_answer a, const struct reply *r)
{
	uint32_t now = (uint32_t)loop_clock_us(), us = now - run->since_us;

	run->since_us = now; /* the next one is asked at once */
	chain_count(c, k, a);
	if (c->stats != NULL)
		stats_answer_time(c->stats, k->row, us);
	if (c->answered != NULL)
		c->answered(ab->who, k, run->stage, a, r, us);
	if (run->stage == CHAIN_RCPT && r != NULL && r->code >= 400)
		chain_tell_refused(c, k, run, ab, r);
}

/* An answer that stands: count it, and take back the edits of who said no. */
static void
chain_settle(const struct chain *c, const struct chain_link *k, struct chain_run *run, const struct chain_about *ab,
    enum verdict v, const struct reply *r)
{
	bool no = v == V_REPLY && r->code >= 400;

	if (no && ab->txn != NULL && ab->txn->edits != NULL)
		edits_rollback(ab->txn->edits);
	if (run->stage == CHAIN_BODY && v == V_NEXT) {
		run->since_us = 0;
		return;
	}
	switch (v) {
	case V_NEXT:
		chain_tell(c, k, run, ab, STATS_A_NEXT, NULL);
		break;
	case V_REPLY:
		if (!no)
			chain_miss(c, run, ab);
		chain_tell(c, k, run, ab,
		    r->code >= 500 ? STATS_A_REFUSED
			: no       ? STATS_A_DEFERRED
				   : STATS_A_ACCEPTED,
		    r);
		break;
	case V_DISCARD:
		chain_miss(c, run, ab);
		chain_tell(c, k, run, ab, STATS_A_DISCARDED, NULL);
		break;
	case V_LATER:
	case V_FAIL:
	case V_AGAIN:
		break;
	}
}

/* It could not find out, or not in time: what its section says to that. */
static enum verdict
chain_failed(const struct chain *c, const struct chain_link *k, struct chain_run *run, const struct chain_about *ab,
    enum stats_answer why, struct reply *r)
{
	enum conf_on_failure f = k->conf != NULL ? k->conf->on_failure : CONF_F_TEMPFAIL;
	const char *reason = why == STATS_A_TIMEOUT ? "handler-timeout" : "handler-failed";

	/* Nothing gets in by it that somebody should have looked at. */
	if (run->stage == CHAIN_UNKNOWN)
		f = CONF_F_ACCEPT;
	/* It began to edit and nobody knows what it meant to do: neither accepted nor refused for good (Postfix 20260821). */
	if (ab->txn != NULL && ab->txn->edits != NULL && edits_since_mark(ab->txn->edits))
		f = CONF_F_TEMPFAIL;
	if (ab->txn != NULL && ab->txn->edits != NULL)
		edits_rollback(ab->txn->edits);
	switch (f) {
	case CONF_F_ACCEPT:
		chain_tell(c, k, run, ab, why, NULL);
		return V_NEXT;
	case CONF_F_TEMPFAIL:
		/* A greeting knows 421 and 554 alone (RFC 5321 4.3.2). */
		reply_set(r, run->stage == CHAIN_CONNECT ? 421 : 451, ENH(4, 3, 0), reason,
		    why == STATS_A_TIMEOUT ? "a check did not answer in time, try again later"
					   : "a check could not be made, try again later");
		r->close = run->stage == CHAIN_CONNECT;
		break;
	case CONF_F_REJECT:
		reply_set(r, 554, ENH(5, 3, 0), reason, "a check could not be made");
		break;
	}
	chain_tell(c, k, run, ab, why, r);
	return V_REPLY;
}

/* What a hook or an answer came to. */
static enum verdict
chain_judge(const struct chain *c, const struct chain_link *k, struct chain_run *run, const struct chain_about *ab,
    enum verdict v, struct reply *r)
{
	/* A reply without a code is a fault of the handler's, and may pass: 451, where others would bounce. */
	if (v == V_FAIL || v == V_AGAIN || (v == V_REPLY && r->code == 0))
		return chain_failed(c, k, run, ab, STATS_A_FAILED, r);
	chain_settle(c, k, run, ab, v, r);
	return v;
}

/* Ask one handler.  Its right is open only while it thinks. */
static enum verdict
chain_call(const struct chain *c, struct chain_run *run, const struct chain_about *ab, struct reply *r)
{
	const struct chain_link *k = &c->link[run->next - 1];
	struct question q = chain_question(run->next - 1U, ab);
	enum verdict v;

	if (asks_open(ab->who, &q.ask) != 0) {
		reply_set(r, 451, ENH(4, 3, 0), "no-memory", "out of memory, try again later");
		return V_REPLY;
	}
	q.again = run->again;
	run->again = false;
	r->code = 0;
	chain_runs(c, k, 1);
	v = chain_hook_of(k, (enum chain_stage)run->stage)(k->ctx, &q, r);
	chain_runs(c, k, -1);
	if (v == V_LATER) {
		run->waiting = true;
		run->ask = q.ask;
		if (!q.again)
			chain_count(c, k, STATS_A_LATER);
		return v;
	}
	asks_close(q.ask);
	return chain_judge(c, k, run, ab, v, r);
}

/* A recipient that is put off already: who notes the recipients of a message is told so, and not asked. */
static bool
chain_tell_put_off(
    const struct chain *c, const struct chain_link *k, const struct chain_run *run, const struct chain_about *ab)
{
	struct question q = chain_question(run->next, ab);

	if (run->put_off == NULL || run->again || run->stage != CHAIN_RCPT || k->ops->on_rcpt_refused == NULL)
		return false;
	chain_runs(c, k, 1);
	k->ops->on_rcpt_refused(k->ctx, &q, run->put_off);
	chain_runs(c, k, -1);
	return true;
}

enum verdict
chain_ask(const struct chain *c, struct chain_run *run, const struct chain_about *about, struct reply *r)
{
	while (run->next < c->n) {
		const struct chain_link *k = &c->link[run->next];
		enum verdict v;

		if (chain_hook_of(k, (enum chain_stage)run->stage) == NULL ||
		    (!run->again && !chain_wanted(k, about->view)) || !chain_can_tell(k, about) ||
		    chain_missed(c, k, run, about) || chain_tell_put_off(c, k, run, about)) {
			run->next++;
			continue;
		}
		if (run->stage == CHAIN_END && k->replay && k->ops->on_data != NULL && !run->replayed && !run->again) {
			run->showing = true;
			return V_AGAIN;
		}
		run->replayed = false;
		run->next++;
		if (!run->again) {
			if (about->txn != NULL && about->txn->edits != NULL)
				edits_mark(about->txn->edits);
			run->extended = 0;
			if (run->since_us == 0)
				run->since_us = (uint32_t)loop_clock_us();
			if (run->stage != CHAIN_BODY)
				chain_count(c, k, STATS_A_ASKED);
		}
		v = chain_call(c, run, about, r);
		if (v != V_NEXT)
			return v;
	}
	return V_NEXT;
}

enum verdict
chain_show(const struct chain *c, struct chain_run *run, const struct chain_about *about, struct reply *r)
{
	const struct chain_link *k = &c->link[run->next++];
	struct question q = chain_question(run->next - 1U, about);
	enum verdict v;

	if (asks_open(about->who, &q.ask) != 0) {
		reply_set(r, 451, ENH(4, 3, 0), "no-memory", "out of memory, try again later");
		return V_REPLY;
	}
	q.again = run->again;
	run->again = false;
	run->since_us = (uint32_t)loop_clock_us();
	r->code = 0;
	chain_runs(c, k, 1);
	v = k->ops->on_data(k->ctx, &q, r);
	chain_runs(c, k, -1);
	if (v == V_LATER) {
		run->waiting = true;
		run->ask = q.ask;
		return v;
	}
	asks_close(q.ask);
	if (v == V_NEXT) {
		run->next--;
		return v;
	}
	run->showing = false;
	return chain_judge(c, k, run, about, v, r);
}

void
chain_shown(struct chain_run *run)
{
	run->replayed = run->showing;
	run->showing = false;
}

enum verdict
chain_resolve(const struct chain *c, const struct chain_about *about, struct reply *r)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->link[i].ops->resolves) {
			struct question q = chain_question(i, about);

			return c->link[i].ops->on_rcpt_to(c->link[i].ctx, &q, r);
		}
	return V_FAIL;
}

enum verdict
chain_told(
    const struct chain *c, struct chain_run *run, const struct chain_about *about, enum verdict v, struct reply *r)
{
	const struct chain_link *k = &c->link[run->next - 1];

	if (v == V_LATER) {
		if (run->extended++ < CHAIN_EXTEND_MAX)
			return V_LATER;
		return chain_late(c, run, about, r);
	}
	run->waiting = false;
	if (run->showing && v == V_NEXT) {
		run->next--;
		return v;
	}
	run->showing = run->showing && v == V_AGAIN;
	if (v == V_AGAIN) {
		run->again = true;
		run->next--;
		return V_NEXT;
	}
	return chain_judge(c, k, run, about, v, r);
}

static void
chain_tell_cancel(const struct chain *c, unsigned i, const struct chain_about *about)
{
	struct question q = chain_question(i, about);

	if (c->link[i].ops->on_cancel == NULL)
		return;
	chain_runs(c, &c->link[i], 1);
	c->link[i].ops->on_cancel(c->link[i].ctx, &q);
	chain_runs(c, &c->link[i], -1);
}

enum verdict
chain_late(const struct chain *c, struct chain_run *run, const struct chain_about *about, struct reply *r)
{
	asks_close(run->ask);
	run->waiting = run->showing = false;
	chain_tell_cancel(c, run->next - 1U, about);
	return chain_failed(c, &c->link[run->next - 1], run, about, STATS_A_TIMEOUT, r);
}

uint32_t
chain_later_ms(const struct chain *c, const struct chain_run *run)
{
	const struct chain_link *k = &c->link[run->next - 1];

	if (k->conf != NULL && k->conf->timeout_ms != 0)
		return k->conf->timeout_ms;
	return c->later_ms != 0 ? c->later_ms : CHAIN_LATER_MS;
}

void
chain_cancel(const struct chain *c, struct chain_run *run, const struct chain_about *about)
{
	if (!run->waiting)
		return;
	asks_close(run->ask);
	run->waiting = false;
	chain_count(c, &c->link[run->next - 1], STATS_A_GONE);
	chain_tell_cancel(c, run->next - 1U, about);
}

const char *
chain_name(const struct chain *c, const struct chain_run *run)
{
	return run->next > 0 ? c->link[run->next - 1].name : "";
}

void
chain_reset(const struct chain *c, const struct chain_about *about, bool delivered)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct question q;

		if (c->link[i].ops->on_reset == NULL)
			continue;
		q = chain_question(i, about);
		q.delivered = delivered;
		chain_runs(c, &c->link[i], 1);
		c->link[i].ops->on_reset(c->link[i].ctx, &q);
		chain_runs(c, &c->link[i], -1);
	}
}

void
chain_closed(const struct chain *c, const struct chain_about *about)
{
	for (unsigned i = 0; i < c->n; i++) {
		struct question q;

		if (c->link[i].ops->on_close == NULL)
			continue;
		q = chain_question(i, about);
		chain_runs(c, &c->link[i], 1);
		c->link[i].ops->on_close(c->link[i].ctx, &q);
		chain_runs(c, &c->link[i], -1);
	}
}

void
chain_close(struct chain *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		if (c->link[i].ops->close == NULL)
			continue;
		chain_runs(c, &c->link[i], 1);
		c->link[i].ops->close(c->link[i].ctx);
		chain_runs(c, &c->link[i], -1);
	}
	c->n = 0;
}
