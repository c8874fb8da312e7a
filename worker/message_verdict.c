/*
 * message_verdict: a message is complete: the handlers' last word, what they
 * want changed, the commit, and what the sender is told of it.  How its
 * content came: message.c.
 */
#include <errno.h>

#include "common/log.h"
#include "worker/account.h"
#include "worker/envelope.h"
#include "worker/hooks.h"
#include "worker/message_parts.h"

static void
say_delivered_before(struct reply *r)
{
	reply_set(r, 554, ENH(5, 4, 6), "delivered-before",
	    "this mail goes round in a loop: it was delivered to this mailbox before");
}

static bool
delivered_before(const struct message *m, const struct rcpt *rc)
{
	for (const struct rcpt_target *rt = rc->targets; rt != NULL; rt = rt->next)
		if (content_delivered_to(m->content, rt->target->key))
			return true;
	return false;
}

/* LMTP answers for each: those alone are set aside who had it before, if others had not. */
static void
set_aside(struct session *s, struct message *m, struct txn *t)
{
	struct edits *edits = hooks_edits(s, t);
	struct reply r;

	say_delivered_before(&r);
	for (const struct rcpt *rc = t->rcpts; rc != NULL && m->error == 0; rc = rc->next)
		if (delivered_before(m, rc) && (edits == NULL || edit_aside(edits, &rc->addr, &r) != 0)) {
			m->error = ENOMEM;
			message_store_log(s, m->error, "edit");
		}
}

void
message_loops(struct session *s, struct message *m, bool each)
{
	struct txn *t = smtp_txn(s->smtp);
	uint32_t n = 0, before = 0;

	if (content_received(m->content) >= CONTENT_RECEIVED_MAX) {
		m->by = "";
		reply_set(&m->verdict, 554, ENH(5, 4, 6), "too-many-hops",
		    "this mail goes round in a loop: it has %u Received fields", CONTENT_RECEIVED_MAX);
		return;
	}
	for (const struct target *tg = t->targets; tg != NULL; tg = tg->next)
		n += content_delivered_to(m->content, tg->key);
	if (n == 0)
		return;
	for (const struct rcpt *rc = t->rcpts; rc != NULL; rc = rc->next)
		before += delivered_before(m, rc);
	if (each && before < t->nrcpt) {
		set_aside(s, m, t);
		return;
	}
	m->by = "";
	say_delivered_before(&m->verdict);
}

static void
message_published(void *arg, int err)
{
	struct session *s = arg;
	struct message *m = s->msg;

	if (dsn_published(m->dsn))
		stats_add(s->w->stats, STATS_REPORTS_QUEUED, 1);
	if (err != 0)
		message_store_log(s, err, "report");
	m->report_err = m->done.nstored > 0 ? err : 0;
	m->step = MESSAGE_DONE;
	session_wake(s);
}

static void
message_committed(void *arg, const struct store_done *d)
{
	struct session *s = arg;
	struct message *m = s->msg;

	m->done = *d;
	m->commit_us = loop_clock_us() - m->commit_start_us;
	if (d->err != 0)
		message_store_log(s, d->err, "commit");
	if (m->dsn != NULL) {
		dsn_publish(m->dsn, d->nstored > 0, message_published, s);
		return;
	}
	m->step = MESSAGE_DONE;
	session_wake(s);
}

static void
message_commit(struct session *s, struct message *m)
{
	s->w->store->commit(m->sm, !s->listener->smtp.lmtp, message_committed, s);
	m->sm = NULL;
}

/* The record of the report is on disk, if not yet where it counts; now the message. */
static void
message_staged(void *arg, int err)
{
	struct session *s = arg;
	struct message *m = s->msg;

	if (err == 0) {
		message_commit(s, m);
		return;
	}
	message_store_log(s, err, "report");
	m->error = err;
	message_abort_store(s, m);
	m->step = MESSAGE_DONE;
	session_wake(s);
}

/* Nothing decides against it yet. */
static bool
message_open(const struct session *s, const struct message *m)
{
	return m->verdict.code == 0 && m->error == 0 && smtp_txn(s->smtp)->discard == NULL;
}

