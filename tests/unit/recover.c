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
static void (*meanwhile)(void); /* happens within the next sync, of the file system or of a file */

static void
happen(void)
{
	void (*f)(void) = meanwhile;

	meanwhile = NULL;
	if (f != NULL)
		f();
}

/* The C library's declarations name what they take in its own reserved way. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
int
syncfs(int fd)
{
	bool fails = syncs_fail > 0;

	syncs++;
	syncs_fail -= fails;
	happen();
	if (fails) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_syncfs, fd);
}

int
fdatasync(int fd)
{
	happen();
	return (int)syscall(SYS_fdatasync, fd);
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

/* A file stands where the mailbox of user0 would. */
static void
block_user0(const struct seg_fix *x, bool block)
{
	char path[PATH_MAX];

	path_of(x, "example.org", path);
	mkdir(path, 0700);
	path_of(x, "example.org/user0", path);
	if (block)
		close(open(path, O_CREAT | O_EXCL | O_WRONLY, 0600));
	else
		ck_assert_int_eq(unlink(path), 0);
}

/* Another segment of x.j, with a message for user0; the first's end is kept. */
static void
another_segment(struct seg_fix *x, unsigned no)
{
	struct journal_seg first = x->seg;
	char name[UNIQUE_MAX];

	ck_assert_int_eq(journal_seg_create(&x->j, no), 0);
	ck_assert_int_eq(journal_seg_begin(&x->j, &x->j.seg[no]), 0);
	x->seg = x->j.seg[no];
	append_message(x, 1, name);
	journal_seg_close(&x->j.seg[no]);
	x->seg = first;
}

static void
remove_all(const struct seg_fix *x, const char *sub)
{
	char path[PATH_MAX];

	path_of(x, sub, path);
	fix_remove(AT_FDCWD, path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
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

/* What cannot be read is neither damaged nor does it hold up what can be. */
START_TEST(unread_is_not_damaged)
{
	char name[UNIQUE_MAX], last[NAME_MAX + 1], path[PATH_MAX];
	struct seg_fix x;
	struct journal j;

	for (unsigned own = 0; own < 2; own++) {
		seg_fix_open(&x);
		append_message(&x, 1, name);
		another_segment(&x, 2);
		path_of(&x, JOURNAL_FOLDER "/0.1", path);
		ck_assert_int_eq(mkfifo(path, 0600), 0); /* says ESPIPE to pread(2) */
		j = survivor(&x, own ? 0 : 5, true);
		for (unsigned i = 0; i < 2; i++) {
			ck_assert_int_eq(journal_recover(&j, own ? JOURNAL_OWN : JOURNAL_DEAD), -1);
			ck_assert_int_eq(access(path, F_OK), 0);
			ck_assert_uint_eq(count_files(&x, 0, "new", last), i == 0 ? 2 : 0);
			remove_all(&x, "example.org/user0/new");
		}
		ck_assert_int_eq(unlink(path), 0);
		ck_assert_int_eq(journal_recover(&j, own ? JOURNAL_OWN : JOURNAL_DEAD), 0);
		ck_assert_uint_eq(count_files(&x, 0, "new", last), 0);
		ck_assert(stands(&x, JOURNAL_FOLDER "/0.0") == own && stands(&x, JOURNAL_FOLDER "/0.2") == own);
		end(&x, &j);
	}
}
END_TEST

/* --- records that fail --- */

/* One mailbox is broken: the others get theirs, once, whatever their owners do with it while it is tried again. */
START_TEST(goes_on_behind_what_fails)
{
	char name[UNIQUE_MAX], last[NAME_MAX + 1];
	struct seg_fix x;
	struct journal j;

	for (unsigned own = 0; own < 2; own++) {
		seg_fix_open(&x);
		append_message(&x, 2, name);
		append_message(&x, 3, name);
		another_segment(&x, 1);
		j = survivor(&x, own ? 0 : 5, true);
		block_user0(&x, true);
		for (unsigned i = 0; i < 3; i++) {
			ck_assert_int_eq(journal_recover(&j, own ? JOURNAL_OWN : JOURNAL_DEAD), -1);
			ck_assert_uint_eq(count_files(&x, 1, "new", last), i == 0 ? 2 : 0);
			ck_assert_uint_eq(count_files(&x, 2, ".Held/new", last), i == 0 ? 1 : 0);
			remove_all(&x, "example.org/user1/new");
			remove_all(&x, "example.org/user2/.Held/new");
		}
		block_user0(&x, false);
		ck_assert_int_eq(journal_recover(&j, own ? JOURNAL_OWN : JOURNAL_DEAD), 0);
		ck_assert_uint_eq(count_files(&x, 0, "new", last), 3);
		ck_assert_uint_eq(count_files(&x, 1, "new", last), 0);
		ck_assert_uint_eq(j.replayed, 6);
		ck_assert(stands(&x, JOURNAL_FOLDER "/0.0") == own && stands(&x, JOURNAL_FOLDER "/0.1") == own);
		end(&x, &j);
	}
}
END_TEST

/* Another worker that looked would deliver all of it once more. */
START_TEST(held_while_something_is_left)
{
	char name[UNIQUE_MAX];
	struct seg_fix x;
	struct journal j;
	int lock;

	seg_fix_open(&x);
	append_message(&x, 1, name);
	j = survivor(&x, 5, true);
	block_user0(&x, true);
	ck_assert_int_eq(journal_recover(&j, JOURNAL_DEAD), -1);
	ck_assert_int_eq(journal_lock(&x.j, 0, false), -1);
	ck_assert_int_eq(errno, EWOULDBLOCK);
	block_user0(&x, false);
	ck_assert_int_eq(journal_recover(&j, JOURNAL_DEAD), 0);
	lock = journal_lock(&x.j, 0, false);
	ck_assert_int_ne(lock, -1);
	close(lock);
	end(&x, &j);
}
END_TEST

/* Out of descriptors, a repair cannot look into cur/: that is not "its owner removed it". */
START_TEST(could_not_look)
{
	char name[UNIQUE_MAX], path[PATH_MAX];
	struct rlimit rl, few;
	struct seg_fix x;
	int fd;

	seg_fix_open(&x);
	append_message(&x, 1, name);
	ck_assert_int_eq(journal_replay(&x.j, &x.seg, &x.h, false, NULL), 0);
	remove_all(&x, "example.org/user0/new");
	ck_assert_int_eq(journal_replay(&x.j, &x.seg, &x.h, true, NULL), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &rl), 0);
	fd = dup(STDERR_FILENO);
	close(fd);
	few = (struct rlimit){ (rlim_t)fd + 1, rl.rlim_max }; /* for new/ alone */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(journal_replay(&x.j, &x.seg, &x.h, true, NULL), -1);
	ck_assert_int_eq(errno, EMFILE);
	few.rlim_cur++; /* for cur/, but not to look through either */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(journal_replay(&x.j, &x.seg, &x.h, true, NULL), -1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &rl), 0);
	/* Its owner has removed cur/: what was in it is gone. */
	path_of(&x, "example.org/user0/cur", path);
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(journal_replay(&x.j, &x.seg, &x.h, true, NULL), 0);
	seg_fix_close(&x);
}
END_TEST

