/*
 * loop: deadlines in order and never early, work put off, descriptors that
 * are let go in the middle of a turn.
 */
#include <sys/socket.h>

#include "tests/unit/suite.h"
#include "worker/net/loop.h"

static struct loop *lp;
static unsigned fired[64], nfired;
static uint64_t fired_ms[64];

struct alarm {
	struct loop_timer t;
	unsigned name;
};

static void
ring(struct loop_timer *t)
{
	const struct alarm *a = (const struct alarm *)t;

	fired_ms[nfired] = loop_clock_us() / 1000;
	fired[nfired++] = a->name;
	if (a->name == 0)
		loop_stop(lp);
}

START_TEST(deadlines)
{
	struct alarm a[4] = { { .t.fire = ring, .name = 0 }, { .t.fire = ring, .name = 1 },
		{ .t.fire = ring, .name = 2 }, { .t.fire = ring, .name = 3 } };
	uint64_t t0;

	lp = loop_new();
	t0 = loop_clock_us() / 1000;
	loop_timer_set(lp, &a[0].t, 900);
	loop_timer_set(lp, &a[1].t, 500);
	loop_timer_set(lp, &a[2].t, 100);
	loop_timer_set(lp, &a[3].t, 300);
	loop_timer_clear(&a[3].t);
	loop_timer_clear(&a[3].t);
	/* Moved: the old moment is forgotten. */
	loop_timer_set(lp, &a[2].t, 700);
	ck_assert_int_eq(loop_run(lp), 0);
	ck_assert_uint_eq(nfired, 3);
	ck_assert_uint_eq(fired[0], 1);
	ck_assert_uint_eq(fired[1], 2);
	ck_assert_uint_eq(fired[2], 0);
	ck_assert_uint_ge(fired_ms[0] - t0, 499);
	ck_assert_uint_ge(fired_ms[1] - t0, 699);
	ck_assert_uint_ge(fired_ms[2] - t0, 899);
	loop_free(lp);
}
END_TEST

START_TEST(far_deadline_waits_its_round)
{
	/* On the same spoke as a near one, a round of the wheel later. */
	struct alarm far = { .t.fire = ring, .name = 9 }, near = { .t.fire = ring, .name = 0 };

	lp = loop_new();
	loop_timer_set(lp, &far.t, 200 + (uint64_t)LOOP_WHEEL * LOOP_TICK_MS);
	loop_timer_set(lp, &near.t, 200);
	ck_assert_int_eq(loop_run(lp), 0);
	ck_assert_uint_eq(nfired, 1);
	ck_assert_uint_eq(fired[0], 0);
	ck_assert_ptr_nonnull(far.t.prev);
	loop_free(lp);
}
END_TEST

struct job {
	struct loop_task t;
	unsigned name;
};

static struct job jobs[3];

static void
work(struct loop_task *t)
{
	const struct job *j = (const struct job *)t;

	fired[nfired++] = j->name;
	if (j->name == 0) {
		/* Put off again: in the next turn, not in this one. */
		loop_task_clear(lp, &jobs[1].t);
		if (nfired < 4)
			loop_later(lp, &jobs[0].t);
		else
			loop_stop(lp);
	}
}

START_TEST(tasks)
{
	lp = loop_new();
	for (unsigned i = 0; i < 3; i++) {
		jobs[i] = (struct job){ .t.run = work, .name = i };
		loop_later(lp, &jobs[i].t);
		loop_later(lp, &jobs[i].t);
	}
	/* The last one taken out, another put in: the list's end stays right. */
	loop_task_clear(lp, &jobs[2].t);
	loop_later(lp, &jobs[2].t);
	ck_assert_int_eq(loop_run(lp), 0);
	ck_assert_uint_eq(nfired, 4);
	ck_assert_uint_eq(fired[0], 0);
	ck_assert_uint_eq(fired[1], 2);
	ck_assert_uint_eq(fired[2], 0);
	loop_free(lp);
}
END_TEST

static struct loop_src pair_src[2];

static void
hear(struct loop_src *src, unsigned what)
{
	(void)what;
	fired[nfired++] = src == &pair_src[1];
	/* The other's event is in this turn's batch already, and must not come. */
	loop_unwatch(lp, src == &pair_src[0] ? &pair_src[1] : &pair_src[0]);
	loop_stop(lp);
}

START_TEST(unwatched_in_the_same_turn)
{
	int a[2], b[2];

	lp = loop_new();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
	pair_src[0] = (struct loop_src){ a[0], hear };
	pair_src[1] = (struct loop_src){ b[0], hear };
	ck_assert_int_eq(write(a[1], "x", 1), 1);
	ck_assert_int_eq(write(b[1], "x", 1), 1);
	ck_assert_int_eq(loop_watch_level(lp, &pair_src[0], false), 0);
	ck_assert_int_eq(loop_watch_level(lp, &pair_src[1], false), 0);
	ck_assert_int_eq(loop_run(lp), 0);
	ck_assert_uint_eq(nfired, 1);
	loop_free(lp);
}
END_TEST

static unsigned naps, turns;
static uint64_t nap_began_us, napped_us;
static struct loop_task nap;

static void
nap_over(struct loop_task *t)
{
	napped_us = loop_clock_us() - nap_began_us;
	if (++naps == 1)
		loop_nap(lp, t); /* again, from within */
	else
		loop_stop(lp);
}

static void
nap_turn(struct loop_task *t)
{
	if (naps < 2 && ++turns < 1000000)
		loop_later(lp, t);
}

START_TEST(a_nap_is_a_moment)
{
	static struct loop_task busy;

	lp = loop_new();
	nap.run = nap_over;
	nap_began_us = loop_clock_us();
	loop_nap(lp, &nap);
	loop_nap(lp, &nap); /* napping already */
	ck_assert_int_eq(loop_run(lp), 0);
	ck_assert_uint_eq(naps, 2);
	ck_assert_uint_ge(napped_us, 2 * LOOP_NAP_US);
	/* A busy loop has turns meanwhile, and the nap its time all the same. */
	naps = 0;
	busy.run = nap_turn;
	nap_began_us = loop_clock_us();
	loop_nap(lp, &nap);
	loop_later(lp, &busy);
	ck_assert_int_eq(loop_run(lp), 0);
	ck_assert_uint_gt(turns, 1);
	ck_assert_uint_ge(napped_us, 2 * LOOP_NAP_US);
	loop_free(lp);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("loop");
	TCase *t = tcase_create("loop");

	tcase_add_test(t, deadlines);
	tcase_add_test(t, far_deadline_waits_its_round);
	tcase_add_test(t, tasks);
	tcase_add_test(t, a_nap_is_a_moment);
	tcase_add_test(t, unwatched_in_the_same_turn);
	suite_add_tcase(s, t);
	return suite_run(s);
}
