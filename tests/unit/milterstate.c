/*
 * milterstate: what is said to a milter and what its answers mean: rows of
 * (asked, answer) for every command and every answer there is.
 */
#include "worker/milter/state.h"

#include "tests/unit/suite.h"

static struct milter_state
agreed(uint32_t version, uint32_t actions, uint32_t steps)
{
	struct milter_state st;
	struct milter_options o = { .version = version, .actions = actions, .steps = steps };

	milter_state_init(&st);
	ck_assert(milter_state_said(&st, MILTER_C_OPTNEG));
	milter_state_agreed(&st, &o);
	return st;
}

static enum milter_do
answer(struct milter_state *st, uint8_t what, const char **why)
{
	struct milter_reply r = { .what = (enum milter_answer)what };

	return milter_state_answer(st, &r, why);
}

static const struct {
	uint8_t cmd;
	uint32_t no, noreply;
} step[] = {
	{ 'C', MILTER_P_NOCONNECT, MILTER_P_NR_CONN },
	{ 'H', MILTER_P_NOHELO, MILTER_P_NR_HELO },
	{ 'M', MILTER_P_NOMAIL, MILTER_P_NR_MAIL },
	{ 'R', MILTER_P_NORCPT, MILTER_P_NR_RCPT },
	{ 'T', MILTER_P_NODATA, MILTER_P_NR_DATA },
	{ 'L', MILTER_P_NOHDRS, MILTER_P_NR_HDR },
	{ 'N', MILTER_P_NOEOH, MILTER_P_NR_EOH },
	{ 'B', MILTER_P_NOBODY, MILTER_P_NR_BODY },
	{ 'E', 0, 0 },
	{ 'U', MILTER_P_NOUNKNOWN, MILTER_P_NR_UNKN },
};

START_TEST(steps)
{
	enum milter_command cmd = (enum milter_command)step[_i].cmd;
	struct milter_state st = agreed(6, MILTER_F_ALL, 0);

	ck_assert(milter_state_wants(&st, cmd));
	ck_assert(milter_state_said(&st, cmd));
	ck_assert_uint_eq(st.asked, cmd);

	st = agreed(6, MILTER_F_ALL, MILTER_P_ALL);
	ck_assert_int_eq(milter_state_wants(&st, cmd), step[_i].no == 0);
	ck_assert_int_eq(milter_state_said(&st, cmd), step[_i].noreply == 0);

	/* One flag takes its own step and no other. */
	st = agreed(6, MILTER_F_ALL, step[_i].no);
	for (size_t i = 0; i < sizeof(step) / sizeof(step[0]); i++)
		ck_assert_int_eq(
		    milter_state_wants(&st, (enum milter_command)step[i].cmd), step[_i].no == 0 || i != (size_t)_i);
	st = agreed(6, MILTER_F_ALL, step[_i].noreply);
	for (size_t i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
		struct milter_state copy = st;

		ck_assert_int_eq(milter_state_said(&copy, (enum milter_command)step[i].cmd),
		    step[_i].noreply == 0 || i != (size_t)_i);
	}
}
END_TEST

START_TEST(versions)
{
	struct milter_state st = agreed(2, 0, 0);

	ck_assert(!milter_state_wants(&st, MILTER_C_DATA));
	ck_assert(!milter_state_wants(&st, MILTER_C_UNKNOWN));
	ck_assert(milter_state_wants(&st, MILTER_C_BODY));
	st = agreed(3, 0, 0);
	ck_assert(milter_state_wants(&st, MILTER_C_UNKNOWN));
	st = agreed(4, 0, 0);
	ck_assert(milter_state_wants(&st, MILTER_C_DATA));
	ck_assert_uint_eq(st.chunk, MILTER_CHUNK);
	st = agreed(6, 0, MILTER_P_MDS_256K | MILTER_P_MDS_1M);
	ck_assert_uint_eq(st.chunk, MILTER_CHUNK_1M);
	st = agreed(6, 0, MILTER_P_MDS_256K);
	ck_assert_uint_eq(st.chunk, MILTER_CHUNK_256K);
	ck_assert(!milter_state_said(&st, MILTER_C_ABORT));
	ck_assert(!milter_state_said(&st, MILTER_C_QUIT_NC));
	ck_assert_uint_eq(st.asked, 0);
}
END_TEST

#define ALL_ASKED "CHMRTLNBEU"

