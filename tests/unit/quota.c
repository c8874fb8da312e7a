/*
 * quota: what a message that is on its way has counted, when its mailbox is
 * counted anew or the message is taken back in that very moment.  A message for
 * very many mailboxes is synced by syncfs() before it is placed and after it: that
 * is where others act here.
 */
#include "worker/store/quota.h"

#include <sys/syscall.h>

#include "common/maildirsize.h"
#include "tests/unit/storefix.h"

static struct fix f;
static unsigned syncs;
static int (*on_sync)(unsigned nth); /* 0, or the errno with which it fails */

int
syncfs(int fd)
{
	int error = on_sync != NULL ? on_sync(++syncs) : 0;

	if (error == 0)
		return (int)syscall(SYS_syncfs, fd);
	errno = error;
	return -1;
}

static const struct quota_limit one = { 0, 1 };

static int
home_of(unsigned user)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/example.org/user%u", f.path, user);
	fd = open(path, O_RDONLY | O_DIRECTORY);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void
recount(unsigned user)
{
	struct maildirsize m;
	int home = home_of(user);

	ck_assert_int_eq(maildirsize_recalculate(home, &one, &m), 0);
	close(home);
}

/* What the file says, and what stands in the folders: messages. */
static void
check_box(unsigned user, int says, int new, int cur)
{
	char sub[64];
	struct maildirsize m;
	int home = home_of(user);

	ck_assert_int_eq(maildirsize_read(home, &m), 0);
	ck_assert_int_eq(m.messages, says);
	ck_assert(says > 0 || m.octets == 0);
	close(home);
	snprintf(sub, sizeof(sub), "example.org/user%u/new", user);
	ck_assert_int_eq(fix_count(&f, sub, NULL), new);
	snprintf(sub, sizeof(sub), "example.org/user%u/cur", user);
	ck_assert_int_eq(fix_count(&f, sub, NULL), cur);
}

/* A message for MAILDIR_BULK mailboxes, each of which may hold one. */
static void
deliver(bool all)
{
	struct store_msg *m;
	char user[32];

	fix_open(&f, true, 2, 8);
	f.env.quota = true;
	for (unsigned i = 0; i < MAILDIR_BULK; i++) {
		snprintf(user, sizeof(user), "user%u", i);
		fix_target(&f, user, "");
	}
	for (struct target *t = f.txn->targets; t != NULL; t = t->next)
		t->quota = one;
	m = fix_begin(&f);
	ck_assert_int_eq(fix_write(&f, m, SPAN("Subject: x\r\n\r\nx\r\n"), 100), 0);
	fix_commit(&f, m, all);
}

START_TEST(delivered)
{
	deliver(true);
	ck_assert_int_eq(f.done.err, 0);
	for (unsigned i = 0; i < MAILDIR_BULK; i++)
		check_box(i, 1, 1, 0);
	fix_close(&f);
}
END_TEST

/* The names could not be made durable: all is taken back.  Two were counted anew before, with the message in it; a third was read by its owner. */
static int
fails_late(unsigned nth)
{
	char from[NAME_MAX + 8], to[NAME_MAX + 8], name[NAME_MAX + 1];
	int home;

	if (nth != 2)
		return 0;
	recount(1);
	recount(2);
	home = home_of(3);
	ck_assert_int_eq(fix_count(&f, "example.org/user3/new", name), 1);
	snprintf(from, sizeof(from), "new/%s", name);
	snprintf(to, sizeof(to), "cur/%s", name);
	ck_assert_int_eq(renameat2(home, from, home, to, 0), 0);
	close(home);
	return EIO;
}

START_TEST(taken_back_after_it_was_placed)
{
	on_sync = fails_late;
	deliver(true);
	ck_assert_int_eq(f.done.err, EIO);
	for (unsigned i = 0; i < MAILDIR_BULK; i++)
		check_box(i, i == 3 ? 1 : 0, 0, i == 3 ? 1 : 0);
	fix_close(&f);
}
END_TEST

/* Staged, and counted; then the mailbox is counted anew, and another message takes the room. */
static int
another_is_faster(unsigned nth)
{
	uint64_t id = 0;
	int home, fd;

	if (nth != 1)
		return 0;
	recount(5);
	home = home_of(5);
	ck_assert_int_eq(maildirsize_room(home, &one, 10, &id), 0);
	ck_assert_int_eq(maildirsize_hold(home, id), 0);
	fd = openat(home, "new/1.other,S=10", O_CREAT | O_EXCL | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	close(home);
	recount(6); /* has room for it all the same */
	return 0;
}

START_TEST(counted_anew_before_it_was_placed)
{
	bool all = _i == 0;

	on_sync = another_is_faster;
	deliver(all);
	ck_assert_int_eq(f.done.err, EDQUOT);
	ck_assert_int_eq(f.done.nstored, all ? 0 : MAILDIR_BULK - 1);
	for (unsigned i = 0; i < MAILDIR_BULK; i++)
		check_box(i, i == 5 || !all ? 1 : 0, i == 5 || !all ? 1 : 0, 0);
	fix_close(&f);
}
END_TEST

/* The first sync fails: nothing was placed. */
static int
fails_early(unsigned nth)
{
	if (nth == 1)
		recount(7);
	return nth == 1 ? EIO : 0;
}

START_TEST(taken_back_before_it_was_placed)
{
	on_sync = fails_early;
	deliver(true);
	ck_assert_int_eq(f.done.err, EIO);
	for (unsigned i = 0; i < MAILDIR_BULK; i++)
		check_box(i, 0, 0, 0);
	fix_close(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("quota");
	TCase *t = tcase_create("quota");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, delivered);
	tcase_add_test(t, taken_back_after_it_was_placed);
	tcase_add_loop_test(t, counted_anew_before_it_was_placed, 0, 2);
	tcase_add_test(t, taken_back_before_it_was_placed);
	suite_add_tcase(s, t);
	return suite_run(s);
}
