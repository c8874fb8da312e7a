/*
 * sasl: see sasl.h.  PLAIN is RFC 4616, LOGIN draft-murchison-sasl-login, SCRAM
 * RFC 5802 and RFC 7677, OAUTHBEARER RFC
 * 7628, XOAUTH2 what Google and Microsoft document.  Names are compared without ASCII case everywhere, so
 * they are made lower case here, once.  PURE.
 */
#include "worker/smtp/sasl.h"

const char *const sasl_name[SASL_MECHS] = { "PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "OAUTHBEARER",
	"XOAUTH2" };

enum sasl_mech
sasl_find(struct span name)
{
	int m = 0;

	while (m < SASL_MECHS && !span_caseeq(name, span_str(sasl_name[m])))
		m++;
	return (enum sasl_mech)m;
}

/* --- base64 --- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int
digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t
sasl_decode(struct span in, uint8_t *out, size_t cap)
{
	size_t n = 0, pad = 0;

	if (in.n % 4 != 0)
		return -1;
	while (pad < 2 && in.n > pad && in.p[in.n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < in.n; i += 4) {
		size_t take = i + 4 == in.n ? 4 - pad : 4;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = k < take ? digit(in.p[i + k]) : 0;

			if (d < 0)
				return -1;
			v = v << 6 | (uint32_t)d;
		}
		/* Bits that stand for nothing must be 0: one text a value (RFC 4648 3.5). */
		if (n + take - 1 > cap || (take == 3 && (v & 0xff) != 0) || (take == 2 && (v & 0xffff) != 0))
			return -1;
		for (size_t k = 0; k + 1 < take; k++)
			out[n++] = (uint8_t)(v >> (16 - 8 * k));
	}
	return (ssize_t)n;
}

ssize_t
sasl_encode(struct span in, char *out, size_t cap)
{
	size_t n = 0;

	if (in.n >= cap || (in.n + 2) / 3 * 4 >= cap)
		return -1;
	for (size_t i = 0; i < in.n; i += 3) {
		size_t left = in.n - i;
		uint32_t v = (uint32_t)in.p[i] << 16;

		if (left > 1)
			v |= (uint32_t)in.p[i + 1] << 8;
		if (left > 2)
			v |= in.p[i + 2];
		out[n++] = digits[v >> 18];
		out[n++] = digits[v >> 12 & 63];
		out[n++] = left > 1 ? digits[v >> 6 & 63] : '=';
		out[n++] = left > 2 ? digits[v & 63] : '=';
	}
	out[n] = '\0';
	return (ssize_t)n;
}

/* --- what all mechanisms share --- */

void
sasl_init(struct sasl *s, enum sasl_mech mech)
{
	explicit_bzero(s, sizeof(*s));
	s->mech = mech;
	if (sasl_by_token(mech))
		s->step = SASL_TOKEN;
	else
		s->step = mech == SASL_PLAIN || mech == SASL_LOGIN ? SASL_PASSWORD : SASL_FIRST;
}

/* The name; false: it is none that anybody can have. */
static bool
take_user(struct sasl *s, struct span name)
{
	if (name.n == 0 || name.n > SASL_USER_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] <= ' ' || name.p[i] == 0x7f)
			return false;
		s->user[i] = (char)ascii_lower(name.p[i]);
	}
	s->nuser = name.n;
	s->user[name.n] = '\0';
	return true;
}

/* Who is to be acted for: nobody but oneself. */
static bool
is_self(const struct sasl *s, struct span authzid)
{
	return authzid.n == 0 || span_caseeq(authzid, span_of(s->user, s->nuser));
}

static enum sasl_got
take_password(struct sasl *s, struct span password)
{
	if (password.n == 0 || password.n > SASL_PASSWORD_MAX || memchr(password.p, 0, password.n) != NULL)
		return SASL_REFUSED;
	s->password = password;
	return SASL_ASK;
}

static struct span
until(struct span *rest, uint8_t end)
{
	const uint8_t *at = rest->n > 0 ? memchr(rest->p, end, rest->n) : NULL;
	struct span head = *rest;

	if (at != NULL)
		head.n = (size_t)(at - rest->p);
	*rest = at != NULL ? span_skip(*rest, head.n + 1) : span_skip(*rest, rest->n);
	return head;
}

static enum sasl_got
take_plain(struct sasl *s)
{
	struct span rest = span_of(s->octets, s->n), authzid, name;

	if (s->n == 0 || memchr(s->octets, 0, s->n) == NULL)
		return SASL_BAD;
	authzid = until(&rest, 0);
	if (rest.n == 0 || memchr(rest.p, 0, rest.n) == NULL)
		return SASL_BAD;
	name = until(&rest, 0);
	if (!take_user(s, name) || !is_self(s, authzid))
		return SASL_REFUSED;
	return take_password(s, rest);
}

