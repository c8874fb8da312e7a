/*
 * login: whether the client may be somebody, told from what it was asked and
 * answered, and whether what only it may know stays with it: no secret that it
 * said to AUTH alone stands in the log, in a trace, or in a reply.
 */
#ifndef TESTS_FUZZ_PARTS_LOGIN_H_
#define TESTS_FUZZ_PARTS_LOGIN_H_

#include "tests/fuzz/parts/turn.h"
#include "worker/net/conn.c" /* NOLINT(bugprone-suspicious-include) */
#include "worker/smtp/smtp.h"

/* A password of the dictionary, and what base64 makes of it, wherever in three octets it begins. */
static const char *const login_secrets[] = { "Zq7Zq7Zq7", "WnE3WnE3", "cTdacTda", "N1pxN1px" };

enum { LOGIN_SECRETS = 4, LOGIN_SECRET_MAX = 9 };

static struct {
	bool         tls, required; /* the listener's */
	bool         yes;           /* who decides about the attempt has said that it is right */
	bool         authed;
	bool         claims; /* XCLIENT may have named it */
	bool         spilt;  /* it said its secret elsewhere too, */
	bool         stored; /* or in content */
	unsigned     code;   /* what it was told last */
	enum smtp_ev asked;
	size_t       line; /* where the line that comes begins */
} login;

static void UNTRACED
login_begin(bool proxied)
{
	login.yes = login.authed = login.claims = login.stored = false;
	login.spilt                                            = proxied;
	login.code                                             = 0;
	login.asked                                            = SMTP_EV_MORE;
	login.line                                             = 0;
	memset(conn_scratch, 0, sizeof(conn_scratch));
}

static bool UNTRACED
login_has_secret(struct span s)
{
	for (unsigned i = 0; i < LOGIN_SECRETS && s.n > 0; i++)
		if (memmem(s.p, s.n, login_secrets[i], strlen(login_secrets[i])) != NULL)
			return true;
	return false;
}

/* What others than the client can read. */
static void UNTRACED
login_check(struct span s, const char *where)
{
	if (!login.spilt && login_has_secret(s))
		breach("a secret stands in %s: %.*s", where, (int)s.n, (const char *)s.p);
}

/* Nothing happens: in what all sessions read into no secret is left. */
static void UNTRACED
login_check_rest(void)
{
	if (!login.stored && !login.spilt && login_has_secret(span_of(conn_scratch, sizeof(conn_scratch))))
		breach("a secret stays where sessions read into");
}

/* Of ${raw} the octets from ${at} on were taken, ${content} or a command; it came to ${what}. */
static void UNTRACED
login_took(struct smtp *s, struct span raw, size_t at, bool content, enum smtp_ev what, const struct smtp_event *ev)
{
	struct span line = span_skip(raw, login.line);
	bool        auth = line.n >= 5 && span_caseeq(span_head(line, 5), SPAN("AUTH "));

	if (raw.n > at && auth)
		login.yes = false;
	if (raw.n > at && !content && !auth && login.code != 334)
		login.spilt = login.spilt || login_has_secret(line);
	if (content)
		login.stored =
		    login.stored || login_has_secret(span_skip(raw, at < LOGIN_SECRET_MAX ? 0 : at - LOGIN_SECRET_MAX));
	login.claims = login.claims || (what == SMTP_EV_XCLIENT && ev->xclient != NULL);
	if (content || (raw.n > at && raw.p[raw.n - 1] == '\n'))
		login.line = raw.n;
	if (what == SMTP_EV_REPLY)
		login.code = ev->sent.code;
	if (what == SMTP_EV_AUTH && (login.authed || !login.tls || smtp_txn(s) != NULL))
		breach("AUTH is asked where none may be");
	if (what == SMTP_EV_MAIL && login.required && !login.authed)
		breach("MAIL is asked before AUTH");
	if (what == SMTP_EV_REPLY && ev->sent.code == 235)
		breach("the engine lets somebody in by itself");
	login.asked = what;
}

/* The open question was answered, and the client told ${code}; 0: nothing. */
static void
login_answered(unsigned code)
{
	if (code == 0)
		return;
	login.code = code;
	if (login.asked == SMTP_EV_XCLIENT && code < 400)
		login.authed = login.yes = false;
	if (login.asked == SMTP_EV_AUTH && code < 300) {
		if (!login.yes)
			breach("somebody is let in whom nobody knows");
		login.authed = true;
	} else if (code == 235) {
		breach("235 to something else than AUTH");
	}
}

/* A line of the log is about ${user}, and of ${event}. */
static void UNTRACED
login_logged(struct span event, struct span user)
{
	bool now = span_eq(event, SPAN("auth"));

	if (now ? !login.yes : user.n > 0 && !login.authed && !login.claims)
		breach("the log has a user where there is none: %.*s", (int)user.n, (const char *)user.p);
}
#endif
