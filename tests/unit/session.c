/*
 * session: a real engine, real loop and real socket between a scripted client,
 * handlers that think, and a store that is full now and then.  What comes of
 * it has to be the same as if nobody had ever waited.
 */
#include "tests/unit/sessionfix.h"

/* --- handlers --- */

static struct thinker {
	bool later[CHAIN_UNKNOWN + 1]; /* by chain_stage */
	bool never;
	enum chain_stage refuse_at;
	bool refuse, kindly; /* kindly: it says yes in its own words */
	unsigned asked[CHAIN_UNKNOWN + 1], closed, cancelled, reset, delivered;
	struct ask last;
} thinker;

static void *
think(void *arg)
{
	struct ask a = *(struct ask *)arg;

	free(arg);
	usleep(2000);
	ask_answer(a, V_NEXT, NULL);
	return NULL;
}

static enum verdict
thinker_at(enum chain_stage stage, struct ask a, struct reply *r)
{
	thinker.asked[stage]++;
	thinker.last = a;
	if (thinker.refuse && thinker.refuse_at == stage) {
		if (thinker.kindly)
			reply_set(r, 250, ENH(2, 0, 0), "thinker", "yes");
		else
			reply_set(r, 550, ENH(5, 7, 1), "thinker", "no");
		return V_REPLY;
	}
	if (!thinker.later[stage])
		return V_NEXT;
	if (!thinker.never) {
		struct ask *copy = malloc(sizeof(*copy));
		pthread_t th;

		*copy = a;
		ck_assert_int_eq(pthread_create(&th, NULL, think, copy), 0);
		pthread_detach(th);
	}
	return V_LATER;
}

static enum verdict
on_connect(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	ck_assert_uint_gt(q->session->id.n, 0);
	return thinker_at(CHAIN_CONNECT, q->ask, r);
}

static enum verdict
on_helo(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	return thinker_at(CHAIN_HELO, q->ask, r);
}

static enum verdict
on_mail(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	ck_assert_uint_eq(strlen(q->txn->id), ID_CHARS);
	return thinker_at(CHAIN_MAIL, q->ask, r);
}

static enum verdict
on_rcpt(void *c, const struct question *q, struct reply *r)
{
	struct span local = q->rcpt->addr.local;

	(void)c;
	ck_assert_int_eq(txn_deliver(q->txn, q->rcpt, local, local, (struct span){ NULL, 0 }, NULL), 0);
	return thinker_at(CHAIN_RCPT, q->ask, r);
}

static enum verdict
on_data_begin(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	ck_assert_uint_eq(fake.begun, 0);
	return thinker_at(CHAIN_DATA, q->ask, r);
}

static enum verdict
on_data(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	ck_assert_uint_gt(q->chunk.n, 0);
	return thinker_at(CHAIN_BODY, q->ask, r);
}

static enum verdict
on_end(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	ck_assert_uint_eq(q->chunk.n, 0);
	return thinker_at(CHAIN_END, q->ask, r);
}

static enum verdict
on_unknown(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	return thinker_at(CHAIN_UNKNOWN, q->ask, r);
}

static void
on_cancel(void *c, const struct question *q)
{
	(void)c;
	(void)q;
	thinker.cancelled++;
}

static void
on_reset(void *c, const struct question *q)
{
	(void)c;
	thinker.reset++;
	thinker.delivered += q->delivered;
}

static void
on_close(void *c, const struct question *q)
{
	(void)c;
	ck_assert_ptr_null(q->txn);
	thinker.closed++;
}

static const struct handler_ops thinker_ops = {
	.abi = HANDLER_ABI,
	.name = "thinker",
	.on_connect = on_connect,
	.on_helo = on_helo,
	.on_mail_from = on_mail,
	.on_rcpt_to = on_rcpt,
	.on_data_begin = on_data_begin,
	.on_data = on_data,
	.on_end = on_end,
	.on_unknown = on_unknown,
	.on_cancel = on_cancel,
	.on_reset = on_reset,
	.on_close = on_close,
};

/* The stages of a session without AUTH. */
static const enum chain_stage stages[] = { CHAIN_CONNECT, CHAIN_HELO, CHAIN_MAIL, CHAIN_RCPT, CHAIN_DATA, CHAIN_BODY,
	CHAIN_END };
enum { STAGES = sizeof(stages) / sizeof(stages[0]) };

static void
fix_chain(void)
{
	memset(&thinker, 0, sizeof(thinker));
	ck_assert_int_eq(chain_add(&w.chain, &thinker_ops, NULL, NULL), 0);
}

