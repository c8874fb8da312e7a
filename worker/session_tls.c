/*
 * session_tls: a session's handshakes: whether there may be one, and how it
 * ended.  The handshake itself is net/tls's.
 */
#include <string.h>

#include "worker/account.h"
#include "worker/session_parts.h"

bool
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

bool
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

void
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
