/*
 * What a file system holds is asked by the time that has passed, however often the loop looks after it.
 */
#include <poll.h>

#include "tests/unit/suite.h"
#include "worker/room.h"

static struct stats_slot slot;

/* One look at ${ms}; how many questions it brought. */
static unsigned
look(struct iopool *p, uint64_t ms)
{
	struct pollfd fd = { .fd = iopool_fd(p), .events = POLLIN };
	unsigned n;

	room_tick(p, &slot, ms);
	if ((n = iopool_pending(p)) > 0) {
		ck_assert_int_eq(poll(&fd, 1, 20000), 1);
		iopool_reap(p);
	}
	return n;
}

/* As often as a worker looks, and as rarely as a busy one does. */
static const struct {
	unsigned every_ms, looks, asked;
} rows[] = {
	{ 500, 61, 4 },
	{ 600, 51, 3 },
	{ 1000, 31, 4 },
	{ 9000, 4, 2 },
	{ 10000, 4, 4 },
};

START_TEST(by_the_clock)
{
	struct iopool *p = iopool_start(1, 4);
	const char *dir = getenv("TMPDIR");
	unsigned asked = 0;

	ck_assert_ptr_nonnull(p);
	ck_assert_int_eq(room_open(dir != NULL ? dir : "/tmp"), 0);
	for (unsigned i = 0; i < rows[_i].looks; i++)
		asked += look(p, 5000 + (uint64_t)i * rows[_i].every_ms);
	ck_assert_uint_eq(asked, rows[_i].asked);
	ck_assert_uint_gt(slot.gauge[STATS_STORE_SIZE], 0);
	iopool_stop(p);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("room");
	TCase *c = tcase_create("room");

	tcase_add_loop_test(c, by_the_clock, 0, sizeof(rows) / sizeof(rows[0]));
	suite_add_tcase(s, c);
	return suite_run(s);
}
