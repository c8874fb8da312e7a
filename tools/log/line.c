/*
 * line: logfmt by hand, JSON by jansson; both to keys and values that read the same.
 */
#include "tools/log/line.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

const char *
line_get(const struct line *l, const char *key)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->field[i].key, key) == 0)
			return l->field[i].value;
	return NULL;
}

bool
line_is(const struct line *l, const char *key, const char *value)
{
	const char *v = line_get(l, key);

	return v != NULL && strcmp(v, value) == 0;
}

void
line_free(struct line *l)
{
	free(l->text);
	*l = (struct line){ 0 };
}

static bool
is_key(char c)
{
	return (c >= 'a' && c <= 'z') || c == '_';
}

static void
add(struct line *l, const char *key, const char *value)
{
	if (l->n == LINE_FIELDS_MAX)
		return;
	l->field[l->n].key = key;
	l->field[l->n].value = value;
	l->n++;
}

/* The value at ${p}: its end, and the value itself made plain in its place.  NULL: a quote that nothing closes. */
static char *
take_value(char *p, char **value)
{
	char *to = p;

	*value = p;
	if (*p != '"')
		return p + strcspn(p, " ");
	for (p++; *p != '\0' && *p != '"'; p++) {
		/* \" is a quote; \xNN and \\ stay: JSON's values have them as well */
		if (*p == '\\' && p[1] == '"')
			p++;
		else if (*p == '\\' && p[1] == '\\')
			*to++ = *p++;
		*to++ = *p;
	}
	if (*p != '"')
		return NULL;
	*to = '\0';
	return p + 1;
}

/* Take ${p} apart in its place. */
static int
parse_logfmt(char *p, struct line *l)
{
	char *key, *value, *end;

	for (;;) {
		p += strspn(p, " ");
		if (*p == '\0')
			return l->n > 0 ? 0 : -1;
		for (key = p; is_key(*p); p++)
			;
		if (p == key || *p != '=')
			return -1;
		*p++ = '\0';
		if ((end = take_value(p, &value)) == NULL)
			return -1;
		p = end + (*end != '\0');
		*end = '\0';
		add(l, key, value);
	}
}

/* Keep ${s} in the line's own memory.  NULL when there is no more of it. */
static const char *
keep(char **to, const char *end, const char *s)
{
	size_t n = strlen(s) + 1;
	char *at = *to;

	if (n > (size_t)(end - at))
		return NULL;
	memcpy(at, s, n);
	*to += n;
	return at;
}

/* No value is longer than its text was, but for a number with an exponent, which we do not write. */
static int
parse_json(const char *p, size_t n, struct line *l)
{
	json_t *o = json_loadb(p, n, JSON_REJECT_DUPLICATES, NULL), *v;
	char *to = l->text, number[64];
	const char *key, *k, *s;

	if (!json_is_object(o)) {
		json_decref(o);
		return -1;
	}
	json_object_foreach(o, key, v)
	{
		s = json_string_value(v);
		if (s == NULL) {
			if (json_is_integer(v))
				snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
			else
				snprintf(number, sizeof(number), "%.3f", json_number_value(v));
			s = number;
		}
		if ((k = keep(&to, l->text + n, key)) == NULL || (s = keep(&to, l->text + n, s)) == NULL)
			break;
		add(l, k, s);
	}
	json_decref(o);
	return l->n > 0 ? 0 : -1;
}

/* Where our line begins behind what a syslog daemon put in front; NULL: nowhere. */
static const char *
find_start(const char *p, size_t n)
{
	static const char fmt[] = "time=", json[] = "{\"time\":";
	const char *at;

	if ((at = memmem(p, n, json, sizeof(json) - 1)) != NULL)
		return at;
	at = memmem(p, n, fmt, sizeof(fmt) - 1);
	return at == p || (at != NULL && at[-1] == ' ') ? at : NULL;
}

const char *
line_stamp(const char *p, size_t n)
{
	const char *start = find_start(p, n), *at = start != NULL ? start + (*start == '{' ? 9 : 5) : NULL;

	return at != NULL && (size_t)(at - p) + LINE_STAMP <= n && at[LINE_STAMP - 1] == 'Z' ? at : NULL;
}

int
line_parse(const char *p, size_t n, struct line *out)
{
	const char *start = find_start(p, n);
	int r;

	*out = (struct line){ 0 };
	if (start == NULL)
		return -1;
	n -= (size_t)(start - p);
	while (n > 0 && (start[n - 1] == '\n' || start[n - 1] == '\r'))
		n--;
	if ((out->text = malloc(n + 1)) == NULL)
		return -1;
	memcpy(out->text, start, n);
	out->text[n] = '\0';
	r = *start == '{' ? parse_json(start, n, out) : parse_logfmt(out->text, out);
	if (r != 0 || line_get(out, "event") == NULL)
		line_free(out);
	return out->n > 0 ? 0 : -1;
}
