/*
 * param: the ESMTP parameters of MAIL and RCPT (RFC 5321 4.1.2).
 * A table: keyword, command, whether a value must or must not stand there,
 * what has to be on offer for it to be known.  Every parameter may come
 * without its value, twice, or unknown; none of that gets as far as its row's
 * function.  PURE.
 */
#include "common/scan.h"
#include "common/xtext.h"
#include "worker/smtp/engine.h"

enum {
	PARAM_ENVID_MAX = 100, /* octets, RFC 3461 4.4 */
	PARAM_ORCPT_MAX = 500, /* octets, RFC 3461 4.2 */
	PARAM_AUTH_MAX = 500,  /* octets, RFC 4954 5 */
	PARAM_SIZE_DIGITS = 20 /* RFC 1870 3 */
};

struct target_of {
	const struct smtp *s;
	struct txn *t;
	struct rcpt *r; /* NULL for MAIL */
};

struct param {
	const char *keyword;
	bool rcpt;    /* of RCPT, not of MAIL */
	bool value;   /* must have one; otherwise must have none */
	unsigned ext; /* SMTP_EXT_* without which it is unknown; 0: always known */
	const struct say *(*take)(const struct target_of *o, struct span value);
};

#define SAY(name, code_, enh_, reason_, text_) \
	static const struct say name = { .code = code_, .enh = enh_, .reason = reason_, .text = text_ }

SAY(say_unknown, 555, ENH(5, 5, 4), "unknown-parameter", "parameter not known or not offered");
SAY(say_syntax, 501, ENH(5, 5, 4), "bad-parameter", "a parameter is not KEYWORD or KEYWORD=value");
SAY(say_value, 501, ENH(5, 5, 4), "bad-parameter", "a parameter's value is wrong");
SAY(say_no_value, 501, ENH(5, 5, 4), "bad-parameter", "a parameter lacks its value");
SAY(say_has_value, 501, ENH(5, 5, 4), "bad-parameter", "a parameter has a value that takes none");
SAY(say_twice, 501, ENH(5, 5, 4), "repeated-parameter", "a parameter stands twice");
SAY(say_needs_tls, 530, ENH(5, 7, 0), "tls-required", "REQUIRETLS needs TLS");

/* RFC 1870 6.1: the declared size is an estimate, but one over the limit is refused here. */
static const struct say *
take_size(const struct target_of *o, struct span value)
{
	uint64_t n = 0, max = o->s->cf->size_max;

	if (value.n > PARAM_SIZE_DIGITS)
		return &say_value;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < '0' || value.p[i] > '9')
			return &say_value;
	for (size_t i = 0; i < value.n; i++)
		if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(value.p[i] - '0'), &n))
			return &say_size;
	o->t->size_decl = n;
	return max > 0 && n > max ? &say_size : NULL;
}

/* RFC 6152, RFC 3030 3. */
static const struct say *
take_body(const struct target_of *o, struct span value)
{
	if (span_caseeq(value, SPAN("7BIT")))
		o->t->body = TXN_7BIT;
	else if (span_caseeq(value, SPAN("8BITMIME")))
		o->t->body = TXN_8BITMIME;
	else if (span_caseeq(value, SPAN("BINARYMIME")) && (o->s->cf->ext & SMTP_EXT_CHUNKING))
		o->t->body = TXN_BINARYMIME;
	else
		return &say_value;
	return NULL;
}

static const struct say *
take_smtputf8(const struct target_of *o, struct span value)
{
	(void)value;
	o->t->smtputf8 = true;
	return NULL;
}

/* RFC 8689 2. */
static const struct say *
take_requiretls(const struct target_of *o, struct span value)
{
	(void)value;
	o->t->requiretls = true;
	return o->s->tls ? NULL : &say_needs_tls;
}

static const struct say *
take_ret(const struct target_of *o, struct span value)
{
	if (span_caseeq(value, SPAN("FULL")))
		o->t->dsn_ret = TXN_RET_FULL;
	else if (span_caseeq(value, SPAN("HDRS")))
		o->t->dsn_ret = TXN_RET_HDRS;
	else
		return &say_value;
	return NULL;
}

/* Whether ${value} is xtext of printable ASCII; it is decoded into ${out}, *n octets, ${cap} suffices for value.n. */
static bool
printable_xtext(struct span value, uint8_t *out, size_t cap, size_t *n)
{
	ssize_t len = xtext_decode(value, out, cap);

	if (len <= 0)
		return false;
	*n = (size_t)len;
	return scan_printable(out, *n) == *n;
}

static const struct say *
take_envid(const struct target_of *o, struct span value)
{
	uint8_t out[PARAM_ENVID_MAX];
	size_t n;

	if (value.n > PARAM_ENVID_MAX || !printable_xtext(value, out, sizeof(out), &n))
		return &say_value;
	return arena_dup(o->t->arena, span_of(out, n), &o->t->envid) == 0 ? NULL : &say_no_memory;
}

