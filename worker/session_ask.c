/*
 * session_ask: what the engine asks goes to the chain, and what the handlers
 * say becomes the engine's answer.  It knows neither verbs nor disks.
 */
#include "common/id.h"
#include "worker/account.h"
#include "worker/hooks.h"
#include "worker/login.h"
#include "worker/message.h"
#include "worker/peer.h"
#include "worker/session_parts.h"
#include "worker/tap.h"

/* It sleeps until the handler answers. */
static void
session_sleep(struct session *s)
{
	s->wait = SESSION_HANDLER;
	conn_deadline(&s->conn, chain_later_ms(&s->w->chain, &s->run));
}

enum verdict
session_ask(struct session *s, struct rcpt *rc, struct span chunk, struct reply *r)
{
	struct session_view view;
	struct chain_about about = hooks_about(s, &view);
	struct auth_try try;
	enum verdict v;

	about.rcpt = rc;
	about.chunk = chunk;
	if (s->run.stage == CHAIN_AUTH) {
		login_try(s, &try);
		about.auth = &try;
	}
	v = chain_ask(&s->w->chain, &s->run, &about, r);
	if (v == V_LATER)
		session_sleep(s);
	if (v != V_DISCARD)
		return v;
	hooks_discard(s, chain_name(&s->w->chain, &s->run));
	return V_NEXT;
}

enum verdict
session_show(struct session *s, struct span chunk, struct reply *r)
{
	struct session_view view;
	struct chain_about about = hooks_about(s, &view);
	enum verdict v;

	about.chunk = chunk;
	v = chain_show(&s->w->chain, &s->run, &about, r);
	if (v == V_LATER)
		session_sleep(s);
	else if (v == V_DISCARD)
		hooks_discard(s, chain_name(&s->w->chain, &s->run));
	return v;
}

void
session_answer(struct session *s, const struct reply *r)
{
	account_reply(s, smtp_answer(s->smtp, r, &s->conn.out));
	s->progress = true;
}

/* Nobody objects to DATA: content may come, if the store has room for it. */
static void
session_data(struct session *s)
{
	struct reply r;

	s->data_due_us = 0;
	if (message_begin(s, &r)) {
		session_answer(s, NULL);
	} else {
		account_refusal(s, NULL, &r, s->w->store->name);
		session_answer(s, &r);
	}
}

/* What the chain said to an envelope question becomes the engine's answer. */
static void
session_conclude(struct session *s, struct rcpt *rc, enum verdict v, struct reply *r)
{
	struct txn *t = smtp_txn(s->smtp);

	v = hooks_conclude(s, v, r);
	if (s->run.stage == CHAIN_AUTH) {
		login_conclude(s, v, r);
		session_answer(s, r);
		return;
	}
	if (s->run.stage == CHAIN_RCPT && rc != NULL && v == V_NEXT && rc->ntargets == 0) {
		v = V_REPLY;
		reply_set(r, 451, ENH(4, 3, 0), "no-mailbox-decided", "no one here could say where this mail belongs");
	}
	/* A yes in somebody's own words is one too: the engine's are said, and content comes. */
	if (s->run.stage == CHAIN_DATA && (v == V_NEXT || r->code < 400)) {
		session_data(s);
		return;
	}
	if (v == V_NEXT) {
		session_answer(s, NULL);
		return;
	}
	if (r->code >= 400) {
		if (s->run.stage == CHAIN_RCPT)
			txn_undeliver(t, rc);
		account_refusal(s, rc, r, chain_name(&s->w->chain, &s->run));
		if (s->run.stage == CHAIN_CONNECT)
			stats_add(s->w->stats, STATS_SESSIONS_REFUSED, 1);
	}
	session_answer(s, r);
}

/* Begin or go on with a question about the envelope, or a line that is no command.  False: it waits. */
static bool
session_question(struct session *s, struct rcpt *rc)
{
	struct reply r;
	enum verdict v;
	uint32_t t0 = s->run.again ? (uint32_t)loop_clock_us() : s->run.since_us; /* not the time it has waited */

	v = session_ask(s, rc, smtp_unknown(s->smtp), &r);
	if (v == V_LATER)
		return false;
	stats_observe(s->w->stats, STATS_H_HANDLERS, s->run.since_us - t0);
	session_conclude(s, rc, v, &r);
	return true;
}

static bool
session_end_of_message(struct session *s, const struct rcpt *rc)
{
	struct reply r = { .code = 0 };

	if (!message_end(s, rc, &r))
		return false;
	session_answer(s, r.code != 0 ? &r : NULL);
	return true;
}

void
session_transaction_over(struct session *s, struct smtp_sent how)
{
	int mailboxes;
	uint64_t commit_us;
	bool delivered = message_stored(s, &mailboxes, &commit_us) || message_dropped(s);

	account_transaction(s, how);
	message_drop(s);
	hooks_reset(s, delivered);
	s->accounted = true;
}

