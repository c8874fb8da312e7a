/*
 * Group commit among threads: a small journal, many messages under way at
 * once, and the background sync and its segments beside them.  All is there
 * afterwards; what threads have no right to look at is ThreadSanitizer's to
 * say (make check-threads).
 */
#include "tests/unit/storefix.h"
#include "worker/store/journal.h"

enum {
	SEGMENT = 160 << 10, /* room for some twenty batches */
	THREADS = 6,
	UNDER_WAY = 12,
	MESSAGES = 3000 /* so many that segments are made, filled and retired beside them */
};

static const char mail[] = "Subject: hi\n\nthe text\n";

static void
open_journal(struct fix *f)
{
	fix_open(f, true, THREADS, 2 * UNDER_WAY);
	store_maildir.close(f->ctx);
	f->conf.journal = (uint64_t)SEGMENT * JOURNAL_SEGMENTS;
	ck_assert_int_eq(store_journal.open(&f->env, &f->ctx), 0);
}

static void
close_journal(struct fix *f)
{
	iopool_stop(f->pool);
	store_journal.close(f->ctx);
	arena_reset(&f->arena);
	fix_remove(AT_FDCWD, f->path);
}

/* One more message of ${own}'s, to a mailbox of its own. */
static void
deliver(struct fix *own, unsigned no)
{
	struct store_msg *m;
	char user[16];

	snprintf(user, sizeof(user), "user%u", no);
	fix_again(own);
	fix_target(own, user, "");
	m = fix_begin(own);
	ck_assert_int_eq(fix_write(own, m, span_str(mail), sizeof(mail)), 0);
	store_journal.commit(m, false, fix_ended, own);
}

static unsigned
journaled(const struct fix *f)
{
	const struct maildir *md = f->ctx;

	return md->journal->next_use > 0 ? (unsigned)md->journal->batches : 0;
}

/* Sends until ${n} have ended; how many did so well. */
static unsigned
send_all(struct fix *f, struct fix own[UNDER_WAY], unsigned n)
{
	unsigned sent = 0, ended = 0, good = 0;

	for (unsigned i = 0; i < UNDER_WAY; i++) {
		own[i] = (struct fix){ .pool = f->pool, .ctx = f->ctx };
		arena_init(&own[i].arena, TXN_ARENA_FIRST, TXN_ARENA_MAX);
		deliver(&own[i], i);
		sent++;
	}
	while (ended < n) {
		fix_turn(f);
		for (unsigned i = 0; i < UNDER_WAY; i++) {
			if (own[i].ended == 0)
				continue;
			own[i].ended = 0;
			ended++;
			good += own[i].done.err == 0;
			if (sent < n) {
				deliver(&own[i], i);
				sent++;
			}
		}
	}
	for (unsigned i = 0; i < UNDER_WAY; i++)
		arena_reset(&own[i].arena);
	return good;
}

START_TEST(many_at_once)
{
	struct fix f, own[UNDER_WAY];
	unsigned found = 0;

	open_journal(&f);
	ck_assert_uint_eq(send_all(&f, own, MESSAGES), MESSAGES);
	ck_assert_uint_gt(journaled(&f), 0);
	for (unsigned i = 0; i < UNDER_WAY; i++) {
		char sub[64];
		int n;

		snprintf(sub, sizeof(sub), "example.org/user%u/new", i);
		n = fix_count(&f, sub, NULL);
		ck_assert_int_gt(n, 0);
		found += (unsigned)n;
		snprintf(sub, sizeof(sub), "example.org/user%u/tmp", i);
		ck_assert_int_eq(fix_count(&f, sub, NULL), 0);
	}
	ck_assert_uint_eq(found, MESSAGES);
	close_journal(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("group");
	TCase *c = tcase_create("group");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, many_at_once);
	suite_add_tcase(s, c);
	return suite_run(s);
}
