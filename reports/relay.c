/*
 * relay: a state a reply that is waited for.
 * A relay that offers TLS and cannot do it is spoken to in clear the next time:
 * who could break the handshake could have hidden the offer (RFC 7435 3).
 */
#include "reports/relay.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void finish(struct relay *r, enum relay_result how, const char *words, int64_t now_ms);

void
relay_init(struct relay *r)
{
	r->state = RELAY_CLOSED;
	r->fd = -1;
	r->deadline_ms = r->whole_ms = INT64_MAX;
	buf_init(&r->in, RELAY_REPLY_MAX);
	buf_init(&r->out, RELAY_OUT_MAX);
}

bool
relay_free(const struct relay *r)
{
	return !r->has_message && (r->state == RELAY_CLOSED || r->state == RELAY_READY);
}

static void
hang_up(struct relay *r)
{
	relay_tls_free(r->tls);
	r->tls = NULL;
	if (r->fd != -1)
		close(r->fd);
	r->fd = -1;
	r->state = RELAY_CLOSED;
	r->deadline_ms = INT64_MAX;
	buf_free(&r->in);
	buf_free(&r->out);
}

/* --- connecting --- */

/* The next address that can be begun with.  False: there is none left. */
static bool
connect_next(struct relay *r, int64_t now_ms)
{
	for (; r->nth < r->where->n; r->nth++) {
		const struct sockaddr_storage *ss = &r->where->ss[r->nth];
		int fd = socket(ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd == -1) {
			snprintf(r->words, sizeof(r->words), "cannot connect: %s", strerror(errno));
			continue;
		}
		if (connect(fd, (const struct sockaddr *)ss, r->where->len[r->nth]) == 0 || errno == EINPROGRESS) {
			r->fd = fd;
			r->state = RELAY_CONNECTING;
			r->deadline_ms = now_ms + (r->reply_ms < RELAY_CONNECT_MS ? r->reply_ms : RELAY_CONNECT_MS);
			return true;
		}
		snprintf(r->words, sizeof(r->words), "cannot connect: %s", strerror(errno));
		close(fd);
	}
	return false;
}

static void
connect_failed(struct relay *r, int err, int64_t now_ms)
{
	hang_up(r);
	snprintf(r->words, sizeof(r->words), "cannot connect: %s", strerror(err));
	r->nth++;
	if (!connect_next(r, now_ms))
		finish(r, RELAY_DOWN, r->words, now_ms);
}

/* --- saying --- */

static void
wait_for(struct relay *r, enum relay_state state, int64_t now_ms)
{
	int64_t ms = state == RELAY_END ? r->end_ms : r->reply_ms;

	r->state = state;
	r->deadline_ms = now_ms + (state == RELAY_QUIT && ms > RELAY_QUIT_MS ? RELAY_QUIT_MS : ms);
}

static bool
put(struct relay *r, struct span s)
{
	return s.n == 0 || buf_put(&r->out, s.p, s.n) == 0;
}

static void
say(struct relay *r, enum relay_state then, const char *verb, struct span what, const char *rest, int64_t now_ms)
{
	if (put(r, span_str(verb)) && put(r, what) && put(r, span_str(rest)) && put(r, SPAN("\r\n")))
		wait_for(r, then, now_ms);
	else
		finish(r, RELAY_DOWN, "no memory", now_ms);
}

#define NOTHING SPAN("")

static void
say_mail(struct relay *r, int64_t now_ms)
{
	if (r->wants_utf8 && !(r->offers.utf8 && r->offers.has8))
		finish(r, RELAY_NEVER, "the sender's address needs SMTPUTF8, which the relay does not offer", now_ms);
	else
		say(r, RELAY_MAIL, "MAIL FROM:<>", NOTHING, r->wants_utf8 ? " BODY=8BITMIME SMTPUTF8" : "", now_ms);
}

