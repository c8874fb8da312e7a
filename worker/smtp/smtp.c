/*
 * smtp: see smtp.h.  The pulling side of the engine: from octets to events.
 * What an answer changes stands in answer.c, what a command line means in
 * command.c.  The order of the tests in smtp_next() is the whole life of a
 * question and of a transaction's end.  PURE.
 */
#include "worker/smtp/smtp.h"

#include "worker/smtp/engine.h"

static const struct say say_errors = {
	.code = 421, .close = true, .enh = ENH(4, 7, 0), .reason = "too-many-errors", .text = "too many errors"
};
static const struct say say_chunk = { .code = 250, .enh = ENH(2, 0, 0), .reason = "chunk", .text = "chunk taken" };
const struct say say_flood = {
	.code = 552, .close = true, .enh = ENH(5, 3, 4), .reason = "size-flood", .text = "message far too big, closing"
};
static const struct say say_bare = {
	.code = 550, .enh = ENH(5, 5, 2), .reason = "bare-newline", .text = "a CR or LF stands alone; lines end in CRLF"
};
static const struct say say_long_text = {
	.code = 554, .enh = ENH(5, 6, 0), .reason = "text-line-too-long", .text = "a line of the message is too long"
};

struct smtp *
smtp_new(const struct smtp_conf *cf, struct span id, struct arena *session, struct arena *transaction)
{
	struct smtp *s = arena_alloc(session, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->cf = cf;
	s->id = id;
	s->session = session;
	s->transaction = transaction;
	s->state = SMTP_ST_GREET;
	s->question = SMTP_EV_MORE;
	return s;
}

struct smtp_sent
smtp_send_raw(struct smtp *s, const char *wire, size_t n, uint16_t code, struct buf *out)
{
	struct smtp_sent sent = { .code = code, .reason = "ok" };

	if (buf_put(out, wire, n) != 0) {
		s->state = SMTP_ST_CLOSED;
		sent = (struct smtp_sent){ .reason = "" };
	}
	if (sent.code >= 500)
		s->errors++;
	return sent;
}

struct smtp_sent
smtp_send(struct smtp *s, const struct reply *r, struct buf *out)
{
	char wire[REPLY_WIRE_MAX];
	struct smtp_sent sent = smtp_send_raw(s, wire, reply_format(r, s->id, wire), r->code, out);

	if (sent.code != 0) {
		sent.enh = r->enh;
		sent.reason = r->reason;
	}
	return sent;
}

struct smtp_sent
smtp_say(struct smtp *s, const struct say *say, struct buf *out)
{
	struct smtp_sent sent;
	struct reply r;

	reply_set(&r, say->code, say->enh, say->reason, "%s", say->text);
	sent = smtp_send(s, &r, out);
	if (sent.code != 0)
		sent.reason = say->reason;
	if (say->close)
		s->state = SMTP_ST_CLOSED;
	return sent;
}

void
smtp_end(struct smtp *s, struct smtp_sent sent)
{
	s->ending = false;
	if (s->t == NULL || s->reset_due)
		return;
	/* The caller's reply, and the reason in it, may be gone by the time of SMTP_EV_RESET. */
	s->ended = sent;
	memset(s->ended_reason, 0, sizeof(s->ended_reason));
	memcpy(s->ended_reason, sent.reason, strnlen(sent.reason, sizeof(s->ended_reason) - 1));
	s->ended.reason = s->ended_reason;
	s->reset_due = true;
}

static void
forget_transaction(struct smtp *s)
{
	s->reset_told = false;
	s->chunked = false;
	s->t = NULL;
	s->rcpt = NULL;
	s->deferred = NULL;
	arena_reset(s->transaction);
}

/* The open question once more; its facts are unchanged but for what an early talker sent meanwhile. */
static enum smtp_ev
ask(struct smtp *s, const struct span *in, struct smtp_event *ev)
{
	struct kept *name = &s->name[!s->name_now];

	if (s->question == SMTP_EV_CONNECT)
		s->early = in->n > 0;
	if (s->question == SMTP_EV_HELO)
		ev->span = span_of(name->p, name->n);
	if (s->question == SMTP_EV_XCLIENT)
		ev->xclient = s->xclient;
	if (s->question == SMTP_EV_UNKNOWN)
		ev->span = span_of(s->line.p, s->line.n);
	if (s->question == SMTP_EV_AUTH)
		ev->sasl = s->sasl;
	if (s->question == SMTP_EV_RCPT || s->question == SMTP_EV_EOM)
		ev->rcpt = s->rcpt;
	return s->question;
}

static enum smtp_ev
tell_reset(struct smtp *s, struct smtp_event *ev)
{
	s->reset_due = false;
	s->reset_told = true;
	ev->sent = s->ended;
	return SMTP_EV_RESET;
}

/* The engine sent ev->sent by itself; that may have ended the transaction or, when memory was out, the session. */
static enum smtp_ev
replied(struct smtp *s, struct smtp_event *ev)
{
	if (s->ending || s->state == SMTP_ST_CLOSED)
		smtp_end(s, ev->sent);
	if (ev->sent.code != 0)
		return SMTP_EV_REPLY;
	return s->reset_due ? tell_reset(s, ev) : SMTP_EV_CLOSE;
}

static enum smtp_ev
statement(struct smtp *s, const struct say *say, struct buf *out, struct smtp_event *ev)
{
	ev->sent = smtp_say(s, say, out);
	return replied(s, ev);
}

static bool
too_many_errors(const struct smtp *s)
{
	return s->cf->errors_max > 0 && s->errors >= s->cf->errors_max;
}

static bool
begins_auth(struct span in)
{
	return in.n >= 5 && span_caseeq(span_head(in, 5), SPAN("AUTH "));
}

static bool
is_auth(const struct smtp *s, struct span in)
{
	return s->state == SMTP_ST_AUTH || (auth_offered(s) && begins_auth(in));
}

/* What a line that is too long began as. */
static void
note_long(struct smtp *s, struct span in)
{
	s->long_auth = is_auth(s, in);
	s->long_bdat = command_opens_chunk(s, in);
}

static const struct say *
say_of_long(struct smtp *s)
{
	if (s->long_auth)
		return auth_too_long(s);
	return s->long_bdat ? &say_count : &say_line_too_long;
}

/* The LF of the command line is among the first line_max() octets, or the line is too long. */
static enum smtp_ev
swallow_line(struct smtp *s, struct span *in, struct buf *out, struct smtp_event *ev)
{
	const uint8_t *lf = memchr(in->p, '\n', in->n);

	if (!s->swallow)
		note_long(s, *in);
	s->confided = true; /* nobody looks what it holds */
	s->seen = 0;
	s->swallow = lf == NULL;
	*in = span_skip(*in, lf != NULL ? (size_t)(lf - in->p) + 1 : in->n);
	if (s->swallow)
		return SMTP_EV_MORE;
	if (too_many_errors(s))
		return statement(s, &say_errors, out, ev);
	return statement(s, say_of_long(s), out, ev);
}

static bool
is_quit(struct span line)
{
	return span_caseeq(line, SPAN("QUIT"));
}

void
smtp_show_lines(struct smtp *s, bool on)
{
	s->show = on;
}

/* It stays in the input: the next call carries it out. */
static enum smtp_ev
show_line(struct smtp *s, struct span line, struct smtp_event *ev)
{
	s->shown = true;
	ev->span = command_shown(s, line);
	ev->hidden = ev->span.n < line.n;
	return SMTP_EV_LINE;
}

static enum smtp_ev next_content(struct smtp *s, struct span *in, struct buf *out, struct smtp_event *ev);

static size_t
line_max(const struct smtp *s, struct span in)
{
	return is_auth(s, in) ? SMTP_AUTH_LINE_MAX : SMTP_LINE_MAX;
}

static enum smtp_ev
next_command(struct smtp *s, struct span *in, struct buf *out, struct smtp_event *ev)
{
	const uint8_t *lf = NULL;
	const struct say *say;
	struct span line;
	size_t n, max, taken;

	if (in->n == 0)
		return SMTP_EV_MORE;
	max = line_max(s, *in);
	n = in->n < max ? in->n : max;
	if (!s->swallow && s->seen < n)
		lf = memchr(in->p + s->seen, '\n', n - s->seen);
	if (s->swallow || (lf == NULL && n == max))
		return swallow_line(s, in, out, ev);
	if (lf == NULL) {
		s->seen = (uint32_t)n;
		return SMTP_EV_MORE;
	}
	line = span_head(*in, (size_t)(lf - in->p));
	taken = line.n + 1;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (s->show && !s->shown)
		return show_line(s, line, ev);
	s->shown = false;
	/* Whatever it is refused for, and before anybody has looked at it. */
	s->confided = begins_auth(line);
	*in = span_skip(*in, taken);
	s->seen = 0;
	if (too_many_errors(s) && !is_quit(line))
		say = &say_errors;
	else
		say = s->state == SMTP_ST_AUTH ? auth_line(s, line) : command_run(s, line);
	if (say != NULL)
		return statement(s, say, out, ev);
	return s->question != SMTP_EV_MORE ? ask(s, in, ev) : next_content(s, in, out, ev);
}

void
smtp_content(struct smtp *s, const struct say *verdict)
{
	s->state = SMTP_ST_CONTENT;
	s->verdict = verdict;
}

static bool
over(uint64_t n, uint64_t max)
{
	return max > 0 && n > max;
}

/* Note ${span} as read; what of it is within the limit is left in *keep. */
static void
account(struct smtp *s, struct span span, struct span *keep)
{
	uint64_t max = s->cf->size_max, before = s->read;
	struct txn *t = s->t;

	*keep = (struct span){ span.p, 0 };
	if (__builtin_add_overflow(s->read, span.n, &s->read))
		s->read = UINT64_MAX;
	if (t == NULL || s->verdict != NULL || s->deferred != NULL)
		return;
	if (!t->size_exceeded)
		*keep = over(s->read, max) ? span_head(span, (size_t)(max - before)) : span;
	t->size = s->read;
	t->size_exceeded = t->size_exceeded || over(s->read, max);
	t->bare_newline = s->data.bare;
	t->nul_seen = s->data.nul;
	t->line_too_long = s->data.line_long;
}

bool
smtp_floods(const struct smtp *s, uint64_t octets)
{
	uint64_t most;

	if (__builtin_add_overflow(s->cf->size_max, s->cf->flood_max, &most))
		most = UINT64_MAX;
	return s->cf->size_max > 0 && (s->read > most || octets > most - s->read);
}

/* What the engine itself holds against the message that is complete. */
static const struct say *
own_verdict(const struct smtp *s)
{
	if (s->t->size_exceeded)
		return &say_size;
	if (s->t->bare_newline && !s->bare_ok)
		return &say_bare;
	if (s->t->line_too_long)
		return &say_long_text;
	return NULL;
}

/* The engine's verdict, said once; in LMTP to each recipient (RFC 2033 4.2), a reply a call. */
static enum smtp_ev
next_verdict(struct smtp *s, struct buf *out, struct smtp_event *ev)
{
	if (s->rcpt != NULL)
		s->rcpt = s->rcpt->next;
	if (s->rcpt == NULL) {
		s->ending = true;
		s->state = SMTP_ST_COMMAND;
	}
	return statement(s, s->verdict, out, ev);
}

/* The message is complete: one verdict to all, or the question (in LMTP for the first recipient). */
static enum smtp_ev
end_of_message(struct smtp *s, const struct span *in, struct buf *out, struct smtp_event *ev)
{
	const struct say *say = own_verdict(s);

	s->rcpt = s->cf->lmtp ? s->t->rcpts : NULL;
	if (say == NULL) {
		s->question = SMTP_EV_EOM;
		return ask(s, in, ev);
	}
	s->state = SMTP_ST_VERDICT;
	s->verdict = say;
	return next_verdict(s, out, ev);
}

/* The handler's refusal of a BDAT whose octets are now read (RFC 3030 2). */
static enum smtp_ev
say_deferred(struct smtp *s, struct buf *out, struct smtp_event *ev)
{
	s->ending = true;
	ev->sent = smtp_send(s, s->deferred, out);
	return replied(s, ev);
}

static enum smtp_ev
end_of_content(struct smtp *s, const struct span *in, struct buf *out, struct smtp_event *ev)
{
	bool more_chunks = s->chunked && !s->data.last;

	s->state = SMTP_ST_COMMAND;
	if (s->deferred != NULL)
		return say_deferred(s, out, ev);
	if (s->verdict != NULL)
		return statement(s, s->verdict, out, ev);
	if (more_chunks) {
		s->ending = s->t->size_exceeded;
		return statement(s, s->ending ? &say_size : &say_chunk, out, ev);
	}
	return end_of_message(s, in, out, ev);
}

static enum smtp_ev
next_content(struct smtp *s, struct span *in, struct buf *out, struct smtp_event *ev)
{
	struct span span, keep = { NULL, 0 };

	for (;;) {
		if (smtp_floods(s, 0))
			return statement(s, &say_flood, out, ev);
		switch (data_next(&s->data, in, &span)) {
		case DATA_GOT_MORE:
			return SMTP_EV_MORE;
		case DATA_GOT_END:
			return end_of_content(s, in, out, ev);
		case DATA_GOT_SPAN:
			account(s, span, &keep);
			break;
		}
		if (keep.n > 0) {
			ev->span = keep;
			return SMTP_EV_BODY;
		}
	}
}

enum smtp_ev
smtp_next(struct smtp *s, struct span *in, struct buf *out, struct smtp_event *ev)
{
	*ev = (struct smtp_event){ .sent.reason = "" };
	s->confided = false;
	if (s->reset_told)
		forget_transaction(s);
	if (s->question != SMTP_EV_MORE)
		return ask(s, in, ev);
	if (s->reset_due)
		return tell_reset(s, ev);
	switch (s->state) {
	case SMTP_ST_GREET:
		s->question = SMTP_EV_CONNECT;
		return ask(s, in, ev);
	case SMTP_ST_COMMAND:
	case SMTP_ST_AUTH:
		return next_command(s, in, out, ev);
	case SMTP_ST_CONTENT:
		return next_content(s, in, out, ev);
	case SMTP_ST_VERDICT:
		return next_verdict(s, out, ev);
	case SMTP_ST_HANDSHAKE:
		return SMTP_EV_MORE;
	case SMTP_ST_CLOSED:
		break;
	}
	return SMTP_EV_CLOSE;
}
