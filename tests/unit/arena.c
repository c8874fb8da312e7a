/*
 * arena: alignment, zeroes, the limit to the octet, and that what was handed
 * out stays where it is.
 */
#include "common/arena.h"

#include <errno.h>

#include "tests/unit/suite.h"

START_TEST(costs_nothing_until_used)
{
	struct arena a;

	arena_init(&a, 2048, 1 << 20);
	ck_assert_ptr_null(a.head);
	ck_assert_uint_eq(a.held, 0);
	arena_reset(&a);
	ck_assert_ptr_nonnull(arena_alloc(&a, 1));
	ck_assert_uint_eq(a.held, 2048);
	arena_reset(&a);
	ck_assert_ptr_null(a.head);
	ck_assert_uint_eq(a.held, 0);
}
END_TEST

/* Each allocation is filled with its own octet and looked at again at the end: none overlaps another. */
START_TEST(allocations_are_apart_zeroed_and_aligned)
{
	enum { N = 2000 };
	static uint8_t *p[N];
	static size_t n[N];
	uint32_t seed = 7;
	size_t wrong = 0;
	struct arena a;

	arena_init(&a, 512, 64 << 20);
	for (int i = 0; i < N; i++) {
		seed = seed * 1664525 + 1013904223;
		n[i] = i % 100 == 99 ? 40000 + (seed >> 16) : (seed >> 16) % 300;
		p[i] = arena_alloc(&a, n[i]);
		ck_assert_ptr_nonnull(p[i]);
		ck_assert_uint_eq((uintptr_t)p[i] % _Alignof(max_align_t), 0);
		for (size_t k = 0; k < n[i]; k++)
			wrong += p[i][k] != 0;
		memset(p[i], i % 255 + 1, n[i]);
	}
	for (int i = 0; i < N; i++)
		for (size_t k = 0; k < n[i]; k++)
			wrong += p[i][k] != i % 255 + 1;
	ck_assert_uint_eq(wrong, 0);
	arena_reset(&a);
}
END_TEST

START_TEST(never_holds_more_than_its_limit)
{
	static const size_t ask[] = { 1, 16, 100, 1000, 3000, 5000 };

	for (size_t i = 0; i < sizeof(ask) / sizeof(ask[0]); i++) {
		struct arena a;
		size_t got = 0;

		arena_init(&a, 256, 10000);
		while (arena_alloc(&a, ask[i]) != NULL) {
			got += ask[i];
			ck_assert_uint_le(a.held, 10000);
			ck_assert_uint_le(got, 10000);
		}
		ck_assert_int_eq(errno, ENOMEM);
		/* The limit is of use: less than one request and the chunks' heads is lost. */
		if (ask[i] >= 16)
			ck_assert_uint_gt(got + ask[i] + ask[i] / 2 + 1500, 10000);
		arena_reset(&a);
	}
}
END_TEST

START_TEST(refuses_the_absurd_and_stays_unchanged)
{
	static const size_t ask[] = { SIZE_MAX, SIZE_MAX - 15, SIZE_MAX - 40, SIZE_MAX / 2, 100000 };
	struct arena a;

	arena_init(&a, 256, 10000);
	ck_assert_ptr_nonnull(arena_alloc(&a, 10));
	for (size_t i = 0; i < sizeof(ask) / sizeof(ask[0]); i++) {
		size_t held = a.held;

		errno = 0;
		ck_assert_ptr_null(arena_alloc(&a, ask[i]));
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_uint_eq(a.held, held);
	}
	ck_assert_ptr_nonnull(arena_alloc(&a, 10));
	arena_reset(&a);
}
END_TEST

START_TEST(dup_copies)
{
	char text[] = "hello";
	struct span out = { NULL, 77 };
	struct arena a;

	arena_init(&a, 64, 256);
	ck_assert_int_eq(arena_dup(&a, guarded_str(text), &out), 0);
	ck_assert(span_eq(out, SPAN("hello")));
	ck_assert_int_eq(arena_dup(&a, span_of(NULL, 0), &out), 0);
	ck_assert_uint_eq(out.n, 0);
	out = SPAN("as it was");
	ck_assert_int_eq(arena_dup(&a, guarded(NULL, 0), &out), 0);
	out = SPAN("as it was");
	ck_assert_int_eq(arena_dup(&a, span_of(text, 100000), &out), -1);
	ck_assert(span_eq(out, SPAN("as it was")));
	arena_reset(&a);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("arena");
	TCase *t = tcase_create("arena");

	tcase_add_test(t, costs_nothing_until_used);
	tcase_add_test(t, allocations_are_apart_zeroed_and_aligned);
	tcase_add_test(t, never_holds_more_than_its_limit);
	tcase_add_test(t, refuses_the_absurd_and_stays_unchanged);
	tcase_add_test(t, dup_copies);
	suite_add_tcase(s, t);
	return suite_run(s);
}
