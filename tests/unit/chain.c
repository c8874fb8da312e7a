/*
 * chain: the order of asking, suspend and resume, and rights to answer that
 * have passed.
 */
#include <errno.h>
#include <pthread.h>

#include "tests/unit/suite.h"
#include "worker/asks.h"
#include "worker/chain.h"

static char order[64];
static enum verdict says[3];
static struct ask right[3];
static bool again[3];
static struct loop *lp;
static void *told_who;
static enum verdict told_verdict;
static unsigned told_count;

static enum verdict
call(unsigned i, const struct question *q, struct reply *r)
{
	order[strlen(order)] = (char)('a' + i);
	right[i] = q->ask;
	again[i] = q->again;
	if (says[i] == V_REPLY)
		reply_set(r, 550, ENH(5, 7, 1), "no", "handler %u says no", i);
	return says[i];
}

#define HANDLER(i) \
	static enum verdict mail_##i(void *ctx, const struct question *q, struct reply *r) \
	{ \
		(void)ctx; \
		return call(i, q, r); \
	} \
	static const struct handler_ops ops_##i = { .abi = HANDLER_ABI, .name = "h" #i, .on_mail_from = mail_##i };
HANDLER(0)
HANDLER(1)
HANDLER(2)

/* The same at each stage of a message; verdicts as above, but a reply is a yes. */
static enum verdict
agree(unsigned i, const struct question *q, struct reply *r)
{
	enum verdict v = call(i, q, r);

	if (v == V_REPLY)
		reply_set(r, 250, ENH(2, 0, 0), "yes", "handler %u says yes", i);
	return v;
}

#define FOLLOWER(i) \
	static enum verdict follow_##i(void *ctx, const struct question *q, struct reply *r) \
	{ \
		(void)ctx; \
		return agree(i, q, r); \
	} \
	static void refused_##i(void *ctx, const struct question *q, const struct reply *r) \
	{ \
		(void)ctx; \
		(void)q; \
		(void)r; \
		order[strlen(order)] = (char)('A' + (i)); \
	} \
	static const struct handler_ops follower_##i = { .abi = HANDLER_ABI, \
		.name = "f" #i, \
		.on_mail_from = follow_##i, \
		.on_rcpt_to = follow_##i, \
		.on_rcpt_refused = refused_##i, \
		.on_data_begin = follow_##i, \
		.on_data = follow_##i, \
		.on_end = follow_##i };
FOLLOWER(0)
FOLLOWER(1)
FOLLOWER(2)

static void
told(void *who, enum verdict v, const struct reply *r)
{
	(void)r;
	told_who = who;
	told_verdict = v;
	told_count++;
	loop_stop(lp);
}

static void
setup(struct chain *c)
{
	static const struct handler_ops nothing = { .abi = HANDLER_ABI, .name = "nothing" };

	*c = (struct chain){ .n = 0 };
	memset(order, 0, sizeof(order));
	says[0] = says[1] = says[2] = V_NEXT;
	told_count = 0;
	lp = loop_new();
	ck_assert_ptr_nonnull(lp);
	ck_assert_int_eq(asks_init(lp, told), 0);
	ck_assert_int_eq(chain_add(c, &ops_0, NULL, NULL), 0);
	ck_assert_int_eq(chain_add(c, &nothing, NULL, NULL), 0);
	ck_assert_int_eq(chain_add(c, &ops_1, NULL, NULL), 0);
	ck_assert_int_eq(chain_add(c, &ops_2, NULL, NULL), 0);
}

static void
teardown(void)
{
	asks_fini();
	loop_free(lp);
}

START_TEST(asks_in_order)
{
	struct chain c;
	struct chain_run run;
	struct chain_about about = { 0 };
	struct reply r;
	int me;

	about.who = &me;
	setup(&c);
	chain_begin(&run, CHAIN_MAIL);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_NEXT);
	ck_assert_str_eq(order, "abc");
	/* A right that was not used has passed. */
	ck_assert_int_eq(ask_answer(right[1], V_NEXT, NULL), -1);
	ck_assert_int_eq(errno, ESTALE);
	/* A stage nobody cares for asks nobody. */
	chain_begin(&run, CHAIN_HELO);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_NEXT);
	ck_assert_str_eq(order, "abc");
	teardown();
}
END_TEST

START_TEST(reply_ends_it)
{
	struct chain c;
	struct chain_run run;
	struct chain_about about = { 0 };
	struct reply r;
	int me;

	about.who = &me;
	setup(&c);
	says[1] = V_REPLY;
	chain_begin(&run, CHAIN_MAIL);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_REPLY);
	ck_assert_str_eq(order, "ab");
	ck_assert_int_eq(r.code, 550);
	ck_assert_str_eq(chain_name(&c, &run), "h1");
	teardown();
}
END_TEST