/* RFC 5321 4.5.2: CRLF, and a dot more in front of a dot. */
static void
say_content(struct relay *r, int64_t now_ms)
{
	struct span left = r->text;
	bool ok = true;

	while (left.n > 0 && ok) {
		const uint8_t *lf = memchr(left.p, '\n', left.n);
		size_t n = lf != NULL ? (size_t)(lf - left.p) : left.n;

		ok = (left.p[0] != '.' || put(r, SPAN("."))) && put(r, span_head(left, n)) && put(r, SPAN("\r\n"));
		left = span_skip(left, lf != NULL ? n + 1 : n);
	}
	if (ok && put(r, SPAN(".\r\n")))
		wait_for(r, RELAY_END, now_ms);
	else
		finish(r, RELAY_DOWN, "no memory", now_ms);
}

/* --- hearing --- */

/* The message is over.  What is to be known was said by the one who told. */
static void
finish(struct relay *r, enum relay_result how, const char *words, int64_t now_ms)
{
	bool had = r->has_message;

	if (words != r->words)
		snprintf(r->words, sizeof(r->words), "%s", words);
	r->has_message = false;
	r->whole_ms = INT64_MAX;
	if (how == RELAY_DOWN)
		hang_up(r);
	else if (how == RELAY_SENT)
		r->state = RELAY_READY, r->deadline_ms = INT64_MAX;
	else
		say(r, RELAY_RSET, "RSET", NOTHING, "", now_ms);
	if (had)
		r->told(r->arg, how, r->words);
}

/* A reply that is not the one hoped for: of this message, or of the session. */
static void
refused(struct relay *r, unsigned code, int64_t now_ms)
{
	if (code == 421 || r->state < RELAY_READY || (code < 400 || code > 599))
		finish(r, RELAY_DOWN, r->words, now_ms);
	else
		finish(r, code >= 500 ? RELAY_NEVER : RELAY_LATER, r->words, now_ms);
}

static void
ready(struct relay *r, int64_t now_ms)
{
	r->state = RELAY_READY;
	r->deadline_ms = INT64_MAX;
	if (r->has_message)
		say_mail(r, now_ms);
}

/* --- TLS (RFC 3207) --- */

static void
handshake_failed(struct relay *r, const char *why, int64_t now_ms)
{
	snprintf(r->words, sizeof(r->words), "the TLS handshake failed, the next one will be in clear: %s", why);
	finish(r, RELAY_DOWN, r->words, now_ms);
	r->in_clear = true;
}

/* What was said before counts no more, the relay's offers either (RFC 3207 4.2). */
static void
shake(struct relay *r, int64_t now_ms)
{
	switch (relay_tls_shake(r->tls)) {
	case RELAY_TLS_WAIT:
		break;
	case RELAY_TLS_DONE:
		r->offers = (struct relay_offers){ .utf8 = false };
		say(r, RELAY_EHLO, "EHLO ", span_str(r->hostname), "", now_ms);
		break;
	case RELAY_TLS_BROKEN:
		handshake_failed(r, relay_tls_why(), now_ms);
		break;
	}
}

/* It agreed to TLS.  What stands behind that in clear was put there by somebody else (CVE-2011-0411, turned round). */
static void
begin_tls(struct relay *r, int64_t now_ms)
{
	if (buf_len(&r->in) > 0) {
		finish(r, RELAY_DOWN, "somebody spoke in clear behind its STARTTLS", now_ms);
		return;
	}
	r->tls = relay_tls_new(r->fd, r->where->literal ? NULL : r->where->host);
	if (r->tls == NULL) {
		finish(r, RELAY_DOWN, "no memory", now_ms);
		return;
	}
	wait_for(r, RELAY_SHAKING, now_ms);
	shake(r, now_ms);
}

/* EHLO has told what it offers. */
static void
offered(struct relay *r, struct span text, int64_t now_ms)
{
	bool in_clear = r->in_clear;

	r->in_clear = false;
	r->offers = relay_offers(text);
	if (r->offers.starttls && r->tls == NULL && !in_clear)
		say(r, RELAY_STARTTLS, "STARTTLS", NOTHING, "", now_ms);
	else
		ready(r, now_ms);
}

