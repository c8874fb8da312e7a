/*
 * norm: what must compare equal does, what must not does not, and a canonical
 * form is its own canonical form.
 */
#include "common/norm.h"

#include <errno.h>
#include <unistr.h>

#include "tests/unit/suite.h"

static const struct {
	const char *in, *out; /* out NULL: EINVAL */
} domain_row[] = {
	{ "example.org", "example.org" },
	{ "EXAMPLE.Org", "example.org" },
	{ "a-b.c_d.1", "a-b.c_d.1" },
	{ "XN--Bcher-KVA.example", "xn--bcher-kva.example" },
	{ "b\xc3\xbc"
	  "cher.example",
	    "xn--bcher-kva.example" },
	{ "B\xc3\x9c"
	  "CHER.EXAMPLE",
	    "xn--bcher-kva.example" },
	{ "bu\xcc\x88"
	  "cher.example",
	    "xn--bcher-kva.example" }, /* decomposed */
	{ "stra\xc3\x9f"
	  "e.example",
	    "xn--strae-oqa.example" }, /* non-transitional */
	{ "strasse.example", "strasse.example" },
	{ "\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88", "xn--r8jz45g.xn--zckzah" },
	{ "a\xe3\x80\x82"
	  "b\xc3\xbc.c",
	    "a.xn--b-eha.c" },                   /* the ideographic full stop divides labels (UTS 46) */
	{ "\xef\xbd\x81.example", "a.example" }, /* fullwidth a */
	{ "[192.0.2.1]", "[192.0.2.1]" },
	{ "[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]" },
	{ "", NULL },
	{ ".", NULL },
	{ "a.", NULL },
	{ ".a", NULL },
	{ "a..b", NULL },
	{ "-a", NULL },
	{ "a-", NULL },
	{ "a-.b", NULL },
	{ "a.-b", NULL },
	{ "a b", NULL },
	{ "a@b", NULL },
	{ "a/b", NULL },
	{ "[192.0.2.1", NULL },
	{ "[x]", NULL },
	{ "\xc3", NULL },
	{ "a\xff.b", NULL },
	{ "\xe2\x80\xae"
	  "a.b",
	    NULL }, /* a right-to-left override is in no name */
	{ "xn--\xc3\xbc.b", NULL },
};

START_TEST(domains)
{
	char out[NORM_KEY_MAX], again[NORM_KEY_MAX];
	ssize_t n;

	errno = 0;
	n = norm_domain(guarded_str(domain_row[_i].in), out, sizeof(out));
	if (domain_row[_i].out == NULL) {
		ck_assert_int_eq(n, -1);
		ck_assert_int_eq(errno, EINVAL);
		return;
	}
	ck_assert_int_eq(n, (ssize_t)strlen(domain_row[_i].out));
	ck_assert_mem_eq(out, domain_row[_i].out, (size_t)n);
	ck_assert_int_eq(norm_domain(guarded(out, (size_t)n), again, sizeof(again)), n);
	ck_assert_mem_eq(out, again, (size_t)n);
	errno = 0;
	ck_assert_int_eq(norm_domain(guarded_str(domain_row[_i].in), again, (size_t)n - 1), -1);
	ck_assert_int_eq(errno, ENAMETOOLONG);
}
END_TEST

START_TEST(long_domains)
{
	char in[300], out[NORM_KEY_MAX];

	memset(in, 'A', sizeof(in));
	ck_assert_int_eq(norm_domain(guarded(in, 63), out, sizeof(out)), 63);
	ck_assert_int_eq(norm_domain(guarded(in, 64), out, sizeof(out)), -1);
	for (size_t i = 63; i < sizeof(in); i += 64)
		in[i] = '.';
	ck_assert_int_eq(norm_domain(guarded(in, 255), out, sizeof(out)), 255);
	errno = 0;
	ck_assert_int_eq(norm_domain(guarded(in, 257), out, sizeof(out)), -1);
	ck_assert_int_eq(errno, ENAMETOOLONG);
	/* A U-label of 60 octets whose A-label is longer than 63 */
	for (size_t i = 0; i < 30; i++)
		memcpy(in + 2 * i, i % 2 ? "\xd0\xb0" : "\xd7\x90", 2);
	ck_assert_int_eq(norm_domain(guarded(in, 60), out, sizeof(out)), -1);
}
END_TEST