/* --- what is settled --- */

/* The size was changed after a kill: what these segments answer for is synced before they go. */
START_TEST(another_size)
{
	char name[UNIQUE_MAX];
	struct seg_fix x;
	struct journal j;

	seg_fix_open(&x);
	append_message(&x, 1, name);
	j = survivor(&x, 0, false);
	j.size *= 2;
	ck_assert_int_eq(journal_recover(&j, JOURNAL_OWN), 0);
	ck_assert_uint_gt(syncs, 0);
	ck_assert(!stands(&x, JOURNAL_FOLDER "/0.0"));
	ck_assert_uint_eq(j.replayed, 0);
	end(&x, &j);
}
END_TEST

/* A segment that cannot be removed does not take those along that are in use by then. */
START_TEST(closed_once)
{
	struct seg_fix x;
	struct journal j;

	seg_fix_open(&x);
	x.j.size *= 2;
	ck_assert_int_eq(journal_seg_create(&x.j, 1), 0);
	x.j.size /= 2;
	journal_seg_close(&x.j.seg[1]);
	j = survivor(&x, 0, false);
	unlinks_fail = 1;
	ck_assert_int_eq(journal_recover(&j, JOURNAL_OWN), -1);
	ck_assert_int_ne(j.seg[0].fd, -1);
	ck_assert_int_ne(fcntl(j.seg[0].fd, F_GETFD), -1);
	ck_assert_int_ne(fcntl(j.seg[0].mark, F_GETFD), -1);
	ck_assert_int_eq(journal_recover(&j, JOURNAL_OWN), 0);
	ck_assert(stands(&x, JOURNAL_FOLDER "/0.0") && !stands(&x, JOURNAL_FOLDER "/0.1"));
	end(&x, &j);
}
END_TEST

/* --- a sync that failed --- */