static void
heard(struct relay *r, unsigned code, struct span text, int64_t now_ms)
{
	unsigned hundreds = code / 100;

	if (code == 421) {
		refused(r, code, now_ms);
		return;
	}
	switch (r->state) {
	case RELAY_GREETING:
		if (hundreds == 2)
			say(r, RELAY_EHLO, "EHLO ", span_str(r->hostname), "", now_ms);
		else
			refused(r, code, now_ms);
		break;
	case RELAY_EHLO:
		if (hundreds == 2)
			offered(r, text, now_ms);
		else
			say(r, RELAY_HELO, "HELO ", span_str(r->hostname), "", now_ms);
		break;
	case RELAY_HELO:
		r->offers = (struct relay_offers){ .utf8 = false };
		if (hundreds == 2)
			ready(r, now_ms);
		else
			refused(r, code, now_ms);
		break;
	case RELAY_STARTTLS:
		/* RFC 3207 4.1: 454 and the like leave the choice to us. */
		if (code == 220)
			begin_tls(r, now_ms);
		else
			ready(r, now_ms);
		break;
	case RELAY_MAIL:
		if (hundreds == 2)
			say(r, RELAY_RCPT, "RCPT TO:<", r->to, ">", now_ms);
		else
			refused(r, code, now_ms);
		break;
	case RELAY_RCPT:
		if (hundreds == 2)
			say(r, RELAY_DATA, "DATA", NOTHING, "", now_ms);
		else
			refused(r, code, now_ms);
		break;
	case RELAY_DATA:
		if (code == 354)
			say_content(r, now_ms);
		else
			refused(r, code, now_ms);
		break;
	case RELAY_END:
		if (hundreds == 2)
			finish(r, RELAY_SENT, r->words, now_ms);
		else
			refused(r, code, now_ms);
		break;
	case RELAY_RSET:
		ready(r, now_ms);
		break;
	case RELAY_QUIT:
		hang_up(r);
		break;
	case RELAY_READY:
	case RELAY_CLOSED:
	case RELAY_CONNECTING:
	case RELAY_SHAKING:
		/* It speaks unasked. */
		finish(r, RELAY_DOWN, r->words, now_ms);
		break;
	}
}

/* Its words, for the log: the first line. */
static void
keep_words(struct relay *r, struct span text)
{
	size_t n = 0;

	while (n < text.n && n < RELAY_WORDS_MAX && text.p[n] != '\r' && text.p[n] != '\n') {
		r->words[n] = (char)text.p[n];
		n++;
	}
	r->words[n] = '\0';
}

static void
hear(struct relay *r, int64_t now_ms)
{
	while (r->state != RELAY_CLOSED && buf_len(&r->in) > 0) {
		char text[RELAY_REPLY_MAX + 1];
		struct span s = buf_view(&r->in);
		unsigned code = 0;
		ssize_t n = relay_reply(s, &code);

		if (n == 0 && buf_left(&r->in) > 0)
			return;
		if (n <= 0 || s.p == NULL) {
			finish(r, RELAY_DOWN, "what it says is no SMTP", now_ms);
			return;
		}
		memcpy(text, s.p, (size_t)n);
		text[n] = '\0';
		keep_words(r, span_of(text, (size_t)n));
		buf_drop(&r->in, (size_t)n);
		heard(r, code, span_of(text, (size_t)n), now_ms);
	}
}

static ssize_t
take(struct relay *r, uint8_t *p, size_t room)
{
	return r->tls != NULL ? relay_tls_recv(r->tls, p, room) : recv(r->fd, p, room, 0);
}

static const char *
what_failed(const struct relay *r, int err)
{
	return r->tls != NULL && err == EPROTO ? relay_tls_why() : strerror(err);
}