/* RFC 4954 5: who is said to have sent it.  Nobody here believes it, for nothing is passed on. */
static const struct say *
take_auth(const struct target_of *o, struct span value)
{
	uint8_t out[PARAM_AUTH_MAX];
	size_t n;

	if (!o->s->tls)
		return &say_unknown;
	if (span_eq(value, SPAN("<>")))
		return NULL;
	return value.n <= PARAM_AUTH_MAX && printable_xtext(value, out, sizeof(out), &n) ? NULL : &say_value;
}

static uint8_t
notify_bit(struct span word)
{
	if (span_caseeq(word, SPAN("NEVER")))
		return NOTIFY_NEVER;
	if (span_caseeq(word, SPAN("SUCCESS")))
		return NOTIFY_SUCCESS;
	if (span_caseeq(word, SPAN("FAILURE")))
		return NOTIFY_FAILURE;
	return span_caseeq(word, SPAN("DELAY")) ? NOTIFY_DELAY : 0;
}

/* RFC 3461 4.1: NEVER stands alone, the others once each. */
static const struct say *
take_notify(const struct target_of *o, struct span value)
{
	uint8_t bits = 0;

	for (;;) {
		const uint8_t *comma = memchr(value.p, ',', value.n);
		size_t n = comma != NULL ? (size_t)(comma - value.p) : value.n;
		uint8_t bit = notify_bit(span_head(value, n));

		if (bit == 0 || (bits & bit) != 0)
			return &say_value;
		bits |= bit;
		if (comma == NULL)
			break;
		value = span_skip(value, n + 1);
		if (value.n == 0)
			return &say_value;
	}
	if ((bits & NOTIFY_NEVER) != 0 && bits != NOTIFY_NEVER)
		return &say_value;
	o->r->notify = bits;
	return NULL;
}

/*
 * \x{HEXPOINT} at the start of ${s}: its octets, and what it stands for; 0 if
 * it is none (RFC 6533 3): of ASCII only what xtext cannot hold, no surrogate,
 * no zero in front; digits in either case, as ABNF has them, unlike those of
 * xtext.  Its controls are refused, for what comes out must be a Mailbox, and
 * that has none.
 */
static size_t
embedded_point(struct span s, uint32_t *out)
{
	uint32_t point = 0;
	size_t i = 3;

	if (s.n < 3 || s.p[0] != '\\' || s.p[1] != 'x' || s.p[2] != '{')
		return 0;
	for (; i < s.n && i < 3 + 6 && s.p[i] != '}'; i++) {
		uint8_t c = s.p[i];

		if (c >= '0' && c <= '9')
			point = point << 4 | (uint32_t)(c - '0');
		else if (c >= 'A' && c <= 'F')
			point = point << 4 | (uint32_t)(c - 'A' + 10);
		else if (c >= 'a' && c <= 'f')
			point = point << 4 | (uint32_t)(c - 'a' + 10);
		else
			return 0;
	}
	if (i >= s.n || s.p[i] != '}' || s.p[3] == '0' ||
	    (point < 0x80 && point != '\\' && point != '+' && point != '=' && point != ' '))
		return 0;
	*out = point;
	return point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff) ? 0 : i + 1;
}

/* ${point} as UTF-8 (RFC 3629 3), 1 to 4 octets. */
static size_t
put_point(uint32_t point, uint8_t *out)
{
	size_t more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
	static const uint8_t head[] = { 0, 0xc0, 0xe0, 0xf0 };

	out[0] = (uint8_t)(head[more] | point >> 6 * more);
	for (size_t i = 1; i <= more; i++)
		out[i] = (uint8_t)(0x80 | (point >> 6 * (more - i) & 0x3f));
	return more + 1;
}

/*
 * RFC 6533 3: utf-8-addr-xtext, and utf-8-addr-unitext inside an SMTPUTF8
 * transaction (UTF-8 itself was checked with the line); dequoted, which makes
 * nothing longer, it is a Mailbox of RFC 6531.
 */
static bool
utf8_addr_ok(struct span s, bool smtputf8)
{
	uint8_t plain[PARAM_ORCPT_MAX];
	size_t at = 0;

	for (size_t i = 0; i < s.n;) {
		uint32_t point;
		size_t n = 1;

		if (s.p[i] == '\\') {
			n = embedded_point(span_skip(s, i), &point);
			if (n > 0)
				at += put_point(point, plain + at);
		} else if (s.p[i] == '+' || (s.p[i] >= 0x80 && !smtputf8)) {
			n = 0;
		} else {
			plain[at++] = s.p[i];
		}
		if (n == 0)
			return false;
		i += n;
	}
	return addr_mailbox_ok(span_of(plain, at), true);
}