/* For each answer, what it comes to for each of ALL_ASKED: ! bad, w wait, e edit, n next, r refuse, d discard, c close. */
static const struct {
	char what;
	const char *comes_to;
} means[] = {
	{ 'p', "wwwwwwwwww" },
	{ 'c', "nnnnnnnnnn" },
	{ 'a', "nnnnnnnnnn" },
	{ 's', "nnnnnnnnnn" },
	{ 'r', "rrrrrrrrrr" },
	{ 't', "rrrrrrrrrr" },
	{ 'y', "rrrrrrrrrr" },
	{ 'd', "!!ddddddd!" },
	{ 'f', "cccccccccc" },
	{ '4', "cccccccccc" },
	{ 'O', "!!!!!!!!!!" },
	{ 'h', "!!!!!!!!e!" },
	{ 'i', "!!!!!!!!e!" },
	{ 'm', "!!!!!!!!e!" },
	{ 'b', "!!!!!!!!e!" },
	{ '+', "!!!!!!!!e!" },
	{ '2', "!!!!!!!!e!" },
	{ '-', "!!!!!!!!e!" },
	{ 'e', "!!!!!!!!e!" },
	{ 'q', "!!!!!!!!e!" },
};

START_TEST(meaning)
{
	static const char word[] = { [MILTER_DO_BAD] = '!',
		[MILTER_DO_WAIT] = 'w',
		[MILTER_DO_EDIT] = 'e',
		[MILTER_DO_NEXT] = 'n',
		[MILTER_DO_REFUSE] = 'r',
		[MILTER_DO_DISCARD] = 'd',
		[MILTER_DO_CLOSE] = 'c' };

	for (size_t i = 0; i < sizeof(ALL_ASKED) - 1; i++) {
		struct milter_state st = agreed(6, MILTER_F_ALL, MILTER_P_SKIP);
		const char *why = NULL;
		enum milter_do got;

		ck_assert(milter_state_said(&st, (enum milter_command)ALL_ASKED[i]));
		got = answer(&st, (uint8_t)means[_i].what, &why);
		ck_assert_msg(word[got] == means[_i].comes_to[i], "'%c' after '%c' is '%c'", means[_i].what,
		    ALL_ASKED[i], word[got]);
		ck_assert_int_eq(got == MILTER_DO_BAD, why != NULL);
		/* The question stays open while more is to come, and is closed by the answer. */
		if (got != MILTER_DO_BAD)
			ck_assert_int_eq(st.asked != 0, got == MILTER_DO_WAIT || got == MILTER_DO_EDIT);
		ck_assert_int_eq(st.edited, got == MILTER_DO_EDIT);
		/* A second answer has nobody who asked. */
		if (got != MILTER_DO_BAD && st.asked == 0)
			ck_assert_int_eq(answer(&st, 'c', &why), MILTER_DO_BAD);
	}
}
END_TEST

START_TEST(for_good)
{
	struct milter_state st = agreed(6, 0, MILTER_P_SKIP);
	const char *why = NULL;

	/* Accepted at connect: nothing more of this session. */
	milter_state_said(&st, MILTER_C_CONNECT);
	answer(&st, 'a', &why);
	ck_assert(!milter_state_wants(&st, MILTER_C_HELO));
	ck_assert(!milter_state_wants(&st, MILTER_C_MAIL));
	milter_state_again(&st);
	ck_assert(milter_state_wants(&st, MILTER_C_HELO));
	/* At MAIL: of this message. */
	milter_state_said(&st, MILTER_C_MAIL);
	answer(&st, 'a', &why);
	ck_assert(!milter_state_wants(&st, MILTER_C_RCPT));
	ck_assert(!milter_state_wants(&st, MILTER_C_EOM));
	ck_assert(milter_state_wants(&st, MILTER_C_HELO));
	milter_state_reset(&st);
	/* A refused recipient is one recipient. */
	milter_state_said(&st, MILTER_C_RCPT);
	ck_assert_int_eq(answer(&st, 'r', &why), MILTER_DO_REFUSE);
	ck_assert(milter_state_wants(&st, MILTER_C_RCPT));
	ck_assert(milter_state_wants(&st, MILTER_C_EOM));
	/* Skip: no more bodies, until the next message. */
	milter_state_said(&st, MILTER_C_BODY);
	ck_assert_int_eq(answer(&st, 's', &why), MILTER_DO_NEXT);
	ck_assert(!milter_state_wants(&st, MILTER_C_BODY));
	ck_assert(milter_state_wants(&st, MILTER_C_EOM));
	ck_assert(st.message);
	milter_state_said(&st, MILTER_C_EOM);
	ck_assert_int_eq(answer(&st, 'c', &why), MILTER_DO_NEXT);
	ck_assert(!st.message);
	milter_state_reset(&st);
	ck_assert(milter_state_wants(&st, MILTER_C_BODY));
}
END_TEST