static void
expect_content(size_t octets)
{
	static char s[1 << 20];
	size_t k = (size_t)snprintf(s, sizeof(s), "Subject: x\r\n\r\n");

	for (size_t i = 0; i < octets; i++)
		s[k++] = i % 72 == 70 ? '\r' : i % 72 == 71 ? '\n' : (char)('a' + i % 26);
	s[k++] = '\r';
	s[k++] = '\n';
	ck_assert_uint_eq(fake.n, k);
	ck_assert_mem_eq(fake.content, s, k);
}

static uint64_t
replies(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < STATS_CODES; i++)
		n += atomic_load(&w.stats->reply[i]);
	return n;
}

START_TEST(nobody_waits)
{
	size_t n;
	const char *s;

	setup();
	s = script_of(1000, &n);
	expect_codes(talk(s, n), all_yes);
	expect_content(1000);
	ck_assert_uint_eq(fake.committed, 1);
	ck_assert_uint_eq(fake.aborted, 0);
	ck_assert_uint_eq(counter(STATS_MESSAGES), 1);
	ck_assert_uint_eq(counter(STATS_RECIPIENTS), 2);
	ck_assert_uint_eq(replies(), 8);
	ck_assert_uint_eq(thinker.closed, 1);
	ck_assert_uint_eq(thinker.reset, 1);
	ck_assert_uint_eq(thinker.delivered, 1);
	ck_assert_uint_eq(thinker.cancelled, 0);
}
END_TEST

/* Every stage, alone and all together, with contents of several sizes. */
START_TEST(handlers_think)
{
	static const size_t sizes[] = { 0, 500, 300000 };
	size_t n;
	const char *s;

	setup();
	for (int i = 0; i < STAGES; i++)
		thinker.later[stages[i]] = _i == i || _i == STAGES;
	if (_i == STAGES)
		fake.full_every = 1000;
	for (unsigned k = 0; k < 3; k++) {
		if (k > 0) {
			setup();
			for (int i = 0; i < STAGES; i++)
				thinker.later[stages[i]] = _i == i || _i == STAGES;
		}
		fix_greeting_ms = thinker.later[CHAIN_CONNECT] ? 300 : 50;
		s = script_of(sizes[k], &n);
		expect_codes(talk(s, n), all_yes);
		expect_content(sizes[k]);
		ck_assert_uint_eq(replies(), 8);
	}
}
END_TEST

START_TEST(store_is_full_now_and_then)
{
	static const size_t every[] = { 1, 7, 4096, 65537 };
	size_t n, octets = _i == 0 ? 3000 : 300000;
	const char *s;

	setup();
	fake.full_every = every[_i];
	s = script_of(octets, &n);
	expect_codes(talk(s, n), all_yes);
	expect_content(octets);
}
END_TEST

START_TEST(handler_refuses)
{
	size_t n;
	const char *s, *got;

	setup();
	thinker.refuse = true;
	thinker.refuse_at = stages[_i];
	s = script_of(1000, &n);
	got = talk(s, n);
	if (stages[_i] >= CHAIN_BODY) {
		expect_codes(got, "220 250 250 250 250 354 550 221 ");
		ck_assert_uint_eq(fake.aborted, 1);
		ck_assert_uint_eq(fake.committed, 0);
		ck_assert_uint_eq(counter(STATS_MESSAGES), 0);
		ck_assert_uint_eq(thinker.delivered, 0);
	} else {
		/* A reply to HELO has no enhanced code (RFC 2034 4). */
		ck_assert_ptr_nonnull(strstr(got, stages[_i] == CHAIN_HELO ? "550 no [" : "550 5.7.1 no ["));
		ck_assert_uint_eq(fake.begun, 0);
	}
}
END_TEST

/* A yes that ends the chain is a yes, at each stage. */
START_TEST(handler_says_yes)
{
	size_t n;
	const char *s;

	setup();
	thinker.refuse = thinker.kindly = true;
	thinker.refuse_at = stages[_i];
	s = script_of(1000, &n);
	expect_codes(talk(s, n), all_yes);
	expect_content(1000);
	ck_assert_uint_eq(fake.committed, 1);
}
END_TEST