static void *
answer_thread(void *arg)
{
	usleep(20000);
	ask_answer(*(struct ask *)arg, V_NEXT, NULL);
	return NULL;
}

START_TEST(later_resumes_behind)
{
	struct chain c;
	struct chain_run run;
	struct chain_about about = { 0 };
	struct reply r;
	pthread_t th;
	int me;

	about.who = &me;
	setup(&c);
	says[1] = V_LATER;
	chain_begin(&run, CHAIN_MAIL);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_LATER);
	ck_assert(run.waiting);
	ck_assert_int_eq(pthread_create(&th, NULL, answer_thread, &right[1]), 0);
	ck_assert_int_eq(loop_run(lp), 0);
	pthread_join(th, NULL);
	ck_assert_ptr_eq(told_who, &me);
	ck_assert_int_eq(told_verdict, V_NEXT);
	ck_assert_int_eq(chain_told(&c, &run, &about, V_NEXT, &r), V_NEXT);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_NEXT);
	ck_assert_str_eq(order, "abc");
	/* Twice is once. */
	ck_assert_int_eq(ask_answer(right[1], V_NEXT, NULL), -1);
	teardown();
}
END_TEST

START_TEST(cancelled_is_not_told)
{
	struct chain c;
	struct chain_run run;
	struct chain_about about = { 0 };
	struct reply r;
	struct ask early;
	int me, other;

	about.who = &me;
	setup(&c);
	says[0] = V_LATER;
	chain_begin(&run, CHAIN_MAIL);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_LATER);
	early = right[0];
	/* Answered, but the session gave up before the loop came to it: nobody is told, nor whoever has the slot now. */
	ck_assert_int_eq(ask_answer(early, V_NEXT, NULL), 0);
	chain_cancel(&c, &run, &about);
	chain_begin(&run, CHAIN_MAIL);
	about.who = &other;
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_LATER);
	ck_assert_uint_eq(right[0].slot, early.slot);
	ck_assert_int_eq(ask_answer(right[0], V_REPLY, &r), 0);
	ck_assert_int_eq(loop_run(lp), 0);
	ck_assert_uint_eq(told_count, 1);
	ck_assert_ptr_eq(told_who, &other);
	teardown();
}
END_TEST

START_TEST(other_abi_is_refused)
{
	static const struct handler_ops old = { .abi = HANDLER_ABI + 1, .name = "old" };
	struct chain c = { .n = 0 };

	ck_assert_int_eq(chain_add(&c, &old, NULL, NULL), -1);
	ck_assert_int_eq(errno, EPROTO);
	for (unsigned i = 0; i < CHAIN_MAX; i++)
		ck_assert_int_eq(chain_add(&c, &ops_0, NULL, NULL), 0);
	ck_assert_int_eq(chain_add(&c, &ops_0, NULL, NULL), -1);
	ck_assert_int_eq(errno, E2BIG);
}
END_TEST

/* A failure is what the section says; of a handler that had begun to edit it is "later", and its edits are taken back. */
START_TEST(failure_is_as_configured)
{
	static const struct {
		enum conf_on_failure f;
		enum verdict v;
		uint16_t code;
		bool edited;
	} row[] = { { CONF_F_ACCEPT, V_NEXT, 0, false }, { CONF_F_TEMPFAIL, V_REPLY, 451, false },
		{ CONF_F_REJECT, V_REPLY, 554, false }, { CONF_F_ACCEPT, V_REPLY, 451, true },
		{ CONF_F_TEMPFAIL, V_REPLY, 451, true }, { CONF_F_REJECT, V_REPLY, 451, true } };
	struct conf_handler h = { .name = "x", .on_failure = row[_i].f, .timeout_ms = 1234 };
	struct chain c;
	struct chain_run run;
	struct edits e;
	struct txn t = { .edits = &e };
	int me;
	struct chain_about about = { .who = &me, .txn = &t };
	struct reply r;

	setup(&c);
	c.n = 0;
	edits_init(&e, 1000);
	ck_assert_int_eq(edit_add_header(&e, SPAN("X-Before"), SPAN("1")), 0);
	ck_assert_int_eq(chain_add(&c, &ops_0, NULL, &h), 0);
	says[0] = V_LATER;
	chain_begin(&run, CHAIN_MAIL);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_LATER);
	ck_assert_uint_eq(chain_later_ms(&c, &run), 1234);
	if (row[_i].edited)
		ck_assert_int_eq(edit_add_header(&e, SPAN("X-While"), SPAN("1")), 0);
	ck_assert_int_eq(chain_told(&c, &run, &about, V_LATER, &r), V_LATER);
	ck_assert_int_eq(
	    _i % 3 == 1 ? (int)chain_late(&c, &run, &about, &r) : (int)chain_told(&c, &run, &about, V_FAIL, &r),
	    row[_i].v);
	if (row[_i].code != 0)
		ck_assert_uint_eq(r.code, row[_i].code);
	ck_assert_uint_eq(e.n, 1);
	edits_fini(&e);
	teardown();
}
END_TEST

