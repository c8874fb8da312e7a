/*
 * norm: canonical addresses.
 * One table look-up an octet for ASCII, which is nearly all that a loader of
 * ten million lines sees; libidn2 and libunistring for the rest.  Compares
 * nothing and knows no directory.
 */
#include "common/norm.h"

#include <errno.h>
#include <idn2.h>
#include <stdlib.h>
#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

enum {
	NORM_LOCAL_IN_MAX = 1024, /* octets of a local part that are looked at */
	NORM_LABEL_MAX = 63       /* octets of a label, RFC 1035 2.3.4 */
};

/* Classes of octets besides those that stand for themselves, in lower case. */
enum { BAD = 0, WIDE = 1 };

#define D1(c)  [c] = (c)
#define D2(c)  D1(c), D1((c) + 1)
#define D4(c)  D2(c), D2((c) + 2)
#define D8(c)  D4(c), D4((c) + 4)
#define D26(c) D8(c), D8((c) + 8), D8((c) + 16), D2((c) + 24)
#define U1(c)  [c] = (c) + 32
#define U2(c)  U1(c), U1((c) + 1)
#define U4(c)  U2(c), U2((c) + 2)
#define U8(c)  U4(c), U4((c) + 4)
#define U26(c) U8(c), U8((c) + 8), U8((c) + 16), U2((c) + 24)

/* Letters, digits, hyphen, underscore and dot of a domain. */
static const uint8_t domain_octet[128] = { D26('a'), U26('A'), D8('0'), D2('8'), D1('-'), D1('_'), D1('.') };

/* Printable ASCII of a local part. */
static const uint8_t local_octet[128] = { D26('a'), U26('A'), D8(' '), D8(' ' + 8), D8(' ' + 16), D8(' ' + 24), D1('@'),
	D1('['), D1('\\'), D1(']'), D2('^'), D1('`'), D4('{') };

static ssize_t
fail(int err)
{
	errno = err;
	return -1;
}

/* Domain of ASCII letters, digits, hyphens, underscores and dots; sets *wide and returns 0 when there are others. */
static ssize_t
ascii_domain(struct span in, char *out, size_t cap, bool *wide)
{
	size_t label = 0; /* octets of it so far */
	uint8_t c = '.';

	if (in.n > cap || in.n > ADDR_DOMAIN_MAX)
		return fail(ENAMETOOLONG);
	for (size_t i = 0; i < in.n; i++) {
		uint8_t last = c;

		if (in.p[i] >= 0x80) {
			*wide = true;
			return 0;
		}
		c = domain_octet[in.p[i]];
		if (c == BAD || (c == '-' && label == 0) || (c == '.' && (label == 0 || last == '-')))
			return fail(EINVAL);
		label = c == '.' ? 0 : label + 1;
		if (label > NORM_LABEL_MAX)
			return fail(EINVAL);
		out[i] = (char)c;
	}
	if (label == 0 || c == '-')
		return fail(EINVAL);
	return (ssize_t)in.n;
}

static ssize_t
literal_domain(struct span in, char *out, size_t cap)
{
	if (!addr_literal_ok(in))
		return fail(EINVAL);
	if (in.n > cap)
		return fail(ENAMETOOLONG);
	for (size_t i = 0; i < in.n; i++)
		out[i] = (char)ascii_lower(in.p[i]);
	return (ssize_t)in.n;
}

/* U-labels: UTS 46, non-transitional, so that "ß" and "ss" stay different names as registries have them. */
static ssize_t
wide_domain(struct span in, char *out, size_t cap)
{
	uint8_t text[ADDR_DOMAIN_MAX + 1], *ascii = NULL;
	bool wide = false;
	ssize_t n;
	int rc;

	if (!addr_domain_ok(in, true))
		return fail(EINVAL);
	memcpy(text, in.p, in.n);
	text[in.n] = '\0';
	rc = idn2_lookup_u8(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc == IDN2_MALLOC)
		return fail(ENOMEM);
	if (rc != IDN2_OK)
		return fail(EINVAL);
	n = ascii_domain(span_str((const char *)ascii), out, cap, &wide);
	idn2_free(ascii);
	return wide ? fail(EINVAL) : n;
}

ssize_t
norm_domain(struct span in, char *out, size_t cap)
{
	bool wide = false;
	ssize_t n;

	if (in.n > 0 && in.p[0] == '[')
		return literal_domain(in, out, cap);
	n = ascii_domain(in, out, cap, &wide);
	return wide ? wide_domain(in, out, cap) : n;
}

/* Canonical caseless form in NFC: the fold of a decomposed string (Unicode D145), composed. */
static ssize_t
wide_local(struct span in, char *out, size_t cap)
{
	uint8_t nfd_room[2 * NORM_LOCAL_IN_MAX], room[2 * NORM_LOCAL_IN_MAX], *nfd, *folded;
	size_t n = sizeof(nfd_room), nf = sizeof(room);

	if (in.n > NORM_LOCAL_IN_MAX)
		return fail(ENAMETOOLONG);
	if (u8_check(in.p, in.n) != NULL)
		return fail(EINVAL);
	for (size_t i = 0; i < in.n; i++)
		if (in.p[i] < 0x80 && local_octet[in.p[i]] == BAD)
			return fail(EINVAL);
	nfd = u8_normalize(UNINORM_NFD, in.p, in.n, nfd_room, &n);
	if (nfd == NULL)
		return fail(errno == EILSEQ ? EINVAL : ENOMEM);
	folded = u8_casefold(nfd, n, NULL, UNINORM_NFC, room, &nf);
	if (nfd != nfd_room)
		free(nfd);
	if (folded == NULL)
		return fail(errno == EILSEQ ? EINVAL : ENOMEM);
	if (nf <= cap)
		memcpy(out, folded, nf);
	if (folded != room)
		free(folded);
	return nf <= cap ? (ssize_t)nf : fail(ENAMETOOLONG);
}

ssize_t
norm_local(struct span in, char *out, size_t cap)
{
	if (in.n == 0)
		return fail(EINVAL);
	for (size_t i = 0; i < in.n && i < cap; i++) {
		uint8_t c = in.p[i] < 0x80 ? local_octet[in.p[i]] : WIDE;

		if (c == BAD)
			return fail(EINVAL);
		if (c == WIDE)
			return wide_local(in, out, cap);
		out[i] = (char)c;
	}
	return in.n <= cap ? (ssize_t)in.n : fail(ENAMETOOLONG);
}

ssize_t
norm_addr(const struct addr *a, char *out, size_t cap, size_t *at)
{
	ssize_t n, m;

	if (a->is_null || a->domain.n == 0)
		return fail(EINVAL);
	if (cap > NORM_KEY_MAX)
		cap = NORM_KEY_MAX;
	n = norm_local(a->local, out, cap);
	if (n < 0)
		return -1;
	if ((size_t)n == cap)
		return fail(ENAMETOOLONG);
	out[n] = '@';
	m = norm_domain(a->domain, out + n + 1, cap - (size_t)n - 1);
	if (m < 0)
		return -1;
	*at = (size_t)n;
	return n + 1 + m;
}
