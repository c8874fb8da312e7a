/*
 * session: drives one engine.  It feeds it, asks the chain what it asks, and
 * answers; it knows neither verbs nor disks.
 */
#include "worker/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "worker/account.h"
#include "worker/hooks.h"
#include "worker/id.h"
#include "worker/login.h"
#include "worker/message.h"
#include "worker/peer.h"
#include "worker/tap.h"

static struct session *
session_of(struct conn *c)
{
	return (struct session *)((char *)c - offsetof(struct session, conn));
}

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

/*
 * ${octets} of content came; 0: it begins.  A client has timeouts.data in hand;
 * each octet gives it the time that it may take at limits.data_rate, up to as
 * much again: an octet now and then does not hold a session (TRUST A1).  What
 * is thrown away counts too: who sends a message over the limit is to hear 552
 * at its end, not 421 on the way.
 */
static void
session_came(struct session *s, uint64_t octets)
{
	const struct conf *cf = s->w->conf;
	uint64_t most = loop_now_us(s->w->loop) + 1000 * (uint64_t)cf->timeouts.data_ms, us;

	s->progress = true;
	s->trickles = false;
	if (s->data_due_us == 0 || cf->limits.data_rate == 0 ||
	    __builtin_mul_overflow(octets, (uint64_t)1000000, &us) ||
	    __builtin_add_overflow(s->data_due_us, us / cf->limits.data_rate, &us) || us >= most) {
		s->data_due_us = most;
	} else {
		s->data_due_us = us;
		s->trickles = true;
	}
}

/* When the whole session has to be over, in milliseconds from now. */
static uint64_t
session_left_ms(const struct session *s)
{
	uint64_t most = s->w->conf->limits.session_ms, age = (loop_now_us(s->w->loop) - s->opened_us) / 1000;

	return most == 0 ? UINT32_MAX : age < most ? most - age : 0;
}

/* The deadline of whoever waits for the client. */
static void
session_rearm(struct session *s)
{
	uint64_t now = loop_now_us(s->w->loop), left = session_left_ms(s), ms = s->w->conf->timeouts.command_ms;

	if (smtp_phase(s->smtp) == SMTP_PHASE_DATA) {
		if (s->data_due_us == 0)
			session_came(s, 0);
		ms = s->data_due_us > now ? (s->data_due_us - now) / 1000 : 0;
	} else {
		s->data_due_us = 0;
	}
	conn_deadline(&s->conn, ms < left ? ms : left);
	s->progress = false;
}

static void
session_answer(struct session *s, const struct reply *r)
{
	account_reply(s, smtp_answer(s->smtp, r, &s->conn.out));
	s->progress = true;
}