static bool
session_begin_stage(struct session *s, enum chain_stage stage, struct rcpt *rc)
{
	if (stage == CHAIN_CONNECT)
		s->greeted = true;
	if (stage == CHAIN_MAIL) {
		id_next(smtp_txn(s->smtp)->id);
		smtp_txn(s->smtp)->discard = s->hooks != NULL ? s->hooks->discard : NULL;
		s->accounted = false;
		s->missed = 0;
	}
	if (s->w->taps != NULL && rc != NULL)
		tap_recipient(s, rc);
	s->asked = rc;
	hooks_begin(s);
	chain_begin(&s->run, stage);
	s->run.since_us = (uint32_t)loop_clock_us();
	return session_question(s, rc);
}

/* The handlers see the client go and another one come. */
static bool
session_another_client(struct session *s, const struct xclient *x)
{
	struct reply r;

	if (s->greeted) {
		hooks_closed(s);
		s->greeted = false;
	}
	session_unknown(s);
	if (peer_xclient(s, x) != 0) {
		reply_set(&r, 421, ENH(4, 3, 0), "no-memory", "%s is out of memory, closing", s->w->conf->hostname);
		r.close = true;
		session_answer(s, &r);
		return true;
	}
	session_known(s);
	return session_begin_stage(s, CHAIN_CONNECT, NULL);
}

/* Who is it?  Somebody, or letterplate-auth, may know. */
static bool
session_auth(struct session *s)
{
	struct reply r;

	s->conn.secret = true;
	s->named = NULL;
	if (!login_confirmed(s, &r))
		return session_begin_stage(s, CHAIN_AUTH, NULL);
	session_answer(s, &r);
	return true;
}

bool
session_event(struct session *s, enum smtp_ev ev, const struct smtp_event *e)
{
	switch (ev) {
	case SMTP_EV_REPLY:
		account_reply(s, e->sent);
		s->progress = true;
		return true;
	case SMTP_EV_CONNECT:
		return session_begin_stage(s, CHAIN_CONNECT, NULL);
	case SMTP_EV_HELO:
		return session_begin_stage(s, CHAIN_HELO, NULL);
	case SMTP_EV_MAIL:
		return session_begin_stage(s, CHAIN_MAIL, NULL);
	case SMTP_EV_RCPT:
		return session_begin_stage(s, CHAIN_RCPT, e->rcpt);
	case SMTP_EV_DATA:
		return session_begin_stage(s, CHAIN_DATA, NULL);
	case SMTP_EV_BODY:
		return message_body(s, e->span);
	case SMTP_EV_EOM:
		return session_end_of_message(s, e->rcpt);
	case SMTP_EV_RESET:
		session_transaction_over(s, e->sent);
		return true;
	case SMTP_EV_LINE:
		if (s->w->taps != NULL)
			tap_command(s, e->span, e->hidden);
		return true;
	case SMTP_EV_UNKNOWN:
		return session_begin_stage(s, CHAIN_UNKNOWN, NULL);
	case SMTP_EV_XCLIENT:
		return session_another_client(s, e->xclient);
	case SMTP_EV_AUTH:
		return session_auth(s);
	case SMTP_EV_STARTTLS: /* session_feed() */
	case SMTP_EV_MORE:
	case SMTP_EV_CLOSE:
		break;
	}
	return true;
}

/* A verdict on what a handler was asked: the chain goes on with it, or it stands. */
static void
session_decided(struct session *s, enum verdict v, struct reply *r)
{
	s->wait = SESSION_AWAKE;
	if (v == V_DISCARD) {
		hooks_discard(s, chain_name(&s->w->chain, &s->run));
		s->run.next = (uint8_t)s->w->chain.n;
		v = V_NEXT;
	}
	if (s->run.stage == CHAIN_BODY || s->run.stage == CHAIN_END) {
		if (message_told(s, v, r))
			session_wake(s);
		return;
	}
	if (v == V_NEXT && !session_question(s, s->asked))
		return;
	if (v == V_REPLY)
		session_conclude(s, s->asked, v, r);
	session_wake(s);
}

/* The question that is open: the transaction stands still, and with it whom it is about. */
static struct chain_about
session_about(struct session *s, struct session_view *view)
{
	struct chain_about about = hooks_about(s, view);

	about.rcpt = s->run.stage == CHAIN_RCPT ? s->asked : NULL;
	return about;
}

void
session_told(void *who, enum verdict v, const struct reply *r)
{
	struct session *s = who;
	struct session_view view;
	struct chain_about about = session_about(s, &view);
	struct reply copy = *r;

	v = chain_told(&s->w->chain, &s->run, &about, v, &copy);
	if (v == V_LATER)
		session_sleep(s);
	else
		session_decided(s, v, &copy);
}

void
session_handler_late(struct session *s)
{
	struct session_view view;
	struct chain_about about = session_about(s, &view);
	struct reply r;

	stats_add(s->w->stats, STATS_HANDLER_TIMEOUTS, 1);
	session_decided(s, chain_late(&s->w->chain, &s->run, &about, &r), &r);
}
