/*
 * session: a connection's life.  What came goes to the engine; what the engine
 * asks is session_ask.c's, deadlines session_time.c's, handshakes
 * session_tls.c's.
 */
#include "worker/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/id.h"
#include "worker/accept.h"
#include "worker/account.h"
#include "worker/hooks.h"
#include "worker/message.h"
#include "worker/peer.h"
#include "worker/session_parts.h"

enum limits_found
session_over(const struct question *q)
{
	const struct session *s = q->session_private;

	return (enum limits_found)s->over;
}

void
session_known(struct session *s)
{
	if (s->w->limits != NULL) {
		s->over = (uint8_t)limits_enter(s->w->limits, s->addr);
		s->counted = s->over == LIMITS_FINE;
	}
	if (conf_nets_have(&s->listener->conf->bare_newline_from, s->addr))
		smtp_allow_bare_newline(s->smtp);
	if (conf_nets_have(&s->listener->conf->xclient_from, s->addr))
		smtp_allow_xclient(s->smtp);
}

void
session_unknown(struct session *s)
{
	if (s->counted)
		limits_leave(s->w->limits, s->addr);
	s->counted = false;
}

bool
session_let_go(struct session *s)
{
	if (s->lingering)
		return true;
	if (s->w->nlingering >= s->w->lingering_max)
		return false;
	s->lingering = true;
	s->w->nlingering++;
	session_unknown(s);
	return true;
}

static bool
session_lingers(struct conn *c)
{
	return session_let_go(session_of(c));
}

/*
 * The last word is queued.  Where it goes out at once the place is free before
 * the client reads it, and may come again; one that takes nothing keeps its
 * place until it does.
 */
static void
session_said(struct session *s)
{
	if (s->conn.can_write)
		(void)session_let_go(s);
}

void
session_last_word(struct session *s, const char *end, uint32_t enh, const char *text)
{
	struct reply r;

	s->end = end;
	reply_set(&r, 421, enh, end, "%s %s", s->w->conf->hostname, text);
	account_reply(s, smtp_shutdown(s->smtp, &r, &s->conn.out));
	session_said(s);
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
	session_said(s);
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
	/* Who waits for TLS can't be told, and a handshake to say it in is what there are too many of. */
	if (s->over != LIMITS_FINE) {
		s->end = limits_reason((enum limits_found)s->over);
		account_turned_away(s, s->end);
		return CONN_CLOSE;
	}
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
		enum smtp_ev ev;
		size_t had = in->n;

		/* Those that were said while it waited for a handler, too. */
		if (s->weighed != s->refusals) {
			s->weighed = s->refusals;
			if (session_tires(s))
				return session_pause(s);
		}
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
	session_unknown(s);
	w->nlingering -= s->lingering;
	LIST_REMOVE(s, entry);
	w->nsessions--;
	stats_gauge(w->stats, STATS_SESSIONS_OPEN, w->nsessions);
	accept_share(w);
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
	if (lost && !s->proxy_due && !c->flooded && s->end == NULL && s->last_code != 221 && s->last_code != 421)
		stats_add(s->w->stats, STATS_LOST_CLIENTS, 1);
	if (c->flooded)
		stats_add(s->w->stats, STATS_TLS_FLOODS, 1);
	if (s->end == NULL)
		s->end = c->flooded ? "tls-flood" : "lost";
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

static const struct conn_ops session_conn_ops = { session_feed, session_late, session_closed, session_lingers,
	session_secured };

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
	accept_share(w);
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
