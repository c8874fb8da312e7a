/*
 * message: content is pushed through filter, handlers and store in that order.
 * Where one of them has to wait, what it did not take is kept here and the
 * session stops reading; nothing else is ever copied.
 */
#include "worker/message.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "common/log.h"
#include "worker/account.h"
#include "worker/dsn.h"
#include "worker/envelope.h"
#include "worker/hooks.h"
#include "worker/rewrite.h"
#include "worker/smtp/content.h"
#include "worker/smtp/trace.h"

enum message_step {
	MESSAGE_BODY,    /* content is coming */
	MESSAGE_TAIL,    /* complete; what the filter held back goes its way */
	MESSAGE_VERDICT, /* the handlers are asked for their last word */
	MESSAGE_REPLAY,  /* one of them is shown the content as it is edited so far */
	MESSAGE_EDIT,    /* what they want changed is carried out */
	MESSAGE_COMMIT,  /* the store makes it durable, and the spool the report that the sender asked for */
	MESSAGE_DONE     /* there is a result */
};

struct message {
	enum message_step step;
	struct store_msg *sm;     /* NULL once committed, aborted or lost */
	struct store_msg *edited; /* takes the place of sm when it is whole; else NULL */
	struct rewrite rewrite;
	struct content *content;
	struct buf pend; /* what waits: first pend_kept octets that the filter has let pass, then unfiltered ones */
	size_t pend_kept;
	bool asked;           /* the handlers have seen the waiting octets */
	bool asking;          /* ... one of them is still to answer */
	int error;            /* the store's errno, before commit */
	struct reply verdict; /* the handlers'; code 0: no objection */
	struct store_done done;
	uint64_t commit_start_us, commit_us;
	struct dsn *dsn; /* NULL: no report is asked for */
	int report_err;  /* errno: the message is stored, its report is not */
};

static void
message_room(void *arg)
{
	struct session *s = arg;

	s->wait = SESSION_AWAKE;
	if (message_told(s, V_NEXT, NULL))
		session_wake(s);
}

/* What a store's failure means to the sender (RFC 3463 3.4). */
static void
message_store_reply(const struct conf *cf, int error, struct reply *r)
{
	switch (error) {
	case ENOSPC:
		reply_set(r, 452, ENH(4, 3, 1), "disk-full", "no room for mail here now, try again later");
		break;
	case EDQUOT:
		if (cf->quota.line != 0 && cf->quota.when_full == CONF_FULL_REJECT) {
			reply_set(r, 552, ENH(5, 2, 2), "over-quota", "the mailbox has no room for this mail");
			break;
		}
		reply_set(r, 452, ENH(4, 2, 2), "over-quota", "the mailbox has no room now, try again later");
		break;
	case ENOBUFS:
		reply_set(r, 452, ENH(4, 3, 1), "reports-full",
		    "too many delivery reports wait already, try again later or without NOTIFY=SUCCESS");
		break;
	case EAGAIN:
		reply_set(r, 452, ENH(4, 3, 1), "store-busy", "too much mail is being stored now, try again later");
		break;
	default:
		reply_set(r, 451, ENH(4, 3, 0), "store-error", "the mail could not be stored, try again later");
		break;
	}
}

static void
message_store_log(struct session *s, int error, const char *what)
{
	struct log_line l;
	const struct txn *t = smtp_txn(s->smtp);

	stats_add(s->w->stats, STATS_STORE_ERRORS, 1);
	log_begin(&l, LOG_L_ERROR, "store-error");
	log_str(&l, "session", s->id);
	log_str(&l, "id", t->id);
	log_str(&l, "step", what);
	log_str(&l, "error", strerror(error));
	log_str(&l, "store", s->w->conf->store.path);
	log_end(&l);
}

