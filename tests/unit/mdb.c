/*
 * mdb: look-ups in snapshots that are whole, cut, flipped, foreign or
 * replaced.  A damaged one may fail to answer; it may never answer wrongly.
 */
#include "tests/unit/snapshot.h"

#include <sys/stat.h>

#include <errno.h>

#include "common/crc32c.h"
#include "common/mdbfile.h"

enum { USERS = 2000, FLIPS = 400, LONG_TARGETS = 900 };

static struct snapshot snap;
static struct mdb *m;
static uint32_t all_crc; /* of the alias's record while it was whole */

/* USERS mailboxes and an alias whose record has pages of its own. */
static char *
many(void)
{
	size_t cap = USERS * 40 + LONG_TARGETS * 40, n = 0;
	char *list = malloc(cap);

	for (int i = 0; i < USERS; i++)
		n += (size_t)snprintf(list + n, cap - n, "user%05d@example.org quota=%dB\n", i, i + 1);
	n += (size_t)snprintf(list + n, cap - n, "all@example.org alias=");
	for (int i = 0; i < LONG_TARGETS; i++)
		n += (size_t)snprintf(list + n, cap - n, "%suser%05d@example.org", i > 0 ? "," : "", i);
	snprintf(list + n, cap - n, "\n");
	return list;
}

static void
setup(void)
{
	snapshot_init(&snap);
	m = NULL;
}

static void
teardown(void)
{
	mdb_close(m);
	snapshot_fini(&snap);
}

static void
setup_many(void)
{
	char *list = many();

	setup();
	snapshot_load(&snap, list);
	free(list);
}

/* The entry of user ${i}: 1 when it is right, 0 when it is not there, -1 when it cannot be known. */
static int
find_user(struct mdb *in, int i)
{
	char key[64];
	size_t n = (size_t)snprintf(key, sizeof(key), "user%05d@example.org", i);
	struct entry e;
	struct span val;
	int rc = mdb_find(in, span_of(key, n), &val);

	if (rc == 1) {
		ck_assert_int_eq(entry_decode(val, &e), 0);
		ck_assert_uint_eq(e.quota.octets, (uint64_t)i + 1);
	}
	return rc;
}

START_TEST(finds)
{
	struct mdb_info i;
	struct span val;
	struct entry e;
	char key[600];

	ck_assert_int_eq(mdb_open(snap.dir, MDB_FILE, &m), 0);
	for (int u = 0; u < USERS; u++)
		ck_assert_int_eq(find_user(m, u), 1);
	ck_assert_int_eq(find_user(m, USERS), 0);
	ck_assert_int_eq(mdb_find(m, SPAN("a"), &val), 0);
	ck_assert_int_eq(mdb_find(m, SPAN("zzz"), &val), 0);
	ck_assert_int_eq(mdb_find(m, SPAN(""), &val), 0);
	memset(key, 'x', sizeof(key));
	ck_assert_int_eq(mdb_find(m, span_of(key, NORM_KEY_MAX), &val), 0);
	ck_assert_int_eq(mdb_find(m, span_of(key, NORM_KEY_MAX + 1), &val), 0);
	ck_assert_int_eq(mdb_find(m, SPAN("@example.org"), &val), 1);
	ck_assert_int_eq(mdb_find(m, SPAN("all@example.org"), &val), 1);
	ck_assert_int_eq(entry_decode(val, &e), 0);
	ck_assert_uint_eq(e.ntargets, LONG_TARGETS);
	mdb_info(m, &i);
	ck_assert_uint_eq(i.entries, USERS + 1);
	ck_assert_int_ge(i.made, 1700000000);
	ck_assert_int_eq(mdb_check(m), 0);
}
END_TEST

START_TEST(walks)
{
	struct span key, val;
	uint8_t last[NORM_KEY_MAX] = { 0 };
	size_t lastlen = 0;
	int n = 0, rc;

	ck_assert_int_eq(mdb_open(snap.dir, MDB_FILE, &m), 0);
	for (int round = 0; round < 2; round++)
		for (n = 0, lastlen = 0; (rc = mdb_walk(m, n == 0, &key, &val)) == 1; n++) {
			ck_assert_int_gt((int)key.n, 0);
			ck_assert(memcmp(last, key.p, lastlen < key.n ? lastlen : key.n) <= 0);
			memcpy(last, key.p, key.n);
			lastlen = key.n;
		}
	ck_assert_int_eq(rc, 0);
	ck_assert_int_eq(n, USERS + 2); /* with the alias and the domain, without what it says of itself */
}
END_TEST

