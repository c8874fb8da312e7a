/*
 * entry: lines of a mailbox list, and records of a snapshot.
 * A line becomes a record in one way only, and a record is printed as the line
 * that gives it back.  Reading a record trusts nothing in it; whether a
 * target exists is not asked here.
 */
#include "common/entry.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <unistr.h>

#include "common/scan.h"
#include "common/xtext.h"

enum {
	ENTRY_ARENA_FIRST = 2048,
	ENTRY_ARENA_MAX = 4 << 20, /* a line of the longest alias, parsed address by address */
	ENTRY_SHOWN_MAX = 80,      /* octets of a bad word that a message repeats */
	ENTRY_PATH_MAX = 3 * NORM_KEY_MAX,
	LABEL_MAX = 63,       /* octets, RFC 1035 2.3.4 */
	FAST_DOMAIN_MAX = 253 /* octets, what 255 on the wire leave; longer ones are judged by norm_domain() */
};

/* One line on its way to a record. */
struct line {
	struct arena ar;
	struct span rest; /* what was not read yet */
	uint8_t *rec;
	size_t reclen;
	char *err;
	size_t errcap;
	const char *prop; /* the property that says what the entry is, NULL: none yet */
	bool at_domain;   /* the key is "@domain" */
	struct quota_limit quota;
	bool has_octets, has_messages; /* of the quota */
};

/* --- messages --- */

/* ${s} as it can stand in a message and on a terminal, at most ENTRY_SHOWN_MAX octets of it. */
static const char *
shown(struct span s, char *buf)
{
	size_t n = s.n < ENTRY_SHOWN_MAX ? s.n : ENTRY_SHOWN_MAX;
	bool utf8;

	while (n > 0 && n < s.n && (s.p[n] & 0xc0) == 0x80) /* not in the middle of a character */
		n--;
	utf8 = n == 0 || u8_check(s.p, n) == NULL;
	for (size_t i = 0; i < n; i++) {
		bool c1 = s.p[i] == 0xc2 && i + 1 < n && s.p[i + 1] < 0xa0;
		bool plain = s.p[i] >= 0x20 && s.p[i] != 0x7f && (s.p[i] < 0x80 || utf8) && !c1;

		buf[i] = plain ? (char)s.p[i] : '?';
		if (c1)
			buf[++i] = '?';
	}
	memcpy(buf + n, s.n > n ? "..." : "", s.n > n ? 4 : 1);
	return buf;
}

/* Write the message, with "%s" for what ${s} is; always -1. */
static int __attribute__((format(printf, 2, 0))) bad(struct line *l, const char *fmt, struct span s)
{
	char buf[ENTRY_SHOWN_MAX + 4];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(l->err, l->errcap, fmt, shown(s, buf));
#pragma GCC diagnostic pop
	return -1;
}

static int
bad_norm(struct line *l, struct span s)
{
	if (errno == ENOMEM)
		return bad(l, "no memory for '%s'", s);
	if (errno == ENAMETOOLONG)
		return bad(l, "'%s' is too long", s);
	return bad(l, "no mailbox can have the address '%s'", s);
}

/* --- words --- */

static bool
blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/*
 * The next word, which ends at a blank that is not inside double quotes.  1,
 * or 0 at the end of the line or at a '#' (which starts a comment only where a
 * word could begin, because a local part may hold it).
 */
static int
next_word(struct line *l, struct span *word)
{
	struct span s = l->rest;
	bool quoted = false;
	size_t n = 0;

	while (s.n > 0 && blank(s.p[0]))
		s = span_skip(s, 1);
	if (s.n == 0 || s.p[0] == '#')
		return 0;
	for (; n < s.n && (quoted || !blank(s.p[n])); n++) {
		if (quoted && s.p[n] == '\\' && n + 1 < s.n)
			n++;
		else if (s.p[n] == '"')
			quoted = !quoted;
	}
	*word = span_head(s, n);
	if (quoted)
		return bad(l, "the double quote in '%s' is never closed", *word);
	l->rest = span_skip(s, n);
	return 1;
}