/* The message for user0 that stands in the segment's use, delivered and in use: its inode. */
static ino_t
in_use(struct seg_fix *x)
{
	char name[UNIQUE_MAX], path[PATH_MAX];
	struct journal_seg *s = &x->j.seg[0];
	struct stat st;
	uint64_t at = append_message(x, 1, name);

	x->h.retired = at;
	ck_assert_int_eq(journal_replay(&x->j, &x->seg, &x->h, false, NULL), 0);
	s->state = JOURNAL_CURRENT;
	s->end = s->placed = x->seg.end;
	snprintf(path, sizeof(path), "%s/example.org/user0/new/%s", x->f.path, name);
	/* Left open to the end of the test, so that no other file gets the inode. */
	ck_assert_int_eq(fstat(open(path, O_RDONLY), &st), 0);
	return st.st_ino;
}

/* How many of the files of user0 are not ${n} of these: they were written anew. */
static unsigned
written_anew(const struct seg_fix *x, const ino_t *old, unsigned n)
{
	char path[PATH_MAX];
	unsigned count = 0;
	DIR *d;

	path_of(x, "example.org/user0/new", path);
	d = opendir(path);
	ck_assert_ptr_nonnull(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		bool is_old = e->d_name[0] == '.';

		for (unsigned i = 0; i < n; i++)
			is_old |= e->d_ino == old[i];
		count += !is_old;
	}
	closedir(d);
	return count;
}

static void
move_user0(const struct seg_fix *x, bool away)
{
	char here[PATH_MAX], there[PATH_MAX];

	path_of(x, "example.org/user0", here);
	path_of(x, "example.org/away", there);
	if (!away)
		block_user0(x, false);
	ck_assert_int_eq(rename(away ? here : there, away ? there : here), 0);
	if (away)
		block_user0(x, true);
}

static void
fail_with_repair(struct seg_fix *x)
{
	move_user0(x, true);
	syncs_fail = 1;
	ck_assert_int_eq(journal_sync_pass(&x->j), -1);
	move_user0(x, false);
}

/* The next sync says 0: it proves nothing, to us or to who comes after us. */
START_TEST(believed_no_more)
{
	struct journal_head h;
	struct journal_seg s;
	struct seg_fix x;
	struct journal j;
	ino_t old;

	seg_fix_open(&x);
	j = survivor(&x, 0, false);
	old = in_use(&x);
	fail_with_repair(&x);
	ck_assert_uint_eq(written_anew(&x, &old, 1), 0);
	ck_assert(stands(&x, JOURNAL_FOLDER "/0.repair"));
	ck_assert_int_eq(journal_sync_pass(&x.j), 0);
	ck_assert_uint_eq(written_anew(&x, &old, 1), 1);
	ck_assert(!stands(&x, JOURNAL_FOLDER "/0.repair") && !x.j.must_repair);
	ck_assert_int_eq(journal_seg_open(&x.j, 0, 0, &s, &h), 0);
	ck_assert_uint_eq(h.retired, x.j.seg[0].placed);
	journal_seg_close(&s);
	end(&x, &j);
}
END_TEST

START_TEST(believed_no_more_by_who_comes_next)
{
	struct seg_fix x;
	struct journal j;
	ino_t old;

	for (unsigned own = 0; own < 2; own++) {
		seg_fix_open(&x);
		j = survivor(&x, own ? 0 : 5, false);
		old = in_use(&x);
		fail_with_repair(&x);
		ck_assert_int_eq(journal_recover(&j, own ? JOURNAL_OWN : JOURNAL_DEAD), 0);
		if (own) {
			ck_assert_uint_eq(written_anew(&x, &old, 1), 0);
			ck_assert_int_eq(j.seg[0].state, JOURNAL_CONDEMNED);
			ck_assert_int_eq(journal_sync_pass(&j), 0);
			ck_assert_int_eq(j.seg[0].state, JOURNAL_NONE);
		}
		ck_assert_uint_eq(written_anew(&x, &old, 1), 1);
		ck_assert(!stands(&x, JOURNAL_FOLDER "/0.repair") && !stands(&x, JOURNAL_FOLDER "/0.0"));
		end(&x, &j);
	}
}
END_TEST

