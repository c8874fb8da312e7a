/*
 * command: from a command line to its effect.
 * A table: each row pairs a pure check of the syntax, which sees no session,
 * with an effect, which sees no raw line; between them stands when the command
 * may come at all.  An effect replies or opens a question.  PURE.
 */
#include "worker/smtp/engine.h"

#include "common/xtext.h"

enum {                           /* when a command may come; otherwise 503 5.5.1 */
	WHEN_HELO = 1 << 0,      /* after EHLO, HELO or LHLO */
	WHEN_TXN = 1 << 1,       /* inside a transaction */
	WHEN_NO_TXN = 1 << 2,    /* outside one */
	WHEN_NO_CHUNKS = 1 << 3, /* not between two BDATs (RFC 3030 2) */
	WHEN_CLEAR = 1 << 4,     /* in clear too, where TLS is required (RFC 3207 4) */
	ONLY_SMTP = 1 << 5,      /* not in LMTP; otherwise 500 5.5.1 */
	ONLY_LMTP = 1 << 6,
	NEED_AUTH = 1 << 7 /* after AUTH, where it is required; otherwise 530 5.7.0 */
};

struct command {
	const char *verb;
	unsigned when;
	unsigned ext; /* SMTP_EXT_* without which it is 502 5.5.1; 0: always there */
	const struct say *(*check)(struct span arg, struct args *a);
	const struct say *(*effect)(struct smtp *s, const struct args *a);
};

#define SAY(name, code_, enh_, reason_, text_) \
	const struct say name = { .code = code_, .enh = enh_, .reason = reason_, .text = text_ }

SAY(say_line_too_long, 500, ENH(5, 5, 2), "line-too-long", "line too long");
SAY(say_no_memory, 451, ENH(4, 3, 0), "no-memory", "no memory left, try again later");
SAY(say_size, 552, ENH(5, 3, 4), "size-exceeded", "message is bigger than this server takes");

static SAY(say_ok, 250, ENH(2, 0, 0), "ok", "ok");
static SAY(say_bye, 221, ENH(2, 0, 0), "quit", "goodbye");
static SAY(say_vrfy, 252, ENH(2, 0, 0), "vrfy", "will not say who is here; send mail and see");
static SAY(say_unknown, 500, ENH(5, 5, 2), "unknown-command", "command not known");
static SAY(say_octets, 500, ENH(5, 5, 2), "control-octet", "a control octet or bad UTF-8 in a command");
static SAY(say_8bit, 501, ENH(5, 5, 2), "syntax", "only ASCII may stand here");
static SAY(
    say_not_here, 500, ENH(5, 5, 1), "wrong-protocol", "not a command of this protocol; SMTP has EHLO, LMTP has LHLO");
static SAY(say_unimplemented, 502, ENH(5, 5, 1), "not-implemented", "command not implemented");
static SAY(say_sequence, 503, ENH(5, 5, 1), "bad-sequence", "not now: commands are out of order");
static SAY(say_refused, 503, ENH(5, 5, 1), "bad-sequence", "this session was refused; only QUIT is served");
static SAY(say_need_tls, 530, ENH(5, 7, 0), "tls-required", "say STARTTLS first");
static SAY(say_in_tls, 503, ENH(5, 5, 1), "bad-sequence", "TLS is active already");
static SAY(say_no_xclient, 550, ENH(5, 7, 0), "xclient-refused", "not from you");
static SAY(say_xclient, 501, ENH(5, 5, 4), "syntax", "it is XCLIENT NAME=value, with words that EHLO lists");
static SAY(say_no_argument, 501, ENH(5, 5, 4), "syntax", "this command takes no argument");
static SAY(say_argument, 501, ENH(5, 5, 4), "syntax", "an argument is missing");
static SAY(say_name, 501, 0, "syntax", "one domain or address literal must follow"); /* RFC 2034 4: none for HELO */
static SAY(say_mail_syntax, 501, ENH(5, 5, 4), "syntax", "it is MAIL FROM:<address> [parameters]");
static SAY(say_rcpt_syntax, 501, ENH(5, 5, 4), "syntax", "it is RCPT TO:<address> [parameters]");
static SAY(say_sender, 501, ENH(5, 1, 7), "sender-syntax", "that is not an address");
static SAY(say_recipient, 501, ENH(5, 1, 3), "recipient-syntax", "that is not an address");
static SAY(say_utf8, 553, ENH(5, 6, 7), "needs-smtputf8", "that address needs SMTPUTF8");
static SAY(say_recipients, 452, ENH(4, 5, 3), "too-many-recipients", "too many recipients");
static SAY(say_none_valid, 554, ENH(5, 5, 1), "no-valid-recipients", "no valid recipients");
static SAY(say_need_rcpt, 503, ENH(5, 5, 1), "no-valid-recipients", "a recipient must come first");
static SAY(say_binary, 503, ENH(5, 5, 1), "bad-sequence", "BINARYMIME comes by BDAT only");

