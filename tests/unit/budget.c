/*
 * budget: what is counted together, how often, for how long; over processes,
 * over their deaths, and with more names than there are rows.
 */
#include "common/budget.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/suite.h"

static int fd;
static struct budget *table;

static void
fresh(void)
{
	fd = budget_create();
	ck_assert_int_ge(fd, 0);
	table = budget_map(fd);
	ck_assert_ptr_nonnull(table);
}

static uint64_t
name(const char *s)
{
	return budget_name(table, guarded_str(s));
}

START_TEST(gives_so_many_and_no_more)
{
	fresh();
	for (int i = 0; i < 3; i++)
		ck_assert(budget_take(table, name("anna"), 3, 100));
	ck_assert(!budget_take(table, name("anna"), 3, 100));
	ck_assert(budget_take(table, name("bert"), 3, 100));
	/* Nothing was counted for the one too many. */
	budget_back(table, name("anna"));
	ck_assert(budget_take(table, name("anna"), 3, 100));
	ck_assert(!budget_take(table, name("anna"), 3, 100));
}
END_TEST

START_TEST(forgets_after_an_hour)
{
	fresh();
	ck_assert(budget_take(table, name("anna"), 1, 100));
	ck_assert(!budget_take(table, name("anna"), 1, 100 + BUDGET_S - 1));
	ck_assert(budget_take(table, name("anna"), 1, 100 + BUDGET_S));
	ck_assert(!budget_take(table, name("anna"), 1, 101 + BUDGET_S));
}
END_TEST

START_TEST(no_limit_and_nobody)
{
	static const uint8_t none[16];

	fresh();
	for (int i = 0; i < 100; i++) {
		ck_assert(budget_take(table, name("anna"), 0, 1));
		ck_assert(budget_take(table, budget_address(table, none), 1, 1));
	}
	budget_back(table, 0);
	budget_back(table, name("never seen"));
	ck_assert(budget_take(table, name("never seen"), 1, 1));
}
END_TEST

START_TEST(addresses)
{
	static const uint8_t v4[16] = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 };
	static const uint8_t v4b[16] = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 2 };
	static const uint8_t v6[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, [15] = 1 };
	static const uint8_t v6same[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, [8] = 0xff, [15] = 9 };
	static const uint8_t v6b[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 2, [15] = 1 };

	fresh();
	ck_assert_uint_ne(budget_address(table, v4), budget_address(table, v4b));
	ck_assert_uint_eq(budget_address(table, v6), budget_address(table, v6same));
	ck_assert_uint_ne(budget_address(table, v6), budget_address(table, v6b));
	ck_assert_uint_ne(budget_address(table, v6), 0);
}
END_TEST

/* A crowd of names with one guess each does not make the table forget one with more. */
START_TEST(a_crowd_washes_nobody_out)
{
	char text[24];

	fresh();
	for (int i = 0; i < 5; i++)
		ck_assert(budget_take(table, name("anna"), 5, 1));
	for (int i = 0; i < 4 * BUDGET_ROWS; i++) {
		snprintf(text, sizeof text, "crowd%d", i);
		(void)budget_take(table, budget_name(table, span_str(text)), 5, 1);
	}
	ck_assert(!budget_take(table, name("anna"), 5, 1));
}
END_TEST

START_TEST(another_process_counts_in_the_same_table)
{
	int status;
	pid_t pid;

	fresh();
	ck_assert(budget_take(table, name("anna"), 2, 1));
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct budget *again = budget_map(fd);

		_exit(again != NULL && again != table &&
			    budget_take(again, budget_name(again, span_str("anna")), 2, 1) &&
			    !budget_take(again, budget_name(again, span_str("anna")), 2, 1)
			? 0
			: 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(!budget_take(table, name("anna"), 2, 1));
}
END_TEST

/* Killed at any moment, also with the lock: whoever is left goes on. */
START_TEST(a_process_that_dies_holds_nobody_up)
{
	fresh();
	for (int i = 0; i < 50; i++) {
		int status;
		pid_t pid = fork();

		ck_assert_int_ge(pid, 0);
		if (pid == 0)
			for (;;) {
				(void)budget_take(table, name("anna"), 1000000, 1);
				budget_back(table, name("anna"));
			}
		usleep(2000);
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(budget_take(table, name("bert"), 1000, 1));
	}
}
END_TEST

static const uint8_t home[16] = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 };

