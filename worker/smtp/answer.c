/*
 * answer: the answering side of the engine, and what a session may look up.
 * Each question has one way to be accepted and one to be refused; here alone a
 * transaction becomes accepted, refused or content.  PURE.
 */
#include <stdlib.h>

#include "worker/smtp/engine.h"

static const struct say say_early = { .code = 554,
	.close = true,
	.enh = ENH(5, 5, 0),
	.reason = "early-talker",
	.text = "you spoke before the greeting" };
static const struct say say_mail_ok = { .code = 250, .enh = ENH(2, 1, 0), .reason = "ok", .text = "ok" };
static const struct say say_rcpt_ok = { .code = 250, .enh = ENH(2, 1, 5), .reason = "ok", .text = "ok" };
static const struct say say_go_ahead = { .code = 354, .reason = "go-ahead", .text = "end with <CRLF>.<CRLF>" };
static const struct say say_start_tls = { .code = 220, .enh = ENH(2, 0, 0), .reason = "starttls", .text = "start TLS" };

/* ${r}'s words if it is a 2xx, otherwise the engine's. */
static struct smtp_sent
send_yes(struct smtp *s, const struct reply *r, const struct say *usual, struct buf *out)
{
	if (r != NULL && r->code >= 200 && r->code < 300)
		return smtp_send(s, r, out);
	return smtp_say(s, usual, out);
}

static struct smtp_sent
greet(struct smtp *s, struct buf *out)
{
	if (s->early)
		return smtp_say(s, &say_early, out);
	s->state = SMTP_ST_COMMAND;
	return ehlo_greet(s, out);
}

/* Whatever the answer: nothing of the client before is left. */
static void
change_client(struct smtp *s)
{
	s->name[s->name_now].n = 0;
	s->esmtp = false;
	s->errors = 0;
	s->authed = s->auth_failures = 0;
	s->xclient = NULL;
	arena_reset(s->transaction);
}

/* RFC 5321 4.1.4: an accepted EHLO in mid-session is a RSET too. */
static struct smtp_sent
introduce(struct smtp *s, struct buf *out)
{
	struct smtp_sent sent;

	s->name_now = !s->name_now;
	s->esmtp = s->name_esmtp;
	sent = ehlo_list(s, out);
	smtp_end(s, sent);
	return sent;
}

/* The content may come.  A BDAT's octets follow at once, so there is nothing to say yet. */
static struct smtp_sent
go_ahead(struct smtp *s, struct buf *out)
{
	smtp_content(s, NULL);
	s->read = 0;
	if (s->chunked)
		return (struct smtp_sent){ .reason = "" };
	data_text(&s->data);
	return smtp_say(s, &say_go_ahead, out);
}

/* In LMTP the next recipient is asked about; the last one's answer, or the only one, ends the transaction. */
static void
next_recipient(struct smtp *s, struct smtp_sent sent)
{
	if (s->rcpt != NULL)
		s->rcpt = s->rcpt->next;
	if (s->rcpt != NULL)
		s->question = SMTP_EV_EOM;
	else
		smtp_end(s, sent);
}

static struct smtp_sent
take_message(struct smtp *s, const struct reply *r, struct buf *out)
{
	struct smtp_sent sent;
	struct reply queued;

	reply_set(&queued, 250, ENH(2, 0, 0), "queued", "queued as %.*s", TXN_ID_MAX - 1, s->t->id);
	s->errors = 0;
	if (r != NULL && r->code >= 200 && r->code < 300) {
		sent = smtp_send(s, r, out);
	} else {
		sent = smtp_send(s, &queued, out);
		sent.reason = sent.code != 0 ? "queued" : "";
	}
	next_recipient(s, sent);
	return sent;
}

static struct smtp_sent
accept(struct smtp *s, enum smtp_ev question, const struct reply *r, struct buf *out)
{
	switch (question) {
	case SMTP_EV_CONNECT:
		return greet(s, out);
	case SMTP_EV_XCLIENT:
		change_client(s);
		return greet(s, out);
	case SMTP_EV_HELO:
		return introduce(s, out);
	case SMTP_EV_MAIL:
		return send_yes(s, r, &say_mail_ok, out);
	case SMTP_EV_RCPT:
		txn_rcpt_accept(s->t, s->rcpt);
		s->rcpt = NULL;
		return send_yes(s, r, &say_rcpt_ok, out);
	case SMTP_EV_DATA:
		return go_ahead(s, out);
	case SMTP_EV_EOM:
		return take_message(s, r, out);
	case SMTP_EV_UNKNOWN:
		return smtp_say(s, s->unknown, out);
	case SMTP_EV_STARTTLS: {
		struct smtp_sent sent = smtp_say(s, &say_start_tls, out);

		smtp_end(s, sent); /* RFC 3207 4.2 */
		if (s->state != SMTP_ST_CLOSED)
			s->state = SMTP_ST_HANDSHAKE;
		return sent;
	}
	case SMTP_EV_AUTH: /* smtp_answer() */
	case SMTP_EV_LINE:
	case SMTP_EV_MORE:
	case SMTP_EV_REPLY:
	case SMTP_EV_BODY:
	case SMTP_EV_RESET:
	case SMTP_EV_CLOSE:
		break;
	}
	abort();
}