const struct say say_count = { /* what follows can't be told from commands (RFC 3030 2) */
	.code = 501,
	.close = true,
	.enh = ENH(5, 5, 4),
	.reason = "bdat-count",
	.text = "not a count; closing"
};

/* A browser or a proxy that is made to talk to us: what comes next is of its own making, and may look like commands. */
static const struct say say_http = {
	.code = 554, .close = true, .enh = ENH(5, 5, 0), .reason = "http-verb", .text = "this is no HTTP server"
};
static const char *const http_verbs[] = { "GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS", "DELETE", "PATCH",
	"TRACE", "PRI" };

static struct span
skip_spaces(struct span s)
{
	while (s.n > 0 && s.p[0] == ' ')
		s = span_skip(s, 1);
	return s;
}

/* The checks. */

static const struct say *
check_any(struct span arg, struct args *a)
{
	a->arg = arg;
	return NULL;
}

static const struct say *
check_some(struct span arg, struct args *a)
{
	a->arg = arg;
	return arg.n > 0 ? NULL : &say_argument;
}

static const struct say *
check_none(struct span arg, struct args *a)
{
	a->arg = arg;
	return arg.n == 0 ? NULL : &say_no_argument;
}

static const struct say *
check_name(struct span arg, struct args *a)
{
	a->arg = arg;
	return ehlo_name_ok(arg) ? NULL : &say_name;
}

/* "FROM:" or "TO:", then a path in brackets; the spaces before it are no good form but common. */
static bool
path_follows(struct span arg, struct span keyword, struct args *a)
{
	if (arg.n < keyword.n || !span_caseeq(span_head(arg, keyword.n), keyword))
		return false;
	a->arg = skip_spaces(span_skip(arg, keyword.n));
	return a->arg.n > 0 && a->arg.p[0] == '<';
}

static const struct say *
check_mail(struct span arg, struct args *a)
{
	return path_follows(arg, SPAN("FROM:"), a) ? NULL : &say_mail_syntax;
}

static const struct say *
check_rcpt(struct span arg, struct args *a)
{
	return path_follows(arg, SPAN("TO:"), a) ? NULL : &say_rcpt_syntax;
}

static const struct say *
check_bdat(struct span arg, struct args *a)
{
	size_t i = 0;

	a->octets = 0;
	for (; i < arg.n && arg.p[i] >= '0' && arg.p[i] <= '9'; i++)
		if (__builtin_mul_overflow(a->octets, (uint64_t)10, &a->octets) ||
		    __builtin_add_overflow(a->octets, (uint64_t)(arg.p[i] - '0'), &a->octets))
			return &say_count;
	a->last = i < arg.n && arg.p[i] == ' ' && span_caseeq(skip_spaces(span_skip(arg, i)), SPAN("LAST"));
	return i > 0 && (i == arg.n || a->last) ? NULL : &say_count;
}

