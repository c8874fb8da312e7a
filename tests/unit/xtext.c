/*
 * xtext: both encodings, every octet, both ways.
 */
#include "common/xtext.h"

#include <unistr.h>

#include "tests/unit/suite.h"

static const struct {
	const char *in, *out; /* out NULL: not xtext */
} decode_row[] = {
	{ "", "" },
	{ "rfc822;bob@example.org", "rfc822;bob@example.org" },
	{ "a+2Bb+3Dc", "a+b=c" },
	{ "+41", "A" }, /* needs no encoding, may be encoded */
	{ "QQ314159", "QQ314159" },
	{ "+2b", NULL }, /* lower case */
	{ "+", NULL },
	{ "a+", NULL },
	{ "a+2", NULL },
	{ "a+G0", NULL },
	{ "a+0G", NULL },
	{ "a++2B", NULL },
	{ "a=b", NULL },
	{ "a b", NULL },
	{ "a\tb", NULL },
	{ "a\x7f", NULL },
	{ "a\xc3\xa9", NULL },
};

START_TEST(decodes)
{
	uint8_t out[64];
	ssize_t n = xtext_decode(guarded_str(decode_row[_i].in), out, sizeof(out));

	if (decode_row[_i].out == NULL) {
		ck_assert_int_eq(n, -1);
		return;
	}
	ck_assert_int_eq(n, (ssize_t)strlen(decode_row[_i].out));
	ck_assert_mem_eq(out, decode_row[_i].out, (size_t)n);
}
END_TEST

START_TEST(xtext_round_trip_of_every_octet)
{
	uint8_t all[256], back[256];
	char wire[3 * 256];
	ssize_t n;

	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	n = xtext_encode(guarded(all, sizeof(all)), wire, sizeof(wire));
	ck_assert_int_eq(n, 256 + 2 * (256 - 92)); /* 94 graphic octets less '+' and '=' */
	for (ssize_t i = 0; i < n; i++)
		ck_assert(wire[i] >= '!' && wire[i] <= '~' && wire[i] != '=');
	for (size_t cap = 0; cap < (size_t)n; cap++)
		ck_assert_int_eq(xtext_encode(span_of(all, sizeof(all)), wire, cap), -1);
	n = xtext_encode(span_of(all, sizeof(all)), wire, (size_t)n);
	ck_assert_int_eq(xtext_decode(guarded(wire, (size_t)n), back, sizeof(back)), 256);
	ck_assert_mem_eq(back, all, sizeof(all));
	ck_assert_int_eq(xtext_decode(span_of(wire, (size_t)n), back, 255), -1);
}
END_TEST

static const struct {
	const char *in, *out;
} path_row[] = {
	{ "alice", "alice" },
	{ "a.b-c_d+e9", "a.b-c_d+e9" },
	{ ".", "%2E" },
	{ "..", "%2E." },
	{ ".hidden", "%2Ehidden" },
	{ "Alice", "%41lice" },
	{ "a/b", "a%2Fb" },
	{ "../../etc", "%2E.%2F..%2Fetc" },
	{ "a%b", "a%25b" },
	{ "a b\"c\\", "a%20b%22c%5C" },
	{ "m\xc3\xbcller", "m%C3%BCller" },
	{ "[192.0.2.1]", "%5B192.0.2.1%5D" },
	{ "[ipv6:2001:db8::1]", "%5Bipv6%3A2001%3Adb8%3A%3A1%5D" },
	{ "a\x7f\x01", "a%7F%01" },
	{ "", NULL },
};

START_TEST(encodes_paths)
{
	char out[64];
	ssize_t n = path_encode(guarded_str(path_row[_i].in), out, sizeof(out));

	if (path_row[_i].out == NULL) {
		ck_assert_int_eq(n, -1);
		return;
	}
	ck_assert_int_eq(n, (ssize_t)strlen(path_row[_i].out));
	ck_assert_mem_eq(out, path_row[_i].out, (size_t)n);
	ck_assert_int_eq(path_encode(guarded_str(path_row[_i].in), out, (size_t)n), n);
	ck_assert_int_eq(path_encode(guarded_str(path_row[_i].in), out, (size_t)n - 1), -1);
}
END_TEST

START_TEST(no_path_component_escapes)
{
	for (int i = 0; i < 256; i++) {
		uint8_t in[2] = { (uint8_t)i, (uint8_t)i };
		char out[6];
		ssize_t n = path_encode(guarded(in, 2), out, sizeof(out));

		ck_assert_int_gt(n, 0);
		ck_assert_int_ne(out[0], '.');
		for (ssize_t k = 0; k < n; k++)
			ck_assert(out[k] > ' ' && out[k] <= '~' && out[k] != '/');
	}
}
END_TEST

START_TEST(path_is_no_longer_than_a_file_name)
{
	char in[300], out[1000];

	memset(in, 'a', sizeof(in));
	ck_assert_int_eq(path_encode(guarded(in, 255), out, sizeof(out)), 255);
	ck_assert_int_eq(path_encode(guarded(in, 256), out, sizeof(out)), -1);
	memset(in, '@', sizeof(in));
	ck_assert_int_eq(path_encode(guarded(in, 85), out, sizeof(out)), 255);
	ck_assert_int_eq(path_encode(guarded(in, 86), out, sizeof(out)), -1);
}
END_TEST

/* Each start of four octets at the edges of their ranges, and at each length, against libunistring. */
START_TEST(utf8_as_another_reads_it)
{
	static const uint8_t next[] = { 0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff };
	size_t good = 0;

	for (unsigned c = 0; c < 256; c++)
		for (unsigned i = 0; i < 1000; i++)
			for (size_t cut = 1; cut <= 4; cut++) {
				const uint8_t b[4] = { (uint8_t)c, next[i / 100], next[i / 10 % 10], next[i % 10] };
				struct span s = span_of(b, cut);
				ucs4_t u;
				int n = u8_mbtoucr(&u, b, cut);

				/* An assertion writes to a pipe, and a million of them take a minute. */
				if (xtext_utf8(s) != (n > 0 ? (size_t)n : 0) ||
				    xtext_c1(s) != (n == 2 && u >= 0x80 && u < 0xa0))
					ck_abort_msg("%02x %02x %02x %02x, cut to %zu: %zu, %d", b[0], b[1], b[2], b[3],
					    cut, xtext_utf8(s), n);
				good += n > 0;
			}
	ck_assert_uint_gt(good, 128 * 4000);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("xtext");
	TCase *t = tcase_create("xtext");

	tcase_add_loop_test(t, decodes, 0, sizeof(decode_row) / sizeof(decode_row[0]));
	tcase_add_test(t, xtext_round_trip_of_every_octet);
	tcase_add_test(t, utf8_as_another_reads_it);
	tcase_add_loop_test(t, encodes_paths, 0, sizeof(path_row) / sizeof(path_row[0]));
	tcase_add_test(t, no_path_component_escapes);
	tcase_add_test(t, path_is_no_longer_than_a_file_name);
	suite_add_tcase(s, t);
	return suite_run(s);
}
