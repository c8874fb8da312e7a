/*
 * relay_reply: lines, codes, words.
 */
#include "reports/relay_reply.h"

enum { CODE_DIGITS = 3 };

/* The code of a line without its LF, or 0; *last: no more follow. */
static unsigned
line_code(struct span line, bool *last)
{
	unsigned code = 0;

	if (line.n < CODE_DIGITS)
		return 0;
	for (size_t i = 0; i < CODE_DIGITS; i++) {
		if (line.p[i] < '0' || line.p[i] > '9')
			return 0;
		code = code * 10 + (unsigned)(line.p[i] - '0');
	}
	if (line.n > CODE_DIGITS && line.p[CODE_DIGITS] != ' ' && line.p[CODE_DIGITS] != '-' &&
	    line.p[CODE_DIGITS] != '\r')
		return 0;
	*last = line.n == CODE_DIGITS || line.p[CODE_DIGITS] != '-';
	return code;
}

/* The line at the start of ${s} with its LF; empty: there is no whole one. */
static struct span
first_line(struct span s)
{
	const uint8_t *lf = s.n > 0 ? memchr(s.p, '\n', s.n) : NULL;

	return span_head(s, lf != NULL ? (size_t)(lf - s.p) + 1 : 0);
}

ssize_t
relay_reply(struct span s, unsigned *code)
{
	struct span left = s;
	bool last = false;

	while (!last) {
		struct span line = first_line(left);

		if (line.n == 0)
			return 0;
		*code = line_code(span_head(line, line.n - 1), &last);
		if (*code == 0)
			return -1;
		left = span_skip(left, line.n);
	}
	return (ssize_t)(s.n - left.n);
}

struct relay_offers
relay_offers(struct span reply)
{
	struct relay_offers o = { false, false, false };
	struct span line;

	for (; (line = first_line(reply)).n > 0; reply = span_skip(reply, line.n)) {
		struct span word = span_skip(line, line.n > CODE_DIGITS + 1 ? CODE_DIGITS + 1 : line.n);
		size_t n = 0;

		while (n < word.n && word.p[n] != ' ' && word.p[n] != '\r' && word.p[n] != '\n')
			n++;
		word = span_head(word, n);
		o.utf8 |= span_caseeq(word, SPAN("SMTPUTF8"));
		o.has8 |= span_caseeq(word, SPAN("8BITMIME"));
		o.starttls |= span_caseeq(word, SPAN("STARTTLS"));
	}
	return o;
}