static enum sasl_got
take_login(struct sasl *s)
{
	struct span in = span_of(s->octets, s->n);

	if (s->named)
		return s->nuser > 0 ? take_password(s, in) : SASL_REFUSED;
	s->named = true;
	if (!take_user(s, in))
		s->nuser = 0; /* it is told so when it has said its password, like anybody */
	return SASL_MORE;
}

/* --- SCRAM --- */

/* "=2C" and "=3D" are "," and "=" (RFC 5802 5.1).  False: another "=". */
static bool
take_saslname(struct sasl *s, struct span in)
{
	uint8_t name[SASL_USER_MAX];
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];

		if (c == '=') {
			if (in.n - i < 3)
				return false;
			if (memcmp(in.p + i, "=2C", 3) == 0)
				c = ',';
			else if (memcmp(in.p + i, "=3D", 3) != 0)
				return false;
			i += 2;
		}
		if (n == sizeof(name))
			return false;
		name[n++] = c;
	}
	return take_user(s, span_of(name, n));
}

static bool
attribute(struct span *rest, char key, struct span *value)
{
	struct span a = until(rest, ',');

	if (a.n < 2 || a.p[0] != (uint8_t)key || a.p[1] != '=')
		return false;
	*value = span_skip(a, 2);
	return true;
}

static bool
nonce_ok(struct span nonce, size_t max)
{
	if (nonce.n == 0 || nonce.n > max)
		return false;
	for (size_t i = 0; i < nonce.n; i++)
		if (nonce.p[i] < '!' || nonce.p[i] > '~')
			return false;
	return true;
}

/* Of cb-name: a letter, a digit, "." or "-". */
static bool
name_octet(uint8_t c)
{
	c = ascii_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

/* gs2-header: the flag, and for whom. */
static enum sasl_got
take_gs2(struct sasl *s, struct span *rest, struct span *authzid)
{
	const uint8_t *begin = rest->p;
	struct span flag = until(rest, ',');

	s->bind = flag.n > 0 ? flag.p[0] : 0;
	if (s->bind == 'p') {
		if (flag.n < 3 || flag.p[1] != '=' || flag.n - 2 >= sizeof(s->bind_name))
			return SASL_BAD;
		for (size_t i = 2; i < flag.n; i++)
			if (!name_octet(flag.p[i]))
				return SASL_BAD;
		memcpy(s->bind_name, flag.p + 2, flag.n - 2);
	} else if (flag.n != 1 || (s->bind != 'n' && s->bind != 'y')) {
		return SASL_BAD;
	}
	/* "y": the client thinks that we can't bind; who told it so?  "p" belongs to -PLUS, and "n" does not (RFC 5802 6). */
	if (s->bind == 'y' || (s->bind == 'p') != (s->mech == SASL_SCRAM_PLUS))
		return SASL_REFUSED;
	*authzid = until(rest, ',');
	if (authzid->n > 0 && (authzid->n < 3 || memcmp(authzid->p, "a=", 2) != 0))
		return SASL_BAD;
	if (authzid->n > 0)
		*authzid = span_skip(*authzid, 2);
	s->ngs2 = (size_t)(rest->p - begin);
	if (s->ngs2 > sizeof(s->gs2))
		return SASL_BAD;
	memcpy(s->gs2, begin, s->ngs2);
	return SASL_MORE;
}

static enum sasl_got
take_first(struct sasl *s)
{
	struct span rest = span_of(s->octets, s->n), authzid, name, nonce;
	enum sasl_got got = take_gs2(s, &rest, &authzid);

	if (got != SASL_MORE)
		return got;
	if (rest.n == 0 || rest.n > sizeof(s->first))
		return SASL_BAD;
	memcpy(s->first, rest.p, rest.n);
	s->nfirst = rest.n;
	/* "m=" is an extension that must be understood, and none is. */
	if (!attribute(&rest, 'n', &name) || !attribute(&rest, 'r', &nonce) || !nonce_ok(nonce, SASL_NONCE_MAX))
		return SASL_BAD;
	if (!take_saslname(s, name) || !is_self(s, authzid))
		return SASL_REFUSED;
	return SASL_ASK;
}

/* c=: what the client saw of the channel, behind the very header it began with. */
static bool
take_binding(struct sasl *s, struct span value)
{
	uint8_t c[SASL_GS2_MAX + SASL_BINDING_MAX];
	ssize_t n = sasl_decode(value, c, sizeof(c));

	if (n < (ssize_t)s->ngs2 || memcmp(c, s->gs2, s->ngs2) != 0)
		return false;
	s->nbinding = (size_t)n - s->ngs2;
	if (s->nbinding > sizeof(s->binding) || (s->nbinding > 0) != (s->bind == 'p'))
		return false;
	memcpy(s->binding, c + s->ngs2, s->nbinding);
	return true;
}

static enum sasl_got
take_final(struct sasl *s)
{
	struct span all = span_of(s->octets, s->n), rest = all, value, nonce,
		    had = span_of(s->server_first, s->nserver_first);
	struct span ours;
	size_t at = all.n;

	/* The proof is the last attribute; base64 has no comma. */
	while (at > 0 && all.p[at - 1] != ',')
		at--;
	if (at == 0 || all.n - at < 3 || memcmp(all.p + at, "p=", 2) != 0)
		return SASL_BAD;
	if (sasl_decode(span_skip(all, at + 2), s->proof, sizeof(s->proof)) != SASL_PROOF)
		return SASL_BAD;
	s->final = span_head(all, at - 1);
	if (!attribute(&rest, 'c', &value) || !attribute(&rest, 'r', &nonce) || !attribute(&had, 'r', &ours))
		return SASL_BAD;
	if (!take_binding(s, value) || !span_eq(nonce, ours))
		return SASL_REFUSED;
	return SASL_ASK;
}

/* --- tokens --- */

/* b64token of RFC 6750 2.1. */
static bool
token_ok(struct span t)
{
	size_t n = t.n;

	while (n > 0 && t.p[n - 1] == '=')
		n--;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = t.p[i];

		if (!name_octet(c) && c != '_' && c != '~' && c != '+' && c != '/')
			return false;
	}
	return n > 0;
}

