/*
 * milterfields: messages cut into fields, end of header and body; the same at
 * every split, also octet by octet.
 */
#include "worker/milter/fields.h"

#include <time.h>

#include "tests/unit/suite.h"

enum { FOLDS = 10000 }; /* lines of a folded field */

static const struct {
	const char *in, *want; /* "name=value|" for a field, "!" the end of the header, the rest is the body */
} row[] = {
	{ "A: b\r\n\r\nbody\r\n", "A= b|!body\r\n" },
	{ "A: b\r\nC:d\r\n\r\n", "A= b|C=d|!" },
	{ "A: b\nC:d\n\nbody", "A= b|C=d|!body" },
	{ "A: b\r\n c\r\n\td\r\nE: f\r\n\r\nx", "A= b\r\n c\r\n\td|E= f|!x" },
	{ "A : b\r\n\r\n", "A= b|!" },
	{ "A:\r\n\r\n", "A=|!" },
	{ "A:\r\n \r\n\r\nbody", "A=\r\n |!body" },
	{ "\r\nbody", "!body" },
	{ "\nbody", "!body" },
	{ "", "!" },
	{ "A: b", "A= b|!" },
	{ "A: b\r\n", "A= b|!" },
	{ "A: b\r", "A= b|!" },
	{ "A: b\r\n\r", "A= b|!\r" },
	{ "no field\r\nA: b\r\n\r\nbody", "!no field\r\nA: b\r\n\r\nbody" },
	{ "A: b\r\nno field\r\nC: d\r\n\r\nbody", "A= b|!no field\r\nC: d\r\n\r\nbody" },
	{ "A: b\r\nno field", "A= b|!no field" },
	{ "From a@b Sat\r\nA: b\r\n\r\n", "!From a@b Sat\r\nA: b\r\n\r\n" },
	{ " folded first\r\nA: b\r\n\r\n", "! folded first\r\nA: b\r\n\r\n" },
	{ ": no name\r\n\r\n", "!: no name\r\n\r\n" },
	{ "A\xff: b\r\n\r\n", "!A\xff: b\r\n\r\n" },
	{ "A: b\r\n\r\n\r\nC: d\r\n\r\n", "A= b|!\r\nC: d\r\n\r\n" },
	{ "\r\rA: b\r\n\r\n", "!\r\rA: b\r\n\r\n" },
};

static char got[4096];
static size_t ngot;

static void
add(const void *p, size_t n)
{
	ck_assert_uint_le(ngot + n, sizeof(got));
	if (n > 0)
		memcpy(got + ngot, p, n);
	ngot += n;
}

static void
note(enum fields_event ev, struct span name, struct span value)
{
	if (ev == FIELDS_FIELD) {
		add(name.p, name.n);
		add("=", 1);
		add(value.p, value.n);
		add("|", 1);
	} else if (ev == FIELDS_END) {
		add("!", 1);
	} else if (ev == FIELDS_BODY) {
		add(value.p, value.n);
	}
}

static void
feed(struct fields *f, struct span in)
{
	struct span name, value;
	enum fields_event ev;

	while ((ev = fields_next(f, &in, &name, &value)) != FIELDS_MORE)
		note(ev, name, value);
}

static void
check(const char *want, const struct span *piece, size_t n)
{
	struct fields f;
	struct span name, value;
	enum fields_event ev;

	ngot = 0;
	fields_init(&f);
	for (size_t i = 0; i < n; i++)
		feed(&f, guarded(piece[i].p, piece[i].n));
	while ((ev = fields_last(&f, &name, &value)) != FIELDS_MORE)
		note(ev, name, value);
	fields_fini(&f);
	ck_assert_msg(
	    ngot == strlen(want) && memcmp(got, want, ngot) == 0, "\"%.*s\" is not \"%s\"", (int)ngot, got, want);
}

START_TEST(cuts)
{
	struct span all = span_str(row[_i].in), one[64];

	check(row[_i].want, &all, 1);
	for (size_t n = 0; n <= all.n; n++)
		check(row[_i].want, (struct span[]){ span_head(all, n), span_skip(all, n) }, 2);
	ck_assert_uint_le(all.n, 64);
	for (size_t n = 0; n < all.n; n++)
		one[n] = span_of(all.p + n, 1);
	check(row[_i].want, one, all.n);
}
END_TEST

/* A field that would not fit a packet is said to be, and not cut: who filters would not see its end. */
START_TEST(too_long)
{
	static char big[FIELDS_ONE_MAX + 8];
	struct fields f;
	struct span in, name, value;

	memset(big, 'x', sizeof(big));
	memcpy(big, "A:", 2);
	fields_init(&f);
	in = span_of(big, FIELDS_ONE_MAX - 2);
	ck_assert_int_eq(fields_next(&f, &in, &name, &value), FIELDS_MORE);
	in = SPAN("\r\n\r\n");
	ck_assert_int_eq(fields_next(&f, &in, &name, &value), FIELDS_FIELD);
	ck_assert_uint_eq(value.n, FIELDS_ONE_MAX - 4);
	fields_fini(&f);
	fields_init(&f);
	in = span_of(big, sizeof(big));
	ck_assert_int_eq(fields_next(&f, &in, &name, &value), FIELDS_TOO_LONG);
	ck_assert_int_eq(fields_next(&f, &in, &name, &value), FIELDS_TOO_LONG);
	ck_assert_int_eq(fields_last(&f, &name, &value), FIELDS_TOO_LONG);
	fields_fini(&f);
}
END_TEST

/* Processor time of one field with a name of ${name} octets and as many lines of a blank as there is room for behind it. */
static double
folded(size_t name)
{
	static char text[FIELDS_ONE_MAX];
	size_t n = name, lines = 0;
	struct span in, got_name, value;
	struct fields f;
	clock_t began;

	memset(text, 'x', name);
	text[n++] = ':';
	for (; lines < FOLDS; lines++, n += 3)
		memcpy(text + n, "\n  ", 3);
	memcpy(text + n, "\n\n", 2);
	in = span_of(text, n + 2);
	fields_init(&f);
	began = clock();
	ck_assert_int_eq(fields_next(&f, &in, &got_name, &value), FIELDS_FIELD);
	began = clock() - began;
	ck_assert_uint_eq(got_name.n, name);
	ck_assert_uint_eq(value.n, 3 * FOLDS);
	fields_fini(&f);
	return (double)began / CLOCKS_PER_SEC;
}

/* A long name is looked at once, not once a line: 600 times as much and 0.6 s where it is. */
START_TEST(folded_often)
{
	double shorter = folded(30), longer = folded(30000);

	ck_assert_msg(
	    longer < 20 * shorter + 0.05, "%.3f s with a long name, %.3f s with a short one", longer, shorter);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("milterfields");
	TCase *t = tcase_create("fields");

	tcase_add_loop_test(t, cuts, 0, sizeof(row) / sizeof(row[0]));
	tcase_add_test(t, too_long);
	tcase_add_test(t, folded_often);
	suite_add_tcase(s, t);
	return suite_run(s);
}