START_TEST(a_reply_without_code_is_a_failure)
{
	struct chain c;
	struct chain_run run;
	int me;
	struct chain_about about = { .who = &me };
	struct reply r = { .code = 0 };

	setup(&c);
	says[0] = V_LATER;
	chain_begin(&run, CHAIN_MAIL);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_LATER);
	ck_assert_int_eq(chain_told(&c, &run, &about, V_REPLY, &r), V_REPLY);
	ck_assert_uint_eq(r.code, 451);
	teardown();
}
END_TEST

START_TEST(again_asks_the_same_one)
{
	struct chain c;
	struct chain_run run;
	int me;
	struct chain_about about = { .who = &me };
	struct reply r;

	setup(&c);
	says[1] = V_LATER;
	chain_begin(&run, CHAIN_MAIL);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_LATER);
	ck_assert(!again[1]);
	ck_assert_int_eq(chain_told(&c, &run, &about, V_AGAIN, &r), V_NEXT);
	says[1] = V_DISCARD;
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_DISCARD);
	ck_assert(again[1]);
	ck_assert_str_eq(order, "abb");
	ck_assert_str_eq(chain_name(&c, &run), "h1");
	teardown();
}
END_TEST

/* For ever is not possible. */
START_TEST(more_time_has_an_end)
{
	struct chain c;
	struct chain_run run;
	int me;
	struct chain_about about = { .who = &me };
	struct reply r;

	setup(&c);
	says[0] = V_LATER;
	chain_begin(&run, CHAIN_MAIL);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_LATER);
	for (unsigned i = 0; i < CHAIN_EXTEND_MAX; i++)
		ck_assert_int_eq(chain_told(&c, &run, &about, V_LATER, &r), V_LATER);
	ck_assert_int_eq(chain_told(&c, &run, &about, V_LATER, &r), V_REPLY);
	ck_assert_uint_eq(r.code, 451);
	ck_assert_int_eq(ask_answer(right[0], V_NEXT, NULL), -1);
	teardown();
}
END_TEST

START_TEST(conditions)
{
	static const uint8_t here[16] = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1 };
	struct conf_net ten = { { [10] = 0xff, [11] = 0xff, [12] = 10 }, 104 },
			nine = { { [10] = 0xff, [11] = 0xff, [12] = 9 }, 104 };
	const struct {
		struct conf_when when;
		bool asked;
	} row[] = {
		{ { .nlistener = 0 }, true },
		{ { .listener = { "a", "mx" }, .nlistener = 2 }, true },
		{ { .listener = { "a", "b" }, .nlistener = 2 }, false },
		{ { .networks = { &ten, 1 } }, true },
		{ { .networks = { &nine, 1 } }, false },
		{ { .authenticated = CONF_YES }, false },
		{ { .authenticated = CONF_NO }, true },
		{ { .tls = CONF_YES }, true },
		{ { .tls = CONF_NO }, false },
		{ { .tls = CONF_YES, .listener = { "b" }, .nlistener = 1 }, false },
	};
	const struct session_view view = { .listener = "mx", .remote_addr = here, .tls_version = "TLSv1.3" };
	int me;
	struct chain_about about = { .who = &me, .view = &view };

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct conf_handler h = { .name = "x", .when = row[i].when };
		struct chain c;
		struct chain_run run;
		struct reply r;

		setup(&c);
		c.n = 0;
		ck_assert_int_eq(chain_add(&c, &ops_0, NULL, &h), 0);
		chain_begin(&run, CHAIN_MAIL);
		ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_NEXT);
		ck_assert_msg((order[0] == 'a') == row[i].asked, "row %zu", i);
		teardown();
	}
}
END_TEST

