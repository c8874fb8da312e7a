/*
 * running: whose code runs in a worker, as its slot has it for the master: also
 * when it is a liar's.
 */
#include "common/stats.h"
#include "common/stats_form.h"
#include "tests/unit/statsfix.h"

static size_t
running(unsigned i, char name[STATS_RUNNING_MAX][STATS_HANDLER_MAX])
{
	memset(name, 'x', STATS_RUNNING_MAX * sizeof(*name));
	return stats_running_of(fd, i, name);
}

START_TEST(whose_code_runs)
{
	struct stats_slot *s = stats_slot_map(fd, 2, 1);
	char name[STATS_RUNNING_MAX][STATS_HANDLER_MAX];
	unsigned a = stats_handler(s, "a"), b = stats_handler(s, "b");
	struct stats_sum sum;

	ck_assert_uint_eq(running(2, name), 0);
	stats_running(s, b, 1);
	stats_running(s, b, 1);
	ck_assert_uint_eq(running(2, name), 1);
	ck_assert_str_eq(name[0], "b");
	ck_assert_uint_eq(running(1, name), 0);
	look(&sum);
	ck_assert_uint_eq(sum.handler[0].running, 0);
	ck_assert_uint_eq(sum.handler[1].running, 2);
	stats_sum_free(&sum);
	stats_running(s, a, 1);
	stats_running(s, b, -1);
	stats_running(s, b, -1);
	ck_assert_uint_eq(running(2, name), 1);
	ck_assert_str_eq(name[0], "a");
	ck_assert_int_eq(stats_slot_clear(fd, 2), 0); /* it died in there: its successor did not */
	ck_assert_uint_eq(running(2, name), 0);
	ck_assert_uint_eq(running(STATS_SLOTS, name), 0);
	stats_slot_unmap(s);
}
END_TEST

/* A worker that was taken over writes what it likes. */
START_TEST(whose_code_a_liar_says)
{
	static const char *const bad[] = { "", "a b", "a\nb", "\x1b[2J", "a\"", "\xc3\xa4", "a,b" };
	struct stats_slot *s = stats_slot_map(fd, 2, 1);
	char name[STATS_RUNNING_MAX][STATS_HANDLER_MAX];
	size_t nbad = sizeof(bad) / sizeof(*bad);

	for (unsigned i = 0; i < STATS_HANDLERS; i++) {
		snprintf(s->handler[i].name, STATS_HANDLER_MAX, "%s", i < nbad ? bad[i] : "fine");
		atomic_store(&s->handler[i].running, UINT64_MAX);
	}
	memset(s->handler[STATS_HANDLERS - 1].name, 'a', STATS_HANDLER_MAX); /* without an end */
	ck_assert_uint_eq(running(2, name), STATS_HANDLERS - nbad - 1);
	for (unsigned i = 0; i < STATS_RUNNING_MAX; i++)
		ck_assert_str_eq(name[i], "fine");
	stats_slot_unmap(s);
}
END_TEST

/* What another build wrote, which had no such word. */
START_TEST(of_a_build_that_did_not_say)
{
	struct stats_slot *s = stats_slot_map(fd, 2, 1);
	char name[STATS_RUNNING_MAX][STATS_HANDLER_MAX], form[STATS_FORM_MAX], *word;
	size_t n = stats_form_write(form);

	stats_running(s, stats_handler(s, "a"), 1);
	ck_assert_uint_eq(running(2, name), 1);
	word = strstr(form, "\nrunning - ");
	ck_assert_ptr_nonnull(word);
	word[1] = 'R';
	ck_assert_int_eq(pwrite(fd, form, n, STATS_FORM), (ssize_t)n);
	ck_assert_uint_eq(running(2, name), 0);
	ck_assert_int_eq(ftruncate(fd, 100), 0);
	ck_assert_uint_eq(running(2, name), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("running");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, whose_code_runs);
	tcase_add_test(t, whose_code_a_liar_says);
	tcase_add_test(t, of_a_build_that_did_not_say);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
