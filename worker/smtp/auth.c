/*
 * auth: AUTH in the engine (RFC 4954): when it may come, the lines of an
 * exchange, and what its end changes.  What is in the lines is sasl.c's.  An
 * exchange lives in the transaction's arena, which nobody else uses meanwhile,
 * and is wiped before it is given back.  PURE.
 */
#include "worker/smtp/engine.h"

#define SAY(name, code_, enh_, reason_, text_) \
	static const struct say name = { .code = code_, .enh = enh_, .reason = reason_, .text = text_ }

const struct say say_need_auth = {
	.code = 530, .enh = ENH(5, 7, 0), .reason = "auth-required", .text = "say who you are first: AUTH"
};
SAY(say_not_offered, 503, ENH(5, 5, 1), "bad-sequence", "authentication is not offered");
SAY(say_in_clear, 538, ENH(5, 7, 11), "auth-in-clear", "only inside TLS: say STARTTLS first");
SAY(say_again, 503, ENH(5, 5, 1), "bad-sequence", "it is known already who you are");
SAY(say_sequence, 503, ENH(5, 5, 1), "bad-sequence", "not now: commands are out of order");
SAY(say_mechanism, 504, ENH(5, 5, 4), "auth-mechanism", "not a mechanism that EHLO lists");
SAY(say_syntax, 501, ENH(5, 5, 4), "syntax", "it is AUTH MECHANISM [initial response]");
SAY(say_response, 501, ENH(5, 5, 2), "auth-syntax", "not base64, or not what the mechanism asks for");
SAY(say_long, 500, ENH(5, 5, 6), "auth-line-too-long", "response too long");
SAY(say_cancelled, 501, ENH(5, 7, 0), "auth-cancelled", "given up, as you wished");
SAY(say_wrong, 535, ENH(5, 7, 8), "auth-wrong", "that is not how anybody here proves who it is");
SAY(say_cannot, 454, ENH(4, 7, 0), "auth-unavailable", "it cannot be told now who you are, try again later");
SAY(say_no_memory_auth, 454, ENH(4, 7, 0), "no-memory", "no memory left, try again later");
static const struct say say_failures = { .code = 421,
	.close = true,
	.enh = ENH(4, 7, 0),
	.reason = "auth-failures",
	.text = "too many failures to say who you are" };

bool
auth_offered(const struct smtp *s)
{
	return s->tls && (s->cf->ext & (SMTP_EXT_AUTH | SMTP_EXT_TOKENS)) != 0;
}

/* SASL_MECHS: none, or none of those that are offered. */
static enum sasl_mech
find(const struct smtp *s, struct span name)
{
	enum sasl_mech m = sasl_find(name);

	return s->cf->ext & (sasl_by_token(m) ? SMTP_EXT_TOKENS : SMTP_EXT_AUTH) ? m : SASL_MECHS;
}

void
smtp_wipe(struct smtp *s)
{
	if (s->sasl == NULL)
		return;
	explicit_bzero(s->sasl, sizeof(*s->sasl));
	s->sasl = NULL;
	if (s->t == NULL)
		arena_reset(s->transaction);
}

/* The exchange is over, and ${say} is the last word. */
static const struct say *
over(struct smtp *s, const struct say *say)
{
	smtp_wipe(s);
	s->state = SMTP_ST_COMMAND;
	if (say == &say_wrong)
		s->auth_failures++;
	return say;
}

static const struct say *
challenge(struct smtp *s)
{
	static const struct say empty = { .code = 334, .reason = "auth-challenge", .text = "" };
	static const struct say name = { .code = 334, .reason = "auth-challenge", .text = "VXNlcm5hbWU6" };
	static const struct say password = { .code = 334, .reason = "auth-challenge", .text = "UGFzc3dvcmQ6" };

	s->state = SMTP_ST_AUTH;
	if (s->sasl->mech != SASL_LOGIN)
		return &empty;
	return s->sasl->named ? &password : &name;
}