static void
receive(struct relay *r, int64_t now_ms)
{
	size_t room;
	uint8_t *p = buf_room(&r->in, RELAY_REPLY_MAX, &room);
	ssize_t n = p != NULL ? take(r, p, room) : -1;

	if (p != NULL && n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		if (r->state == RELAY_QUIT || r->state == RELAY_READY)
			hang_up(r);
		else
			finish(r, RELAY_DOWN, n == 0 ? "it hung up" : what_failed(r, errno), now_ms);
		return;
	}
	buf_added(&r->in, (size_t)n);
	hear(r, now_ms);
}

static void
transmit(struct relay *r, int64_t now_ms)
{
	struct span s = buf_view(&r->out);
	ssize_t n = r->tls != NULL ? relay_tls_send(r->tls, s.p, s.n) : send(r->fd, s.p, s.n, MSG_NOSIGNAL);

	if (n > 0) {
		buf_drop(&r->out, (size_t)n);
		/* It takes the message, if slowly. */
		wait_for(r, r->state, now_ms);
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		finish(r, RELAY_DOWN, what_failed(r, errno), now_ms);
	}
}

/* --- what the loop calls --- */

void
relay_send(struct relay *r, struct span to, struct span text, bool utf8, int64_t now_ms)
{
	r->to = to;
	r->text = text;
	r->wants_utf8 = utf8;
	r->has_message = true;
	r->whole_ms = now_ms + 2 * (int64_t)r->reply_ms + r->end_ms;
	r->words[0] = '\0';
	if (r->state == RELAY_READY) {
		say(r, RELAY_RSET, "RSET", NOTHING, "", now_ms);
		return;
	}
	r->nth = 0;
	if (!connect_next(r, now_ms)) {
		if (r->where->n == 0)
			snprintf(r->words, sizeof(r->words), "it has no address");
		/* The next turn tells. */
		r->state = RELAY_CONNECTING;
		r->deadline_ms = now_ms;
	}
}

void
relay_quit(struct relay *r, int64_t now_ms)
{
	if (r->state == RELAY_READY)
		say(r, RELAY_QUIT, "QUIT", NOTHING, "", now_ms);
}

bool
relay_poll(const struct relay *r, struct pollfd *p)
{
	if (r->fd == -1)
		return false;
	p->fd = r->fd;
	if (r->state == RELAY_SHAKING)
		p->events = relay_tls_writes(r->tls) ? POLLOUT : POLLIN;
	else
		p->events = (short)(r->state == RELAY_CONNECTING ? POLLOUT
			: buf_len(&r->out) > 0                   ? POLLIN | POLLOUT
								 : POLLIN);
	p->revents = 0;
	return true;
}

static void
connected(struct relay *r, int64_t now_ms)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1)
		err = errno;
	if (err != 0)
		connect_failed(r, err, now_ms);
	else
		wait_for(r, RELAY_GREETING, now_ms);
}

void
relay_turn(struct relay *r, short events, int64_t now_ms)
{
	if (r->state == RELAY_CONNECTING && events != 0) {
		connected(r, now_ms);
		return;
	}
	if (r->state == RELAY_SHAKING && events != 0) {
		shake(r, now_ms);
		return;
	}
	if (r->fd != -1 && (events & (POLLIN | POLLHUP | POLLERR)) != 0) {
		do
			receive(r, now_ms);
		while (r->tls != NULL && r->state != RELAY_SHAKING && relay_tls_pending(r->tls));
	}
	if (r->fd != -1 && (events & POLLOUT) != 0 && buf_len(&r->out) > 0)
		transmit(r, now_ms);
	if (now_ms < relay_deadline_ms(r))
		return;
	if (now_ms >= r->whole_ms)
		finish(r, RELAY_DOWN, "it takes too long", now_ms);
	else if (r->state == RELAY_CONNECTING && r->fd != -1)
		connect_failed(r, ETIMEDOUT, now_ms);
	else if (r->state == RELAY_SHAKING)
		handshake_failed(r, "it does not answer", now_ms);
	else
		finish(r, RELAY_DOWN, r->fd == -1 ? r->words : "it does not answer", now_ms);
}

int64_t
relay_deadline_ms(const struct relay *r)
{
	return r->deadline_ms < r->whole_ms ? r->deadline_ms : r->whole_ms;
}
