/*
 * reply: filling, reading and writing one SMTP reply.
 * Every octet that ends up in a reply is made harmless here, so nothing that
 * a client, a list or a policy server said can break a line.  Knows no
 * session; multi-line replies (EHLO) are the engine's.  PURE.
 */
#include "common/reply.h"

#include <stdio.h>

#include "common/scan.h"

/* ${n} octets of ${in} to ${out}, made printable. */
static void
put_harmless(char *out, const void *in, size_t n)
{
	size_t i = scan_printable(in, n);

	memcpy(out, in, n);
	for (; i < n; i++)
		if (out[i] < ' ' || out[i] > '~')
			out[i] = '?';
}

/* The octets of ${s} behind ${n} of ${out}. */
static size_t
put_text(char *out, size_t n, struct span s)
{
	if (s.n > 0)
		put_harmless(out + n, s.p, s.n);
	return n + s.n;
}

static bool
digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static void
reason_set(struct reply *r, const char *reason)
{
	size_t n = strnlen(reason, REPLY_REASON_MAX - 1);

	memset(r->reason, 0, sizeof(r->reason));
	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)reason[i];

		r->reason[i] = (c >= 'a' && c <= 'z') || digit(c) ? (char)c : '-';
	}
}

/* RFC 2034 section 4: the class is the code's; 3xx has no enhanced code (RFC 2034 section 3). */
static uint32_t
enh_of(uint16_t code, uint32_t enh)
{
	uint32_t class = code / 100;

	if (enh == 0 || class == 3)
		return 0;
	return ENH(class, ENH_SUBJECT(enh), ENH_DETAIL(enh));
}

void
reply_set(struct reply *r, uint16_t code, uint32_t enh, const char *reason, const char *fmt, ...)
{
	char text[REPLY_TEXT_MAX + 1]; /* what is given may stand in *r */
	const char *whole = strchr(fmt, '%') == NULL ? fmt : NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	if (strcmp(fmt, "%s") == 0) {
		whole = va_arg(ap, const char *);
		whole = whole != NULL ? whole : "";
	}
	if (whole != NULL) { /* most: printf costs more than all the rest of a reply */
		n = (int)strnlen(whole, REPLY_TEXT_MAX);
		memcpy(text, whole, (size_t)n);
	} else {
		n = vsnprintf(text, sizeof(text), fmt, ap);
	}
	va_end(ap);
	*r = (struct reply){ .code = code, .close = code == 421, .enh = enh_of(code, enh) };
	reason_set(r, reason);
	if (n > 0)
		r->n = (uint16_t)(n < REPLY_TEXT_MAX ? n : REPLY_TEXT_MAX);
	put_harmless(r->text, text, r->n);
}

void
reply_add_line(struct reply *r, struct span text)
{
	size_t lines = 1, left;

	for (size_t i = 0; i < r->n && i < REPLY_TEXT_MAX; i++)
		lines += r->text[i] == '\n';
	if (r->n < REPLY_TEXT_MAX)
		r->text[r->n++] = lines < REPLY_LINES_MAX ? '\n' : ' ';
	left = r->n < REPLY_TEXT_MAX ? (size_t)REPLY_TEXT_MAX - r->n : 0;
	r->n = (uint16_t)put_text(r->text, r->n, span_head(text, text.n < left ? text.n : left));
}

/* 1 to 3 digits without a leading zero at *i; -1 if they are not there. */
static int
enh_number(struct span s, size_t *i)
{
	size_t from = *i;
	int v = 0;

	while (*i < s.n && *i - from < 3 && digit(s.p[*i]))
		v = v * 10 + (s.p[(*i)++] - '0');
	if (*i == from || (s.p[from] == '0' && *i - from > 1))
		return -1;
	return v;
}

bool
reply_enhanced_at(struct span s)
{
	size_t i = 1;

	if (s.n < 2 || !digit(s.p[0]) || s.p[1] != '.')
		return false;
	for (int part = 0; part < 2; part++) {
		if (i >= s.n || s.p[i++] != '.' || i >= s.n || !digit(s.p[i]))
			return false;
		while (i < s.n && digit(s.p[i]))
			i++;
	}
	return i == s.n || s.p[i] == ' ';
}