/* A last word out of turn; the caller finishes the connection or lets the engine say CLOSE. */
static void
session_last_word(struct session *s, const char *end, uint32_t enh, const char *text)
{
	struct reply r;

	s->end = end;
	reply_set(&r, 421, enh, end, "%s %s", s->w->conf->hostname, text);
	account_reply(s, smtp_shutdown(s->smtp, &r, &s->conn.out));
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
	if (v == V_NEXT && s->run.stage == CHAIN_DATA) {
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

/* Begin or go on with a question about the envelope.  False: it waits. */
static bool
session_question(struct session *s, struct rcpt *rc)
{
	struct reply r;
	enum verdict v;
	uint64_t t0 = loop_clock_us();

	v = session_ask(s, rc, (struct span){ NULL, 0 }, &r);
	if (v == V_LATER)
		return false;
	stats_observe(s->w->stats, STATS_H_HANDLERS, loop_clock_us() - t0);
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

/* The transaction is over: the only place that says so. */
static void
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
	}
	if (s->w->taps != NULL && rc != NULL)
		tap_recipient(s, rc);
	s->asked = rc;
	hooks_begin(s);
	chain_begin(&s->run, stage);
	return session_question(s, rc);
}

/* It is known whom the session is with: what holds for that address alone. */
static void
session_known(struct session *s)
{
	if (conf_nets_have(&s->listener->conf->bare_newline_from, s->addr))
		smtp_allow_bare_newline(s->smtp);
	if (conf_nets_have(&s->listener->conf->xclient_from, s->addr))
		smtp_allow_xclient(s->smtp);
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
	if (!login_confirmed(s, &r))
		return session_begin_stage(s, CHAIN_AUTH, NULL);
	session_answer(s, &r);
	return true;
}

/* One event.  False: the session waits. */
static bool
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

/* Whether the client has begun fewer handshakes in this minute than it may.  Each costs us more than it does the client. */
static bool
session_may_shake(const struct session *s)
{
	static const uint8_t none[16]; /* by a unix socket, or unknown */
	uint32_t most = s->w->conf->limits.handshakes_per_ip;

	if (most == 0 || memcmp(s->addr, none, sizeof(none)) == 0 ||
	    conns_rate(s->w->conns, CONNS_HANDSHAKE, s->addr, loop_now_ms(s->w->loop) / 60000) <= most)
		return true;
	stats_add(s->w->stats, STATS_TLS_REFUSED, 1);
	return false;
}

/* STARTTLS was said.  True: 220 is queued, and the handshake follows it. */
static bool
session_starttls(struct session *s, struct span behind)
{
	struct smtp_sent sent;
	struct reply r;

	/* Whoever put it there wants it to be taken for something said inside TLS (CVE-2011-0411). */
	if (behind.n > 0) {
		s->end = "plaintext-behind-starttls";
		stats_add(s->w->stats, STATS_TLS_INJECTED, 1);
		reply_set(&r, 554, ENH(5, 5, 0), s->end, "you spoke before TLS had begun, closing");
		r.close = true;
	} else if (!session_may_shake(s)) {
		reply_set(&r, 454, ENH(4, 7, 0), "too-many-handshakes",
		    "%s has had too many TLS handshakes from your address in this minute", s->w->conf->hostname);
	} else if (conn_tls(&s->conn, s->listener->tls) != 0) {
		reply_set(&r, 454, ENH(4, 7, 0), "no-memory", "TLS is not available now");
	} else {
		sent = smtp_answer(s->smtp, NULL, &s->conn.out);
		account_reply(s, sent);
		if (sent.code == 220)
			conn_deadline(&s->conn, s->w->conf->timeouts.handshake_ms);
		return sent.code == 220;
	}
	account_refusal(s, NULL, &r, "tls");
	session_answer(s, &r);
	return false;
}

static void
session_secured(struct conn *c, bool done)
{
	struct session *s = session_of(c);
	struct tls_facts f = conn_tls_facts(c);
	struct span sni = { NULL, 0 };

	if (f.sni.n > 0 && f.sni.n <= SESSION_SNI_MAX)
		(void)arena_dup(&s->arena, span_of(f.sni.p, f.sni.n + 1), &sni);
	s->tls = arena_alloc(&s->arena, sizeof(*s->tls));
	if (s->tls != NULL)
		*s->tls = (struct session_tls){ f.version, f.cipher, (const char *)sni.p };
	account_tls(s, done ? NULL : f.why, f.resumed);
	if (done) {
		(void)smtp_tls_started(s->smtp, (struct span){ NULL, 0 });
		session_rearm(s);
	} else {
		s->end = "tls-failed";
	}
}

/* Nothing is open: the moment when a 421 costs the client nothing. */
static bool
session_idle(const struct session *s)
{
	return s->wait == SESSION_AWAKE && s->greeted && !conn_shaking(&s->conn) && !smtp_busy(s->smtp) &&
	    smtp_txn(s->smtp) == NULL;
}

static enum conn_say
session_closing(struct session *s)
{
	if (s->end == NULL)
		s->end = s->last_code == 221 ? "quit" : s->last_code == 421 ? "limit" : "refused";
	return s->last_code == 221 ? CONN_CLOSE : CONN_LINGER;
}

/* It is known whom the session is with: what holds for that address alone; then TLS, or the deadline of a first command. */
static enum conn_say
session_met(struct session *s)
{
	session_known(s);
	if (s->listener->conf->tls != CONF_TLS_IMPLICIT) {
		conn_deadline(&s->conn, s->w->conf->timeouts.command_ms);
		return CONN_MORE;
	}
	conn_deadline(&s->conn, s->w->conf->timeouts.handshake_ms);
	if (!session_may_shake(s)) {
		s->end = "too-many-handshakes";
		return CONN_CLOSE;
	}
	if (conn_tls(&s->conn, s->listener->tls) == 0)
		return CONN_TLS;
	s->end = "no-memory";
	return CONN_CLOSE;
}

/* Before all else, TLS and the greeting too; what stands behind the header is left in the socket. */
static enum conn_say
session_header(struct session *s, struct span *in)
{
	enum conn_say say = peer_header(s, in);

	if (!s->proxy_due) {
		enum conn_say next = session_met(s);

		conn_peek(&s->conn, false);
		return next == CONN_MORE ? say : next;
	}
	return say;
}

/* Whether the client has just made an error, and many before. */
static bool
session_tires(const struct session *s)
{
	const struct conf *cf = s->w->conf;

	return cf->limits.error_pause_ms != 0 && cf->limits.errors != 0 && s->last_code >= 500 &&
	    smtp_errors(s->smtp) >= cf->limits.errors / 2 + cf->limits.errors % 2;
}

static enum conn_say
session_pause(struct session *s)
{
	stats_add(s->w->stats, STATS_ERROR_PAUSES, 1);
	s->wait = SESSION_PAUSE;
	conn_deadline(&s->conn, s->w->conf->limits.error_pause_ms);
	return CONN_WAIT;
}

/* Whether the greeting is put off.  Who speaks meanwhile is an early talker, and is told so at once. */
static bool
session_holds(struct session *s, struct span in)
{
	if (s->w->conf->greeting_delay_ms == 0 || in.n > 0)
		s->hold = SESSION_HOLD_OVER;
	if (s->hold == SESSION_HOLD_DUE) {
		s->hold = SESSION_HOLDING;
		conn_deadline(&s->conn, s->w->conf->greeting_delay_ms);
	}
	return s->hold == SESSION_HOLDING;
}

static enum conn_say
session_feed(struct conn *c, struct span *in)
{
	struct session *s = session_of(c);
	struct smtp_event e;

	if (s->proxy_due)
		return session_header(s, in);
	if (s->hold != SESSION_HOLD_OVER && session_holds(s, *in))
		return CONN_MORE;
	if (s->wait != SESSION_AWAKE)
		return CONN_WAIT;
	for (;;) {
		uint32_t refusals = s->refusals;
		enum smtp_ev ev;
		size_t had = in->n;

		if (buf_left(&c->out) < SMTP_OUT_MIN)
			return CONN_FULL;
		ev = smtp_next(s->smtp, in, &c->out, &e);
		c->secret = c->secret || smtp_secret(s->smtp);
		if (smtp_phase(s->smtp) == SMTP_PHASE_DATA && in->n < had)
			session_came(s, had - in->n);
		if (ev == SMTP_EV_CLOSE)
			return session_closing(s);
		if (ev == SMTP_EV_MORE && s->w->draining && session_idle(s) && s->end == NULL) {
			session_last_word(s, "shutdown", ENH(4, 3, 2), "is going down, try again in a moment");
			continue;
		}
		if (ev == SMTP_EV_MORE) {
			if (s->progress)
				session_rearm(s);
			return CONN_MORE;
		}
		if (ev == SMTP_EV_STARTTLS) {
			if (session_starttls(s, *in))
				return CONN_TLS;
			continue;
		}
		if (!session_event(s, ev, &e))
			return CONN_WAIT;
		if (s->refusals != refusals && session_tires(s))
			return session_pause(s);
	}
}

static void
session_free(struct session *s)
{
	struct worker *w = s->w;

	hooks_cancel(s);
	if (smtp_txn(s->smtp) != NULL && !s->accounted)
		session_transaction_over(s, (struct smtp_sent){ .code = 0, .reason = s->end });
	account_session(s);
	if (s->greeted)
		hooks_closed(s);
	LIST_REMOVE(s, entry);
	w->nsessions--;
	stats_gauge(w->stats, STATS_SESSIONS_OPEN, w->nsessions);
	smtp_wipe(s->smtp);
	arena_reset(&s->tarena);
	arena_reset(&s->arena);
	free(s);
	if (w->nsessions == 0 && w->emptied != NULL)
		w->emptied(w);
}

static void
session_closed(struct conn *c, bool lost)
{
	struct session *s = session_of(c);

	if (s->proxy_due && s->end == NULL)
		peer_no_header(s, "proxy-short");
	/* What it was told last, or that we closed it ourselves, is no loss. */
	if (lost && !s->proxy_due && s->end == NULL && s->last_code != 221 && s->last_code != 421)
		stats_add(s->w->stats, STATS_LOST_CLIENTS, 1);
	if (s->end == NULL)
		s->end = "lost";
	s->gone = true;
	if (s->wait != SESSION_COMMIT)
		session_free(s);
}

void
session_wake(struct session *s)
{
	/* The time that it was made to wait is not its own. */
	if (s->wait != SESSION_PAUSE)
		s->data_due_us = 0;
	s->wait = SESSION_AWAKE;
	s->progress = true;
	if (!s->gone) {
		conn_resume(&s->conn);
		return;
	}
	/* The client left while its message was being stored: it stands, and is accounted for, all the same. */
	session_free(s);
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

void
session_told(void *who, enum verdict v, const struct reply *r)
{
	struct session *s = who;
	struct session_view view;
	struct chain_about about = hooks_about(s, &view);
	struct reply copy = *r;

	v = chain_told(&s->w->chain, &s->run, &about, v, &copy);
	if (v == V_LATER)
		session_sleep(s);
	else
		session_decided(s, v, &copy);
}

/* A handler took too long. */
static void
session_handler_late(struct session *s)
{
	struct session_view view;
	struct chain_about about = hooks_about(s, &view);
	struct reply r;

	stats_add(s->w->stats, STATS_HANDLER_TIMEOUTS, 1);
	session_decided(s, chain_late(&s->w->chain, &s->run, &about, &r), &r);
}

/* The client's time is over; which one? */
static void
session_deadline(struct session *s)
{
	stats_add(s->w->stats, STATS_TIMEOUTS, 1);
	if (session_left_ms(s) <= LOOP_TICK_MS) {
		stats_add(s->w->stats, STATS_LONG_SESSIONS, 1);
		session_last_word(s, "session-too-long", ENH(4, 7, 0), "has served you long enough, come again");
	} else if (s->data_due_us != 0 && s->trickles) {
		stats_add(s->w->stats, STATS_SLOW_CLIENTS, 1);
		session_last_word(s, "too-slow", ENH(4, 4, 2), "gets your message too slowly, closing");
	} else {
		session_last_word(s, "timeout", ENH(4, 4, 2), "waited too long for you, closing");
	}
}

static void
session_late(struct conn *c)
{
	struct session *s = session_of(c);

	switch (s->wait) {
	case SESSION_ROOM:
	case SESSION_COMMIT:
		/* It is we who are slow. */
		conn_deadline(c, s->w->conf->timeouts.command_ms);
		return;
	case SESSION_HANDLER:
		session_handler_late(s);
		return;
	case SESSION_PAUSE:
		session_wake(s);
		return;
	case SESSION_AWAKE:
		break;
	}
	if (s->proxy_due) {
		peer_no_header(s, "proxy-timeout");
		conn_abort(c);
		return;
	}
	if (conn_shaking(c)) {
		stats_add(s->w->stats, STATS_TIMEOUTS, 1);
		s->end = "tls-timeout";
		account_tls(s, "timeout", false);
		conn_abort(c);
		return;
	}
	if (s->hold == SESSION_HOLDING) {
		s->hold = SESSION_HOLD_OVER;
		conn_deadline(c, s->w->conf->timeouts.command_ms);
		conn_nudge(c);
		return;
	}
	session_deadline(s);
	conn_finish(c);
}

void
session_drain(struct session *s)
{
	if (s->gone || s->end != NULL || !session_idle(s) || buf_left(&s->conn.out) < SMTP_OUT_MIN)
		return;
	session_last_word(s, "shutdown", ENH(4, 3, 2), "is going down, try again in a moment");
	conn_finish(&s->conn);
}

void
session_expel(struct session *s)
{
	if (s->gone || s->wait == SESSION_COMMIT)
		return;
	if (s->proxy_due || conn_shaking(&s->conn))
		s->end = "shutdown";
	if (s->end == NULL && buf_left(&s->conn.out) >= SMTP_OUT_MIN) {
		hooks_cancel(s);
		s->wait = SESSION_AWAKE;
		session_last_word(s, "shutdown", ENH(4, 3, 2), "is going down, try again in a moment");
		conn_finish(&s->conn);
		return;
	}
	conn_abort(&s->conn);
}

static const struct conn_ops session_conn_ops = { session_feed, session_late, session_closed, session_secured };

void
session_start(struct worker *w, const struct listener *ls, int fd, const struct sockaddr_storage *peer)
{
	struct session *s = calloc(1, sizeof(*s));
	struct sockaddr_storage local = ls->local;
	socklen_t len = sizeof(local);

	if (s == NULL)
		goto err0;
	s->w = w;
	s->listener = ls;
	s->opened_us = loop_now_us(w->loop);
	id_next(s->id);
	arena_init(&s->arena, SESSION_ARENA_FIRST, SESSION_ARENA_MAX);
	arena_init(&s->tarena, TXN_ARENA_FIRST, TXN_ARENA_MAX);
	if (local.ss_family == AF_UNSPEC)
		getsockname(fd, (struct sockaddr *)&local, &len);
	s->smtp = smtp_new(&ls->smtp, span_str(s->id), &s->arena, &s->tarena);
	if (peer_real(s, peer, &local) != 0 || s->smtp == NULL)
		goto err1;
	if (conn_start(&s->conn, w->loop, fd, &session_conn_ops) != 0) {
		fd = -1;
		goto err1;
	}
	if (w->taps != NULL)
		smtp_show_lines(s->smtp, true);
	s->proxy_due = peer_owes_header(s);
	if (s->proxy_due) {
		conn_peek(&s->conn, true);
		conn_deadline(&s->conn, SESSION_PROXY_MS);
	} else {
		(void)session_met(s);
	}
	LIST_INSERT_HEAD(&w->sessions, s, entry);
	w->nsessions++;
	stats_add(w->stats, STATS_SESSIONS_TOTAL, 1);
	stats_gauge(w->stats, STATS_SESSIONS_OPEN, w->nsessions);
	if (s->end != NULL)
		conn_abort(&s->conn);
	return;

err1:
	arena_reset(&s->arena);
	free(s);
err0:
	if (fd != -1)
		close(fd);
	stats_add(w->stats, STATS_ACCEPT_ERRORS, 1);
}
