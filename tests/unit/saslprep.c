/*
 * saslprep: RFC 4013's own examples and each step of it, on inputs that end on
 * a guard page.
 */
#include "common/saslprep.h"

#include <errno.h>

#include "tests/unit/suite.h"

static const struct {
	const char *in, *out; /* out NULL: refused */
	bool stored;
} rows[] = {
	/* RFC 4013 3 */
	{ "I\xc2\xadX", "IX", true },
	{ "user", "user", true },
	{ "USER", "USER", true },
	{ "\xc2\xaa", "a", true },
	{ "\xe2\x85\xa8", "IX", true },
	{ "\x07", NULL, true },
	{ "\xd8\xa7\x31", NULL, true },
	/* Blanks become one blank each, and ASCII stays. */
	{ "a b", "a b", true },
	{ "a\xc2\xa0"
	  "b",
	    "a b", true },
	{ "a\xe3\x80\x80"
	  "b",
	    "a b", true },
	{ "a\xe2\x80\x8b"
	  "b",
	    "a b", true },
	{ " \"\\=,~", " \"\\=,~", true },
	/* NFKC: the same letter, however it is put together; a ligature. */
	{ "e\xcc\x81", "\xc3\xa9", true },
	{ "\xc3\xa9", "\xc3\xa9", true },
	{ "\xef\xac\x81", "fi", true },
	{ "\xef\xbc\xa1", "A", true },
	/* Prohibited. */
	{ "a\tb", NULL, true },
	{ "a\x7f", NULL, true },
	{ "\xc2\x80", NULL, true },
	{ "\xee\x80\x80", NULL, true },     /* U+E000, private use */
	{ "\xef\xb7\x90", NULL, true },     /* U+FDD0, no character */
	{ "\xef\xbf\xbe", NULL, true },     /* U+FFFE */
	{ "\xf0\x9f\xbf\xbf", NULL, true }, /* U+1FFFF */
	{ "\xef\xbf\xbd", NULL, true },     /* U+FFFD */
	{ "\xe2\x80\xae", NULL, true },     /* U+202E, turns what follows round */
	{ "\xf3\xa0\x80\x81", NULL, true }, /* U+E0001, a tag */
	{ "\xf4\x80\x80\x80", NULL, true }, /* U+100000 */
	{ "\xe2\xbf\xb0", NULL, true },     /* U+2FF0 */
	{ "\xcd\x80", "\xcc\x80", true },   /* U+0340 is prohibited, and is U+0300 by then */
	/* Not UTF-8. */
	{ "\xff", NULL, true },
	{ "a\xc3", NULL, true },
	{ "\xc0\xaf", NULL, true },
	{ "\xed\xa0\x80", NULL, true },
	{ "\xf4\x90\x80\x80", NULL, true },
	/* Directions: all right to left, or none of it. */
	{ "\xd7\xa9\xd7\x9c", "\xd7\xa9\xd7\x9c", true },
	{ "\xd7\xa9\x31\xd7\x9c", "\xd7\xa9\x31\xd7\x9c", true },
	{ "\xd7\xa9z\xd7\x9c", NULL, true },
	{ "1\xd7\xa9", NULL, true },
	/* What has no character may be said and not be kept. */
	{ "\xcd\xb8", "\xcd\xb8", false },
	{ "\xcd\xb8", NULL, true },
	/* Nothing, or nothing left. */
	{ "", NULL, true },
	{ "\xc2\xad", NULL, true },
};

START_TEST(t_rows)
{
	char out[64];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		ssize_t n;

		errno = 0;
		n = saslprep(guarded_str(rows[i].in), out, sizeof out, rows[i].stored);
		if (rows[i].out == NULL) {
			ck_assert_msg(n == -1 && errno == EINVAL, "row %zu: taken", i);
			continue;
		}
		ck_assert_msg(n >= 0 && span_eq(span_of(out, (size_t)n), span_str(rows[i].out)), "row %zu", i);
	}
}
END_TEST

/* Again changes nothing: what is in a file is as what is compared with it. */
START_TEST(t_idempotent)
{
	char once[64], twice[64];

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		ssize_t n = saslprep(guarded_str(rows[i].in), once, sizeof once, false), m;

		if (n < 0)
			continue;
		m = saslprep(guarded(once, (size_t)n), twice, sizeof twice, false);
		ck_assert_msg(m == n && memcmp(once, twice, (size_t)n) == 0, "row %zu", i);
	}
}
END_TEST

START_TEST(t_room)
{
	char out[8];

	ck_assert_int_eq(saslprep(guarded_str("12345678"), out, 8, true), 8);
	errno = 0;
	ck_assert_int_eq(saslprep(guarded_str("123456789"), out, 8, true), -1);
	ck_assert_int_eq(errno, ENAMETOOLONG);
	/* One character that becomes eighteen. */
	errno = 0;
	ck_assert_int_eq(saslprep(guarded_str("\xef\xb7\xba"), out, 8, true), -1);
	ck_assert_int_eq(errno, ENAMETOOLONG);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("saslprep");
	TCase *tc = tcase_create("saslprep");

	tcase_add_test(tc, t_rows);
	tcase_add_test(tc, t_idempotent);
	tcase_add_test(tc, t_room);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
