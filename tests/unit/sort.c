/* sort: whatever comes in, in memory or spilled, comes out whole and in order. */
#include "tests/unit/suite.h"

#include <errno.h>
#include <fcntl.h>

#include "tools/mailboxes/quick.h"

enum { ITEMS = 30000, MEMORY = 16 * SORT_ITEM_MAX };

/* How the keys look: ${i} of ITEMS into ${key}; its length. */
static size_t
make_key(int shape, int i, char *key)
{
	switch (shape) {
	case 0: /* in order */
		return (size_t)snprintf(key, 64, "user%08d@example.org", i);
	case 1: /* backwards */
		return (size_t)snprintf(key, 64, "user%08d@example.org", ITEMS - i);
	case 2: /* at random, many doubles */
		return (size_t)snprintf(key, 64, "%ld", random() % 5000);
	case 3: /* one key */
		return (size_t)snprintf(key, 64, "@example.org");
	case 4: /* one is the beginning of another */
		memset(key, 'a', 40);
		return (size_t)(random() % 40) + 1;
	case 5: /* octets above 0x7f, around the ends of chunks */
		for (int j = 0; j < 17; j++)
			key[j] = (char)(random() % 2 ? 0xff : 1);
		return 7 + (size_t)(random() % 11);
	default: /* sorted blocks, as when lists are joined */
		return (size_t)snprintf(key, 64, "%05d-%d", i % 1000, i / 1000);
	}
}

static uint64_t
digest(const struct sort_item *it)
{
	uint64_t h = 14695981039346656037ULL ^ it->line ^ (uint64_t)it->what << 32;

	for (size_t i = 0; i < it->key.n; i++)
		h = (h ^ it->key.p[i]) * 1099511628211ULL;
	for (size_t i = 0; i < it->rec.n; i++)
		h = (h ^ it->rec.p[i]) * 1099511628211ULL;
	return h;
}

static void
check(struct sort *s, int n, uint64_t sum)
{
	char last[64], rec[256];
	struct sort_item it, prev = { 0 };
	int got = 0, rc;

	while ((rc = sort_next(s, &it)) == 1) {
		if (got > 0 && quick_compare(&prev, &it) > 0)
			ck_abort_msg("item %d is out of order", got);
		sum -= digest(&it);
		memcpy(last, it.key.p, it.key.n);
		memcpy(rec, it.rec.p, it.rec.n);
		prev = it;
		prev.key.p = (const uint8_t *)last;
		prev.rec.p = (const uint8_t *)rec;
		got++;
	}
	ck_assert_int_eq(rc, 0);
	ck_assert_int_eq(sort_next(s, &it), 0);
	ck_assert_int_eq(got, n);
	ck_assert_uint_eq(sum, 0);
}

START_TEST(shapes)
{
	int shape = _i / 2;
	size_t memory = _i % 2 ? 64 << 20 : MEMORY;
	char key[64], rec[200];
	struct sort *s = sort_new(AT_FDCWD, memory);
	uint64_t sum = 0;

	ck_assert_ptr_nonnull(s);
	memset(rec, 'r', sizeof(rec));
	srandom((unsigned)_i);
	for (int i = 0; i < ITEMS; i++) {
		struct sort_item it = { .line = (uint64_t)i, .what = (uint8_t)(random() % 4) };

		it.key = span_of(key, make_key(shape, i, key));
		it.rec = span_of(rec, (size_t)random() % sizeof(rec));
		if (sort_add(s, &it) != 0)
			ck_abort_msg("item %d: %s", i, strerror(errno));
		sum += digest(&it);
	}
	ck_assert_uint_eq(sort_count(s), ITEMS);
	ck_assert_int_eq(sort_finish(s), 0);
	check(s, ITEMS, sum);
	sort_free(s);
}
END_TEST

START_TEST(edges)
{
	struct sort *s = sort_new(AT_FDCWD, MEMORY);
	char *big = calloc(1, SORT_ITEM_MAX);
	struct sort_item it = { .key = SPAN("k"), .rec = span_of(big, SORT_ITEM_MAX) };

	ck_assert_int_eq(sort_add(s, &it), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(sort_finish(s), 0);
	ck_assert_int_eq(sort_next(s, &it), 0);
	sort_free(s);

	/* Items that are as large as may be: several runs of a few. */
	s = sort_new(AT_FDCWD, MEMORY);
	for (int i = 100; i-- > 0;) {
		char key[4];

		snprintf(key, sizeof(key), "%03d", i);
		it = (struct sort_item){
			.key = span_of(key, 3), .rec = span_of(big, SORT_ITEM_MAX - QUICK_HEAD - 3), .line = (uint64_t)i
		};
		ck_assert_int_eq(sort_add(s, &it), 0);
	}
	ck_assert_int_eq(sort_finish(s), 0);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_int_eq(sort_next(s, &it), 1);
		ck_assert_uint_eq(it.line, i);
	}
	ck_assert_int_eq(sort_next(s, &it), 0);
	sort_free(s);
	sort_free(NULL);
	free(big);
}
END_TEST

static void
in_tmp(void)
{
	const char *tmp = getenv("TMPDIR");

	ck_assert_int_eq(chdir(tmp != NULL ? tmp : "/tmp"), 0);
}

int
main(void)
{
	Suite *s = suite_create("sort");
	TCase *t = tcase_create("sort");

	tcase_add_checked_fixture(t, in_tmp, NULL);
	tcase_add_loop_test(t, shapes, 0, 14);
	tcase_add_test(t, edges);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return suite_run(s);
}