/* Where libmilter, which has the last word on it, takes an unknown command, and what becomes of a message meanwhile. */
START_TEST(unknown_commands)
{
	static const char after[] = "CHMRTLNB";
	struct milter_state st = agreed(6, MILTER_F_ALL, 0);
	const char *why = NULL;

	for (const char *p = after; *p != '\0'; p++) {
		milter_state_said(&st, (enum milter_command) * p);
		ck_assert_int_eq(answer(&st, 'c', &why), MILTER_DO_NEXT);
		ck_assert_msg(
		    milter_state_wants(&st, MILTER_C_UNKNOWN) == (strchr("CHMR", *p) != NULL), "after %c", *p);
	}
	milter_state_said(&st, MILTER_C_EOM);
	answer(&st, 'c', &why);
	ck_assert(milter_state_wants(&st, MILTER_C_UNKNOWN));
	milter_state_reset(&st);
	/* Of one that hears no DATA libmilter would forget the message. */
	st = agreed(6, MILTER_F_ALL, MILTER_P_NODATA);
	ck_assert(milter_state_wants(&st, MILTER_C_UNKNOWN));
	milter_state_said(&st, MILTER_C_MAIL);
	answer(&st, 'c', &why);
	ck_assert(!milter_state_wants(&st, MILTER_C_UNKNOWN));
	/* Outside of a message there is none to accept; a refusal is of the line alone. */
	st = agreed(6, MILTER_F_ALL, 0);
	for (const char *p = "arty"; *p != '\0'; p++) {
		milter_state_said(&st, MILTER_C_UNKNOWN);
		answer(&st, (uint8_t)*p, &why);
		ck_assert(milter_state_wants(&st, MILTER_C_MAIL));
		ck_assert(milter_state_wants(&st, MILTER_C_UNKNOWN));
	}
	milter_state_said(&st, MILTER_C_MAIL);
	answer(&st, 'c', &why);
	milter_state_said(&st, MILTER_C_UNKNOWN);
	ck_assert_int_eq(answer(&st, 'r', &why), MILTER_DO_REFUSE);
	ck_assert(milter_state_wants(&st, MILTER_C_RCPT));
	/* In one: of that. */
	milter_state_said(&st, MILTER_C_UNKNOWN);
	ck_assert_int_eq(answer(&st, 'd', &why), MILTER_DO_DISCARD);
	ck_assert(!milter_state_wants(&st, MILTER_C_RCPT));
	ck_assert(!milter_state_wants(&st, MILTER_C_UNKNOWN));
	milter_state_reset(&st);
	ck_assert(milter_state_wants(&st, MILTER_C_UNKNOWN));
}
END_TEST

START_TEST(not_agreed)
{
	struct milter_state st = agreed(6, 0, 0);
	const char *why = NULL;

	milter_state_said(&st, MILTER_C_BODY);
	ck_assert_int_eq(answer(&st, 's', &why), MILTER_DO_BAD);
	ck_assert_str_eq(why, "skip-not-agreed");
	for (const char *p = "himb+2-eq"; *p != '\0'; p++) {
		st = agreed(6, 0, 0);
		milter_state_said(&st, MILTER_C_EOM);
		ck_assert_int_eq(answer(&st, (uint8_t)*p, &why), MILTER_DO_BAD);
		ck_assert_str_eq(why, "edit-not-agreed");
		ck_assert(!st.edited);
	}
	st = agreed(6, MILTER_F_ALL, 0);
	ck_assert_int_eq(answer(&st, 'c', &why), MILTER_DO_BAD);
	ck_assert_str_eq(why, "answer-unasked");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("milterstate");
	TCase *t = tcase_create("state");

	tcase_add_loop_test(t, steps, 0, sizeof(step) / sizeof(step[0]));
	tcase_add_test(t, versions);
	tcase_add_loop_test(t, meaning, 0, sizeof(means) / sizeof(means[0]));
	tcase_add_test(t, for_good);
	tcase_add_test(t, unknown_commands);
	tcase_add_test(t, not_agreed);
	suite_add_tcase(s, t);
	return suite_run(s);
}