/* --- damage --- */

static uint8_t *
slurp(size_t *n)
{
	char path[PATH_MAX];
	struct stat st;
	uint8_t *p;
	int fd;

	snapshot_path(&snap, MDB_FILE, path);
	fd = open(path, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	*n = (size_t)st.st_size;
	p = malloc(*n);
	ck_assert_int_eq(read(fd, p, *n), (ssize_t)*n);
	close(fd);
	return p;
}

/* Another file takes the current one's place, as an editor or a bad disk would have it. */
static void
replace(const void *p, size_t n)
{
	int fd = openat(snap.t.dirfd, TOOL_NEW, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
	close(fd);
	ck_assert_int_eq(renameat(snap.t.dirfd, TOOL_NEW, snap.t.dirfd, MDB_FILE), 0);
}

static int
open_errno(void)
{
	struct mdb *x = NULL;

	if (mdb_open(snap.dir, MDB_FILE, &x) == 0) {
		mdb_close(x);
		return 0;
	}
	ck_assert_ptr_null(x);
	return errno;
}

START_TEST(truncated)
{
	size_t n;
	uint8_t *p = slurp(&n);

	ck_assert_int_eq(open_errno(), 0);
	for (size_t cut = 0; cut < n; cut += 4096) {
		replace(p, cut);
		ck_assert_msg(open_errno() == EBADMSG, "cut at %zu", cut);
	}
	for (size_t cut = n - 64; cut < n; cut++) {
		replace(p, cut);
		ck_assert_msg(open_errno() == EBADMSG, "cut at %zu", cut);
	}
	memset(p, 0, n);
	replace(p, n);
	ck_assert_int_eq(open_errno(), EBADMSG);
	free(p);
}
END_TEST

/* What a snapshot with a flipped bit answers is right, or it is "cannot be known". */
static void
ask_flipped(size_t at, int *found, int *unknown)
{
	struct mdb *x = NULL;
	struct span key, val;
	int rc;

	if (mdb_open(snap.dir, MDB_FILE, &x) != 0) {
		ck_assert_int_eq(errno, EBADMSG);
		(*unknown)++;
		return;
	}
	for (int u = 0; u < USERS; u += 7) {
		rc = find_user(x, u);
		ck_assert_msg(rc != 0, "octet %zu: user %d is said not to exist", at, u);
		*found += rc == 1;
		*unknown += rc == -1;
	}
	rc = mdb_find(x, SPAN("all@example.org"), &val);
	ck_assert_msg(rc != 0, "octet %zu: the alias is said not to exist", at);
	if (rc == 1) /* a long value lies on pages of its own */
		ck_assert_msg(crc32c(0, val.p, val.n) == all_crc, "octet %zu: the alias leads elsewhere", at);
	rc = mdb_find(x, SPAN("user00000x@example.org"), &val);
	ck_assert_msg(rc != 1, "octet %zu: nobody is said to exist", at);
	rc = mdb_walk(x, true, &key, &val);
	ck_assert_msg(rc == -1 && errno == EBADMSG, "octet %zu: a walk goes over damage", at);
	mdb_close(x);
}

START_TEST(flipped)
{
	int found = 0, unknown = 0;
	struct span val;
	size_t n;
	uint8_t *p = slurp(&n);

	ck_assert_int_eq(mdb_open(snap.dir, MDB_FILE, &m), 0);
	ck_assert_int_eq(mdb_find(m, SPAN("all@example.org"), &val), 1);
	all_crc = crc32c(0, val.p, val.n);
	srandom(1);
	for (int i = 0; i < FLIPS; i++) {
		size_t at = (size_t)random() % n;
		uint8_t bit = (uint8_t)(1U << random() % 8);

		/* Every octet of the first page heads and of the tail has its turn, too. */
		if (i < 200)
			at = (size_t)i % 50 + (size_t)(i / 50) * 4096;
		else if (i < 240)
			at = n - 1 - (size_t)(i - 200);
		p[at] ^= bit;
		replace(p, n);
		ask_flipped(at, &found, &unknown);
		p[at] ^= bit;
	}
	ck_assert_int_gt(found, 0);
	ck_assert_int_gt(unknown, 0);
	free(p);
}
END_TEST

START_TEST(foreign)
{
	static const char text[] = "alice@example.org\n";
	char *junk = malloc(1 << 20), path[PATH_MAX];

	ck_assert_int_eq(open_errno(), ENOENT);
	replace(text, sizeof(text) - 1);
	ck_assert_int_eq(open_errno(), EBADMSG);
	srandom(2);
	for (size_t i = 0; i < 1 << 20; i++)
		junk[i] = (char)random();
	replace(junk, 1 << 20);
	ck_assert_int_eq(open_errno(), EBADMSG);
	replace("", 0);
	ck_assert_int_eq(open_errno(), EBADMSG);
	free(junk);
	snapshot_path(&snap, MDB_FILE, path);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkfifo(path, 0644), 0);
	ck_assert_int_eq(open_errno(), EBADMSG);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(open_errno(), EBADMSG);
	ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

/* An LMDB file is not a snapshot before our sums stand behind it. */
START_TEST(without_sums)
{
	size_t n;
	uint8_t *p = slurp(&n);
	struct mdbfile_tail t;

	ck_assert_int_eq(mdbfile_tail_read(p + n - MDBFILE_TAIL, n, &t), 0);
	ck_assert_int_eq(mdbfile_tail_read(p + n - MDBFILE_TAIL, n + 1, &t), -1);
	replace(p, t.npages * t.psize);
	ck_assert_int_eq(open_errno(), EBADMSG);
	free(p);
}
END_TEST

/* --- refresh --- */

START_TEST(refreshes)
{
	struct span val;
	char path[PATH_MAX];

	snapshot_load(&snap, "a@example.org\n");
	ck_assert_int_eq(mdb_open(snap.dir, MDB_FILE, &m), 0);
	ck_assert_int_eq(mdb_refresh(m), 0);
	ck_assert_int_eq(mdb_find(m, SPAN("b@example.org"), &val), 0);
	for (int i = 0; i < 20; i++) {
		snapshot_load(&snap, i % 2 ? "a@example.org\n" : "b@example.org\n");
		ck_assert_int_eq(mdb_refresh(m), 1);
		ck_assert_int_eq(mdb_refresh(m), 0);
		ck_assert_int_eq(mdb_find(m, SPAN("a@example.org"), &val), i % 2);
		ck_assert_int_eq(mdb_find(m, SPAN("b@example.org"), &val), !(i % 2));
	}
	/* What cannot be used changes nothing. */
	replace("rubbish", 7);
	ck_assert_int_eq(mdb_refresh(m), -1);
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_int_eq(mdb_find(m, SPAN("a@example.org"), &val), 1);
	snapshot_path(&snap, MDB_FILE, path);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mdb_refresh(m), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(mdb_find(m, SPAN("a@example.org"), &val), 1);
	snapshot_load(&snap, "b@example.org\n");
	ck_assert_int_eq(mdb_refresh(m), 1);
	ck_assert_int_eq(mdb_find(m, SPAN("b@example.org"), &val), 1);
}
END_TEST

/* Neither descriptors nor maps are left behind. */
START_TEST(leaves_nothing)
{
	int before, after;

	snapshot_load(&snap, "a@example.org\n");
	before = open("/dev/null", O_RDONLY);
	close(before);
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(mdb_open(snap.dir, MDB_FILE, &m), 0);
		snapshot_load(&snap, "b@example.org\n");
		ck_assert_int_eq(mdb_refresh(m), 1);
		mdb_close(m);
		ck_assert_int_eq(mdb_open(snap.dir, "no-such-file", &m), -1);
	}
	m = NULL;
	after = open("/dev/null", O_RDONLY);
	close(after);
	ck_assert_int_eq(before, after);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("mdb");
	TCase *one = tcase_create("small"), *t = tcase_create("many");

	tcase_add_checked_fixture(t, setup_many, teardown);
	tcase_add_test(t, finds);
	tcase_add_test(t, walks);
	tcase_add_test(t, truncated);
	tcase_add_test(t, flipped);
	tcase_add_test(t, without_sums);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(one, setup, teardown);
	tcase_add_test(one, foreign);
	tcase_add_test(one, refreshes);
	tcase_add_test(one, leaves_nothing);
	suite_add_tcase(s, t);
	suite_add_tcase(s, one);
	return suite_run(s);
}
