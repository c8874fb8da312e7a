/*
 * form: what the key process takes for a TLS handshake, and what it does not.
 */
#include "keys/form.h"
#include "tests/unit/suite.h"

enum { TEXT_MAX = 300 };

static size_t
tls13(uint8_t *p, size_t hash)
{
	static const char context[] = "TLS 1.3, server CertificateVerify";

	memset(p, ' ', 64);
	memcpy(p + 64, context, sizeof context);
	memset(p + 64 + sizeof context, 0xa5, hash);
	return 64 + sizeof context + hash;
}

static size_t
tls12(uint8_t *p, unsigned group, size_t point, uint8_t first)
{
	memset(p, 0x5a, 64);
	memcpy(p + 56, "DOWNGRD\x01", 8);
	p[64] = 3;
	p[65] = (uint8_t)(group >> 8);
	p[66] = (uint8_t)group;
	p[67] = (uint8_t)point;
	memset(p + 68, 0x77, point);
	p[68] = first;
	return 68 + point;
}

static enum form
form(const uint8_t *p, size_t n)
{
	return form_of(guarded(p, n));
}

static const struct {
	unsigned group;
	size_t point;
	uint8_t first;
	bool good;
} curves[] = {
	{ 23, 65, 4, true },
	{ 24, 97, 4, true },
	{ 25, 133, 4, true },
	{ 29, 32, 0, true },
	{ 29, 32, 255, true },
	{ 30, 56, 9, true },
	{ 23, 65, 3, false },
	{ 23, 65, 2, false },
	{ 23, 64, 4, false },
	{ 24, 65, 4, false },
	{ 22, 65, 4, false },
	{ 26, 65, 4, false },
	{ 29, 31, 0, false },
	{ 29, 33, 0, false },
	{ 0, 32, 0, false },
	{ 29 << 8, 32, 0, false },
	{ 256 + 29, 32, 0, false },
};

START_TEST(t_tls12)
{
	uint8_t p[TEXT_MAX];

	for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
		size_t n = tls12(p, curves[i].group, curves[i].point, curves[i].first);

		ck_assert_int_eq(form(p, n), curves[i].good ? FORM_TLS12 : FORM_NONE);
		ck_assert_int_eq(form(p, n - 1), FORM_NONE);
		p[n] = 0;
		ck_assert_int_eq(form(p, n + 1), FORM_NONE);
	}
}
END_TEST

/* Of 1.2: the sentinel, the type of the curve, its number, the length; all else only the peers can know. */
START_TEST(t_tls12_octets)
{
	uint8_t p[TEXT_MAX];
	size_t n = tls12(p, 29, 32, 0);

	for (size_t i = 0; i < n; i++) {
		bool checked = i >= 56 && i < 68;

		p[i] ^= 0x80;
		ck_assert_msg(form(p, n) == (checked ? FORM_NONE : FORM_TLS12), "octet %zu", i);
		p[i] ^= 0x80;
	}
}
END_TEST

/* Of 1.3: all but the hash. */
START_TEST(t_tls13)
{
	uint8_t p[TEXT_MAX];
	size_t n = tls13(p, 32);

	ck_assert_uint_eq(n, 130);
	ck_assert_int_eq(form(p, n), FORM_TLS13);
	for (size_t i = 0; i < n; i++) {
		p[i] ^= 1;
		ck_assert_msg(form(p, n) == (i < 98 ? FORM_NONE : FORM_TLS13), "octet %zu", i);
		p[i] ^= 1;
	}
	for (size_t hash = 0; hash < 80; hash++) {
		n = tls13(p, hash);
		ck_assert_int_eq(form(p, n), hash == 32 || hash == 48 ? FORM_TLS13 : FORM_NONE);
	}
}
END_TEST

/* A client's CertificateVerify, a certificate's octets, nothing at all. */
START_TEST(t_other)
{
	uint8_t p[TEXT_MAX];
	size_t n = tls13(p, 32);

	memcpy(p + 64 + 9, "client", 6);
	ck_assert_int_eq(form(p, n), FORM_NONE);
	memset(p, 0x30, sizeof p);
	for (size_t i = 0; i < sizeof p; i++)
		ck_assert_int_eq(form(p, i), FORM_NONE);
	memset(p, ' ', sizeof p);
	for (size_t i = 0; i < sizeof p; i++)
		ck_assert_int_eq(form(p, i), FORM_NONE);
}
END_TEST

START_TEST(t_schemes)
{
	unsigned good12 = 0, good13 = 0;

	for (unsigned s = 0; s <= UINT16_MAX; s++) {
		ck_assert(!form_allows(FORM_NONE, (uint16_t)s));
		good12 += form_allows(FORM_TLS12, (uint16_t)s);
		good13 += form_allows(FORM_TLS13, (uint16_t)s);
	}
	ck_assert_uint_eq(good12, 10);
	ck_assert_uint_eq(good13, 7);
	/* RFC 8446 4.2.3: not in CertificateVerify. */
	ck_assert(!form_allows(FORM_TLS13, SIGN_RSA_PKCS1_SHA256));
	ck_assert(form_allows(FORM_TLS12, SIGN_RSA_PKCS1_SHA256));
	ck_assert(!form_allows(FORM_TLS12, 0x0201));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("form");
	TCase *tc = tcase_create("form");

	tcase_add_test(tc, t_tls12);
	tcase_add_test(tc, t_tls12_octets);
	tcase_add_test(tc, t_tls13);
	tcase_add_test(tc, t_other);
	tcase_add_test(tc, t_schemes);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