static ssize_t
message_received(struct session *s, char *out, size_t cap)
{
	struct timespec now;
	struct tm tm;
	char tls[128];
	struct trace tr = {
		.helo = smtp_helo(s->smtp),
		.rdns = s->name,
		.remote = s->remote,
		.hostname = s->w->conf->hostname,
		.with = smtp_with(s->smtp),
		.id = smtp_txn(s->smtp)->id,
	};

	if (s->tls != NULL) {
		snprintf(tls, sizeof(tls), "(version=%s cipher=%s)", s->tls->version, s->tls->cipher);
		tr.tls = tls;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	tr.date = now.tv_sec;
	tr.gmtoff = (int32_t)tm.tm_gmtoff;
	return trace_received(&tr, smtp_txn(s->smtp), out, cap);
}

/* A message in the store, with our trace in front.  0, or -1 with errno. */
static int
message_store_begin(struct session *s, struct store_msg **out)
{
	char received[TRACE_RECEIVED_MAX];
	ssize_t n = message_received(s, received, sizeof(received));

	if (n < 0) {
		errno = EMSGSIZE;
		return -1;
	}
	return s->w->store->begin(
	    s->w->store_ctx, smtp_txn(s->smtp), span_of(received, (size_t)n), message_room, s, out);
}

bool
message_begin(struct session *s, struct reply *r)
{
	struct txn *t = smtp_txn(s->smtp);
	struct message *m = arena_alloc(t->arena, sizeof(*m));
	int error = ENOMEM;

	s->msg = NULL;
	if (m == NULL)
		goto err;
	m->content = content_new(t->arena, s->w->conf->hostname);
	if (m->content == NULL)
		goto err;
	buf_init(&m->pend, CONN_IN_MAX + CONTENT_HOLD_MAX);
	if (s->w->dsn != NULL && dsn_wanted(t) && (m->dsn = dsn_begin(s->w->dsn, t)) == NULL) {
		error = errno;
		goto err;
	}
	if (message_store_begin(s, &m->sm) != 0) {
		error = errno;
		dsn_end(m->dsn);
		goto err;
	}
	s->msg = m;
	return true;

err:
	message_store_log(s, error, "begin");
	message_store_reply(s->w->conf, error, r);
	return false;
}

static void
message_abort_store(struct session *s, struct message *m)
{
	rewrite_end(&m->rewrite);
	if (m->sm != NULL)
		s->w->store->abort(m->sm);
	if (m->edited != NULL)
		s->w->store->abort(m->edited);
	m->sm = m->edited = NULL;
}

struct rewrite *
message_rewrite(const struct session *s)
{
	return &s->msg->rewrite;
}

/* Keep what waits. */
static bool
message_suspend(struct session *s, struct message *m, struct span kept, struct span raw)
{
	m->pend_kept = kept.n;
	if (buf_put(&m->pend, kept.p, kept.n) == 0 && buf_put(&m->pend, raw.p, raw.n) == 0)
		return false;
	/* No memory to wait in: the message is lost, the session is not. */
	hooks_cancel(s);
	s->wait = SESSION_AWAKE;
	m->error = ENOMEM;
	m->asking = false;
	message_abort_store(s, m);
	dsn_end(m->dsn);
	buf_free(&m->pend);
	return true;
}

/* Show ${kept} to the handlers.  False: one of them thinks. */
static bool
message_ask(struct session *s, struct message *m, struct span kept)
{
	enum verdict v;

	if (m->asked || !s->w->chain.wants_body || m->verdict.code != 0 || m->error != 0 ||
	    smtp_txn(s->smtp)->discard != NULL)
		return true;
	if (!m->asking)
		chain_begin(&s->run, CHAIN_BODY);
	v = session_ask(s, NULL, kept, &m->verdict);
	m->asking = v == V_LATER;
	if (v == V_NEXT)
		m->verdict.code = 0;
	return v != V_LATER;
}

/* Offer ${kept} to the store.  False: it is full; *kept is the rest. */
static bool
message_write(struct session *s, struct message *m, struct span *kept)
{
	size_t taken = 0;

	if (m->sm == NULL || m->verdict.code >= 400 || smtp_txn(s->smtp)->discard != NULL)
		return true;
	if (s->w->store->write(m->sm, *kept, &taken) == 0) {
		if (m->dsn != NULL)
			dsn_content(m->dsn, *kept);
		return true;
	}
	if (m->dsn != NULL)
		dsn_content(m->dsn, span_head(*kept, taken));
	if (errno == EAGAIN) {
		*kept = span_skip(*kept, taken);
		s->wait = SESSION_ROOM;
		return false;
	}
	m->error = errno;
	message_store_log(s, m->error, "write");
	message_abort_store(s, m);
	return true;
}

/* Push content on: ${kept} has passed the filter, ${raw} has not.  False: the session waits. */
static bool
message_push(struct session *s, struct message *m, struct span kept, struct span raw)
{
	for (;;) {
		if (kept.n > 0) {
			if (!message_ask(s, m, kept))
				return message_suspend(s, m, kept, raw);
			m->asked = true;
			if (!message_write(s, m, &kept))
				return message_suspend(s, m, kept, raw);
		}
		m->asked = false;
		kept.n = 0;
		if (raw.n == 0 && m->step != MESSAGE_BODY)
			return true;
		if (!content_next(m->content, &raw, &kept))
			return true;
	}
}

bool
message_body(struct session *s, struct span raw)
{
	return message_push(s, s->msg, (struct span){ NULL, 0 }, raw);
}

/* Go on with what waits. */
static bool
message_unsuspend(struct session *s, struct message *m)
{
	struct buf old = m->pend;
	struct span all = buf_view(&old);
	size_t kept = m->pend_kept;
	bool through;

	buf_init(&m->pend, old.max);
	m->pend_kept = 0;
	through = message_push(s, m, span_head(all, kept), span_skip(all, kept));
	buf_free(&old);
	return through;
}

bool
message_told(struct session *s, enum verdict v, const struct reply *r)
{
	struct message *m = s->msg;

	if (v == V_REPLY && r != NULL)
		m->verdict = *r;
	if (m->step == MESSAGE_REPLAY || m->step == MESSAGE_EDIT)
		return true;
	if (m->step == MESSAGE_VERDICT) {
		/* A "no objection" lets the chain go on when the engine asks again. */
		m->asking = v != V_REPLY;
		return true;
	}
	if (v == V_REPLY)
		m->asking = false;
	return message_unsuspend(s, m);
}

/* Mail that goes round (RFC 5321 6.3): too many hops, or we have delivered it to this mailbox before. */
static void
message_loops(struct session *s, struct message *m)
{
	const struct txn *t = smtp_txn(s->smtp);

	if (content_received(m->content) >= CONTENT_RECEIVED_MAX) {
		reply_set(&m->verdict, 554, ENH(5, 4, 6), "too-many-hops",
		    "this mail goes round in a loop: it has %u Received fields", CONTENT_RECEIVED_MAX);
		return;
	}
	for (const struct target *tg = t->targets; tg != NULL; tg = tg->next)
		if (content_delivered_to(m->content, tg->key)) {
			reply_set(&m->verdict, 554, ENH(5, 4, 6), "delivered-before",
			    "this mail goes round in a loop: it was delivered to this mailbox before");
			return;
		}
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
		m->error = m->rewrite.error;
		message_store_log(s, m->error, "read");
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

/* Edits that can't be carried out: all of them or none, so the message is not taken. */
static void
message_not_edited(struct session *s, struct message *m, const char *why)
{
	struct log_line l;

	log_begin(&l, LOG_L_WARN, "edits-failed");
	log_str(&l, "session", s->id);
	log_str(&l, "id", smtp_txn(s->smtp)->id);
	log_str(&l, "reason", why);
	log_end(&l);
	reply_set(&m->verdict, 451, ENH(4, 3, 0), "edits-failed", "this mail could not be processed, try again later");
}

/* Begin the message anew, for the envelope as it is now. */
static void
message_edit_begin(struct session *s, struct message *m)
{
	struct txn *t = smtp_txn(s->smtp);
	const char *why = "";

	if (envelope_edit(s, &why) != 0) {
		message_not_edited(s, m, why);
		return;
	}
	if (t->ntargets == 0) {
		t->discard = "edits";
		return;
	}
	message_loops(s, m);
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
		if (m->rewrite.error == EMSGSIZE) {
			message_not_edited(s, m, "header-too-large");
			break;
		}
		m->error = m->rewrite.error;
		message_store_log(s, m->error, "edit");
		break;
	}
	m->step = MESSAGE_VERDICT;
	return true;
}

/* Whether it is not to be stored: refused, dropped, or lost.  Then it is done with. */
static bool
message_not_stored(struct session *s, struct message *m)
{
	if (m->verdict.code < 400 && m->error == 0 && smtp_txn(s->smtp)->discard == NULL)
		return false;
	if (m->verdict.code >= 400)
		account_refusal(s, NULL, &m->verdict, chain_name(&s->w->chain, &s->run));
	message_abort_store(s, m);
	m->step = MESSAGE_DONE;
	return true;
}

/* The handlers' last word, what they want changed, then the commit.  False: the session waits. */
static bool
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

/* The reply for recipient ${rc}, or for all when it is NULL. */
static void
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

bool
message_end(struct session *s, const struct rcpt *rc, struct reply *r)
{
	struct message *m = s->msg;
	struct span tail;

	switch (m->step) {
	case MESSAGE_BODY:
		m->step = MESSAGE_TAIL;
		if (content_end(m->content, &tail) && !message_push(s, m, tail, (struct span){ NULL, 0 }))
			return false;
		/* FALLTHROUGH */
	case MESSAGE_TAIL:
		m->step = MESSAGE_VERDICT;
		if (m->verdict.code == 0)
			message_loops(s, m);
		/* FALLTHROUGH */
	case MESSAGE_VERDICT:
	case MESSAGE_REPLAY:
	case MESSAGE_EDIT:
		if (!message_decide(s, m))
			return false;
		break;
	case MESSAGE_COMMIT:
		return false;
	case MESSAGE_DONE:
		break;
	}
	message_result(s, m, rc, r);
	return true;
}

void
message_drop(struct session *s)
{
	struct message *m = s->msg;

	s->msg = NULL;
	if (m == NULL)
		return;
	message_abort_store(s, m);
	buf_free(&m->pend);
}

bool
message_stored(const struct session *s, int *mailboxes, uint64_t *commit_us)
{
	const struct message *m = s->msg;

	*mailboxes = m != NULL && m->step == MESSAGE_DONE ? m->done.nstored : 0;
	*commit_us = m != NULL ? m->commit_us : 0;
	return *mailboxes > 0;
}

bool
message_dropped(const struct session *s)
{
	const struct message *m = s->msg;

	return m != NULL && m->step == MESSAGE_DONE && smtp_txn(s->smtp)->discard != NULL && m->error == 0 &&
	    m->verdict.code < 400;
}
