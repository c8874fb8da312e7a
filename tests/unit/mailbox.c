/*
 * The cache of mailboxes, past its end: a mailbox that is no longer remembered
 * is found again, and made again where its owner took something away.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/suite.h"
#include "worker/store/mailbox.h"

static char base[64];
static int root;
static struct unique unique;
static struct mailboxes *boxes;

static void
setup(void)
{
	const char *dir = getenv("TMPDIR");

	snprintf(base, sizeof(base), "%s/letterplate-mailbox-XXXXXX", dir != NULL && strlen(dir) < 30 ? dir : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(base));
	unique_init(&unique, "mx.example", 1);
	root = open(base, O_RDONLY | O_DIRECTORY);
	ck_assert_ptr_nonnull(boxes = mailbox_cache_new(root, &unique));
}

static void
teardown(void)
{
	mailbox_cache_free(boxes);
	close(root);
}

static int
visit(const char *dir, const char *folder)
{
	struct span f = span_str(folder);
	struct mailbox mb = { .make = false };
	int r = mailbox_enter_lazy(boxes, span_str(dir), &f, &mb), err = errno;

	if (r == 0) {
		ck_assert_int_eq(mb.tmp, -1);
		r = mailbox_tmp(&mb) == -1 ? -1 : 0;
		err = errno;
		mailbox_leave(&mb);
	}
	errno = err;
	return r;
}

/* Visit so many others that what came before is not remembered. */
static void
push_out(void)
{
	char dir[32];

	for (unsigned i = 0; i < MAILBOX_CACHE; i++) {
		snprintf(dir, sizeof(dir), "other.example/u%u", i);
		ck_assert_int_eq(visit(dir, ""), 0);
	}
}

static bool
is_there(const char *name)
{
	struct stat st;

	return fstatat(root, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

START_TEST(found_without_making)
{
	ck_assert_int_eq(visit("d/l", ""), 0);
	ck_assert(is_there("d/l/cur"));
	push_out();
	ck_assert_int_eq(unlinkat(root, "d/l/cur", AT_REMOVEDIR), 0);
	ck_assert_int_eq(visit("d/l", ""), 0);
	ck_assert_msg(!is_there("d/l/cur"), "it was made again, so it was not found");
}
END_TEST

START_TEST(made_again)
{
	static const char *const gone[] = { "d/l/new", "d/l/tmp" };

	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
		ck_assert_int_eq(visit("d/l", ""), 0);
		push_out();
		ck_assert_int_eq(unlinkat(root, gone[i], AT_REMOVEDIR), 0);
		ck_assert_int_eq(visit("d/l", ""), 0);
		ck_assert(is_there(gone[i]));
	}
	push_out();
	ck_assert_int_eq(renameat(root, "d", root, "away"), 0);
	ck_assert_int_eq(visit("d/l", ""), 0);
	ck_assert(is_there("d/l/new"));
}
END_TEST

START_TEST(subfolder)
{
	ck_assert_int_eq(visit("d/l", ""), 0);
	ck_assert_int_eq(mkdirat(root, "d/l/.Junk", 0700), 0);
	ck_assert_int_eq(visit("d/l", "Junk"), 0);
	ck_assert(is_there("d/l/.Junk/new"));
	push_out();
	ck_assert_int_eq(visit("d/l", "Junk"), 0);
	ck_assert_int_eq(unlinkat(root, "d/l/.Junk/new", AT_REMOVEDIR), 0);
	push_out();
	ck_assert_int_eq(visit("d/l", "Junk"), 0);
	ck_assert(is_there("d/l/.Junk/new"));
}
END_TEST

/* A power cut can take the mark of a folder and leave the folder: the next process that is to make it puts it back. */
START_TEST(mark_put_back)
{
	struct span f = span_str("Junk");
	struct mailbox mb = { .make = true };
	struct stat st;

	ck_assert_int_eq(visit("d/l", ""), 0);
	ck_assert_int_eq(mkdirat(root, "d/l/.Junk", 0700), 0);
	ck_assert_int_eq(mailbox_enter_lazy(boxes, span_str("d/l"), &f, &mb), 0);
	mailbox_leave(&mb);
	ck_assert_int_eq(fstatat(root, "d/l/.Junk/maildirfolder", &st, AT_SYMLINK_NOFOLLOW), 0);
	ck_assert(is_there("d/l/.Junk/new"));
}
END_TEST

/* Wherever it stands in the path, and whether the mailbox is remembered, was seen once, or is new. */
START_TEST(no_symbolic_link)
{
	static const char *const where[] = { "d", "d/l", "d/l/tmp", "d/l/new" };
	const char *there = where[_i % 4];
	bool remembered = _i >= 4;

	ck_assert_int_eq(visit("d/l", ""), 0);
	if (!remembered)
		push_out();
	ck_assert_int_eq(renameat(root, there, root, "moved"), 0);
	ck_assert_int_eq(symlinkat(strlen(there) < 2 ? "moved"
				 : strlen(there) < 4 ? "../moved"
						     : "../../moved",
			     root, there),
	    0);
	if (remembered && strcmp(there, "d") == 0) { /* it is the very folder that is remembered */
		ck_assert_int_eq(visit("d/l", ""), 0);
		return;
	}
	ck_assert_int_eq(visit("d/l", ""), -1);
	ck_assert_int_eq(errno, ENOTDIR);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("mailbox");
	TCase *tc = tcase_create("mailbox");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, found_without_making);
	tcase_add_test(tc, made_again);
	tcase_add_test(tc, subfolder);
	tcase_add_test(tc, mark_put_back);
	tcase_add_loop_test(tc, no_symbolic_link, 0, 8);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