/* The effects. */

static const struct say *
open_question(struct smtp *s, enum smtp_ev question)
{
	s->question = question;
	return NULL;
}

static bool
keep(struct smtp *s, struct kept *k, struct span text)
{
	if (k->cap < text.n) {
		size_t cap = k->cap > 0 ? k->cap : 32;
		uint8_t *p;

		while (cap < text.n)
			cap *= 2;
		p = arena_alloc(s->session, cap);
		if (p == NULL)
			return false;
		*k = (struct kept){ .p = p, .cap = (uint16_t)cap };
	}
	if (text.n > 0)
		memcpy(k->p, text.p, text.n);
	k->n = (uint16_t)text.n;
	return true;
}

static const struct say *
name_given(struct smtp *s, struct span name, bool esmtp)
{
	if (!keep(s, &s->name[!s->name_now], name))
		return &say_no_memory;
	s->name_esmtp = esmtp;
	return open_question(s, SMTP_EV_HELO);
}

static const struct say *
do_ehlo(struct smtp *s, const struct args *a)
{
	return name_given(s, a->arg, true);
}

static const struct say *
do_helo(struct smtp *s, const struct args *a)
{
	return name_given(s, a->arg, false);
}

/*
 * One path at the start of ${in}, and what stands behind it in *rest.  With
 * SMTPUTF8 on offer UTF-8 is taken here and the parameter is asked for later,
 * since it stands behind the path.
 */
static const struct say *
read_path(struct smtp *s, struct span in, unsigned flags, const struct say *bad, struct addr *out, struct span *rest)
{
	ssize_t n = addr_parse(in, flags, s->transaction, out);

	if (n == ADDR_ENOMEM)
		return &say_no_memory;
	if (n == ADDR_EUTF8)
		return &say_utf8;
	if (n <= 0)
		return bad;
	*rest = span_skip(in, (size_t)n);
	if (rest->n > 0 && rest->p[0] != ' ')
		return bad;
	return NULL;
}

static const struct say *
fill_mail(struct smtp *s, struct txn *t, struct span arg)
{
	unsigned utf8 = (s->cf->ext & SMTP_EXT_SMTPUTF8) && s->esmtp ? ADDR_UTF8 : 0;
	const struct say *say;
	struct span rest;

	say = read_path(s, arg, ADDR_REVERSE | utf8, &say_sender, &t->from, &rest);
	if (say == NULL)
		say = param_mail(s, t, rest);
	if (say == NULL && t->from.utf8 && !t->smtputf8)
		say = &say_utf8;
	return say;
}

static const struct say *
do_mail(struct smtp *s, const struct args *a)
{
	struct txn *t = txn_new(s->transaction);
	const struct say *say = t != NULL ? fill_mail(s, t, a->arg) : &say_no_memory;

	if (say != NULL) {
		arena_reset(s->transaction); /* it was never asked about, so there is no SMTP_EV_RESET */
		return say;
	}
	s->t = t;
	return open_question(s, SMTP_EV_MAIL);
}

static const struct say *
do_rcpt(struct smtp *s, const struct args *a)
{
	unsigned flags = ADDR_POSTMASTER | (s->t->smtputf8 ? ADDR_UTF8 : 0);
	const struct say *say;
	struct span rest;
	struct rcpt *r;

	if (s->cf->rcpt_max > 0 && s->t->nrcpt >= s->cf->rcpt_max)
		return &say_recipients;
	r = txn_rcpt_new(s->t);
	if (r == NULL)
		return &say_no_memory;
	say = read_path(s, a->arg, flags, &say_recipient, &r->addr, &rest);
	if (say == NULL)
		say = param_rcpt(s, s->t, r, rest);
	if (say != NULL) {
		s->t->nrefused++;
		return say;
	}
	s->rcpt = r;
	return open_question(s, SMTP_EV_RCPT);
}