static const struct {
	const char *in, *out;
} local_row[] = {
	{ "alice", "alice" },
	{ "Alice.B+Tag", "alice.b+tag" },
	{ "!#$%&'*+-/=?^_`{|}~", "!#$%&'*+-/=?^_`{|}~" },
	{ "A b@\"\\", "a b@\"\\" },
	{ "M\xc3\x9cLLER", "m\xc3\xbcller" },
	{ "mu\xcc\x88ller", "m\xc3\xbcller" }, /* decomposed */
	{ "MU\xcc\x88LLER", "m\xc3\xbcller" },
	{ "stra\xc3\x9f"
	  "e",
	    "strasse" },                                            /* full case folding */
	{ "\xe2\x84\xaa", "k" },                                    /* Kelvin sign */
	{ "\xce\xa3\xcf\x82\xcf\x83", "\xcf\x83\xcf\x83\xcf\x83" }, /* sigmas */
	{ "\xe2\x84\xab", "\xc3\xa5" },                             /* Angstrom sign */
	{ "\xc4\xb0", "i\xcc\x87" },                                /* dotted I, whatever the locale */
	{ "I\xc3\xa9", "i\xc3\xa9" },
	{ "", NULL },
	{ "a\tb", NULL },
	{ "a\x7f", NULL },
	{ "\xc3\xa9\x01", NULL },
	{ "\xc3", NULL },
	{ "a\xed\xa0\x80", NULL },
	{ "\xc0\x80", NULL },
};

START_TEST(locals)
{
	char out[NORM_KEY_MAX], again[NORM_KEY_MAX];
	ssize_t n;

	errno = 0;
	n = norm_local(guarded_str(local_row[_i].in), out, sizeof(out));
	if (local_row[_i].out == NULL) {
		ck_assert_int_eq(n, -1);
		ck_assert_int_eq(errno, EINVAL);
		return;
	}
	ck_assert_int_eq(n, (ssize_t)strlen(local_row[_i].out));
	ck_assert_mem_eq(out, local_row[_i].out, (size_t)n);
	errno = 0;
	ck_assert_int_eq(norm_local(guarded_str(local_row[_i].in), again, (size_t)n - 1), -1);
	ck_assert_int_eq(errno, ENAMETOOLONG);
}
END_TEST

/* Every code point, alone and behind a letter: norm(norm(x)) is norm(x). */
START_TEST(canonical_is_its_own)
{
	size_t wrong = 0, seen = 0;

	for (ucs4_t u = 0xa0; u < 0x20000; u++) {
		uint8_t in[16] = "a";
		char one[64], two[64];
		int len = u8_uctomb(in + 1, u, 8);
		ssize_t n, m;

		if (len < 0)
			continue;
		for (size_t skip = 0; skip < 2; skip++) {
			n = norm_local(span_of(in + skip, (size_t)len + 1 - skip), one, sizeof(one));
			m = n > 0 ? norm_local(span_of(one, (size_t)n), two, sizeof(two)) : -1;
			wrong += n <= 0 || n != m || memcmp(one, two, (size_t)n) != 0;
			seen++;
		}
	}
	ck_assert_uint_gt(seen, 200000);
	ck_assert_uint_eq(wrong, 0);
}
END_TEST

