/*
 * saslprep: tables of RFC 3454 as RFC 4013 chooses them; NFKC, directions and
 * categories are libunistring's.
 */
#include "common/saslprep.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

struct range {
	ucs4_t from, to;
};

/* C.1.2: become a space. */
static const struct range spaces[] = { { 0xa0, 0xa0 }, { 0x1680, 0x1680 }, { 0x2000, 0x200b }, { 0x202f, 0x202f },
	{ 0x205f, 0x205f }, { 0x3000, 0x3000 } };

/* B.1: become nothing. */
static const struct range nothing[] = { { 0xad, 0xad }, { 0x34f, 0x34f }, { 0x1806, 0x1806 }, { 0x180b, 0x180d },
	{ 0x200b, 0x200d }, { 0x2060, 0x2060 }, { 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff } };

/* C.1.2, C.2.1, C.2.2, C.3, C.4 (but the last two of each plane), C.6, C.7, C.8, C.9; C.5 is no UTF-8. */
static const struct range prohibited[] = { { 0, 0x1f }, { 0x7f, 0xa0 }, { 0x340, 0x341 }, { 0x6dd, 0x6dd },
	{ 0x70f, 0x70f }, { 0x1680, 0x1680 }, { 0x180e, 0x180e }, { 0x2000, 0x200f }, { 0x2028, 0x202f },
	{ 0x205f, 0x2063 }, { 0x206a, 0x206f }, { 0x2ff0, 0x2ffb }, { 0x3000, 0x3000 }, { 0xe000, 0xf8ff },
	{ 0xfdd0, 0xfdef }, { 0xfeff, 0xfeff }, { 0xfff9, 0xffff }, { 0x1d173, 0x1d17a }, { 0xe0001, 0xe0001 },
	{ 0xe0020, 0xe007f }, { 0xf0000, 0x10ffff } };

#define IN(table, c) in_range(table, sizeof(table) / sizeof((table)[0]), c)

static bool
in_range(const struct range *r, size_t n, ucs4_t c)
{
	for (size_t i = 0; i < n; i++)
		if (c >= r[i].from && c <= r[i].to)
			return true;
	return false;
}

static ssize_t
fail(int error)
{
	errno = error;
	return -1;
}

/* 2.1 of ${in} into ${out}, which has room for as much.  -1: not UTF-8. */
static ssize_t
map(struct span in, uint8_t *out)
{
	size_t n = 0;

	while (in.n > 0) {
		ucs4_t c;
		int len = u8_mbtoucr(&c, in.p, in.n);

		if (len <= 0)
			return -1;
		if (IN(spaces, c)) {
			out[n++] = ' ';
		} else if (!IN(nothing, c)) {
			memcpy(out + n, in.p, (size_t)len);
			n += (size_t)len;
		}
		in = span_skip(in, (size_t)len);
	}
	return (ssize_t)n;
}

/* 2.3 to 2.5. */
static bool
sayable(struct span s, bool stored)
{
	bool right = false, left = false, first = false, last = false;

	for (size_t at = 0; at < s.n;) {
		ucs4_t c;
		int len = u8_mbtoucr(&c, s.p + at, s.n - at), d;

		if (len <= 0 || IN(prohibited, c) || (c & 0xfffe) == 0xfffe ||
		    (stored && uc_is_general_category(c, UC_UNASSIGNED)))
			return false;
		d = uc_bidi_category(c);
		last = d == UC_BIDI_R || d == UC_BIDI_AL;
		first = at == 0 ? last : first;
		right = right || last;
		left = left || d == UC_BIDI_L;
		at += (size_t)len;
	}
	return !right || (!left && first && last);
}

static bool
plain(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

static ssize_t
give(const void *p, size_t n, char *out, size_t cap)
{
	if (n == 0)
		return fail(EINVAL);
	if (n > cap)
		return fail(ENAMETOOLONG);
	memcpy(out, p, n);
	return (ssize_t)n;
}

ssize_t
saslprep(struct span in, char *out, size_t cap, bool stored)
{
	uint8_t *mapped, *form;
	size_t n = 0;
	ssize_t rc;

	if (plain(in))
		return give(in.p, in.n, out, cap);
	mapped = malloc(in.n);
	if (mapped == NULL)
		return -1;
	rc = map(in, mapped);
	form = rc >= 0 ? u8_normalize(UNINORM_NFKC, mapped, (size_t)rc, NULL, &n) : NULL;
	if (rc < 0)
		rc = fail(EINVAL);
	else if (form == NULL)
		rc = fail(ENOMEM);
	else
		rc = sayable(span_of(form, n), stored) ? give(form, n, out, cap) : fail(EINVAL);
	explicit_bzero(mapped, in.n);
	free(mapped);
	if (form != NULL)
		explicit_bzero(form, n);
	free(form);
	return rc;
}