/* Somebody else was told, ourselves perhaps: all whose owners are dead are marked, and the living mind it too. */
START_TEST(told_once)
{
	struct seg_fix x;
	struct journal j;
	ino_t old;
	int lock;

	seg_fix_open(&x);
	j = survivor(&x, 5, false);
	lock = journal_lock(&j, 5, true);
	old = in_use(&x);
	journal_doubt(&j);
	ck_assert(stands(&x, JOURNAL_FOLDER "/0.repair") && stands(&x, JOURNAL_FOLDER "/5.repair"));
	ck_assert_int_eq(journal_sync_pass(&x.j), 0);
	ck_assert_uint_eq(written_anew(&x, &old, 1), 1);
	/* What is synced for the dead is told of by the descriptor that ours needs. */
	old = in_use(&x);
	syncs_fail = 1;
	ck_assert_int_eq(journal_recover(&j, JOURNAL_DEAD), 0);
	ck_assert(j.must_repair);
	ck_assert(!stands(&x, JOURNAL_FOLDER "/0.repair") && stands(&x, JOURNAL_FOLDER "/5.repair"));
	close(lock);
	end(&x, &j);
}
END_TEST

static struct seg_fix *at_work;
static ino_t second;

static void
place_another(void)
{
	second = in_use(at_work);
}

/* Placed while the sync failed: lost by it, perhaps, and never told of again. */
START_TEST(placed_meanwhile)
{
	struct seg_fix x;
	struct journal j;
	ino_t old[2];

	seg_fix_open(&x);
	at_work = &x;
	j = survivor(&x, 0, false);
	old[0] = in_use(&x);
	syncs_fail = 1;
	meanwhile = place_another;
	ck_assert_int_eq(journal_sync_pass(&x.j), 0);
	old[1] = second;
	ck_assert_uint_eq(written_anew(&x, old, 2), 2);
	ck_assert_uint_eq(x.j.seg[0].retired, x.j.seg[0].placed);
	end(&x, &j);
}
END_TEST

static struct journal *passing;

static void
pass(void)
{
	syncs_fail = 1;
	ck_assert_int_eq(journal_sync_pass(passing), 0);
}

/* Written before the sync failed, placed when all was repaired. */
START_TEST(written_before)
{
	struct store_msg *m;
	struct maildir *md;
	struct fix f;

	fix_open(&f, true, 1, 8);
	store_maildir.close(f.ctx);
	f.conf.journal = 8 << 20;
	ck_assert_int_eq(store_journal.open(&f.env, &f.ctx), 0);
	md = f.ctx;
	passing = md->journal;
	for (unsigned i = 0; i < 5000 && !passing->ready; i++)
		usleep(1000);
	fix_target(&f, "user0", "");
	m = fix_begin(&f);
	ck_assert_int_eq(fix_write(&f, m, SPAN("the text\r\n"), 100), 0);
	meanwhile = pass; /* within the sync of its batch */
	fix_commit(&f, m, true);
	ck_assert_int_eq(f.done.err, 0);
	ck_assert_uint_eq(passing->batches, 1);
	ck_assert(passing->must_repair);
	ck_assert_int_eq(journal_sync_pass(passing), 0);
	ck_assert(!passing->must_repair);
	store_journal.close(f.ctx);
	f.conf.journal = 0;
	ck_assert_int_eq(store_maildir.open(&f.env, &f.ctx), 0);
	fix_close(&f);
}
END_TEST

/* The pass that was to cover it failed: a later one does, and the file goes all the same. */
START_TEST(condemned_goes)
{
	struct seg_fix x;
	struct journal j;

	seg_fix_open(&x);
	j = survivor(&x, 0, false);
	(void)in_use(&x);
	x.j.seg[0].state = JOURNAL_CONDEMNED;
	fail_with_repair(&x);
	ck_assert(stands(&x, JOURNAL_FOLDER "/0.0"));
	ck_assert_int_eq(journal_sync_pass(&x.j), 0);
	ck_assert(!stands(&x, JOURNAL_FOLDER "/0.0"));
	ck_assert_int_eq(x.j.seg[0].state, JOURNAL_NONE);

	/* Nor is it forgotten that it could not be removed. */
	ck_assert_int_eq(journal_seg_create(&x.j, 0), 0);
	ck_assert_int_eq(journal_seg_begin(&x.j, &x.j.seg[0]), 0);
	x.j.seg[0].state = JOURNAL_CONDEMNED;
	unlinks_fail = 1;
	ck_assert_int_eq(journal_sync_pass(&x.j), 0);
	ck_assert(stands(&x, JOURNAL_FOLDER "/0.0"));
	ck_assert_int_eq(journal_sync_pass(&x.j), 0);
	ck_assert(!stands(&x, JOURNAL_FOLDER "/0.0"));
	ck_assert_int_eq(x.j.seg[0].state, JOURNAL_NONE);
	end(&x, &j);
}
END_TEST

/* --- a whole start --- */

