/*
 * entry_record: the record of a snapshot, read and printed.
 * An octet for the kind, then: MAILBOX nothing, or the quota in octets, or that and the one in messages (64 bits each, little
 * endian); ALIAS and COPY canonical addresses, each with a NUL behind it; REJECT and
 * DEFER the reply as in the list; DOMAIN nothing; DOMAIN_ALIAS a domain.
 */
#include <endian.h>
#include <stdio.h>

#include "common/entry.h"

static int
decode_targets(struct span s, struct entry *e)
{
	while (s.n > 0) {
		const uint8_t *end = memchr(s.p, '\0', s.n);
		size_t n = end == NULL ? 0 : (size_t)(end - s.p);
		const uint8_t *at = n > 0 ? memrchr(s.p, '@', n) : NULL;

		if (at == NULL || at == s.p || at + 1 == end || n > NORM_KEY_MAX || e->ntargets == ENTRY_ALIAS_MAX)
			return -1;
		e->ntargets++;
		s = span_skip(s, n + 1);
	}
	return e->ntargets > 0 ? 0 : -1;
}

bool
entry_has_targets(struct span rec)
{
	return rec.p[0] == ENTRY_ALIAS || rec.p[0] == ENTRY_COPY;
}

int
entry_decode(struct span rec, struct entry *e)
{
	uint64_t le[2] = { 0 };

	if (rec.n == 0 || rec.n > ENTRY_RECORD_MAX)
		return -1;
	*e = (struct entry){ .text = span_skip(rec, 1) };
	switch (rec.p[0]) {
	case ENTRY_MAILBOX:
		if (e->text.n > sizeof(le) || e->text.n % sizeof(le[0]) != 0)
			return -1;
		memcpy(le, e->text.p, e->text.n);
		e->quota = (struct quota_limit){ le64toh(le[0]), le64toh(le[1]) };
		e->text.n = 0;
		break;
	case ENTRY_ALIAS:
	case ENTRY_COPY:
		if (decode_targets(e->text, e) != 0)
			return -1;
		break;
	case ENTRY_REJECT:
	case ENTRY_DEFER:
		if (e->text.n < 5 || e->text.p[0] != (rec.p[0] == ENTRY_REJECT ? '5' : '4'))
			return -1;
		break;
	case ENTRY_DOMAIN:
		if (e->text.n != 0)
			return -1;
		break;
	case ENTRY_DOMAIN_ALIAS:
		if (e->text.n == 0 || e->text.n > ADDR_DOMAIN_MAX)
			return -1;
		break;
	default:
		return -1;
	}
	e->kind = (enum entry_kind)rec.p[0];
	return 0;
}

/* --- as a line --- */

struct out {
	char *p;
	size_t n, cap;
	bool full;
};

static void
add(struct out *o, const void *p, size_t n)
{
	if (n > o->cap - o->n) {
		o->full = true;
		return;
	}
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

static void
add_str(struct out *o, const char *s)
{
	add(o, s, strlen(s));
}

/* A canonical key as it stands in a list: the local part quoted where it must be, or where it would begin a comment. */
static void
add_key(struct out *o, struct span key)
{
	const uint8_t *at = key.n > 0 ? memrchr(key.p, '@', key.n) : NULL;
	char text[ADDR_TEXT_MAX + NORM_KEY_MAX * 2];
	struct addr a = { 0 };
	ssize_t n;

	if (at == NULL || at == key.p) {
		add(o, key.p, key.n);
		return;
	}
	a.local = span_head(key, (size_t)(at - key.p));
	a.domain = span_skip(key, a.local.n + 1);
	n = addr_format(&a, text, sizeof(text));
	if (n > 0 && text[0] == '#') {
		add_str(o, "\"");
		add(o, a.local.p, a.local.n);
		add_str(o, "\"");
		add(o, at, a.domain.n + 1);
	} else if (n > 0) {
		add(o, text, (size_t)n);
	} else {
		o->full = true;
	}
}

/* name=value, with double quotes where the value needs them. */
static void
add_value(struct out *o, const char *name, struct span v)
{
	bool quote = v.n == 0;

	for (size_t i = 0; i < v.n; i++)
		quote = quote || v.p[i] == ' ' || v.p[i] == '\t' || v.p[i] == '"' || v.p[i] == '\\';
	add_str(o, name);
	if (quote)
		add_str(o, "\"");
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] == '"' || v.p[i] == '\\')
			add_str(o, "\\");
		add(o, v.p + i, 1);
	}
	if (quote)
		add_str(o, "\"");
}

static void
add_number(struct out *o, const char *name, uint64_t n, const char *unit)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%llu%s", name, (unsigned long long)n, unit);
	add_str(o, text);
}

static void
add_quota(struct out *o, uint64_t n)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t u = 0;

	for (; u < 4 && n % 1024 == 0; u++)
		n /= 1024;
	add_number(o, " quota=", n, unit[u]);
}

static void
add_targets(struct out *o, const char *name, struct span s)
{
	char text[2 * ENTRY_RECORD_MAX];
	struct out list = { .p = text, .cap = sizeof(text) };

	while (s.n > 0) {
		size_t n = strnlen((const char *)s.p, s.n);

		if (list.n > 0)
			add_str(&list, ",");
		add_key(&list, span_head(s, n));
		s = span_skip(s, n < s.n ? n + 1 : n);
	}
	o->full = o->full || list.full;
	add_value(o, name, span_of(text, list.n));
}

ssize_t
entry_format(struct span key, const struct entry *e, char *out, size_t cap)
{
	struct out o = { .p = out, .cap = cap };

	add_key(&o, key);
	switch (e->kind) {
	case ENTRY_MAILBOX:
		if (e->quota.octets > 0)
			add_quota(&o, e->quota.octets);
		if (e->quota.messages > 0)
			add_number(&o, " quota-messages=", e->quota.messages, "");
		break;
	case ENTRY_ALIAS:
		add_targets(&o, " alias=", e->text);
		break;
	case ENTRY_COPY:
		add_targets(&o, " copy=", e->text);
		break;
	case ENTRY_REJECT:
		add_value(&o, " reject=", e->text);
		break;
	case ENTRY_DEFER:
		add_value(&o, " defer=", e->text);
		break;
	case ENTRY_DOMAIN:
		break;
	case ENTRY_DOMAIN_ALIAS:
		add_value(&o, " domain-alias=", e->text);
		break;
	}
	return o.full ? -1 : (ssize_t)o.n;
}
