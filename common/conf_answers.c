/*
 * conf_answers: which answers of a DNS list count, as Postfix's postscreen
 * writes it: d.d.d.d, each d a number or a list in brackets of numbers and
 * ranges with semicolons between, 127.0.[0;3].[2..11].
 */
#include "common/conf_priv.h"

enum { OCTETS = 4, LOCAL = 127 /* the first octet of every listing (RFC 5782 2.1) */ };

/* 0 to 255 at the start of *s, which is skipped; -1: there is none. */
static int
number(struct span *s)
{
	int v = -1;

	while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9' && v <= UINT8_MAX) {
		v = (v == -1 ? 0 : v * 10) + (s->p[0] - '0');
		*s = span_skip(*s, 1);
	}
	return v <= UINT8_MAX ? v : -1;
}

static bool
skip(struct span *s, const char *word)
{
	struct span w = span_str(word);

	if (s->n < w.n || !span_eq(span_head(*s, w.n), w))
		return false;
	*s = span_skip(*s, w.n);
	return true;
}

/* A number, or within brackets perhaps a range. */
static int
range(struct span *s, bool brackets, uint8_t bits[32])
{
	int from = number(s), to = brackets && skip(s, "..") ? number(s) : from;

	if (from == -1 || to < from)
		return -1;
	for (int v = from; v <= to; v++)
		bits[v / 8] = (uint8_t)(bits[v / 8] | 1U << (v % 8));
	return 0;
}

static int
octet(struct span *s, uint8_t bits[32])
{
	if (!skip(s, "["))
		return range(s, false, bits);
	do
		if (range(s, true, bits) != 0)
			return -1;
	while (skip(s, ";"));
	return skip(s, "]") ? 0 : -1;
}

int
conf_value_answers(struct span s, struct conf_answers *out)
{
	static const struct conf_answers none;

	*out = none;
	for (int i = 0; i < OCTETS; i++)
		if ((i > 0 && !skip(&s, ".")) || octet(&s, out->octet[i]) != 0)
			return -1;
	for (size_t i = 0; i < sizeof out->octet[0]; i++)
		if (out->octet[0][i] != (i == LOCAL / 8 ? 1U << (LOCAL % 8) : 0))
			return -1;
	return s.n == 0 ? 0 : -1;
}

bool
conf_answers_have(const struct conf_answers *a, const uint8_t ip[4])
{
	for (int i = 0; i < OCTETS; i++)
		if ((a->octet[i][ip[i] / 8] & 1U << (ip[i] % 8)) == 0)
			return false;
	return true;
}
