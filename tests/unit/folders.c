/*
 * A mailbox's folders: which names are let through, what is made, and what a
 * sweep of tmp/ takes and leaves.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "tests/unit/suite.h"
#include "worker/store/files.h"
#include "worker/store/filesystem.h"
#include "worker/store/folders.h"

static char base[64];
static struct unique unique;

static int
scratch(void)
{
	const char *dir = getenv("TMPDIR");

	snprintf(base, sizeof(base), "%s/letterplate-folders-XXXXXX", dir != NULL && strlen(dir) < 30 ? dir : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(base));
	unique_init(&unique, "mx.example", 1);
	return open(base, O_RDONLY | O_DIRECTORY);
}

START_TEST(names)
{
	static const struct {
		const char *dir;
		bool ok;
	} row[] = { { "example.org/alice", true }, { "a/b", true }, { "example.org/a%2Fb", true }, { "a/..", false },
		{ "../a", false }, { "a/.b", false }, { "a", false }, { "/a", false }, { "a/", false }, { "", false },
		{ "a/b/c", false }, { "a//b", false } };
	uint8_t longest[600];

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		ck_assert_int_eq(folders_dir_ok(guarded_str(row[i].dir)), row[i].ok);
	memset(longest, 'a', sizeof(longest));
	longest[255] = '/';
	ck_assert(folders_dir_ok(guarded(longest, 511)));
	ck_assert(!folders_dir_ok(guarded(longest, 512)));
	ck_assert(!folders_dir_ok(guarded("a/b\0c", 5)));
	ck_assert(!folders_name_ok(span_of(NULL, 0)));
}
END_TEST

/* f_type is a long, and signed: the numbers of SMB have the highest bit of 32. */
START_TEST(kinds_that_are_synced_as_a_whole)
{
	static const struct {
		uint64_t type;
		const char *name;
	} row[] = {
		{ 0xef53, NULL },     /* ext4 */
		{ 0x58465342, NULL }, /* XFS */
		{ 0x9123683e, NULL }, /* btrfs */
		{ 0xf2f52010, NULL }, /* F2FS */
		{ 0x2fc12fc1, NULL }, /* ZFS */
		{ 0x01021994, NULL }, /* tmpfs */
		{ 0x65735546, "FUSE" },
		{ 0x01021997, "9p" },
		{ 0x6969, "NFS" },
		{ 0xff534d42, "CIFS" },
		{ 0xffffffffff534d42, "CIFS" },
		{ 0xfe534d42, "SMB" },
		{ 0x517b, "SMB" },
		{ 0x00c36400, "Ceph" },
		{ 0x6b414653, "AFS" },
		{ 0x0bd00bd0, "Lustre" },
		{ 0x786f4256, "vboxsf" },
		{ 0xf15f, "eCryptfs" },
		{ 0x794c7630, "overlayfs" },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		ck_assert_pstr_eq(filesystem_unsure(row[i].type), row[i].name);
	ck_assert_ptr_null(filesystem_unsure_at("/dev"));
	ck_assert_str_eq(filesystem_unsure_at("/nonexistent"), "unknown");
}
END_TEST

START_TEST(not_without_end)
{
	int root = scratch(), home = folders_make(root, "d/l", &unique, false, false);
	char name[32];

	for (unsigned i = 0; i < FOLDERS_MAX - 1; i++) {
		snprintf(name, sizeof(name), ".f%u", i);
		ck_assert_int_eq(mkdirat(home, name, 0700), 0);
	}
	close(home);
	home = folders_make(root, "d/l/.last", &unique, true, true);
	ck_assert_int_ne(home, -1);
	close(home);
	ck_assert_int_eq(folders_make(root, "d/l/.more", &unique, true, true), -1);
	ck_assert_int_eq(errno, EMLINK);
	home = folders_make(root, "d/l/.last", &unique, true, true); /* it is there */
	ck_assert_int_ne(home, -1);
	close(home);
	close(root);
}
END_TEST

START_TEST(longest_key)
{
	char key[3 * 256], name[256];
	int root = scratch(), home;
	struct stat st;

	memset(name, 'n', 254);
	name[254] = '\0';
	snprintf(key, sizeof(key), "%s/%s", name, name);
	home = folders_make(root, key, &unique, false, false);
	ck_assert_int_ne(home, -1);
	ck_assert_int_eq(fstatat(home, "new", &st, 0), 0);
	ck_assert_int_eq(mkdirat(home, ".folder", 0700), 0);
	close(home);
	snprintf(key, sizeof(key), "%s/%s/.folder", name, name);
	home = folders_make(root, key, &unique, false, false);
	ck_assert_int_ne(home, -1);
	ck_assert_int_eq(fstatat(home, "cur", &st, 0), 0);
	close(home);
	snprintf(key, sizeof(key), "%s/%s/.other", name, name);
	ck_assert_int_eq(folders_make(root, key, &unique, false, false), -1);
	ck_assert_int_eq(errno, ENOENT);
	close(root);
}
END_TEST

static void
put(int at, const char *name, time_t age)
{
	struct timespec ts[2] = { { .tv_sec = time(NULL) - age }, { .tv_sec = time(NULL) - age } };
	int fd = openat(at, name, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(futimens(fd, ts), 0);
	close(fd);
}

static bool
has(int at, const char *name)
{
	return faccessat(at, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

#define OURS "1.M2P3Q4_5.mx.example"

START_TEST(sweep_ours)
{
	int at = scratch();

	put(at, OURS, 0);
	put(at, "2.M2P3Q4_5.mx.example", -300);
	put(at, "3.M2P3Q4_5.other.example", 0);
	put(at, ".hidden", 0);
	ck_assert_uint_eq(folders_sweep(at, &unique, time(NULL) + FOLDERS_STALE_OURS_S + 60), 1);
	ck_assert(!has(at, OURS));
	ck_assert(has(at, "2.M2P3Q4_5.mx.example"));
	ck_assert(has(at, "3.M2P3Q4_5.other.example"));
	close(at);
}
END_TEST

/* PROTOCOL 151.  What anybody may set is mtime: it decides, whatever the name, and whatever ctime says. */
START_TEST(sweep_by_mtime)
{
	static const char *const name[] = { OURS, "foreign", "3.M2P3Q4_5.other.example",
		"1700000000.M1P1Q1.host,S=5:2,S" };
	enum { N = sizeof(name) / sizeof(*name) };
	int at = scratch();

	for (size_t i = 0; i < N; i++)
		put(at, name[i], FOLDERS_STALE_OTHER_S - 300);
	ck_assert_uint_eq(folders_sweep(at, &unique, time(NULL)), 0);
	for (size_t i = 0; i < N; i++)
		put(at, name[i], FOLDERS_STALE_OTHER_S + 5);
	ck_assert_int_eq(lseek(at, 0, SEEK_SET), 0);
	ck_assert_uint_eq(folders_sweep(at, &unique, time(NULL)), N);
	close(at);
}
END_TEST

START_TEST(sweep_foreign)
{
	int at = scratch();

	put(at, "foreign", 0);
	ck_assert_int_eq(mkdirat(at, "folder", 0700), 0);
	ck_assert_int_eq(symlinkat("foreign", at, "link"), 0);
	ck_assert_uint_eq(folders_sweep(at, &unique, time(NULL) + FOLDERS_STALE_OTHER_S - 60), 0);
	ck_assert_int_eq(lseek(at, 0, SEEK_SET), 0);
	ck_assert_uint_eq(folders_sweep(at, &unique, time(NULL) + FOLDERS_STALE_OTHER_S + 60), 1);
	ck_assert(!has(at, "foreign"));
	ck_assert(has(at, "folder"));
	ck_assert(has(at, "link"));
	close(at);
}
END_TEST

/* A client that takes hours for its message: the file is old, and at work. */
START_TEST(sweep_leaves_what_is_at_work)
{
	struct timespec ts[2] = { { .tv_sec = time(NULL) - 40 * 3600 }, { .tv_sec = time(NULL) - 40 * 3600 } };
	int at = scratch(), fd;
	struct unique_name n;
	char name[UNIQUE_MAX];

	fd = files_create(at, &unique, &n);
	ck_assert_int_ne(fd, -1);
	files_hold(fd);
	ck_assert_int_eq(futimens(fd, ts), 0);
	unique_tmp(&unique, &n, name);
	ck_assert_uint_eq(folders_sweep(at, &unique, time(NULL)), 0);
	ck_assert(has(at, name));
	close(fd);
	ck_assert_int_eq(lseek(at, 0, SEEK_SET), 0);
	ck_assert_uint_eq(folders_sweep(at, &unique, time(NULL)), 1);
	ck_assert(!has(at, name));
	close(at);
}
END_TEST

START_TEST(sweep_when_made_sure_of)
{
	int root = scratch(), home = folders_make(root, "d/l", &unique, false, false), tmp;

	ck_assert_int_ne(home, -1);
	tmp = folders_open(home, "tmp");
	put(tmp, OURS, 40 * 3600);
	close(home);
	home = folders_make(root, "d/l", &unique, false, false);
	ck_assert_int_ne(home, -1);
	ck_assert(!has(tmp, OURS));
	close(tmp);
	close(home);
	close(root);
}
END_TEST

/* More than fits the buffer of one system call. */
START_TEST(sweep_many)
{
	int at = scratch();
	char name[64];

	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "%d.M2P3Q4_5.mx.example", i);
		put(at, name, 40 * 3600);
	}
	ck_assert_uint_eq(folders_sweep(at, &unique, time(NULL)), 500);
	close(at);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("folders");
	TCase *tc = tcase_create("folders");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, names);
	tcase_add_test(tc, longest_key);
	tcase_add_test(tc, kinds_that_are_synced_as_a_whole);
	tcase_add_test(tc, not_without_end);
	tcase_add_test(tc, sweep_ours);
	tcase_add_test(tc, sweep_by_mtime);
	tcase_add_test(tc, sweep_foreign);
	tcase_add_test(tc, sweep_leaves_what_is_at_work);
	tcase_add_test(tc, sweep_when_made_sure_of);
	tcase_add_test(tc, sweep_many);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
