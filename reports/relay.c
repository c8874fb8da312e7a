/*
 * relay: a state a reply that is waited for.
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
	r->deadline_ms = INT64_MAX;
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

		if (fd == -1)
			continue;
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
	if (r->wants_utf8 && !(r->utf8 && r->has8))
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

/* What EHLO offers; ${text} is the whole reply. */
static void
take_offers(struct relay *r, struct span text)
{
	r->utf8 = r->has8 = false;
	while (text.n > 4) {
		const uint8_t *lf = memchr(text.p, '\n', text.n);
		size_t n = lf != NULL ? (size_t)(lf - text.p) : text.n;
		struct span word = span_skip(span_head(text, n), n < 4 ? n : 4);

		word.n =
		    strcspn((const char *)word.p, " \r\n") < word.n ? strcspn((const char *)word.p, " \r\n") : word.n;
		r->utf8 |= span_caseeq(word, SPAN("SMTPUTF8"));
		r->has8 |= span_caseeq(word, SPAN("8BITMIME"));
		if (lf == NULL)
			break;
		text = span_skip(text, n + 1);
	}
}

/* The message is over.  What is to be known was said by the one who told. */
static void
finish(struct relay *r, enum relay_result how, const char *words, int64_t now_ms)
{
	bool had = r->has_message;

	if (words != r->words)
		snprintf(r->words, sizeof(r->words), "%s", words);
	r->has_message = false;
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
		if (hundreds == 2) {
			take_offers(r, text);
			ready(r, now_ms);
		} else {
			say(r, RELAY_HELO, "HELO ", span_str(r->hostname), "", now_ms);
		}
		break;
	case RELAY_HELO:
		r->utf8 = r->has8 = false;
		if (hundreds == 2)
			ready(r, now_ms);
		else
			refused(r, code, now_ms);
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
		/* It speaks unasked. */
		finish(r, RELAY_DOWN, r->words, now_ms);
		break;
	}
}

/* The code of a line, or 0; *last: no more follow. */
static unsigned
line_code(struct span line, bool *last)
{
	if (line.n < 3 || (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-' && line.p[3] != '\r'))
		return 0;
	for (size_t i = 0; i < 3; i++)
		if (line.p[i] < '0' || line.p[i] > '9')
			return 0;
	*last = line.n == 3 || line.p[3] != '-';
	return (unsigned)(line.p[0] - '0') * 100 + (unsigned)(line.p[1] - '0') * 10 + (unsigned)(line.p[2] - '0');
}

/* The octets of a whole reply at the start of ${s}, 0 if it is not complete, -1 if it is none. */
static ssize_t
whole_reply(struct span s, unsigned *code)
{
	size_t at = 0;
	bool last = false;

	if (s.p == NULL)
		return 0;
	while (!last) {
		const uint8_t *lf = at < s.n ? memchr(s.p + at, '\n', s.n - at) : NULL;

		if (lf == NULL)
			return 0;
		*code = line_code(span_of(s.p + at, (size_t)(lf - s.p) - at), &last);
		if (*code == 0)
			return -1;
		at = (size_t)(lf - s.p) + 1;
	}
	return (ssize_t)at;
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
		ssize_t n = whole_reply(s, &code);

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

static void
receive(struct relay *r, int64_t now_ms)
{
	size_t room;
	uint8_t *p = buf_room(&r->in, RELAY_REPLY_MAX, &room);
	ssize_t n = p != NULL ? recv(r->fd, p, room, 0) : -1;

	if (p != NULL && n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		if (r->state == RELAY_QUIT || r->state == RELAY_READY)
			hang_up(r);
		else
			finish(r, RELAY_DOWN, n == 0 ? "it hung up" : strerror(errno), now_ms);
		return;
	}
	buf_added(&r->in, (size_t)n);
	hear(r, now_ms);
}

static void
transmit(struct relay *r, int64_t now_ms)
{
	struct span s = buf_view(&r->out);
	ssize_t n = send(r->fd, s.p, s.n, MSG_NOSIGNAL);

	if (n > 0) {
		buf_drop(&r->out, (size_t)n);
		/* It takes the message, if slowly. */
		wait_for(r, r->state, now_ms);
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		finish(r, RELAY_DOWN, strerror(errno), now_ms);
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
	p->events = (short)(r->state == RELAY_CONNECTING ? POLLOUT : buf_len(&r->out) > 0 ? POLLIN | POLLOUT : POLLIN);
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
	if (r->fd != -1 && (events & (POLLIN | POLLHUP | POLLERR)) != 0)
		receive(r, now_ms);
	if (r->fd != -1 && (events & POLLOUT) != 0 && buf_len(&r->out) > 0)
		transmit(r, now_ms);
	if (now_ms < r->deadline_ms)
		return;
	if (r->state == RELAY_CONNECTING && r->fd != -1)
		connect_failed(r, ETIMEDOUT, now_ms);
	else
		finish(r, RELAY_DOWN, r->fd == -1 ? r->words : "it does not answer", now_ms);
}

int64_t
relay_deadline_ms(const struct relay *r)
{
	return r->deadline_ms;
}
