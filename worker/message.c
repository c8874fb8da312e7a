/*
 * message: content is pushed through filter, handlers and store in that order.
 * Where one of them has to wait, what it did not take is kept here and the
 * session stops reading; nothing else is ever copied.  What becomes of it once
 * it is complete: message_verdict.c.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "common/log.h"
#include "worker/hooks.h"
#include "worker/message_parts.h"
#include "worker/smtp/trace.h"

static void
message_room(void *arg)
{
	struct session *s = arg;

	s->wait = SESSION_AWAKE;
	if (message_told(s, V_NEXT, NULL))
		session_wake(s);
}

void
message_store_reply(const struct conf *cf, int error, struct reply *r)
{
	switch (error) {
	case ENOSPC:
		reply_set(r, 452, ENH(4, 3, 1), "disk-full", "no room for mail here now, try again later");
		break;
	case EDQUOT:
		if (cf->quota.enforce && cf->quota.when_full == CONF_FULL_REJECT) {
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

void
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

int
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
	buf_init(&m->pend, CONN_IN_MAX + CONTENT_HOLD_MAX + CONTENT_ADDED_MAX);
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

void
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
			message_loops(s, m, s->listener->smtp.lmtp);
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
	dsn_end(m->dsn);
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