static const struct {
	const char *in, *out;
	size_t at;
	int err;
} addr_row[] = {
	{ "Alice@Example.ORG", "alice@example.org", 5, 0 },
	{ "\"A@b\"@D", "a@b@d", 3, 0 },
	{ "M\xc3\x9cLLER@B\xc3\x9c"
	  "CHER.example",
	    "m\xc3\xbcller@xn--bcher-kva.example", 7, 0 },
	{ "a@[IPv6:::1]", "a@[ipv6:::1]", 1, 0 },
	{ "postmaster", NULL, 0, EINVAL },
	{ "", NULL, 0, EINVAL },
	{ "a@\xe2\x80\xae.b", NULL, 0, EINVAL },
};

START_TEST(addresses)
{
	char out[NORM_KEY_MAX];
	struct arena arena;
	struct addr a;
	size_t at = 99;
	ssize_t n;

	arena_init(&arena, 256, 4096);
	ck_assert_int_eq(
	    addr_parse_bare(guarded_str(addr_row[_i].in), ADDR_REVERSE | ADDR_UTF8 | ADDR_POSTMASTER, &arena, &a), 0);
	errno = 0;
	n = norm_addr(&a, out, sizeof(out), &at);
	if (addr_row[_i].out == NULL) {
		ck_assert_int_eq(n, -1);
		ck_assert_int_eq(errno, addr_row[_i].err);
	} else {
		ck_assert_int_eq(n, (ssize_t)strlen(addr_row[_i].out));
		ck_assert_mem_eq(out, addr_row[_i].out, (size_t)n);
		ck_assert_uint_eq(at, addr_row[_i].at);
		for (size_t cap = 0; cap < (size_t)n; cap++) {
			errno = 0;
			ck_assert_int_eq(norm_addr(&a, out, cap, &at), -1);
			ck_assert_int_eq(errno, ENAMETOOLONG);
		}
	}
	arena_reset(&arena);
}
END_TEST

/* Folding may make a local part grow, and past the longest key it is refused, not cut. */
START_TEST(folding_that_grows_past_the_key)
{
	uint8_t local[318];
	struct addr a = { .local = span_of(local, sizeof(local)), .domain = SPAN("d"), .utf8 = true };
	char out[NORM_KEY_MAX];
	size_t at;

	for (size_t i = 0; i < sizeof(local); i += 3)
		memcpy(local + i, "\xef\xac\x83", 3); /* ffi ligature: folds to three octets, no more */
	ck_assert_int_eq(norm_addr(&a, out, sizeof(out), &at), 320);
	for (size_t i = 0; i < sizeof(local); i += 2)
		memcpy(local + i, "\xce\x90", 2); /* stays U+0390 in NFC */
	ck_assert_int_eq(norm_addr(&a, out, sizeof(out), &at), 320);
	for (size_t i = 0; i < sizeof(local); i += 2)
		memcpy(local + i, "\xc7\xb0", 2); /* j with caron */
	ck_assert_int_eq(norm_addr(&a, out, sizeof(out), &at), 320);
	for (size_t i = 0; i < sizeof(local); i += 2)
		memcpy(local + i, "\xc5\x89", 2); /* U+0149 folds to three octets */
	ck_assert_int_eq(norm_addr(&a, out, sizeof(out), &at), 479);
	a.domain = SPAN("a-domain-of-some-length.example.org");
	errno = 0;
	ck_assert_int_eq(norm_addr(&a, out, sizeof(out), &at), -1);
	ck_assert_int_eq(errno, ENAMETOOLONG);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("norm");
	TCase *t = tcase_create("norm");

	tcase_add_loop_test(t, domains, 0, sizeof(domain_row) / sizeof(domain_row[0]));
	tcase_add_test(t, long_domains);
	tcase_add_loop_test(t, locals, 0, sizeof(local_row) / sizeof(local_row[0]));
	tcase_add_test(t, canonical_is_its_own);
	tcase_add_loop_test(t, addresses, 0, sizeof(addr_row) / sizeof(addr_row[0]));
	tcase_add_test(t, folding_that_grows_past_the_key);
	suite_add_tcase(s, t);
	return suite_run(s);
}
