/*
 * facts: what is written is read again, and nothing else is.
 */
#include "common/facts.h"

#include <string.h>

#include "tests/unit/suite.h"

START_TEST(what_is_written_is_read)
{
	struct facts f = { .text = NULL };
	struct fact line;
	char *at;

	facts_begin(&f, "worker");
	facts_u64(&f, "slot", UINT64_MAX);
	facts_i64(&f, "left", INT64_MIN);
	facts_bool(&f, "old", true);
	facts_str(&f, "text", "a\tb\nc\\d=e:=f\x01\x7f \xc3\xa4");
	facts_str(&f, "bad", "\xc3\xa4\xff");
	facts_str(&f, "none", NULL);
	facts_str(&f, "empty", "");
	facts_end(&f);
	facts_begin(&f, "end");
	facts_end(&f);
	ck_assert(!f.failed);
	ck_assert_ptr_nonnull(strstr(f.text, "text=a\\x09b\\x0Ac\\x5Cd=e:=f\\x01\\x7F \xc3\xa4\t"));
	ck_assert_ptr_nonnull(strstr(f.text, "bad=\\xC3\\xA4\\xFF\t"));
	at = f.text;
	ck_assert_int_eq(facts_next(&at, &line), 1);
	ck_assert_str_eq(line.kind, "worker");
	ck_assert_uint_eq(line.n, 6);
	ck_assert_str_eq(facts_get(&line, "slot"), "18446744073709551615");
	ck_assert_int_eq(facts_num(&line, "left", INT64_MIN, 0, 7), INT64_MIN);
	ck_assert_int_eq(facts_num(&line, "slot", 0, INT64_MAX, 7), 7);
	ck_assert_int_eq(facts_num(&line, "old", 0, 1, 7), 1);
	ck_assert_int_eq(facts_num(&line, "none", 0, 1, 7), 7);
	ck_assert_str_eq(facts_get(&line, "text"), "a\tb\nc\\d=e:=f\x01\x7f \xc3\xa4");
	ck_assert_str_eq(facts_get(&line, "bad"), "\xc3\xa4\xff");
	ck_assert_str_eq(facts_get(&line, "empty"), "");
	ck_assert_ptr_null(facts_get(&line, "none"));
	ck_assert_int_eq(facts_next(&at, &line), 1);
	ck_assert_str_eq(line.kind, "end");
	ck_assert_int_eq(facts_next(&at, &line), 0);
	facts_free(&f);
}
END_TEST

static const char *const malformed[] = {
	"kind",
	"\n",
	"\tkey=v\n",
	"kind\tkey\n",
	"kind\t=v\n",
	"kind\tKey=v\n",
	"Kind\tk=v\n",
	"kind\tk:=x\n",
	"kind\tk:=\n",
	"kind\tk:=-\n",
	"kind\tk:=01\n",
	"kind\tk:=1.5\n",
	"kind\tk:=truer\n",
	"kind\tk=\\\n",
	"kind\tk=\\x\n",
	"kind\tk=\\x1\n",
	"kind\tk=\\x00\n",
	"kind\tk=\\x1g\n",
	"kind\tk=\\x1a\n",
	"kind\t\n",
	"kind\tk:1\n",
};

START_TEST(malformed_is_told)
{
	struct span s = guarded(malformed[_i], strlen(malformed[_i]) + 1);
	char *at = (char *)(uintptr_t)s.p;
	struct fact line;

	ck_assert_msg(facts_next(&at, &line) == -1, "taken: %s", malformed[_i]);
}
END_TEST

START_TEST(too_many_fields_and_too_long_a_text)
{
	struct facts f = { .text = NULL };
	struct fact line;
	char *at, key[16], big[4097];

	facts_begin(&f, "k");
	for (int i = 0; i <= FACTS_FIELDS; i++) {
		snprintf(key, sizeof key, "k%d", i);
		facts_u64(&f, key, 1);
	}
	facts_end(&f);
	at = f.text;
	ck_assert_int_eq(facts_next(&at, &line), -1);
	facts_free(&f);
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	for (int i = 0; i < FACTS_MAX / 4096; i++)
		facts_str(&f, "k", big);
	ck_assert(f.failed);
	facts_free(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("facts");
	TCase *t = tcase_create("facts");

	tcase_add_test(t, what_is_written_is_read);
	tcase_add_loop_test(t, malformed_is_told, 0, sizeof malformed / sizeof *malformed);
	tcase_add_test(t, too_many_fields_and_too_long_a_text);
	suite_add_tcase(s, t);
	return suite_run(s);
}
