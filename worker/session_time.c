/*
 * session_time: how long a client may take, and what happens when it takes
 * longer.
 */
#include "worker/account.h"
#include "worker/peer.h"
#include "worker/session_parts.h"

void
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

void
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

bool
session_tires(const struct session *s)
{
	const struct conf *cf = s->w->conf;

	return cf->limits.error_pause_ms != 0 && cf->limits.errors != 0 && s->last_code >= 500 &&
	    smtp_errors(s->smtp) >= cf->limits.errors / 2 + cf->limits.errors % 2;
}

enum conn_say
session_pause(struct session *s)
{
	stats_add(s->w->stats, STATS_ERROR_PAUSES, 1);
	s->wait = SESSION_PAUSE;
	conn_deadline(&s->conn, s->w->conf->limits.error_pause_ms);
	return CONN_WAIT;
}

bool
session_holds(struct session *s, struct span in)
{
	/* Nor is one kept that is only to hear that there are too many. */
	if (s->w->conf->greeting_delay_ms == 0 || in.n > 0 || s->over != LIMITS_FINE)
		s->hold = SESSION_HOLD_OVER;
	if (s->hold == SESSION_HOLD_DUE) {
		s->hold = SESSION_HOLDING;
		conn_deadline(&s->conn, s->w->conf->greeting_delay_ms);
	}
	return s->hold == SESSION_HOLDING;
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

void
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