/* Why content can't come: nobody would get it.  RFC 2033 4.2 wants 503 where RFC 5321 4.1.1.4 prefers 554. */
static const struct say *
nobody(const struct smtp *s)
{
	if (s->t->nrcpt > 0)
		return NULL;
	return s->t->nrefused > 0 && !s->cf->lmtp ? &say_none_valid : &say_need_rcpt;
}

static const struct say *
do_data(struct smtp *s, const struct args *a)
{
	const struct say *say = nobody(s);

	(void)a;
	if (say == NULL && s->t->body == TXN_BINARYMIME)
		return &say_binary;
	if (say == NULL)
		return open_question(s, SMTP_EV_DATA);
	s->ending = s->t->nrefused > 0; /* all were refused: buffers are cleared; none was named: it may still come */
	return say;
}

/*
 * The octets follow whatever is wrong, so what is wrong is said behind them
 * (RFC 3030 2).  A transaction that went wrong is over, and further chunks
 * meet 503 until the next MAIL.
 */
static const struct say *
do_bdat(struct smtp *s, const struct args *a)
{
	const struct say *say;

	if (!s->chunked)
		s->read = 0;
	if (smtp_floods(s, a->octets))
		return &say_flood;
	if (s->refused)
		say = &say_refused;
	else if (s->cf->tls_required && !s->tls)
		say = &say_need_tls;
	else
		say = s->t == NULL ? &say_sequence : nobody(s);
	if (say == NULL && s->chunked) {
		data_chunk(&s->data, a->octets, a->last);
		smtp_content(s, NULL);
		return NULL;
	}
	data_none(&s->data);
	data_chunk(&s->data, a->octets, a->last);
	if (say == NULL) {
		s->chunked = true;
		return open_question(s, SMTP_EV_DATA);
	}
	s->read = 0;
	s->ending = s->t != NULL;
	smtp_content(s, say);
	return NULL;
}

static const struct say *
do_rset(struct smtp *s, const struct args *a)
{
	(void)a;
	s->ending = true;
	return &say_ok;
}

static const struct say *
do_noop(struct smtp *s, const struct args *a)
{
	(void)s;
	(void)a;
	return &say_ok;
}

static const struct say *
do_vrfy(struct smtp *s, const struct args *a)
{
	(void)s;
	(void)a;
	return &say_vrfy;
}

static const struct say *
do_nothing(struct smtp *s, const struct args *a)
{
	(void)s;
	(void)a;
	return &say_unimplemented;
}

static const struct say *
do_help(struct smtp *s, const struct args *a)
{
	(void)s;
	(void)a;
	return &say_help;
}

static const struct say *
do_quit(struct smtp *s, const struct args *a)
{
	(void)a;
	s->state = SMTP_ST_CLOSED;
	return &say_bye;
}

static const struct say *
do_starttls(struct smtp *s, const struct args *a)
{
	(void)a;
	return s->tls ? &say_in_tls : open_question(s, SMTP_EV_STARTTLS);
}

static const struct say *
do_xclient(struct smtp *s, const struct args *a)
{
	struct xclient *x = arena_alloc(s->transaction, sizeof(*x));
	int error = x != NULL ? xclient_parse(a->arg, s->transaction, x) : XCLIENT_ENOMEM;

	if (error != 0) {
		arena_reset(s->transaction);
		return error == XCLIENT_ENOMEM ? &say_no_memory : &say_xclient;
	}
	s->xclient = x;
	s->bare_ok = false;
	return open_question(s, SMTP_EV_XCLIENT);
}

static const struct say *
do_auth(struct smtp *s, const struct args *a)
{
	return auth_begin(s, a->arg);
}