/* A value without the double quotes around it; \" and \\ stand for " and \.  What is not quoted is taken as it is. */
static int
unquote(struct line *l, struct span *v)
{
	uint8_t *out;
	size_t n = 0, i;

	if (v->n == 0 || v->p[0] != '"')
		return 0;
	out = arena_alloc(&l->ar, v->n);
	if (out == NULL)
		return bad(l, "no memory for '%s'", *v);
	for (i = 1; i < v->n && v->p[i] != '"'; i++) {
		if (v->p[i] == '\\' && i + 1 < v->n && (v->p[i + 1] == '"' || v->p[i + 1] == '\\'))
			i++;
		out[n++] = v->p[i];
	}
	if (i + 1 != v->n)
		return bad(l, "put all of the value in double quotes, with \\\" for one inside: %s", *v);
	*v = span_of(out, n);
	return 0;
}

/* --- addresses --- */

static int
domain_key(struct line *l, struct span name, char *out, size_t cap, size_t *n)
{
	ssize_t len;

	if (!addr_domain_ok(name, true))
		return bad(l, "'%s' is not a domain name", name);
	len = norm_domain(name, out, cap);
	if (len < 0)
		return bad_norm(l, name);
	*n = (size_t)len;
	return 0;
}

static int
too_long(struct line *l, struct span text)
{
	_Static_assert(ADDR_MAX == 254, "the message says how much it is");
	return bad(l, "the address '%s' is too long (254 octets at the most, the domain as A-labels)", text);
}

static int
mailbox_key(struct line *l, struct span text, char *out, size_t *n)
{
	struct addr a;
	ssize_t len;
	size_t at;

	switch (addr_parse_bare(text, ADDR_UTF8, &l->ar, &a)) {
	case 0:
		break;
	case ADDR_ENOMEM:
		return bad(l, "no memory for '%s'", text);
	case ADDR_ELONG:
		return too_long(l, text);
	default:
		return bad(l,
		    memchr(text.p, '@', text.n) == NULL ? "'%s' is not an address: it needs a '@' and a domain"
							: "'%s' is not a valid address",
		    text);
	}
	if (a.literal)
		return bad(l, "'%s' is an address literal; mailboxes live in domains", text);
	len = norm_addr(&a, out, NORM_KEY_MAX, &at);
	if (len < 0)
		return bad_norm(l, text);
	/* A-labels, and letters in lower case, may be longer: as it is printed it must be one that can be read. */
	if (len > ADDR_MAX)
		return too_long(l, text);
	*n = (size_t)len;
	return 0;
}

static int
any_key(struct line *l, struct span text, char *out, size_t *n)
{
	if (text.n == 0 || text.p[0] != '@')
		return mailbox_key(l, text, out, n);
	out[0] = '@';
	if (domain_key(l, span_skip(text, 1), out + 1, NORM_KEY_MAX - 1, n) != 0)
		return -1;
	*n += 1;
	return 0;
}

/* A mailbox must have a folder: both parts of its path have to fit in a file name. */
static int
check_path(struct line *l, struct span key)
{
	char path[ENTRY_PATH_MAX];
	const uint8_t *at = memrchr(key.p, '@', key.n);
	size_t n = (size_t)(at - key.p);

	if (path_encode(span_head(key, n), path, sizeof(path)) < 0 ||
	    path_encode(span_skip(key, n + 1), path, sizeof(path)) < 0)
		return bad(l, "the name of the folder of '%s' would be longer than 255 octets", key);
	return 0;
}

/* --- properties --- */

static int
put(struct line *l, const void *p, size_t n)
{
	if (n > ENTRY_RECORD_MAX - l->reclen)
		return bad(l, "the entry is too large%s", span_of("", 0));
	memcpy(l->rec + l->reclen, p, n);
	l->reclen += n;
	return 0;
}

static int
put_kind(struct line *l, enum entry_kind kind)
{
	uint8_t k = (uint8_t)kind;

	return put(l, &k, 1);
}

static const struct unit {
	char name[4];
	unsigned shift;
} units[] = { { "TiB", 40 }, { "GiB", 30 }, { "MiB", 20 }, { "KiB", 10 }, { "B", 0 } };

