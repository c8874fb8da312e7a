/*
 * CRLF to LF, for every string over {CR, LF, x} up to ten octets and every way
 * to cut it in two, and for every room of the output.
 */
#include "worker/store/fold.h"
#include "tests/unit/suite.h"

enum { LEN = 10 };

/* The obvious way: octet by octet, with the next one in sight. */
static size_t
plain_fold(struct span in, uint8_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++)
		if (in.p[i] != '\r' || i + 1 == in.n || in.p[i + 1] != '\n')
			out[n++] = in.p[i];
	return n;
}

/* Fold ${a}, then ${b}, with at most ${cap} octets of output a call. */
static size_t
two_pieces(struct span a, struct span b, size_t cap, uint8_t *out)
{
	struct fold f = { 0 };
	size_t n = 0;

	while (a.n > 0)
		n += fold_crlf(&f, &a, out + n, cap);
	while (b.n > 0)
		n += fold_crlf(&f, &b, out + n, cap);
	return n + fold_end(&f, out + n);
}

START_TEST(every_string_every_cut)
{
	static const uint8_t letter[] = { '\r', '\n', 'x' };
	uint8_t text[LEN], want[LEN], got[LEN + 2];
	size_t wn, gn, all = 1;

	for (int i = 0; i < _i; i++)
		all *= 3;
	for (size_t k = 0; k < all; k++) {
		for (size_t i = 0, rest = k; i < (size_t)_i; i++, rest /= 3)
			text[i] = letter[rest % 3];
		wn = plain_fold(span_of(text, (size_t)_i), want);
		for (size_t cut = 0; cut <= (size_t)_i; cut++)
			for (size_t cap = 1; cap <= 3; cap++) {
				gn = two_pieces(span_of(text, cut), span_of(text + cut, (size_t)_i - cut),
				    cap == 3 ? LEN : cap, got);
				ck_assert_uint_eq(gn, wn);
				ck_assert_int_eq(memcmp(got, want, wn), 0);
			}
	}
}
END_TEST

/* It neither reads past its input nor writes past its room. */
START_TEST(bounds)
{
	struct span in = guarded_str("ab\r\ncd\r"), room = guarded("......", 6);
	uint8_t *out = (uint8_t *)(uintptr_t)room.p, last;
	struct fold f = { 0 };

	ck_assert_uint_eq(fold_crlf(&f, &in, out + 1, 5), 5);
	ck_assert_uint_eq(in.n, 1);
	ck_assert_int_eq(memcmp(out, ".ab\ncd", 6), 0);
	ck_assert_uint_eq(fold_crlf(&f, &in, out, 6), 0);
	ck_assert_uint_eq(in.n, 0);
	ck_assert_uint_eq(fold_end(&f, &last), 1);
	ck_assert_uint_eq(last, '\r');
	ck_assert_uint_eq(fold_end(&f, &last), 0);
}
END_TEST

START_TEST(no_room)
{
	struct span in = SPAN("\r\nx");
	struct fold f = { 0 };

	ck_assert_uint_eq(fold_crlf(&f, &in, NULL, 0), 0);
	ck_assert_uint_eq(in.n, 3);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("fold");
	TCase *tc = tcase_create("fold");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, every_string_every_cut, 0, LEN + 1);
	tcase_add_test(tc, bounds);
	tcase_add_test(tc, no_room);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
