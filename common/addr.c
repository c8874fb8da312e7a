/*
 * addr: a recogniser of RFC 5321 4.1.2 by recursive descent, with the UTF-8 of
 * RFC 6531 3.3.  Every octet is matched against the grammar or the whole is
 * refused; there is no branch that repairs.  What is found is collected in
 * struct parse and copied to the arena only when all of it was right.  PURE.
 */
#include "common/addr.h"

#include "common/ip.h"
#include "common/xtext.h"

/* A cursor on the input, and what was recognised so far. */
struct parse {
	const uint8_t *p, *end;
	bool utf8;     /* an octet above 0x7f was seen */
	bool too_long; /* all is valid, but over a limit */
	bool literal;
	size_t nlocal, ndomain;
	uint8_t local[ADDR_MAX];
	uint8_t domain[ADDR_DOMAIN_MAX];
};

static bool
alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

/* atext of RFC 5322 3.2.3. */
static bool
atext(uint8_t c)
{
	static const char special[19] = "!#$%&'*+-/=?^_`{|}~";

	return alnum(c) || memchr(special, c, sizeof(special)) != NULL;
}

static bool
take(struct parse *x, uint8_t c)
{
	if (x->p == x->end || *x->p != c)
		return false;
	x->p++;
	return true;
}

/* Append ${n} octets to an array, or note that they do not fit. */
static void
keep(struct parse *x, uint8_t *to, size_t cap, size_t *len, const uint8_t *p, size_t n)
{
	if (n > cap - *len) {
		x->too_long = true;
		return;
	}
	memcpy(to + *len, p, n);
	*len += n;
}

static void
keep_local(struct parse *x, size_t n)
{
	keep(x, x->local, sizeof(x->local), &x->nlocal, x->p, n);
	x->p += n;
}

/* Octets of the UTF-8 sequence at the cursor, which is noted; 0 if there is none. */
static size_t
utf8_here(struct parse *x)
{
	struct span s = span_of(x->p, (size_t)(x->end - x->p));
	size_t n = s.n > 0 && s.p[0] >= 0x80 && !xtext_c1(s) ? xtext_utf8(s) : 0;

	if (n > 0)
		x->utf8 = true;
	return n;
}

/* Dot-string = Atom *("." Atom) */
static bool
dot_string(struct parse *x)
{
	const uint8_t *from = x->p, *atom;
	size_t n;

	do {
		atom = x->p;
		while (x->p < x->end) {
			n = atext(*x->p) ? 1 : utf8_here(x);
			if (n == 0)
				break;
			x->p += n;
		}
		if (x->p == atom)
			return false;
	} while (take(x, '.'));
	keep(x, x->local, sizeof(x->local), &x->nlocal, from, (size_t)(x->p - from));
	return true;
}

/* The rest of Quoted-string behind its first DQUOTE.  Empty is refused: no mailbox has no name. */
static bool
quoted_string(struct parse *x)
{
	while (x->p < x->end && *x->p != '"') {
		size_t n = *x->p >= ' ' && *x->p <= '~' ? 1 : 0;

		if (take(x, '\\')) /* quoted-pairSMTP: ASCII alone */
			n = x->p < x->end && *x->p >= ' ' && *x->p <= '~' ? 1 : 0;
		else if (n == 0)
			n = utf8_here(x);
		if (n == 0)
			return false;
		keep_local(x, n);
	}
	return take(x, '"') && (x->nlocal > 0 || x->too_long);
}

/* sub-domain; an underscore counts as a letter, because hosts that have one send mail.  A U-label's 63 octets are those of its A-label, so norm.c looks at them. */
static bool
sub_domain(struct parse *x)
{
	const uint8_t *from = x->p;
	bool ascii = true;
	size_t n;

	while (x->p < x->end) {
		n = alnum(*x->p) || *x->p == '-' || *x->p == '_' ? 1 : utf8_here(x);
		if (n == 0)
			break;
		ascii = ascii && n == 1;
		x->p += n;
	}
	return x->p > from && *from != '-' && x->p[-1] != '-' && (!ascii || x->p - from <= 63);
}

/* Domain = sub-domain *("." sub-domain) */
static bool
domain(struct parse *x)
{
	const uint8_t *from = x->p;

	do {
		if (!sub_domain(x))
			return false;
	} while (take(x, '.'));
	if (x->p - from > ADDR_DOMAIN_MAX)
		x->too_long = true;
	return true;
}

/* General-address-literal = Standardized-tag ":" 1*dcontent; the tag is an Ldh-str. */
static bool
general_literal(struct span s)
{
	const uint8_t *colon = memchr(s.p, ':', s.n);
	size_t tag = colon != NULL ? (size_t)(colon - s.p) : 0;

	if (tag == 0 || tag + 1 == s.n || !alnum(s.p[tag - 1]))
		return false;
	for (size_t i = 0; i < tag; i++)
		if (!alnum(s.p[i]) && s.p[i] != '-')
			return false;
	for (size_t i = tag + 1; i < s.n; i++)
		if (s.p[i] < '!' || s.p[i] > '~' || s.p[i] == '[' || s.p[i] == '\\' || s.p[i] == ']')
			return false;
	return true;
}