static uint64_t
at(const char *s, unsigned n)
{
	uint8_t a[16];

	memcpy(a, home, sizeof a);
	a[14] = (uint8_t)(n >> 8);
	a[15] = (uint8_t)n;
	return budget_pair(table, span_str(s), a);
}

START_TEST(pairs)
{
	static const uint8_t none[16];
	static const uint8_t v6[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 }, v6same[16] = { 0x20, 1, 0xd, 0xb8, [8] = 1 };

	fresh();
	ck_assert_uint_eq(budget_pair(table, SPAN("anna"), none), 0);
	ck_assert_uint_eq(budget_pair(table, SPAN("anna"), v6), budget_pair(table, SPAN("anna"), v6same));
	ck_assert_uint_ne(at("anna", 1), at("anna", 2));
	ck_assert_uint_ne(at("anna", 1), at("bert", 1));
	ck_assert_uint_ne(at("", 1), 0);
	/* It is neither its name nor its address. */
	ck_assert_uint_ne(at("anna", 1), name("anna"));
	ck_assert_uint_ne(at("", 1), budget_address(table, home));
}
END_TEST

START_TEST(known_for_a_day)
{
	fresh();
	ck_assert(!budget_known(table, at("anna", 1), 1));
	budget_know(table, at("anna", 1), 100);
	ck_assert(budget_known(table, at("anna", 1), 100));
	ck_assert(!budget_known(table, at("anna", 2), 100));
	ck_assert(!budget_known(table, at("bert", 1), 100));
	ck_assert(budget_known(table, at("anna", 1), 100 + BUDGET_KNOWN_S - 1));
	ck_assert(!budget_known(table, at("anna", 1), 100 + BUDGET_KNOWN_S));
	/* Once more is longer. */
	budget_know(table, at("anna", 1), 200);
	ck_assert(budget_known(table, at("anna", 1), 100 + BUDGET_KNOWN_S));
	budget_know(table, 0, 100);
	ck_assert(!budget_known(table, 0, 100));
}
END_TEST

/* Whoever was let in last is known; guesses, however many, make nobody forgotten. */
START_TEST(known_to_the_end)
{
	char text[24];
	unsigned lost = 0;

	fresh();
	budget_know(table, at("anna", 1), 50);
	for (int i = 0; i < 4 * BUDGET_ROWS; i++) {
		snprintf(text, sizeof text, "crowd%d", i);
		(void)budget_take(table, budget_name(table, span_str(text)), 5, 60);
	}
	ck_assert(budget_known(table, at("anna", 1), 60));
	for (int i = 0; i < 4 * BUDGET_KNOWN; i++) {
		snprintf(text, sizeof text, "crowd%d", i);
		budget_know(table, at(text, 1), 100 + i);
		ck_assert(budget_known(table, at(text, 1), 100 + i));
	}
	ck_assert(!budget_known(table, at("anna", 1), 60));
	for (int i = 0; i < BUDGET_KNOWN / 4; i++) {
		snprintf(text, sizeof text, "crowd%d", 4 * BUDGET_KNOWN - 1 - i);
		lost += !budget_known(table, at(text, 1), 100 + 4 * BUDGET_KNOWN);
	}
	ck_assert_uint_lt(lost, BUDGET_KNOWN / 100);
}
END_TEST

START_TEST(refuses_what_is_no_table)
{
	int other = memfd_create("x", MFD_CLOEXEC);
	struct budget *b;

	fresh();
	ck_assert(budget_ours(fd));
	ck_assert(!budget_ours(other));
	ck_assert_int_eq(ftruncate(other, lseek(fd, 0, SEEK_END)), 0);
	errno = 0;
	b = budget_map(other);
	ck_assert_ptr_null(b);
	ck_assert_int_eq(errno, EPROTONOSUPPORT);
	/* It can be cut by nobody. */
	ck_assert_int_eq(ftruncate(fd, 0), -1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("budget");
	TCase *t = tcase_create("budget");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, gives_so_many_and_no_more);
	tcase_add_test(t, forgets_after_an_hour);
	tcase_add_test(t, no_limit_and_nobody);
	tcase_add_test(t, addresses);
	tcase_add_test(t, a_crowd_washes_nobody_out);
	tcase_add_test(t, another_process_counts_in_the_same_table);
	tcase_add_test(t, a_process_that_dies_holds_nobody_up);
	tcase_add_test(t, pairs);
	tcase_add_test(t, known_for_a_day);
	tcase_add_test(t, known_to_the_end);
	tcase_add_test(t, refuses_what_is_no_table);
	suite_add_tcase(s, t);
	return suite_run(s);
}