/* Who hears of what, stage by stage from MAIL to the end: "|" between. */
static const struct {
	enum conf_kind kind;    /* of the second */
	enum chain_stage stage; /* at which the first says ... */
	enum verdict says;
	const char *order;
} sequences[] = {
	{ CONF_K_MILTER, CHAIN_MAIL, V_NEXT, "abc|abc|abc|abc|abc|" },
	{ CONF_K_MILTER, CHAIN_MAIL, V_REPLY, "a|a|a|a|a|" },
	{ CONF_K_MILTER, CHAIN_MAIL, V_DISCARD, "a|a|a|a|a|" },
	{ CONF_K_HANDLER, CHAIN_MAIL, V_DISCARD, "a|a|a|a|a|" },
	{ CONF_K_POLICY, CHAIN_MAIL, V_DISCARD, "a|ab|ab|ab|ab|" },
	{ CONF_K_MILTER, CHAIN_RCPT, V_REPLY, "abc|a|a|a|a|" },
	{ CONF_K_MILTER, CHAIN_RCPT, V_DISCARD, "abc|a|a|a|a|" },
	{ CONF_K_QUOTA, CHAIN_RCPT, V_REPLY, "abc|a|ab|ab|ab|" },
	{ CONF_K_MILTER, CHAIN_DATA, V_REPLY, "abc|abc|a|a|a|" },
	{ CONF_K_MILTER, CHAIN_END, V_REPLY, "abc|abc|abc|abc|a|" },
};

/* A chain of ${first} and two that follow a message. */
static void
setup_followed(struct chain *c, const struct handler_ops *first, const struct conf_handler section[static 3])
{
	setup(c);
	*c = (struct chain){ .n = 0 };
	ck_assert_int_eq(chain_add(c, first, NULL, &section[0]), 0);
	ck_assert_int_eq(chain_add(c, &follower_1, NULL, &section[1]), 0);
	ck_assert_int_eq(chain_add(c, &follower_2, NULL, &section[2]), 0);
}

START_TEST(whole_sequences)
{
	struct conf_handler section[3] = { { .kind = CONF_K_POLICY }, { .kind = sequences[_i].kind },
		{ .kind = CONF_K_HANDLER } };
	struct chain c = { .n = 0 };
	struct chain_about about = { 0 };
	struct chain_run run;
	uint64_t missed = 0;
	struct reply r;
	int me;

	about.who = &me;
	about.missed = &missed;
	setup_followed(&c, &follower_0, section);
	for (enum chain_stage stage = CHAIN_MAIL; stage <= CHAIN_END; stage++) {
		says[0] = stage == sequences[_i].stage ? sequences[_i].says : V_NEXT;
		chain_begin(&run, stage);
		ck_assert_int_eq(chain_ask(&c, &run, &about, &r), says[0]);
		order[strlen(order)] = '|';
	}
	ck_assert_str_eq(order, sequences[_i].order);
	teardown();
}
END_TEST

/* A recipient that is refused is nobody's loss; who does not follow is not told of it. */
START_TEST(refused_is_not_missed)
{
	struct conf_handler section[3] = { { .kind = CONF_K_MILTER },
		{ .kind = CONF_K_MILTER, .on_failure = CONF_F_TEMPFAIL }, { .kind = CONF_K_MILTER } };
	struct chain c = { .n = 0 };
	struct chain_about about = { 0 };
	struct chain_run run;
	uint64_t missed = 0;
	struct reply r;
	int me;

	about.who = &me;
	about.missed = &missed;
	setup_followed(&c, &ops_0, section);
	says[0] = V_REPLY; /* 550 */
	chain_begin(&run, CHAIN_MAIL);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_REPLY);
	ck_assert_uint_eq(missed, 0);
	says[0] = V_NEXT;
	says[1] = V_REPLY; /* 250 */
	chain_begin(&run, CHAIN_MAIL);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_REPLY);
	ck_assert_uint_eq(missed, 1U << 2);
	says[1] = V_FAIL;
	chain_begin(&run, CHAIN_RCPT);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_REPLY);
	ck_assert_int_eq(r.code, 451);
	ck_assert_str_eq(order, "aabb");
	missed = 0;
	chain_begin(&run, CHAIN_RCPT);
	ck_assert_int_eq(chain_ask(&c, &run, &about, &r), V_REPLY);
	ck_assert_str_eq(order, "aabbbC");
	ck_assert_uint_eq(missed, 0);
	teardown();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("chain");
	TCase *t = tcase_create("chain");

	tcase_add_test(t, asks_in_order);
	tcase_add_test(t, reply_ends_it);
	tcase_add_loop_test(t, whole_sequences, 0, sizeof(sequences) / sizeof(sequences[0]));
	tcase_add_test(t, refused_is_not_missed);
	tcase_add_test(t, later_resumes_behind);
	tcase_add_test(t, cancelled_is_not_told);
	tcase_add_loop_test(t, failure_is_as_configured, 0, 6);
	tcase_add_test(t, a_reply_without_code_is_a_failure);
	tcase_add_test(t, again_asks_the_same_one);
	tcase_add_test(t, more_time_has_an_end);
	tcase_add_test(t, conditions);
	tcase_add_test(t, other_abi_is_refused);
	suite_add_tcase(s, t);
	return suite_run(s);
}
