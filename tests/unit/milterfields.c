/*
 * milterfields: messages cut into fields, end of header and body; the same at
 * every split, also octet by octet.
 */
#include "worker/milter/fields.h"

#include <time.h>

#include "tests/unit/suite.h"

enum { FOLDS = 9900 }; /* lines of a folded field */

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

/* The one field of ${text}, shown as *value, ${step} octets at a time; behind it the header ends. */
static void
shown(const char *text, size_t n, size_t step, struct span *name, struct span *value)
{
	static char copy[FIELDS_HOLD_MAX];
	struct span in = { NULL, 0 }, rest = span_of(text, n), none, nothing;
	enum fields_event ev = FIELDS_MORE;
	struct fields f;

	fields_init(&f);
	while (ev == FIELDS_MORE && rest.n > 0) {
		in = span_head(rest, step < rest.n ? step : rest.n);
		rest = span_skip(rest, in.n);
		ev = fields_next(&f, &in, name, value);
	}
	ck_assert_int_eq(ev, FIELDS_FIELD);
	memcpy(copy, value->p, value->n);
	value->p = (const uint8_t *)copy;
	ev = fields_next(&f, &in, &none, &nothing);
	if (ev == FIELDS_MORE)
		ev = fields_next(&f, &rest, &none, &nothing);
	ck_assert_int_eq(ev, FIELDS_END);
	fields_fini(&f);
}

/* Of a field that would not fit a packet the beginning is shown, as Postfix has it: whole lines, if they are most of it. */
START_TEST(too_long)
{
	static const struct {
		size_t first, more, lines, want; /* octets of the lines without CRLF; of what is shown, with it */
	} rows[] = {
		{ 59999, 0, 0, 59999 },
		{ 60000, 0, 0, 60000 },
		{ 60001, 0, 0, 60000 },
		{ 65534, 0, 0, 60000 },
		{ 58, 58, 2000, 1016 * 60 - 2 },
		{ 59998, 1, 1, 60001 },
		{ 59997, 2, 1, 60001 },
		{ 59998, 2, 1, 59998 },
		{ 30, 59969, 1, 60001 },
		{ 53998, 7000, 1, 60001 },
		{ 53999, 7000, 1, 53999 },
		{ 10, 60000, 2, 60001 },
		{ 59000, 60000, 20, 59000 },
	};
	static char text[2 << 20];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span name, value;
		size_t n;

		memset(text, 'x', sizeof(text));
		memcpy(text, "A:", 2);
		n = rows[i].first;
		for (size_t k = 0; k < rows[i].lines; k++) {
			memcpy(text + n, "\r\n ", 3);
			n += 2 + rows[i].more;
		}
		memcpy(text + n, "\r\n\r\n", 4);
		for (size_t step = n + 4; step > 100; step = step / 3) {
			shown(text, n + 4, step, &name, &value);
			ck_assert_uint_eq(name.n, 1);
			ck_assert_msg(value.n + 2 == rows[i].want, "row %zu: %zu octets", i, value.n + 2);
			ck_assert(memcmp(value.p, text + 2, value.n) == 0);
		}
	}
}
END_TEST

/* A line that is no field goes whole into the body, a name longer than what is shown is cut. */
START_TEST(long_and_odd)
{
	static char big[FIELDS_HOLD_MAX + 8];
	struct fields f;
	struct span in, name, value;

	memset(big, 'x', sizeof(big));
	fields_init(&f);
	in = span_of(big, 65536);
	ck_assert_int_eq(fields_next(&f, &in, &name, &value), FIELDS_MORE);
	in = SPAN("\r\n");
	ck_assert_int_eq(fields_next(&f, &in, &name, &value), FIELDS_END);
	ck_assert_int_eq(fields_next(&f, &in, &name, &value), FIELDS_BODY);
	ck_assert_uint_eq(value.n, 65538);
	fields_fini(&f);
	fields_init(&f);
	in = span_of(big, 65000);
	ck_assert_int_eq(fields_next(&f, &in, &name, &value), FIELDS_MORE);
	in = SPAN(": y\r\n\r\n");
	ck_assert_int_eq(fields_next(&f, &in, &name, &value), FIELDS_FIELD);
	ck_assert_uint_eq(name.n, FIELDS_ONE_MAX);
	ck_assert_uint_eq(value.n, 0);
	ck_assert_int_eq(fields_next(&f, &in, &name, &value), FIELDS_END);
	fields_fini(&f);
	fields_init(&f);
	in = span_of(big, sizeof(big));
	ck_assert_int_eq(fields_next(&f, &in, &name, &value), FIELDS_LOST);
	ck_assert_int_eq(fields_next(&f, &in, &name, &value), FIELDS_LOST);
	ck_assert_int_eq(fields_last(&f, &name, &value), FIELDS_LOST);
	fields_fini(&f);
}
END_TEST

/* Processor time of one field with a name of ${name} octets and as many lines of a blank as there is room for behind it. */
static double
folded(size_t name)
{
	static char text[FIELDS_HOLD_MAX];
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
	tcase_add_test(t, long_and_odd);
	tcase_add_test(t, folded_often);
	suite_add_tcase(s, t);
	return suite_run(s);
}