/* "Bearer TOKEN".  An empty one asks how it is done: it is told so by the refusal. */
static bool
take_bearer(struct sasl *s, struct span value)
{
	if (value.n < 7 || !span_caseeq(span_head(value, 7), SPAN("Bearer ")))
		return false;
	value = span_skip(value, 7);
	while (value.n > 0 && value.p[0] == ' ')
		value = span_skip(value, 1);
	s->password = value;
	return token_ok(value);
}

/* NAME "=" VALUE ^A, and an empty one at the end. */
static enum sasl_got
take_pairs(struct sasl *s, struct span rest, bool named)
{
	bool have = false, have_user = false, ok = true;

	for (;;) {
		const uint8_t *end = rest.n > 0 ? memchr(rest.p, 1, rest.n) : NULL;
		struct span name, value = until(&rest, 1);

		if (end == NULL)
			return SASL_BAD;
		if (value.n == 0)
			break;
		name = until(&value, '=');
		if (name.n == 0 || memchr(value.n > 0 ? value.p : name.p, 0, value.n) != NULL)
			return SASL_BAD;
		if (span_eq(name, SPAN("auth"))) {
			if (have)
				return SASL_BAD;
			have = true;
			ok = take_bearer(s, value) && ok;
		} else if (named && span_eq(name, SPAN("user"))) {
			if (have_user)
				return SASL_BAD;
			have_user = true;
			ok = take_user(s, value) && ok;
		}
	}
	if (!have || rest.n > 0 || (named && s->nuser == 0 && ok))
		return SASL_BAD;
	return ok ? SASL_ASK : SASL_REFUSED;
}

/* OAUTHBEARER has a gs2-header with a name, or none; XOAUTH2 a pair "user". */
static enum sasl_got
take_token(struct sasl *s)
{
	struct span rest = span_of(s->octets, s->n), flag, authzid;
	enum sasl_got got;
	bool named;

	if (s->mech == SASL_XOAUTH2)
		return take_pairs(s, rest, true);
	flag = until(&rest, ',');
	if (flag.n != 1 || (flag.p[0] != 'n' && flag.p[0] != 'y'))
		return SASL_BAD;
	authzid = until(&rest, ',');
	named = authzid.n > 0;
	if ((named && (authzid.n < 3 || memcmp(authzid.p, "a=", 2) != 0)) || rest.n == 0 || rest.p[0] != 1)
		return SASL_BAD;
	got = take_pairs(s, span_skip(rest, 1), false);
	return got == SASL_ASK && named && !take_saslname(s, span_skip(authzid, 2)) ? SASL_REFUSED : got;
}

enum sasl_got
sasl_take(struct sasl *s, struct span line)
{
	ssize_t n = sasl_decode(line, s->octets, sizeof(s->octets));

	if (s->step == SASL_EXPLAINED)
		return SASL_REFUSED;
	if (n < 0)
		return SASL_BAD;
	s->n = (size_t)n;
	switch (s->step) {
	case SASL_PASSWORD:
		return s->mech == SASL_PLAIN ? take_plain(s) : take_login(s);
	case SASL_FIRST:
		return take_first(s);
	case SASL_FINAL:
		return take_final(s);
	case SASL_TOKEN:
		return take_token(s);
	case SASL_EXPLAINED:
	case SASL_CONFIRMED:
		break;
	}
	return n == 0 ? SASL_ASK : SASL_BAD;
}

int
sasl_told(struct sasl *s, struct span text)
{
	ssize_t n;

	if (s->step == SASL_FINAL) {
		s->step = SASL_CONFIRMED;
		return 0;
	}
	n = sasl_decode(text, s->server_first, sizeof(s->server_first));
	if (s->step != SASL_FIRST || n <= 0)
		return -1;
	s->nserver_first = (size_t)n;
	s->step = SASL_FINAL;
	return 0;
}