START_TEST(handler_never_answers)
{
	size_t n;
	const char *s, *got;
	const char *want = stages[_i] == CHAIN_CONNECT ? "421 4.3.0 a check did not"
	    : stages[_i] == CHAIN_HELO                 ? "451 a check did not"
						       : "451 4.3.0 a check did not";

	setup();
	w.chain.later_ms = 200;
	thinker.later[stages[_i]] = thinker.never = true;
	fix_greeting_ms = thinker.later[CHAIN_CONNECT] ? 300 : 50;
	s = script_of(100, &n);
	got = talk(s, n);
	ck_assert_ptr_nonnull(strstr(got, want));
	ck_assert_uint_ge(counter(STATS_HANDLER_TIMEOUTS), 1);
	ck_assert_uint_eq(counter(STATS_HANDLER_TIMEOUTS), thinker.cancelled);
	ck_assert_uint_eq(fake.committed, 0);
	/* Its answer comes too late for anybody. */
	ck_assert_int_eq(ask_answer(thinker.last, V_NEXT, NULL), -1);
	ck_assert_int_eq(errno, ESTALE);
}
END_TEST

/* The line is there for whoever is asked after one that thinks. */
static char witnessed[64];

static enum verdict
witness_on_unknown(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	(void)r;
	snprintf(witnessed, sizeof(witnessed), "%.*s", (int)q->chunk.n, (const char *)q->chunk.p);
	return V_NEXT;
}

static const struct handler_ops witness_ops = {
	.abi = HANDLER_ABI, .name = "witness", .on_unknown = witness_on_unknown
};

START_TEST(a_line_that_is_no_command)
{
	static const char s[] = "HELO client.example\r\nXYZZY now\r\nNOOP\r\nQUIT\r\n";
	static const struct {
		bool later, never, refuse;
		const char *codes, *witnessed;
	} row[] = { { false, false, false, "220 250 500 250 221 ", "XYZZY now" },
		{ true, false, false, "220 250 500 250 221 ", "XYZZY now" },
		{ true, true, false, "220 250 500 250 221 ", "XYZZY now" },
		{ false, false, true, "220 250 550 250 221 ", "" } };

	setup();
	witnessed[0] = '\0';
	ck_assert_int_eq(chain_add(&w.chain, &witness_ops, NULL, NULL), 0);
	w.chain.later_ms = 200;
	thinker.later[CHAIN_UNKNOWN] = row[_i].later;
	thinker.never = row[_i].never;
	thinker.refuse = row[_i].refuse;
	thinker.refuse_at = CHAIN_UNKNOWN;
	expect_codes(talk(s, sizeof(s) - 1), row[_i].codes);
	ck_assert_str_eq(witnessed, row[_i].witnessed);
	ck_assert_uint_eq(thinker.asked[CHAIN_UNKNOWN], 1);
	ck_assert_uint_eq(counter(STATS_HANDLER_TIMEOUTS), row[_i].never);
	ck_assert_uint_eq(thinker.cancelled, row[_i].never);
	ck_assert_uint_eq(replies(), 5);
}
END_TEST

START_TEST(client_leaves_while_it_is_stored)
{
	size_t n;
	const char *s;

	setup();
	client.leave = true;
	s = script_of(1000, &n);
	talk(s, n);
	ck_assert_uint_eq(fake.committed, 1);
	ck_assert_uint_eq(fake.aborted, 0);
	ck_assert_uint_eq(counter(STATS_MESSAGES), 1);
	ck_assert_uint_eq(w.nsessions, 0);
}
END_TEST

START_TEST(store_fails)
{
	static const struct {
		int error;
		const char *reply;
	} row[] = { { ENOSPC, "452 4.3.1 " }, { EDQUOT, "452 4.2.2 " }, { EIO, "451 4.3.0 " },
		{ EFBIG, "451 4.3.0 " } };
	size_t n;
	const char *s, *got;

	setup();
	fake.commit_error = row[_i].error;
	s = script_of(1000, &n);
	got = talk(s, n);
	ck_assert_ptr_nonnull(strstr(got, row[_i].reply));
	ck_assert_ptr_null(strstr(got, "queued"));
	ck_assert_uint_eq(counter(STATS_MESSAGES), 0);
	ck_assert_uint_eq(counter(STATS_STORE_ERRORS), 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("session");
	TCase *t = tcase_create("session");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, nobody_waits);
	tcase_add_loop_test(t, handlers_think, 0, STAGES + 1);
	tcase_add_loop_test(t, store_is_full_now_and_then, 0, 4);
	tcase_add_loop_test(t, handler_refuses, 0, STAGES);
	tcase_add_loop_test(t, handler_says_yes, 0, STAGES);
	tcase_add_loop_test(t, handler_never_answers, 0, STAGES);
	tcase_add_loop_test(t, a_line_that_is_no_command, 0, 4);
	tcase_add_test(t, client_leaves_while_it_is_stored);
	tcase_add_loop_test(t, store_fails, 0, 4);
	suite_add_tcase(s, t);
	return suite_run(s);
}
