/*
 * xtext: RFC 3461 section 4, and the percent-encoding of Maildir paths.
 * Both are strict one to one: what one encodes the other way gives back, and
 * nothing that is not in the form is let through.  PURE.
 */
#include "common/xtext.h"

enum { PATH_NAME_MAX = 255 }; /* NAME_MAX of every file system that matters */

static const char hex[] = "0123456789ABCDEF";

/* The value of an upper-case hexadecimal digit (RFC 3461 allows no other), or -1. */
static int
hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* xchar: any ASCII octet from "!" to "~" but "+" and "=". */
static bool
xtext_plain(uint8_t c)
{
	return c >= '!' && c <= '~' && c != '+' && c != '=';
}

static bool
path_plain(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '+' || c == '-';
}

ssize_t
xtext_decode(struct span in, uint8_t *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];

		if (c == '+') {
			int hi = in.n - i > 2 ? hex_value(in.p[i + 1]) : -1;
			int lo = in.n - i > 2 ? hex_value(in.p[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return -1;
			c = (uint8_t)(hi << 4 | lo);
			i += 2;
		} else if (!xtext_plain(c)) {
			return -1;
		}
		if (n == cap)
			return -1;
		out[n++] = c;
	}
	return (ssize_t)n;
}

/* Append ${c}, or ${esc} and two digits if it must not stand; the new length, or SIZE_MAX when it does not fit. */
static size_t
put_escaped(char *out, size_t cap, size_t n, uint8_t c, char esc, bool plain)
{
	if (cap - n < (plain ? 1U : 3U))
		return SIZE_MAX;
	if (plain) {
		out[n++] = (char)c;
	} else {
		out[n++] = esc;
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return n;
}

ssize_t
xtext_encode(struct span in, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		n = put_escaped(out, cap, n, in.p[i], '+', xtext_plain(in.p[i]));
		if (n == SIZE_MAX)
			return -1;
	}
	return (ssize_t)n;
}

ssize_t
path_encode(struct span in, char *out, size_t cap)
{
	size_t n = 0;

	if (in.n == 0)
		return -1;
	if (cap > PATH_NAME_MAX)
		cap = PATH_NAME_MAX;
	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];

		n = put_escaped(out, cap, n, c, '%', path_plain(c) && !(i == 0 && c == '.'));
		if (n == SIZE_MAX)
			return -1;
	}
	return (ssize_t)n;
}

size_t
xtext_utf8(struct span s)
{
	uint8_t c = s.p[0], low = 0x80, high = 0xbf;
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || n > s.n)
		return 0;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < n; i++, low = 0x80, high = 0xbf)
		if (s.p[i] < low || s.p[i] > high)
			return 0;
	return n;
}

bool
xtext_c1(struct span s)
{
	return s.n >= 2 && s.p[0] == 0xc2 && s.p[1] >= 0x80 && s.p[1] < 0xa0;
}