/* The server starts anew on x's store, after a crash, with a journal of ${size}. */
static struct maildir *
start_anew(struct seg_fix *x, uint64_t size)
{
	store_maildir.close(x->f.ctx);
	x->f.conf.journal = size;
	ck_assert_int_eq(store_journal.open(&x->f.env, &x->f.ctx), 0);
	return x->f.ctx;
}

static void
end_anew(struct seg_fix *x)
{
	store_journal.close(x->f.ctx);
	x->f.conf.journal = 0;
	ck_assert_int_eq(store_maildir.open(&x->f.env, &x->f.ctx), 0);
	seg_fix_close(x);
}

/* What was acknowledged is delivered, whether the journal is to be used any more or not; not used any more it is freed. */
START_TEST(switched_off)
{
	char name[UNIQUE_MAX], last[NAME_MAX + 1];
	struct maildir *md;
	struct seg_fix x;

	for (unsigned i = 0; i < 2; i++) {
		seg_fix_open(&x);
		append_message(&x, 1, name);
		survivor(&x, 5, true);
		md = start_anew(&x, i * (8 << 20));
		ck_assert_uint_eq(count_files(&x, 0, "new", last), 1);
		ck_assert(!stands(&x, JOURNAL_FOLDER "/0.0"));
		ck_assert_ptr_nonnull(md->journal);
		ck_assert(md->journal->broken == (i == 0));
		end_anew(&x);
	}
}
END_TEST

START_TEST(never_on)
{
	char path[PATH_MAX];
	struct seg_fix x;

	seg_fix_open(&x);
	path_of(&x, JOURNAL_FOLDER, path);
	fix_remove(AT_FDCWD, path);
	ck_assert_ptr_null(start_anew(&x, 0)->journal);
	ck_assert(!stands(&x, JOURNAL_FOLDER));
	end_anew(&x);
}
END_TEST

/* The folder cannot be used for a while: what it holds is delivered then, and new mail goes its way. */
START_TEST(used_later)
{
	char name[UNIQUE_MAX], last[NAME_MAX + 1], here[PATH_MAX], there[PATH_MAX];
	struct journal *j;
	struct seg_fix x;

	for (unsigned i = 0; i < 2; i++) {
		seg_fix_open(&x);
		append_message(&x, 1, name);
		survivor(&x, 5, true);
		path_of(&x, JOURNAL_FOLDER, here);
		path_of(&x, "away", there);
		ck_assert_int_eq(rename(here, there), 0);
		close(open(here, O_CREAT | O_EXCL | O_WRONLY, 0600));
		j = start_anew(&x, i * (8 << 20))->journal;
		ck_assert_ptr_nonnull(j);
		ck_assert(j->broken && j->pending_start);
		ck_assert_int_eq(unlink(here), 0);
		ck_assert_int_eq(rename(there, here), 0);
		pthread_mutex_lock(&j->mutex);
		j->retry_ms = 0;
		pthread_cond_signal(&j->work);
		pthread_mutex_unlock(&j->mutex);
		for (unsigned t = 0; t < 10000 && (stands(&x, JOURNAL_FOLDER "/0.0") || (i == 1 && j->broken)); t++)
			usleep(1000);
		ck_assert_uint_eq(count_files(&x, 0, "new", last), 1);
		ck_assert(!stands(&x, JOURNAL_FOLDER "/0.0"));
		ck_assert(j->broken == (i == 0));
		end_anew(&x);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("recover");
	TCase *h = tcase_create("heads"), *r = tcase_create("records"), *t = tcase_create("settled"),
	      *d = tcase_create("doubt"), *w = tcase_create("start");

	tcase_add_test(h, damaged_heads_are_kept);
	tcase_add_test(h, unread_is_not_damaged);
	tcase_add_test(r, goes_on_behind_what_fails);
	tcase_add_test(r, held_while_something_is_left);
	tcase_add_test(r, could_not_look);
	tcase_add_test(t, another_size);
	tcase_add_test(t, closed_once);
	tcase_add_test(d, believed_no_more);
	tcase_add_test(d, believed_no_more_by_who_comes_next);
	tcase_add_test(d, told_once);
	tcase_add_test(d, placed_meanwhile);
	tcase_add_test(d, written_before);
	tcase_add_test(d, condemned_goes);
	tcase_set_timeout(w, 60);
	tcase_add_test(w, switched_off);
	tcase_add_test(w, never_on);
	tcase_add_test(w, used_later);
	suite_add_tcase(s, w);
	suite_add_tcase(s, h);
	suite_add_tcase(s, d);
	suite_add_tcase(s, r);
	suite_add_tcase(s, t);
	return suite_run(s);
}