static int
set_quota(struct line *l, struct span v)
{
	uint64_t n = 0;
	size_t i = 0, u;

	for (; i < v.n && v.p[i] >= '0' && v.p[i] <= '9'; i++)
		if (__builtin_mul_overflow(n, 10U, &n) || __builtin_add_overflow(n, (uint64_t)(v.p[i] - '0'), &n))
			return bad(l, "quota=%s is too large", v);
	/* Octets or megabytes?  Who writes none may mean any. */
	if (i > 0 && i == v.n)
		return bad(l, "quota=%s needs a unit: B, KiB, MiB, GiB or TiB, like quota=2GiB", v);
	for (u = 0; u < sizeof(units) / sizeof(units[0]); u++)
		if (span_eq(span_skip(v, i), span_str(units[u].name)))
			break;
	if (i == 0 || u == sizeof(units) / sizeof(units[0]))
		return bad(l, "quota=%s is no size; write a number and B, KiB, MiB, GiB or TiB", v);
	if (__builtin_mul_overflow(n, (uint64_t)1 << units[u].shift, &n))
		return bad(l, "quota=%s is too large", v);
	if (l->at_domain)
		return bad(l, "quota=%s belongs to a mailbox, not to a domain", v);
	l->quota.octets = n;
	return 0;
}

static int
set_messages(struct line *l, struct span v)
{
	uint64_t n = 0;
	size_t i = 0;

	for (; i < v.n && v.p[i] >= '0' && v.p[i] <= '9'; i++)
		if (__builtin_mul_overflow(n, 10U, &n) || __builtin_add_overflow(n, (uint64_t)(v.p[i] - '0'), &n))
			return bad(l, "quota-messages=%s is too large", v);
	if (i == 0 || i != v.n)
		return bad(l, "quota-messages=%s is no number", v);
	if (l->at_domain)
		return bad(l, "quota-messages=%s belongs to a mailbox, not to a domain", v);
	l->quota.messages = n;
	return 0;
}

/* A mailbox's record; what it may hold is there as far as it is limited. */
static int
put_mailbox(struct line *l)
{
	uint64_t le[2] = { htole64(l->quota.octets), htole64(l->quota.messages) };
	size_t n = l->quota.messages != 0 ? 2 : l->quota.octets != 0 ? 1 : 0;

	return put_kind(l, ENTRY_MAILBOX) != 0 || put(l, le, n * sizeof(le[0])) != 0 ? -1 : 0;
}

/* Cut the text before the first comma that is not inside double quotes off *v; false when that was the last one. */
static bool
next_target(struct span *v, struct span *t)
{
	bool quoted = false, comma;
	size_t n = 0;

	for (; n < v->n && (quoted || v->p[n] != ','); n++) {
		if (quoted && v->p[n] == '\\' && n + 1 < v->n)
			n++;
		else if (v->p[n] == '"')
			quoted = !quoted;
	}
	comma = n < v->n;
	*t = span_head(*v, n);
	*v = span_skip(*v, n + comma);
	while (t->n > 0 && blank(t->p[0]))
		*t = span_skip(*t, 1);
	while (t->n > 0 && blank(t->p[t->n - 1]))
		t->n--;
	return comma;
}

static int
set_targets(struct line *l, struct span v, enum entry_kind kind)
{
	char key[NORM_KEY_MAX + 1];
	bool more = true;
	struct span t;
	size_t n;

	if (put_kind(l, kind) != 0)
		return -1;
	for (unsigned targets = 0; more; targets++) {
		more = next_target(&v, &t);
		if (t.n == 0)
			return bad(l, "%s= has an empty target", span_str(kind == ENTRY_ALIAS ? "alias" : "copy"));
		if (t.p[0] == '@')
			return bad(
			    l, "'%s' is a domain; an alias leads to addresses (domain-alias= leads to a domain)", t);
		if (targets == ENTRY_ALIAS_MAX)
			return bad(l, "an alias has at most 1000 targets; '%s' is one more", t);
		if (mailbox_key(l, t, key, &n) != 0)
			return -1;
		key[n] = '\0';
		if (put(l, key, n + 1) != 0)
			return -1;
	}
	return 0;
}

static int
set_alias(struct line *l, struct span v)
{
	return set_targets(l, v, ENTRY_ALIAS);
}