bool
addr_literal_ok(struct span s)
{
	uint8_t ip[16];

	if (s.n < 3 || s.n > ADDR_DOMAIN_MAX || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	s = span_of(s.p + 1, s.n - 2);
	if (s.n > 5 && span_caseeq(span_head(s, 5), SPAN("IPv6:")))
		return ip_parse(AF_INET6, span_skip(s, 5), ip);
	return ip_parse(AF_INET, s, ip) || general_literal(s);
}

bool
addr_domain_ok(struct span s, bool utf8)
{
	struct parse x = { .p = s.p, .end = s.n > 0 ? s.p + s.n : s.p };

	return s.n > 0 && domain(&x) && x.p == x.end && !x.too_long && (utf8 || !x.utf8);
}

static bool
literal(struct parse *x)
{
	const uint8_t *close = memchr(x->p, ']', (size_t)(x->end - x->p));

	if (close == NULL)
		return false;
	close++;
	/* An over-long literal is not worth an answer of its own: none has 255 octets. */
	if (!addr_literal_ok(span_of(x->p, (size_t)(close - x->p))))
		return false;
	x->p = close;
	x->literal = true;
	return true;
}

/* Domain or address literal, kept in lower case. */
static bool
mailbox_domain(struct parse *x)
{
	const uint8_t *from = x->p;

	if (x->p == x->end || !(*x->p == '[' ? literal(x) : domain(x)))
		return false;
	keep(x, x->domain, sizeof(x->domain), &x->ndomain, from, (size_t)(x->p - from));
	for (size_t i = 0; i < x->ndomain; i++)
		x->domain[i] = ascii_lower(x->domain[i]);
	return true;
}

/* Mailbox = Local-part "@" ( Domain / address-literal ), or "Postmaster" alone where the flags say so. */
static bool
mailbox(struct parse *x, unsigned flags)
{
	if (!(take(x, '"') ? quoted_string(x) : dot_string(x)))
		return false;
	if (take(x, '@'))
		return mailbox_domain(x);
	return (flags & ADDR_POSTMASTER) && span_caseeq(span_of(x->local, x->nlocal), SPAN("postmaster"));
}

/* A-d-l ":", RFC 5321 appendix C: the grammar is checked and the route forgotten. */
static bool
source_route(struct parse *x)
{
	do {
		if (!take(x, '@') || !domain(x))
			return false;
	} while (take(x, ','));
	return take(x, ':');
}

static bool
has_utf8(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 0x80)
			return true;
	return false;
}

/* The parse succeeded: an address in ${a}, or what is wrong with it besides grammar. */
static int
finish(const struct parse *x, unsigned flags, struct arena *a, struct addr *out)
{
	struct addr r = { .literal = x->literal, .is_null = x->nlocal == 0 && !x->too_long };

	if (x->utf8 && !(flags & ADDR_UTF8))
		return ADDR_EUTF8;
	if (x->too_long || x->nlocal + 1 + x->ndomain > ADDR_MAX)
		return ADDR_ELONG;
	if (arena_dup(a, span_of(x->local, x->nlocal), &r.local) != 0 ||
	    arena_dup(a, span_of(x->domain, x->ndomain), &r.domain) != 0)
		return ADDR_ENOMEM;
	r.utf8 = has_utf8(r.local) || has_utf8(r.domain);
	*out = r;
	return 0;
}

ssize_t
addr_parse(struct span in, unsigned flags, struct arena *a, struct addr *out)
{
	struct parse x = { .p = in.p, .end = in.n > 0 ? in.p + in.n : in.p };
	int err;

	if (!take(&x, '<'))
		return ADDR_EINVAL;
	if (!(flags & ADDR_REVERSE) || !take(&x, '>')) {
		if (x.p < x.end && *x.p == '@') {
			if (!source_route(&x))
				return ADDR_EINVAL;
			flags &= ~(unsigned)ADDR_POSTMASTER;
		}
		if (!mailbox(&x, flags) || !take(&x, '>'))
			return ADDR_EINVAL;
	}
	err = finish(&x, flags, a, out);
	return err != 0 ? err : x.p - in.p;
}

int
addr_parse_bare(struct span in, unsigned flags, struct arena *a, struct addr *out)
{
	struct parse x = { .p = in.p, .end = in.n > 0 ? in.p + in.n : in.p };

	if (in.n == 0 ? !(flags & ADDR_REVERSE) : !mailbox(&x, flags) || x.p != x.end)
		return ADDR_EINVAL;
	return finish(&x, flags, a, out);
}

bool
addr_mailbox_ok(struct span s, bool utf8)
{
	struct parse x = { .p = s.p, .end = s.n > 0 ? s.p + s.n : s.p };

	return s.n > 0 && mailbox(&x, 0) && x.p == x.end && !x.too_long && (utf8 || !x.utf8);
}

/* Whether ${s} needs no quotes. */
static bool
is_dot_string(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool dot = s.p[i] == '.';

		if (dot ? i == 0 || i + 1 == s.n || s.p[i - 1] == '.' : s.p[i] < 0x80 && !atext(s.p[i]))
			return false;
	}
	return s.n > 0;
}

static bool
put(char *out, size_t cap, size_t *n, uint8_t c)
{
	if (*n == cap)
		return false;
	out[(*n)++] = (char)c;
	return true;
}

ssize_t
addr_format(const struct addr *a, char *out, size_t cap)
{
	bool quote = !is_dot_string(a->local);
	bool fits = true;
	size_t n = 0;

	if (a->is_null)
		return 0;
	if (quote)
		fits = put(out, cap, &n, '"');
	for (size_t i = 0; fits && i < a->local.n; i++) {
		uint8_t c = a->local.p[i];

		if (quote && (c == '"' || c == '\\'))
			fits = put(out, cap, &n, '\\');
		fits = fits && put(out, cap, &n, c);
	}
	if (quote)
		fits = fits && put(out, cap, &n, '"');
	if (a->domain.n > 0)
		fits = fits && put(out, cap, &n, '@');
	for (size_t i = 0; fits && i < a->domain.n; i++)
		fits = put(out, cap, &n, a->domain.p[i]);
	return fits ? (ssize_t)n : -1;
}