static const char *
edit_by(const struct edit *e)
{
	return e != NULL && e->by != NULL ? e->by : "";
}

/* The last edit of ${a} or ${b}, or NULL. */
static const struct edit *
edit_last(const struct edits *edits, enum edit_kind a, enum edit_kind b)
{
	const struct edit *last = NULL;

	for (const struct edit *e = edits->first; e != NULL; e = e->next)
		if (e->kind == a || e->kind == b)
			last = e;
	return last;
}

/* Edits that can't be carried out: all of them or none, so the message is not taken.  ${failed}: the one, or NULL. */
static void
message_not_edited(struct session *s, struct message *m, const struct edit *failed, const char *why)
{
	char text[ADDR_TEXT_MAX];
	struct log_line l;
	ssize_t n = -1;

	m->by = edit_by(failed);
	if (failed != NULL && failed->kind == EDIT_ADD_RCPT)
		n = addr_format(&failed->addr, text, sizeof(text));
	log_begin(&l, LOG_L_WARN, "edits-failed");
	log_str(&l, "session", s->id);
	log_str(&l, "id", smtp_txn(s->smtp)->id);
	log_str(&l, "reason", why);
	log_str(&l, "by", m->by[0] != '\0' ? m->by : NULL);
	if (n > 0)
		log_span(&l, "to", span_of(text, (size_t)n));
	log_end(&l);
	reply_set(&m->verdict, 451, ENH(4, 3, 0), "edits-failed", "this mail could not be processed, try again later");
}

/* A header that the editor has no room for.  It is as large when it comes again: 5xx. */
static void
message_too_large(struct session *s, struct message *m)
{
	message_not_edited(
	    s, m, edit_last(smtp_txn(s->smtp)->edits, EDIT_ADD_HEADER, EDIT_INSERT_HEADER), "header-too-large");
	reply_set(&m->verdict, 552, ENH(5, 3, 4), "header-too-large",
	    "the header of this mail is too large for the filters here");
}

/* The editor or the store gave up, at ${step}. */
static void
message_rewrite_failed(struct session *s, struct message *m, const char *step)
{
	if (m->rewrite.error == EMSGSIZE) {
		message_too_large(s, m);
		return;
	}
	m->error = m->rewrite.error;
	message_store_log(s, m->error, step);
}

/* Go on showing edited content to a handler.  False: the session waits. */
static bool
message_replay(struct session *s, struct message *m)
{
	struct reply r = { .code = 0 };

	switch (rewrite_show(s, &m->rewrite, &r)) {
	case REWRITE_WAIT:
		return false;
	case REWRITE_DONE:
		chain_shown(&s->run);
		break;
	case REWRITE_DECIDED:
		m->verdict = r;
		break;
	case REWRITE_FAILED:
		message_rewrite_failed(s, m, "read");
		break;
	}
	rewrite_end(&m->rewrite);
	m->step = MESSAGE_VERDICT;
	return true;
}

/* The handlers' last word.  False: the session waits. */
static bool
message_verdict(struct session *s, struct message *m)
{
	enum verdict v;

	while (message_open(s, m)) {
		if (m->step == MESSAGE_REPLAY) {
			if (!message_replay(s, m))
				return false;
			continue;
		}
		if (!m->asking) {
			hooks_begin(s);
			chain_begin(&s->run, CHAIN_END);
		}
		v = session_ask(s, NULL, (struct span){ NULL, 0 }, &m->verdict);
		if (v == V_LATER)
			return false;
		m->asking = v == V_AGAIN;
		if (v != V_REPLY)
			m->verdict.code = 0;
		if (v != V_AGAIN)
			break;
		m->step = MESSAGE_REPLAY;
		rewrite_begin(s, &m->rewrite, m->sm);
	}
	rewrite_end(&m->rewrite);
	m->step = MESSAGE_VERDICT;
	if (m->error == 0 && s->run.stage == CHAIN_END)
		(void)hooks_conclude(s, m->verdict.code != 0 ? V_REPLY : V_NEXT, &m->verdict);
	return true;
}