/* Why a token is no good is said as a challenge, and the refusal when the client has answered that (RFC 7628 3.2.3). */
static const struct say *
refused(struct smtp *s)
{
	static const struct say bearer = { .code = 334, .reason = "auth-challenge", .text = SASL_FAILED_BEARER };
	static const struct say xoauth2 = { .code = 334, .reason = "auth-challenge", .text = SASL_FAILED_XOAUTH2 };

	if (s->sasl->step != SASL_TOKEN)
		return over(s, &say_wrong);
	s->sasl->step = SASL_EXPLAINED;
	s->state = SMTP_ST_AUTH;
	return s->sasl->mech == SASL_OAUTHBEARER ? &bearer : &xoauth2;
}

static const struct say *
take(struct smtp *s, struct span response)
{
	s->confided = true;
	switch (sasl_take(s->sasl, response)) {
	case SASL_MORE:
		return challenge(s);
	case SASL_ASK:
		s->state = SMTP_ST_COMMAND;
		s->question = SMTP_EV_AUTH;
		return NULL;
	case SASL_BAD:
		break;
	case SASL_REFUSED:
		return refused(s);
	}
	return over(s, &say_response);
}

const struct say *
auth_begin(struct smtp *s, struct span arg)
{
	struct span name = arg;
	enum sasl_mech mech;

	/* What comes in vain, or of a mechanism that is not ours, is a password too. */
	s->confided = true;
	if ((s->cf->ext & (SMTP_EXT_AUTH | SMTP_EXT_TOKENS)) == 0)
		return &say_not_offered;
	if (!s->tls)
		return &say_in_clear;
	if (s->authed != 0)
		return &say_again;
	if (s->t != NULL || s->name[s->name_now].n == 0)
		return &say_sequence;
	if (s->auth_failures >= SMTP_AUTH_FAILURES)
		return &say_failures;
	name.n = 0;
	while (name.n < arg.n && arg.p[name.n] != ' ')
		name.n++;
	if (name.n == 0)
		return &say_syntax;
	mech = find(s, name);
	if (mech == SASL_MECHS)
		return &say_mechanism;
	s->sasl = arena_alloc(s->transaction, sizeof(*s->sasl));
	if (s->sasl == NULL)
		return &say_no_memory_auth;
	sasl_init(s->sasl, mech);
	arg = span_skip(arg, name.n);
	while (arg.n > 0 && arg.p[0] == ' ')
		arg = span_skip(arg, 1);
	if (arg.n == 0)
		return challenge(s);
	return take(s, span_eq(arg, SPAN("=")) ? span_head(arg, 0) : arg);
}

const struct say *
auth_line(struct smtp *s, struct span line)
{
	/* Who has been told why may not have it undone: it was a guess. */
	if (span_eq(line, SPAN("*")) && s->sasl->step != SASL_EXPLAINED)
		return over(s, &say_cancelled);
	return take(s, line);
}

const struct say *
auth_too_long(struct smtp *s)
{
	s->confided = true;
	return over(s, &say_long);
}

struct smtp_sent
auth_answer(struct smtp *s, const struct reply *r, struct buf *out)
{
	uint8_t mech = (uint8_t)(s->sasl->mech + 1);

	if (r != NULL && r->code == 334 && sasl_told(s->sasl, span_of(r->text, r->n)) == 0) {
		s->state = SMTP_ST_AUTH;
		return smtp_send(s, r, out);
	}
	if (r != NULL && r->code == 535 && s->sasl->step == SASL_TOKEN) {
		explicit_bzero(s->sasl->octets, sizeof(s->sasl->octets));
		return smtp_say(s, refused(s), out);
	}
	(void)over(s, NULL);
	if (r != NULL && r->code >= 200 && r->code < 300) {
		s->authed = mech;
		return smtp_send(s, r, out);
	}
	if (r == NULL || r->code < 400)
		return smtp_say(s, &say_cannot, out);
	if (r->code == 535)
		s->auth_failures++;
	return smtp_send(s, r, out);
}

const char *
smtp_auth_method(const struct smtp *s)
{
	return s->authed != 0 ? sasl_name[s->authed - 1] : NULL;
}

bool
smtp_secret(const struct smtp *s)
{
	return s->sasl != NULL || s->confided;
}

const struct sasl *
smtp_sasl(const struct smtp *s)
{
	return s->question == SMTP_EV_AUTH ? s->sasl : NULL;
}
