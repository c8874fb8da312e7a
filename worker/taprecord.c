/*
 * taprecord: see taprecord.h.  What does not fit is left out and the record
 * says so; there is always room for its end.
 */
#include "worker/taprecord.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "common/date.h"
#include "common/log.h"

enum {
	UNIT_MAX = 5, /* octets that one octet of a value may become: \\xNN */
	TAIL = 32     /* octets of the end */
};

/* All of it or nothing. */
static bool
put(struct taprecord *r, const char *p, size_t n)
{
	if (n > sizeof(r->text) - TAIL - r->n) {
		r->cut = true;
		return false;
	}
	memcpy(r->text + r->n, p, n);
	r->n += n;
	return true;
}

static void
put_key(struct taprecord *r, const char *key)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%s\"%s\":", r->n > 1 ? "," : "", key);

	(void)put(r, text, (size_t)n);
}

/* One character of ${s} into ${out}; *used: how many octets of ${s} it is. */
static size_t
escape_one(struct span s, char out[static UNIT_MAX + 1], size_t *used)
{
	size_t n = log_plain(s);
	uint8_t c = s.p[0];

	*used = 1;
	if (n > 0 && n <= UNIT_MAX && c != '"' && c != '\\') {
		memcpy(out, s.p, n);
		*used = n;
		return n;
	}
	if (c == '"' || c == '\\')
		return (size_t)snprintf(out, UNIT_MAX + 1, c == '"' ? "\\\"" : "\\\\\\\\");
	return (size_t)snprintf(out, UNIT_MAX + 1, "\\\\x%02x", c);
}

/* A string with its quotes, at most ${max} octets of it. */
static void
put_string(struct taprecord *r, struct span v, size_t max)
{
	char unit[UNIT_MAX + 1];
	size_t used, n, from = r->n;

	(void)put(r, "\"", 1);
	for (; v.n > 0; v = span_skip(v, used)) {
		n = escape_one(v, unit, &used);
		/* What stands behind it is not to fit when it did not: two for the quote and a bracket. */
		if (r->n - from + n > max || n + 2 > sizeof(r->text) - TAIL - r->n) {
			r->cut = true;
			break;
		}
		(void)put(r, unit, n);
	}
	(void)put(r, "\"", 1);
}

/* Whether a field with some octets of value has room; else the record says that it was cut. */
static bool
has_room(struct taprecord *r)
{
	r->cut = r->cut || sizeof(r->text) - r->n < TAIL + 128;
	return sizeof(r->text) - r->n >= TAIL + 128;
}

void
taprecord_span(struct taprecord *r, const char *key, struct span v)
{
	if (!has_room(r))
		return;
	put_key(r, key);
	put_string(r, v, TAP_VALUE_MAX);
}

void
taprecord_str(struct taprecord *r, const char *key, const char *v)
{
	if (v != NULL)
		taprecord_span(r, key, span_str(v));
}

static void
put_raw(struct taprecord *r, const char *key, const char *text)
{
	if (!has_room(r))
		return;
	put_key(r, key);
	(void)put(r, text, strlen(text));
}

void
taprecord_u64(struct taprecord *r, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, v);
	put_raw(r, key, text);
}

void
taprecord_ms(struct taprecord *r, const char *key, uint64_t us)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64 ".%03u", us / 1000, (unsigned)(us % 1000));
	put_raw(r, key, text);
}

void
taprecord_true(struct taprecord *r, const char *key)
{
	put_raw(r, key, "true");
}

void
taprecord_addr(struct taprecord *r, const char *key, const struct addr *a)
{
	char text[ADDR_TEXT_MAX];
	ssize_t n = addr_format(a, text, sizeof(text));

	taprecord_span(r, key, span_of(text, n > 0 ? (size_t)n : 0));
}

void
taprecord_lines(struct taprecord *r, const char *key, struct span v)
{
	bool first = true;

	if (!has_room(r))
		return;
	put_key(r, key);
	(void)put(r, "[", 1);
	while (v.n > 0 && has_room(r)) {
		const uint8_t *lf = memchr(v.p, '\n', v.n);
		size_t n = lf != NULL ? (size_t)(lf - v.p) + 1 : v.n, text = n;

		while (text > 0 && (v.p[text - 1] == '\n' || v.p[text - 1] == '\r'))
			text--;
		if (!first)
			(void)put(r, ",", 1);
		put_string(r, span_head(v, text), TAP_VALUE_MAX);
		first = false;
		v = span_skip(v, n);
	}
	/* Two octets are always kept for it: put_string(). */
	(void)put(r, "]", 1);
}

void
taprecord_begin(struct taprecord *r, const char *event)
{
	struct timespec now;
	char second[DATE_UTC_MAX], text[DATE_UTC_MAX + sizeof(".000000Z")];

	r->n = 0;
	r->cut = false;
	clock_gettime(CLOCK_REALTIME, &now);
	date_utc(now.tv_sec, second);
	snprintf(text, sizeof(text), "%s.%06uZ", second, (unsigned)(now.tv_nsec / 1000 % 1000000));
	(void)put(r, "{", 1);
	taprecord_str(r, "time", text);
	taprecord_str(r, "event", event);
}

void
taprecord_end(struct taprecord *r)
{
	static const char cut[] = ",\"cut\":true}";
	const char *tail = r->cut ? cut : "}";

	memcpy(r->text + r->n, tail, strlen(tail));
	r->n += strlen(tail);
}
