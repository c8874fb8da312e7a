/*
 * field: where a line begins a field, and where the header ends.
 */
#include "common/field.h"

#include <string.h>

#include "tests/unit/suite.h"

static const struct {
	const char *line;
	size_t colon, name;
} colon_row[] = {
	{ "Subject: x", 7, 7 },
	{ "Subject \t: x", 9, 7 },
	{ "a:", 1, 1 },
	{ "Subject", 0, 7 },
	{ "Sub ject: x", 0, 3 },
	{ ": x", 0, 0 },
	{ " a: x", 0, 0 },
	{ "", 0, 0 },
	{ "na\xefme: x", 0, 2 },
	{ "a\x01: x", 0, 1 },
};

START_TEST(a_field_begins)
{
	size_t name = 99;

	ck_assert_uint_eq(field_colon(guarded_str(colon_row[_i].line), &name), colon_row[_i].colon);
	ck_assert_uint_eq(name, colon_row[_i].name);
}
END_TEST

static const struct {
	const char *content;
	size_t header;
} header_row[] = {
	{ "", 0 },
	{ "a: b", 4 },
	{ "a: b\n", 5 },
	{ "a: b\r\n\r\nc: d\r\n", 6 },
	{ "a: b\n\nc: d\n", 5 },
	{ "a: b\r\n c\r\n\td\r\n\r\n", 14 },
	{ "a: b\n \nc: d\n\n", 12 }, /* a line of blanks goes on */
	{ "a: b\nbody\nc: d\n\n", 5 },
	{ "body\na: b\n\n", 0 },
	{ " body\na: b\n\n", 0 },
	{ "\r\na: b\n", 0 },
	{ "a: b\nSubj", 5 },
	{ "a: b\nc: d", 9 },
	{ "a: b\n c", 7 },
};

START_TEST(the_header_ends)
{
	struct span in = guarded_str(header_row[_i].content), out = field_header(in);

	ck_assert_uint_eq(out.n, header_row[_i].header);
	ck_assert(out.n == 0 || out.p == in.p);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("field");
	TCase *t = tcase_create("field");

	tcase_add_loop_test(t, a_field_begins, 0, sizeof(colon_row) / sizeof(colon_row[0]));
	tcase_add_loop_test(t, the_header_ends, 0, sizeof(header_row) / sizeof(header_row[0]));
	suite_add_tcase(s, t);
	return suite_run(s);
}
