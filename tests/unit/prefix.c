/*
 * prefix: the longest prefix wins, at every border; and thousands of networks
 * give what a look at each of them gives.
 */
#include "common/prefix.h"

#include "tests/unit/suite.h"

#define V4(a, b, c, d) \
	{ \
		[10] = 0xff, 0xff, a, b, c, d \
	}

static const struct prefix nets[] = {
	{ V4(10, 0, 0, 0), 104, 1 }, { V4(10, 1, 0, 0), 112, 2 }, { V4(10, 1, 1, 1), 128, 3 },
	{ V4(10, 255, 0, 0), 112, 4 }, /* ends where the one around it ends */
	{ V4(10, 0, 0, 0), 112, 5 },   /* begins where the one around it begins */
	{ V4(10, 1, 1, 1), 128, 9 },   /* the same again: the earlier one counts */
	{ V4(192, 0, 2, 77), 120, 6 }, /* bits behind the prefix */
	{ V4(192, 0, 3, 0), 120, 6 },  /* adjacent, the same answer */
	{ { 0xff, [15] = 1 }, 8, 7 },  /* to the last address of all */
};

static const struct {
	uint8_t addr[16], want;
} row[] = {
	{ V4(9, 255, 255, 255), 0 },
	{ V4(10, 0, 0, 0), 5 },
	{ V4(10, 0, 255, 255), 5 },
	{ V4(10, 1, 0, 0), 2 },
	{ V4(10, 1, 1, 0), 2 },
	{ V4(10, 1, 1, 1), 3 },
	{ V4(10, 1, 1, 2), 2 },
	{ V4(10, 2, 0, 0), 1 },
	{ V4(10, 254, 255, 255), 1 },
	{ V4(10, 255, 0, 0), 4 },
	{ V4(10, 255, 255, 255), 4 },
	{ V4(11, 0, 0, 0), 0 },
	{ V4(192, 0, 1, 255), 0 },
	{ V4(192, 0, 2, 0), 6 },
	{ V4(192, 0, 3, 255), 6 },
	{ V4(192, 0, 4, 0), 0 },
	{ { 0 }, 0 },
	{ { [12] = 10 }, 0 }, /* not mapped */
	{ { 0xfe, 0xff, 0xff }, 0 },
	{ { 0xff }, 7 },
	{ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 7 },
};

START_TEST(longest_prefix_wins)
{
	struct prefix_table *t = prefix_new(nets, sizeof(nets) / sizeof(*nets));

	ck_assert_uint_eq(prefix_find(t, row[_i].addr), row[_i].want);
	prefix_free(t);
}
END_TEST

START_TEST(an_empty_table_has_nothing_and_one_has_all)
{
	const struct prefix all = { .bits = 0, .value = 3 };
	struct prefix_table *t = prefix_new(NULL, 0);

	ck_assert_uint_eq(prefix_find(t, row[1].addr), 0);
	prefix_free(t);
	t = prefix_new(&all, 1);
	ck_assert_uint_eq(prefix_find(t, row[16].addr), 3);
	ck_assert_uint_eq(prefix_find(t, row[20].addr), 3);
	prefix_free(t);
}
END_TEST

static bool
inside(const struct prefix *p, const uint8_t a[16])
{
	for (unsigned i = 0; i < p->bits; i++)
		if (((p->addr[i / 8] ^ a[i / 8]) >> (7 - i % 8) & 1) != 0)
			return false;
	return true;
}

/* Few addresses and many networks, so that they nest and meet. */
START_TEST(agrees_with_a_look_at_each)
{
	enum { N = 3000 };
	static struct prefix p[N];
	struct prefix_table *t;

	srandom((unsigned)_i);
	for (int i = 0; i < N; i++) {
		p[i] = (struct prefix){ .addr = { [14] = (uint8_t)random(), (uint8_t)random() },
			.bits = (uint8_t)(random() % 4 == 0 ? random() % 129 : 112 + random() % 17),
			.value = (uint8_t)(1 + random() % 250) };
		if (random() % 50 == 0)
			p[i].addr[0] = 0xff;
	}
	t = prefix_new(p, N);
	for (int k = 0; k < 2000; k++) {
		uint8_t a[16] = { [0] = random() % 50 == 0 ? 0xff : 0, [14] = (uint8_t)random(), (uint8_t)random() };
		int best = -1;

		for (int i = 0; i < N; i++)
			if (inside(&p[i], a) && (best == -1 || p[i].bits > p[best].bits))
				best = i;
		ck_assert_uint_eq(prefix_find(t, a), best == -1 ? 0 : p[best].value);
	}
	prefix_free(t);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("prefix");
	TCase *t = tcase_create("prefix");
	tcase_set_timeout(t, 60); /* sanitized, on a busy machine */

	tcase_add_loop_test(t, longest_prefix_wins, 0, (int)(sizeof(row) / sizeof(*row)));
	tcase_add_test(t, an_empty_table_has_nothing_and_one_has_all);
	tcase_add_loop_test(t, agrees_with_a_look_at_each, 0, 5);
	suite_add_tcase(s, t);
	return suite_run(s);
}