/* A refused BDAT is answered when its octets are read; without memory for the words, in the engine's own. */
static struct smtp_sent
defer(struct smtp *s, const struct reply *r)
{
	smtp_content(s, NULL);
	s->read = 0;
	s->deferred = arena_alloc(s->transaction, sizeof(*s->deferred));
	if (s->deferred != NULL) {
		*s->deferred = *r;
	} else {
		s->verdict = &say_no_memory;
		s->ending = true;
	}
	return (struct smtp_sent){ .reason = "" };
}

static struct smtp_sent
refuse(struct smtp *s, enum smtp_ev question, const struct reply *r, struct buf *out)
{
	struct smtp_sent sent;
	struct reply bare;

	if (question == SMTP_EV_DATA && s->chunked && !r->close)
		return defer(s, r);
	if (question == SMTP_EV_XCLIENT)
		change_client(s);
	if (question == SMTP_EV_CONNECT || question == SMTP_EV_XCLIENT) {
		s->refused = true;
		s->state = SMTP_ST_COMMAND;
	}
	if (question == SMTP_EV_HELO) {
		bare = *r;
		bare.enh = 0;
		sent = smtp_send(s, &bare, out);
		sent.reason = sent.code != 0 ? r->reason : "";
	} else {
		sent = smtp_send(s, r, out);
	}
	if (question == SMTP_EV_RCPT) {
		s->t->nrefused++;
		s->rcpt = NULL;
	} else if (question == SMTP_EV_EOM) {
		next_recipient(s, sent);
	} else if (question == SMTP_EV_MAIL || question == SMTP_EV_DATA) {
		smtp_end(s, sent);
	} else if (question == SMTP_EV_UNKNOWN && r->code < 500) {
		s->errors++; /* or it could be said for ever */
	}
	return sent;
}

struct smtp_sent
smtp_answer(struct smtp *s, const struct reply *r, struct buf *out)
{
	enum smtp_ev question = s->question;
	struct smtp_sent sent;

	if (question == SMTP_EV_MORE)
		abort();
	s->question = SMTP_EV_MORE;
	if (question == SMTP_EV_AUTH)
		sent = auth_answer(s, r, out);
	else
		sent = r != NULL && r->code >= 400 ? refuse(s, question, r, out) : accept(s, question, r, out);
	if (r != NULL && r->close)
		s->state = SMTP_ST_CLOSED;
	if (s->state == SMTP_ST_CLOSED) {
		s->question = SMTP_EV_MORE; /* LMTP: the other recipients are not asked about any more */
		smtp_end(s, sent);
	}
	return sent;
}

struct smtp_sent
smtp_shutdown(struct smtp *s, const struct reply *r, struct buf *out)
{
	struct smtp_sent none = { .reason = "" };
	bool mute = s->state == SMTP_ST_CLOSED || s->state == SMTP_ST_HANDSHAKE;

	s->question = SMTP_EV_MORE;
	s->state = SMTP_ST_CLOSED;
	smtp_wipe(s);
	return mute || r == NULL || r->code == 0 ? none : smtp_send(s, r, out);
}

int
smtp_tls_started(struct smtp *s, struct span in)
{
	s->tls = true;
	if (s->state == SMTP_ST_GREET)
		return 0;
	if (s->state != SMTP_ST_HANDSHAKE || in.n > 0) {
		s->state = SMTP_ST_CLOSED;
		return -1;
	}
	s->name[s->name_now].n = 0;
	s->esmtp = false;
	s->state = SMTP_ST_COMMAND;
	return 0;
}

void
smtp_allow_bare_newline(struct smtp *s)
{
	s->bare_ok = true;
}

void
smtp_allow_xclient(struct smtp *s)
{
	s->xclient_ok = true;
}

struct txn *
smtp_txn(const struct smtp *s)
{
	return s->t;
}

struct span
smtp_helo(const struct smtp *s)
{
	const struct kept *h = &s->name[s->question == SMTP_EV_HELO ? !s->name_now : s->name_now];

	return span_of(h->p, h->n);
}

struct span
smtp_unknown(const struct smtp *s)
{
	return span_of(s->line.p, s->question == SMTP_EV_UNKNOWN ? s->line.n : 0);
}

/* RFC 3848; RFC 6531 4.3.  HELO is SMTP whatever is below it: the other keywords imply EHLO. */
const char *
smtp_with(const struct smtp *s)
{
	static const char *const words[2][2][3] = { /* [LMTP][UTF-8][in clear, TLS, TLS and AUTH] */
		{ { "ESMTP", "ESMTPS", "ESMTPSA" }, { "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPSA" } },
		{ { "LMTP", "LMTPS", "LMTPSA" }, { "UTF8LMTP", "UTF8LMTPS", "UTF8LMTPSA" } }
	};

	/* While a name is asked about, it is the one it came with that counts. */
	if (!(s->question == SMTP_EV_HELO ? s->name_esmtp : s->esmtp))
		return s->cf->lmtp ? "LMTP" : "SMTP";
	return words[s->cf->lmtp][s->t != NULL && s->t->smtputf8][s->tls + (s->authed != 0)];
}

uint32_t
smtp_errors(const struct smtp *s)
{
	return s->errors;
}

enum smtp_phase
smtp_phase(const struct smtp *s)
{
	return s->state == SMTP_ST_CONTENT ? SMTP_PHASE_DATA : SMTP_PHASE_COMMAND;
}

bool
smtp_busy(const struct smtp *s)
{
	return s->question != SMTP_EV_MORE || s->state == SMTP_ST_CONTENT || s->state == SMTP_ST_VERDICT ||
	    (s->t != NULL && s->chunked);
}
