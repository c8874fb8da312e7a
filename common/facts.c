/*
 * facts: see facts.h.  In a text value every control octet, the backslash, and
 * every octet of a value that is not well-formed UTF-8 stands as \xNN.
 */
#include "common/facts.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

/* --- writing --- */

static void
put(struct facts *f, const char *text, size_t n)
{
	if (f->failed)
		return;
	if (f->cap - f->n < n + 1) {
		size_t cap = (f->n + n + 1) * 2;
		char *grown = cap <= FACTS_MAX ? realloc(f->text, cap) : NULL;

		if (grown == NULL) {
			f->failed = true;
			return;
		}
		f->text = grown;
		f->cap = cap;
	}
	memcpy(f->text + f->n, text, n);
	f->n += n;
	f->text[f->n] = '\0';
}

static void
put_str(struct facts *f, const char *text)
{
	put(f, text, strlen(text));
}

static void
put_key(struct facts *f, const char *key, const char *mark)
{
	put(f, "\t", 1);
	put_str(f, key);
	put_str(f, mark);
}

void
facts_begin(struct facts *f, const char *kind)
{
	put_str(f, kind);
}

void
facts_end(struct facts *f)
{
	put(f, "\n", 1);
}

void
facts_str(struct facts *f, const char *key, const char *value)
{
	bool well;

	if (value == NULL)
		return;
	well = u8_check((const uint8_t *)value, strlen(value)) == NULL;
	put_key(f, key, "=");
	for (const char *p = value; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;
		char hex[8];

		if (c >= ' ' && c != '\\' && c != 0x7f && (c < 0x80 || well)) {
			put(f, p, 1);
			continue;
		}
		snprintf(hex, sizeof hex, "\\x%02X", (unsigned)c);
		put_str(f, hex);
	}
}

void
facts_u64(struct facts *f, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, v);
	put_key(f, key, ":=");
	put_str(f, text);
}

void
facts_i64(struct facts *f, const char *key, int64_t v)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRId64, v);
	put_key(f, key, ":=");
	put_str(f, text);
}

void
facts_bool(struct facts *f, const char *key, bool v)
{
	put_key(f, key, ":=");
	put_str(f, v ? "true" : "false");
}

void
facts_free(struct facts *f)
{
	free(f->text);
	*f = (struct facts){ .text = NULL };
}

/* --- reading --- */

static int
hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Undo \xNN in place.  0, or -1. */
static int
unescape(char *s)
{
	char *out = s;
	int high, low;

	for (; *s != '\0'; s++) {
		if (*s != '\\') {
			*out++ = *s;
			continue;
		}
		if (s[1] != 'x' || (high = hex(s[2])) < 0 || (low = hex(s[3])) < 0 || (high | low) == 0)
			return -1;
		*out++ = (char)(high * 16 + low);
		s += 3;
	}
	*out = '\0';
	return 0;
}

/* A number or a truth, nothing else: it goes as it is into JSON. */
static bool
is_raw(const char *v)
{
	size_t n;

	if (strcmp(v, "true") == 0 || strcmp(v, "false") == 0)
		return true;
	v += *v == '-';
	n = strspn(v, "0123456789");
	return n > 0 && n < 21 && v[n] == '\0' && (n == 1 || *v != '0');
}

static int
take_field(struct fact *out, char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");
	bool raw = text[n] == ':' && text[n + 1] == '=';
	char *value = text + n + 1 + raw;

	if (n == 0 || out->n == FACTS_FIELDS || (!raw && text[n] != '='))
		return -1;
	if (raw ? !is_raw(value) : unescape(value) != 0)
		return -1;
	text[n] = '\0';
	out->field[out->n].key = text;
	out->field[out->n].value = value;
	out->field[out->n++].raw = raw;
	return 0;
}

int
facts_next(char **at, struct fact *out)
{
	char *line = *at, *end = strchr(line, '\n'), *field;

	if (*line == '\0')
		return 0;
	if (end == NULL)
		return -1;
	*end = '\0';
	*at = end + 1;
	out->kind = strsep(&line, "\t");
	out->n = 0;
	if (out->kind[0] == '\0' || out->kind[strspn(out->kind, "abcdefghijklmnopqrstuvwxyz0123456789-_")] != '\0')
		return -1;
	while ((field = strsep(&line, "\t")) != NULL)
		if (take_field(out, field) != 0)
			return -1;
	return 1;
}

const char *
facts_get(const struct fact *f, const char *key)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->field[i].key, key) == 0)
			return f->field[i].value;
	return NULL;
}

int64_t
facts_num(const struct fact *f, const char *key, int64_t min, int64_t max, int64_t or_else)
{
	const char *text = facts_get(f, key);
	char *end;
	intmax_t v;

	if (text == NULL)
		return or_else;
	if (strcmp(text, "true") == 0)
		text = "1";
	else if (strcmp(text, "false") == 0)
		text = "0";
	errno = 0;
	v = strtoimax(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && v >= min && v <= max ? v : or_else;
}