static const struct say *
take_orcpt(const struct target_of *o, struct span value)
{
	const uint8_t *semicolon = memchr(value.p, ';', value.n);
	uint8_t out[PARAM_ORCPT_MAX];
	struct span type, address;
	bool ok = false;
	size_t n;

	if (semicolon == NULL || value.n > PARAM_ORCPT_MAX)
		return &say_value;
	type = span_head(value, (size_t)(semicolon - value.p));
	address = span_skip(value, type.n + 1);
	/* RFC 3461 says of an rfc822 one that it is xtext; what stands in it is its sender's affair. */
	if (span_caseeq(type, SPAN("rfc822")))
		ok = printable_xtext(address, out, sizeof(out), &n);
	else if (span_caseeq(type, SPAN("utf-8")))
		ok = utf8_addr_ok(address, o->t->smtputf8);
	if (!ok)
		return &say_value;
	return arena_dup(o->t->arena, value, &o->r->orcpt) == 0 ? NULL : &say_no_memory;
}

static const struct param params[] = {
	{ "SIZE", false, true, 0, take_size },
	{ "BODY", false, true, 0, take_body },
	{ "SMTPUTF8", false, false, SMTP_EXT_SMTPUTF8, take_smtputf8 },
	{ "REQUIRETLS", false, false, 0, take_requiretls },
	{ "AUTH", false, true, SMTP_EXT_AUTH | SMTP_EXT_TOKENS, take_auth },
	{ "RET", false, true, SMTP_EXT_DSN, take_ret },
	{ "ENVID", false, true, SMTP_EXT_DSN, take_envid },
	{ "NOTIFY", true, true, SMTP_EXT_DSN, take_notify },
	{ "ORCPT", true, true, SMTP_EXT_DSN, take_orcpt },
};

enum { PARAM_N = sizeof(params) / sizeof(params[0]) };

static bool
alnum(uint8_t c)
{
	c = ascii_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* esmtp-keyword (RFC 5321 4.1.2). */
static bool
keyword_ok(struct span k)
{
	if (k.n == 0 || !alnum(k.p[0]))
		return false;
	for (size_t i = 1; i < k.n; i++)
		if (!alnum(k.p[i]) && k.p[i] != '-')
			return false;
	return true;
}

/* esmtp-value (RFC 5321 4.1.2, RFC 6531 3.3); controls and bad UTF-8 were refused with the line. */
static bool
value_ok(struct span v, bool utf8)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] <= ' ' || v.p[i] == '=' || (v.p[i] > '~' && !utf8))
			return false;
	return v.n > 0;
}

/* The row's index, or PARAM_N. */
static size_t
find(const struct target_of *o, struct span keyword)
{
	size_t i;

	for (i = 0; i < PARAM_N; i++)
		if (params[i].rcpt == (o->r != NULL) && span_caseeq(keyword, span_str(params[i].keyword)) &&
		    (params[i].ext == 0 || (o->s->cf->ext & params[i].ext) != 0))
			break;
	return i;
}

static const struct say *
take_word(const struct target_of *o, struct span word, unsigned *seen)
{
	const uint8_t *eq = memchr(word.p, '=', word.n);
	struct span keyword = word, value = { NULL, 0 };
	size_t i;

	if (eq != NULL) {
		keyword.n = (size_t)(eq - word.p);
		value = span_skip(word, keyword.n + 1);
	}
	if (!keyword_ok(keyword))
		return &say_syntax;
	i = find(o, keyword);
	if (i == PARAM_N)
		return &say_unknown;
	if ((*seen & 1U << i) != 0)
		return &say_twice;
	*seen |= 1U << i;
	if (!params[i].value)
		return eq != NULL ? &say_has_value : params[i].take(o, value);
	if (value.n == 0)
		return &say_no_value;
	return value_ok(value, o->t->smtputf8) ? params[i].take(o, value) : &say_value;
}

static const struct say *
take_all(const struct target_of *o, struct span rest)
{
	const struct say *say = NULL;
	unsigned seen = 0;

	while (say == NULL && rest.n > 0) {
		const uint8_t *space = memchr(rest.p, ' ', rest.n);
		struct span word = span_head(rest, space != NULL ? (size_t)(space - rest.p) : rest.n);

		/* Parameters are those of EHLO's extensions; a client that said HELO was offered none. */
		if (word.n > 0)
			say = o->s->esmtp ? take_word(o, word, &seen) : &say_unknown;
		rest = span_skip(rest, space != NULL ? word.n + 1 : word.n);
	}
	return say;
}

/* As given, for those who want to see what we do not know. */
static int
keep_given(struct txn *t, struct span rest, struct span *out)
{
	while (rest.n > 0 && rest.p[0] == ' ')
		rest = span_skip(rest, 1);
	return rest.n > 0 ? arena_dup(t->arena, rest, out) : 0;
}

const struct say *
param_mail(const struct smtp *s, struct txn *t, struct span rest)
{
	struct target_of o = { .s = s, .t = t };
	const struct say *say = take_all(&o, rest);

	return say == NULL && keep_given(t, rest, &t->params) != 0 ? &say_no_memory : say;
}

const struct say *
param_rcpt(const struct smtp *s, struct txn *t, struct rcpt *r, struct span rest)
{
	struct target_of o = { .s = s, .t = t, .r = r };
	const struct say *say = take_all(&o, rest);

	return say == NULL && keep_given(t, rest, &r->params) != 0 ? &say_no_memory : say;
}