static int
set_copy(struct line *l, struct span v)
{
	if (l->at_domain)
		return bad(l, "copy=%s belongs to a mailbox, not to a domain", v);
	return set_targets(l, v, ENTRY_COPY);
}

static int
set_reply(struct line *l, struct span v, enum entry_kind kind, unsigned class)
{
	struct reply r;

	_Static_assert(REPLY_TEXT_MAX == 400, "the message says how much it is");
	if (reply_parse(v, &r) != 0 && v.n > REPLY_TEXT_MAX && scan_printable(v.p, v.n) == v.n &&
	    reply_parse(span_head(v, REPLY_TEXT_MAX), &r) == 0)
		return bad(l, "'%s' is too long: its text may have 400 octets, behind the codes", v);
	if (reply_parse(v, &r) != 0)
		return bad(l,
		    class == 5 ? "'%s' is no reply; write one like reject=\"550 5.1.6 moved to new@example.org\""
			       : "'%s' is no reply; write one like defer=\"450 4.2.1 mailbox is being moved\"",
		    v);
	if (r.code / 100 != class)
		return bad(l,
		    class == 5 ? "reject= needs a 5xx code, not '%s' (defer= takes 4xx)"
			       : "defer= needs a 4xx code, not '%s' (reject= takes 5xx)",
		    v);
	if (r.code == 421)
		return bad(l, "421 would end the session, which is more than an entry may: '%s' (use 450)", v);
	return put_kind(l, kind) != 0 || put(l, v.p, v.n) != 0 ? -1 : 0;
}

static int
set_reject(struct line *l, struct span v)
{
	return set_reply(l, v, ENTRY_REJECT, 5);
}

static int
set_defer(struct line *l, struct span v)
{
	return set_reply(l, v, ENTRY_DEFER, 4);
}

static int
set_domain_alias(struct line *l, struct span v)
{
	char name[NORM_KEY_MAX];
	size_t n;

	if (!l->at_domain)
		return bad(l, "domain-alias=%s belongs to a domain: write @example.net domain-alias=...", v);
	if (domain_key(l, v, name, sizeof(name), &n) != 0)
		return -1;
	return put_kind(l, ENTRY_DOMAIN_ALIAS) != 0 || put(l, name, n) != 0 ? -1 : 0;
}

static const struct prop {
	const char *name;
	int (*set)(struct line *l, struct span v);
} props[] = {
	{ "quota", set_quota },
	{ "quota-messages", set_messages },
	{ "alias", set_alias },
	{ "copy", set_copy },
	{ "reject", set_reject },
	{ "defer", set_defer },
	{ "domain-alias", set_domain_alias },
};

/* The two quotas may stand beside each other, each once. */
static bool
quota_goes_on(const struct line *l, int (*set)(struct line *l, struct span v))
{
	return (l->has_octets && !l->has_messages && set == set_messages) ||
	    (l->has_messages && !l->has_octets && set == set_quota);
}

static int
set_prop(struct line *l, struct span word)
{
	const uint8_t *eq = memchr(word.p, '=', word.n);
	struct span name, v;

	if (eq == NULL)
		return bad(l,
		    "'%s' is no key=value; there are quota, quota-messages, alias, copy, reject, defer and "
		    "domain-alias",
		    word);
	name = span_head(word, (size_t)(eq - word.p));
	v = span_skip(word, name.n + 1);
	for (size_t i = 0; i < sizeof(props) / sizeof(props[0]); i++) {
		if (!span_eq(name, span_str(props[i].name)))
			continue;
		if (l->prop != NULL && !quota_goes_on(l, props[i].set))
			return bad(l,
			    l->prop == props[i].name ? "%s= stands here twice"
						     : "%s= can't stand beside another: an entry is a mailbox, with or "
						       "without copies, an alias, a reject, a defer or a "
						       "domain-alias",
			    name);
		l->prop = props[i].name;
		l->has_octets = l->has_octets || props[i].set == set_quota;
		l->has_messages = l->has_messages || props[i].set == set_messages;
		return unquote(l, &v) != 0 ? -1 : props[i].set(l, v);
	}
	return bad(l,
	    "there is no key '%s'; there are quota, quota-messages, alias, copy, reject, defer and domain-alias", name);
}

/* --- the short way --- */

