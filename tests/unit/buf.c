/*
 * buf: the queue against a plain model, and its promises at the cap.
 */
#include "common/buf.h"

#include <errno.h>
#include <signal.h>

#include "tests/unit/suite.h"

START_TEST(empty_holds_nothing)
{
	struct buf b;

	buf_init(&b, 4096);
	ck_assert_ptr_null(b.base);
	ck_assert_uint_eq(b.cap, 0);
	ck_assert_uint_eq(buf_len(&b), 0);
	ck_assert_uint_eq(buf_left(&b), 4096);
	ck_assert_uint_eq(buf_view(&b).n, 0);
	buf_drop(&b, 0);
	buf_free(&b);
	ck_assert_uint_eq(b.max, 4096);
}
END_TEST

START_TEST(put_is_all_or_nothing_at_the_cap)
{
	static const size_t max[] = { 1, 2, 255, 256, 257, 1000, 65536 };
	struct span s;

	for (size_t i = 0; i < sizeof(max) / sizeof(max[0]); i++) {
		uint8_t *data = calloc(1, max[i] + 1);
		struct buf b;

		memset(data, 'x', max[i]);
		buf_init(&b, max[i]);
		errno = 0;
		ck_assert_int_eq(buf_put(&b, data, max[i] + 1), -1);
		ck_assert_int_eq(errno, ENOBUFS);
		ck_assert_uint_eq(buf_len(&b), 0);
		ck_assert_int_eq(buf_put(&b, data, max[i]), 0);
		ck_assert_uint_le(b.cap, max[i]);
		errno = 0;
		ck_assert_int_eq(buf_put(&b, data, 1), -1);
		ck_assert_int_eq(errno, ENOBUFS);
		ck_assert_int_eq(buf_put(&b, data, 0), 0);
		s = buf_view(&b);
		ck_assert(span_eq(s, span_of(data, max[i])));
		buf_free(&b);
		ck_assert_ptr_null(b.base);
		free(data);
	}
}
END_TEST

START_TEST(room_says_how_much_fits)
{
	struct buf b;
	uint8_t *p;
	size_t n = 99;

	buf_init(&b, 300);
	p = buf_room(&b, 1000, &n);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(n, 300);
	ck_assert_uint_eq(buf_len(&b), 0);
	memset(p, 'a', n);
	buf_added(&b, n);
	n = 99;
	errno = 0;
	ck_assert_ptr_null(buf_room(&b, 1, &n));
	ck_assert_int_eq(errno, ENOBUFS);
	buf_drop(&b, 10);
	p = buf_room(&b, 20, &n); /* only by moving to the front */
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(n, 10);
	memset(p, 'b', n);
	buf_added(&b, n);
	ck_assert_uint_eq(buf_len(&b), 300);
	ck_assert_int_eq(buf_view(&b).p[289], 'a');
	ck_assert_int_eq(buf_view(&b).p[290], 'b');
	buf_free(&b);
}
END_TEST

/* An idle queue of a session must not keep a block that grows for ever. */
START_TEST(steady_traffic_does_not_grow)
{
	uint8_t data[200] = { 0 };
	struct buf b;

	buf_init(&b, 1 << 20);
	for (int i = 0; i < 10000; i++) {
		ck_assert_int_eq(buf_put(&b, data, sizeof(data)), 0);
		if (i > 0)
			buf_drop(&b, sizeof(data));
	}
	ck_assert_uint_le(b.cap, 1024);
	buf_free(&b);
}
END_TEST

/* Random puts and drops; octets are numbered, so a lost or doubled one is seen. */
START_TEST(behaves_like_a_queue)
{
	uint64_t in = 0, out = 0, wrong = 0, seed = 42;
	struct buf b;

	buf_init(&b, 5000);
	for (int step = 0; step < 200000; step++) {
		uint8_t data[700];
		size_t n;

		seed = seed * 6364136223846793005U + 1442695040888963407U;
		n = (seed >> 33) % sizeof(data);
		if (seed >> 63) {
			for (size_t i = 0; i < n; i++)
				data[i] = (uint8_t)(in + i) ^ (uint8_t)((in + i) >> 8);
			if (buf_put(&b, data, n) == 0)
				in += n;
			else
				ck_assert_uint_gt(n, 5000 - (in - out));
		} else {
			struct span v = buf_view(&b);

			n = n < v.n ? n : v.n;
			for (size_t i = 0; i < n; i++)
				wrong += v.p[i] != ((uint8_t)(out + i) ^ (uint8_t)((out + i) >> 8));
			buf_drop(&b, n);
			out += n;
		}
		wrong += buf_len(&b) != in - out || b.cap > 5000;
	}
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_gt(out, 1 << 20);
	buf_free(&b);
}
END_TEST

START_TEST(drop_too_much_aborts)
{
	struct buf b;

	buf_init(&b, 10);
	buf_drop(&b, 1);
}
END_TEST

START_TEST(added_too_much_aborts)
{
	struct buf b;
	size_t n;

	buf_init(&b, 10);
	buf_room(&b, 10, &n);
	buf_added(&b, 11);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("buf");
	TCase *t = tcase_create("buf");

	tcase_add_test(t, empty_holds_nothing);
	tcase_add_test(t, put_is_all_or_nothing_at_the_cap);
	tcase_add_test(t, room_says_how_much_fits);
	tcase_add_test(t, steady_traffic_does_not_grow);
	tcase_add_test(t, behaves_like_a_queue);
	tcase_add_test_raise_signal(t, drop_too_much_aborts, SIGABRT);
	tcase_add_test_raise_signal(t, added_too_much_aborts, SIGABRT);
	suite_add_tcase(s, t);
	return suite_run(s);
}