/* Nobody is left whose mail it is: was each refused, or is it accepted and dropped? */
static void
message_for_nobody(const struct session *s, struct message *m, struct txn *t)
{
	m->refused = s->listener->smtp.lmtp;
	for (const struct rcpt *rc = t->rcpts; rc != NULL && m->refused; rc = rc->next)
		m->refused = rc->aside != NULL;
	if (!m->refused)
		t->discard = edit_by(edit_last(t->edits, EDIT_DELETE_RCPT, EDIT_ASIDE));
}

/* Begin the message anew, for the envelope as it is now. */
static void
message_edit_begin(struct session *s, struct message *m)
{
	struct txn *t = smtp_txn(s->smtp);
	const struct edit *failed;
	const char *why = "";

	if (envelope_edit(s, &failed, &why) != 0) {
		message_not_edited(s, m, failed, why);
		return;
	}
	if (t->ntargets == 0) {
		message_for_nobody(s, m, t);
		return;
	}
	message_loops(s, m, false);
	if (m->verdict.code >= 400)
		return;
	if (message_store_begin(s, &m->edited) != 0) {
		m->error = errno;
		message_store_log(s, m->error, "begin");
		return;
	}
	s->w->store->raw(m->edited);
	rewrite_begin(s, &m->rewrite, m->sm);
	m->step = MESSAGE_EDIT;
}

/* Carry out what the handlers want changed.  False: the session waits. */
static bool
message_edit(struct session *s, struct message *m)
{
	const struct edits *e = smtp_txn(s->smtp)->edits;

	if (m->step != MESSAGE_EDIT && e != NULL && (e->n > 0 || e->has_body))
		message_edit_begin(s, m);
	if (m->step != MESSAGE_EDIT)
		return true;
	switch (rewrite_store(s, &m->rewrite, m->edited)) {
	case REWRITE_WAIT:
		return false;
	case REWRITE_DONE:
	case REWRITE_DECIDED:
		rewrite_end(&m->rewrite);
		s->w->store->abort(m->sm);
		m->sm = m->edited;
		m->edited = NULL;
		break;
	case REWRITE_FAILED:
		message_rewrite_failed(s, m, "edit");
		break;
	}
	m->step = MESSAGE_VERDICT;
	return true;
}

/* Whether it is not to be stored: refused, dropped, or lost.  Then it is done with. */
static bool
message_not_stored(struct session *s, struct message *m)
{
	if (m->verdict.code < 400 && m->error == 0 && !m->refused && smtp_txn(s->smtp)->discard == NULL)
		return false;
	if (m->verdict.code >= 400)
		account_refusal(s, NULL, &m->verdict, m->by != NULL ? m->by : chain_name(&s->w->chain, &s->run));
	message_abort_store(s, m);
	m->step = MESSAGE_DONE;
	return true;
}

bool
message_decide(struct session *s, struct message *m)
{
	if (m->step != MESSAGE_EDIT) {
		if (!message_verdict(s, m))
			return false;
		if (message_not_stored(s, m))
			return true;
	}
	if (!message_edit(s, m))
		return false;
	if (message_not_stored(s, m))
		return true;
	m->step = MESSAGE_COMMIT;
	m->commit_start_us = loop_clock_us();
	s->wait = SESSION_COMMIT;
	if (m->dsn != NULL)
		dsn_stage(m->dsn, message_staged, s);
	else
		message_commit(s, m);
	return false;
}

void
message_result(struct session *s, struct message *m, const struct rcpt *rc, struct reply *r)
{
	int error = m->error != 0 ? m->error : m->done.err;

	if (m->verdict.code >= 400) {
		*r = m->verdict;
		return;
	}
	if (rc != NULL && rc->aside != NULL) {
		*r = *rc->aside;
		return;
	}
	if (m->error == 0 && rc != NULL) {
		error = 0;
		for (const struct rcpt_target *rt = rc->targets; rt != NULL && error == 0; rt = rt->next)
			error = rt->target->err;
	}
	if (error == 0 && m->report_err != 0 && (rc == NULL || dsn_tells(rc)))
		error = m->report_err;
	if (error != 0)
		message_store_reply(s->w->conf, error, r);
	else
		*r = m->verdict;
}