static const struct command commands[] = {
	{ "MAIL", WHEN_HELO | WHEN_NO_TXN | NEED_AUTH, 0, check_mail, do_mail },
	{ "RCPT", WHEN_TXN | WHEN_NO_CHUNKS, 0, check_rcpt, do_rcpt },
	{ "DATA", WHEN_TXN | WHEN_NO_CHUNKS, 0, check_none, do_data },
	{ "BDAT", WHEN_CLEAR, SMTP_EXT_CHUNKING, check_bdat, do_bdat },
	{ "EHLO", WHEN_CLEAR | ONLY_SMTP, 0, check_name, do_ehlo },
	{ "HELO", WHEN_CLEAR | ONLY_SMTP, 0, check_name, do_helo },
	{ "LHLO", WHEN_CLEAR | ONLY_LMTP, 0, check_name, do_ehlo },
	{ "RSET", WHEN_CLEAR, 0, check_none, do_rset },
	{ "NOOP", WHEN_CLEAR, 0, check_any, do_noop },
	{ "QUIT", WHEN_CLEAR, 0, check_none, do_quit },
	{ "HELP", WHEN_CLEAR, 0, check_any, do_help },
	{ "VRFY", 0, 0, check_some, do_vrfy },
	{ "STARTTLS", WHEN_CLEAR, SMTP_EXT_STARTTLS, check_none, do_starttls },
	{ "XCLIENT", WHEN_NO_TXN, 0, check_some, do_xclient },
	{ "AUTH", 0, 0, check_any, do_auth },
	{ "EXPN", 0, 0, check_any, do_nothing },
	{ "ETRN", 0, 0, check_any, do_nothing },
	{ "TURN", 0, 0, check_any, do_nothing },
};

static const struct command *
find(struct span verb)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (span_caseeq(verb, span_str(commands[i].verb)))
			return &commands[i];
	return NULL;
}

static bool
is_http(struct span verb)
{
	for (size_t i = 0; i < sizeof(http_verbs) / sizeof(http_verbs[0]); i++)
		if (span_caseeq(verb, span_str(http_verbs[i])))
			return true;
	return false;
}

/* ${line} is refused, with ${say} unless somebody has other words for it. */
static const struct say *
not_ours(struct smtp *s, struct span line, const struct say *say)
{
	if (!keep(s, &s->line, span_head(line, line.n < SMTP_UNKNOWN_MAX ? line.n : SMTP_UNKNOWN_MAX)))
		return say;
	s->unknown = say;
	return open_question(s, SMTP_EV_UNKNOWN);
}

/* Why next to nothing may come in this session, nor ${c}; NULL: a verb that is none of ours. */
static const struct say *
shut(const struct smtp *s, const struct command *c)
{
	/* The octets behind BDAT must be read whatever it is answered. */
	if (s->refused && (c == NULL || (c->effect != do_quit && c->effect != do_bdat)))
		return &say_refused;
	if (s->cf->tls_required && !s->tls && (c == NULL || !(c->when & WHEN_CLEAR)))
		return &say_need_tls;
	return NULL;
}

/* Why ${c} may not come at all in this session; syntax comes after it. */
static const struct say *
absent(const struct smtp *s, const struct command *c)
{
	const struct say *say = shut(s, c);

	if (say != NULL)
		return say;
	if ((c->when & ONLY_SMTP && s->cf->lmtp) || (c->when & ONLY_LMTP && !s->cf->lmtp))
		return &say_not_here;
	if (c->effect == do_xclient && !s->xclient_ok)
		return &say_no_xclient;
	if (c->effect == do_starttls && s->tls)
		return NULL;
	if (c->ext != 0 && (s->cf->ext & c->ext) == 0)
		return &say_unimplemented;
	if (c->when & NEED_AUTH && s->cf->auth_required && s->authed == 0)
		return &say_need_auth;
	return NULL;
}

static const struct say *
unknown(struct smtp *s, struct span line, struct span verb)
{
	const struct say *say = is_http(verb) ? &say_http : shut(s, NULL);

	return say != NULL ? say : not_ours(s, line, &say_unknown);
}