/* Octets of a local part that are their own canonical form, after folding; all others take the long way. */
static const uint8_t fold[256] = {
	['a' ... 'z'] = 1, ['A' ... 'Z'] = 1, ['0' ... '9'] = 1, ['_'] = 1, ['-'] = 1, ['+'] = 1
};

/* An LDH domain without A-labels, at least two octets before any hyphen pair; 0 if it needs the long way. */
static size_t
fast_domain(struct span s, char *out)
{
	size_t label = 0;

	if (s.n == 0 || s.n > FAST_DOMAIN_MAX)
		return 0;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = ascii_lower(s.p[i]);

		if (c == '.') {
			if (label == 0 || s.p[i - 1] == '-')
				return 0;
			label = 0;
		} else {
			if (!fold[c] || c == '_' || c == '+' || ++label > LABEL_MAX)
				return 0;
			if (c == '-' &&
			    (label == 1 || label == 4)) /* "--" in places 3 and 4 is IDNA's (RFC 5891 4.2.3.1) */
				return 0;
		}
		out[i] = (char)c;
	}
	return label == 0 || s.p[s.n - 1] == '-' ? 0 : s.n;
}

/* A plain mailbox without anything else, which most lines are: measured 0.3 microseconds less a line than the long way. */
static bool
fast_line(struct span s, char *key, size_t *keylen)
{
	size_t n = 0, d;

	for (; n < s.n && s.p[n] != '@'; n++) {
		uint8_t c = s.p[n];

		if (!fold[c] && (c != '.' || n == 0 || s.p[n - 1] == '.'))
			return false;
		if (n == ADDR_LOCAL_MAX)
			return false;
		key[n] = (char)ascii_lower(c);
	}
	if (n == 0 || n == s.n || s.p[n - 1] == '.')
		return false;
	key[n++] = '@';
	d = fast_domain(span_skip(s, n), key + n);
	*keylen = n + d;
	return d > 0;
}

/* --- a line --- */

static int
parse_line(struct line *l, char *key, size_t *keylen)
{
	struct span word;
	int rc = next_word(l, &word);

	if (rc <= 0)
		return rc;
	if (any_key(l, word, key, keylen) != 0)
		return -1;
	l->at_domain = key[0] == '@';
	while ((rc = next_word(l, &word)) > 0)
		if (set_prop(l, word) != 0)
			return -1;
	if (rc < 0)
		return -1;
	if (l->prop == NULL && l->at_domain)
		return bad(l,
		    "'%s' alone says nothing: give it alias=, domain-alias=, reject= or defer=", span_of(key, *keylen));
	if ((l->prop == NULL || l->has_octets || l->has_messages) && put_mailbox(l) != 0)
		return -1;
	if ((l->rec[0] == ENTRY_MAILBOX || l->rec[0] == ENTRY_COPY) && check_path(l, span_of(key, *keylen)) != 0)
		return -1;
	return 1;
}

int
entry_parse(struct span line, char *key, size_t *keylen, uint8_t *rec, size_t *reclen, char *err, size_t errcap)
{
	struct line l = { .rest = line, .rec = rec, .err = err, .errcap = errcap };
	int rc;

	if (fast_line(line, key, keylen)) {
		rec[0] = ENTRY_MAILBOX;
		*reclen = 1;
		return 1;
	}
	if (line.n > ENTRY_LINE_MAX)
		return bad(&l, "the line is longer than 65536 octets%s", span_of("", 0));
	if (line.n > 0 && memchr(line.p, '\0', line.n) != NULL)
		return bad(&l, "the line holds a NUL octet%s", span_of("", 0));
	arena_init(&l.ar, ENTRY_ARENA_FIRST, ENTRY_ARENA_MAX);
	rc = parse_line(&l, key, keylen);
	arena_reset(&l.ar);
	*reclen = l.reclen;
	return rc;
}

int
entry_key(struct span text, char *key, size_t *keylen, char *err, size_t errcap)
{
	struct line l = { .err = err, .errcap = errcap };
	int rc;

	arena_init(&l.ar, ENTRY_ARENA_FIRST, ENTRY_ARENA_MAX);
	rc = any_key(&l, text, key, keylen);
	arena_reset(&l.ar);
	return rc;
}
