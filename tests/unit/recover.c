/*
 * What a worker does with the journals that it finds: its own of an earlier
 * life, and those of dead owners.  Calls that cannot be made to fail otherwise
 * are replaced here.
 */
#include "tests/unit/journalfix.h"

#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static unsigned syncs, syncs_fail, unlinks_fail;

/* The C library's declarations name what they take in its own reserved way. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
int
syncfs(int fd)
{
	syncs++;
	if (syncs_fail > 0) {
		syncs_fail--;
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_syncfs, fd);
}

int
unlinkat(int at, const char *name, int flags)
{
	if (unlinks_fail > 0) {
		unlinks_fail--;
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_unlinkat, at, name, flags);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

/* The owner of x.j is dead: the journal of worker ${id} of another life of the machine, or of the same. */
static struct journal
survivor(struct seg_fix *x, unsigned id, bool crashed)
{
	struct journal j = { .md = x->j.md, .size = x->j.size, .life = x->j.life, .id = id, .dir = x->j.dir };
	int lock = journal_lock(&x->j, x->j.id, true);

	ck_assert_int_ne(lock, -1);
	close(lock);
	if (crashed)
		j.life.mount++;
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		j.seg[i] = (struct journal_seg){ .fd = -1, .mark = -1 };
	syncs = syncs_fail = unlinks_fail = 0;
	return j;
}

static void
end(struct seg_fix *x, struct journal *j)
{
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		journal_seg_close(&j->seg[i]);
	seg_fix_close(x);
}

static void
path_of(const struct seg_fix *x, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", x->f.path, name);
}

static bool
stands(const struct seg_fix *x, const char *name)
{
	char path[PATH_MAX];

	path_of(x, name, path);
	return access(path, F_OK) == 0;
}

/* --- heads --- */

/* Whatever it says, records may stand behind it: nothing is removed, and nothing that was kept before is replaced. */
START_TEST(damaged_heads_are_kept)
{
	static const char *const kept[] = { "0.0.bad", "0.0.bad.1", "0.0.bad.2" };
	char name[UNIQUE_MAX], last[NAME_MAX + 1], path[PATH_MAX];
	struct seg_fix x;
	struct journal j;

	for (unsigned own = 0; own < 2; own++) {
		seg_fix_open(&x);
		for (unsigned i = 0; i < 3; i++) {
			struct stat st;

			if (i > 0) {
				ck_assert_int_eq(journal_seg_create(&x.j, 0), 0);
				ck_assert_int_eq(journal_seg_begin(&x.j, &x.j.seg[0]), 0);
				x.seg = x.j.seg[0];
			}
			append_message(&x, 1, name);
			ck_assert_int_eq(fstat(x.seg.fd, &st), 0);
			ck_assert_int_eq(pwrite(x.seg.fd, "\x11", 1, i == 0 ? 0 : 20), 1);
			if (i == 2)
				ck_assert_int_eq(ftruncate(x.seg.fd, st.st_size - 1), 0);
			journal_seg_close(&x.j.seg[0]);
			j = survivor(&x, own ? 0 : 5, true);
			ck_assert_int_eq(journal_recover(&j, own ? JOURNAL_OWN : JOURNAL_DEAD), 0);
			ck_assert(!stands(&x, JOURNAL_FOLDER "/0.0"));
			snprintf(path, sizeof(path), "%s/" JOURNAL_FOLDER "/%s", x.f.path, kept[i]);
			ck_assert_msg(access(path, F_OK) == 0, "%s was not kept", kept[i]);
			ck_assert_uint_eq(count_files(&x, 0, "new", last), 0);
		}
		end(&x, &j);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("recover");
	TCase *h = tcase_create("heads");

	tcase_add_test(h, damaged_heads_are_kept);
	suite_add_tcase(s, h);
	return suite_run(s);
}