/* Why ${c} may not come now. */
static const struct say *
untimely(const struct smtp *s, const struct command *c)
{
	if ((c->when & WHEN_HELO && s->name[s->name_now].n == 0) || (c->when & WHEN_TXN && s->t == NULL) ||
	    (c->when & WHEN_NO_TXN && s->t != NULL) || (c->when & WHEN_NO_CHUNKS && s->chunked))
		return &say_sequence;
	return NULL;
}

/* Whether no octet of the line is a control or breaks UTF-8; *ascii: all are below 0x80. */
static bool
octets_ok(struct span line, bool *ascii)
{
	*ascii = true;
	for (size_t i = 0; i < line.n;) {
		size_t n = xtext_utf8(span_skip(line, i));

		if (n == 0 || line.p[i] < ' ' || line.p[i] == 0x7f)
			return false;
		*ascii = *ascii && n == 1;
		i += n;
	}
	return true;
}

/* Whose check or effect has its own words for what is not ASCII. */
static bool
may_be_utf8(const struct command *c)
{
	return c->check == check_name || c->effect == do_mail || c->effect == do_rcpt || c->effect == do_vrfy;
}

/* ${s} up to a ' ', from ${from} on. */
static size_t
word_end(struct span s, size_t from)
{
	while (from < s.n && s.p[from] != ' ')
		from++;
	return from;
}

/* AUTH with its mechanism, if it is one: a password may stand in its place too. */
static struct span
auth_shown(struct span line, size_t verb)
{
	size_t from = verb, end;

	while (from < line.n && line.p[from] == ' ')
		from++;
	end = word_end(line, from);
	return span_head(line, sasl_find(span_of(line.p + from, end - from)) != SASL_MECHS ? end : verb);
}

static struct span
xclient_shown(struct span line)
{
	for (size_t i = 0; i + 5 <= line.n; i++)
		if (span_caseeq(span_of(line.p + i, 5), SPAN("LOGIN")))
			return span_head(line, i);
	return line;
}

struct span
command_shown(const struct smtp *s, struct span line)
{
	size_t n = word_end(line, 0);
	struct span verb = span_head(line, n);

	if (s->state == SMTP_ST_AUTH)
		return span_head(line, 0);
	if (find(verb) == NULL)
		return span_head(line, is_http(verb) ? n : 0);
	if (span_caseeq(verb, SPAN("AUTH")))
		return auth_shown(line, n);
	return span_caseeq(verb, SPAN("XCLIENT")) ? xclient_shown(line) : line;
}

bool
command_opens_chunk(const struct smtp *s, struct span line)
{
	return (s->cf->ext & SMTP_EXT_CHUNKING) != 0 && span_caseeq(span_head(line, word_end(line, 0)), SPAN("BDAT"));
}

const struct say *
command_run(struct smtp *s, struct span line)
{
	const struct command *c;
	const struct say *say;
	struct args a = { .octets = 0 };
	struct span verb;
	bool ascii;

	/* RFC 5321 4.1.1: trailing white space is to be tolerated. */
	while (line.n > 0 && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--;
	if (!octets_ok(line, &ascii))
		return command_opens_chunk(s, line) ? &say_count : &say_octets;
	verb = span_head(line, word_end(line, 0));
	c = find(verb);
	if (c == NULL)
		return unknown(s, line, verb);
	say = absent(s, c);
	if (say == NULL && !ascii && !may_be_utf8(c))
		say = c->effect == do_bdat ? &say_count : &say_8bit;
	if (say == NULL)
		say = c->check(skip_spaces(span_skip(line, verb.n)), &a);
	if (say == NULL)
		say = untimely(s, c);
	if (say == NULL)
		say = c->effect(s, &a);
	return say == &say_unimplemented || say == &say_not_here ? not_ours(s, line, say) : say;
}