/* What looks like an enhanced code must be a right one of class ${class}: octets it takes, or -1. */
static ssize_t
enh_read(struct span s, uint32_t class, uint32_t *enh)
{
	size_t i = 2;
	int subject, detail;

	if ((uint32_t)(s.p[0] - '0') != class)
		return -1;
	subject = enh_number(s, &i);
	if (subject < 0 || i >= s.n || s.p[i++] != '.')
		return -1;
	detail = enh_number(s, &i);
	if (detail < 0 || (i < s.n && s.p[i] != ' '))
		return -1;
	*enh = ENH(class, (uint32_t)subject, (uint32_t)detail);
	return (ssize_t)i;
}

static struct span
skip_spaces(struct span s)
{
	while (s.n > 0 && s.p[0] == ' ')
		s = span_skip(s, 1);
	return s;
}

int
reply_parse(struct span s, struct reply *r)
{
	uint32_t class, enh;

	if (s.n < 4 || (s.p[0] != '4' && s.p[0] != '5') || !digit(s.p[1]) || !digit(s.p[2]) || s.p[3] != ' ')
		return -1;
	class = (uint32_t)(s.p[0] - '0');
	uint16_t code = (uint16_t)(class * 100 + (uint32_t)(s.p[1] - '0') * 10 + (uint32_t)(s.p[2] - '0'));

	enh = ENH(class, 0, 0);
	s = skip_spaces(span_skip(s, 4));
	if (reply_enhanced_at(s)) {
		ssize_t n = enh_read(s, class, &enh);

		if (n < 0)
			return -1;
		s = skip_spaces(span_skip(s, (size_t)n));
	}
	if (s.n == 0 || s.n > REPLY_TEXT_MAX || scan_printable(s.p, s.n) < s.n)
		return -1;
	reply_set(r, code, enh, "listed", "%.*s", (int)s.n, (const char *)s.p);
	return 0;
}

static size_t
put_number(char *out, size_t n, uint32_t v)
{
	if (v >= 100)
		out[n++] = (char)('0' + v / 100 % 10);
	if (v >= 10)
		out[n++] = (char)('0' + v / 10 % 10);
	out[n++] = (char)('0' + v % 10);
	return n;
}

size_t
reply_enhanced(uint32_t enh, char out[static REPLY_ENH_MAX])
{
	size_t n = put_number(out, 0, ENH_CLASS(enh));

	out[n++] = '.';
	n = put_number(out, n, ENH_SUBJECT(enh));
	out[n++] = '.';
	return put_number(out, n, ENH_DETAIL(enh));
}

/* One line; ${sep} is '-' when others follow. */
static size_t
put_line(const struct reply *r, char sep, struct span text, struct span id, char *out)
{
	size_t n = put_number(out, 0, r->code), tail;

	out[n++] = sep;
	if (r->enh != 0) {
		n += reply_enhanced(r->enh, out + n);
		out[n++] = ' ';
	}
	/* The id is what people search the log for: the text yields to it, and it is whole or absent. */
	if (r->code < 400 || id.n > REPLY_LINE_MAX - n - 5)
		id.n = 0;
	tail = id.n > 0 ? id.n + 5 : 2;
	if (text.n > REPLY_LINE_MAX - n - tail)
		text.n = REPLY_LINE_MAX - n - tail;
	n = put_text(out, n, text);
	if (id.n > 0) {
		out[n++] = ' ';
		out[n++] = '[';
		n = put_text(out, n, id);
		out[n++] = ']';
	}
	out[n++] = '\r';
	out[n++] = '\n';
	return n;
}

size_t
reply_format(const struct reply *r, struct span id, char *out)
{
	struct span rest = span_of(r->text, r->n < REPLY_TEXT_MAX ? r->n : REPLY_TEXT_MAX);
	const uint8_t *lf;
	size_t n = 0;

	for (int i = 1; i < REPLY_LINES_MAX && rest.n > 0 && (lf = memchr(rest.p, '\n', rest.n)) != NULL; i++) {
		size_t line = (size_t)(lf - rest.p);

		n += put_line(r, '-', span_head(rest, line), span_of(NULL, 0), out + n);
		rest = span_skip(rest, line + 1);
	}
	return n + put_line(r, ' ', rest, id, out + n);
}
