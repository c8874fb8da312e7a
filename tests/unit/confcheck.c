/*
 * confcheck: what a config names outside of itself, and files that cannot be read.
 */
#include <bsd/string.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/log.h"
#include "tests/unit/confcase.h"
#include "tests/unit/snapshot.h"

static char dir[128];

/* Instead of the C library's. */
static bool no_process;

pid_t
fork(void)
{
	pid_t (*real)(void);

	if (no_process) {
		errno = EAGAIN;
		return -1;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "fork");
	return real();
}

static void
make_dir(void)
{
	static const char *const sub[] = { "state", "directory", "mail" };
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof dir, "%s/conf-XXXXXX", tmp != NULL && strlen(tmp) < 100 ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chmod(dir, 0755), 0);
	for (size_t i = 0; i < 3; i++) {
		char path[256];

		snprintf(path, sizeof path, "%s/%s", dir, sub[i]);
		ck_assert_int_eq(mkdir(path, 0755), 0);
		if (geteuid() == 0)
			ck_assert_int_eq(chown(path, getpwnam("nobody")->pw_uid, (gid_t)-1), 0);
	}
}

/* All that a test may have made in it. */
static void
remove_dir(void)
{
	static const char *const made[] = { "directory/mailboxes.mdb", "filter.sock", "big", "state", "directory",
		"mail", "" };

	for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
		char path[256];

		snprintf(path, sizeof path, "%s/%s", dir, made[i]);
		(void)remove(path);
	}
	ck_assert_int_ne(access(dir, F_OK), 0);
}

static const char *
in_dir(const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

/* A config that names ${dir}, with ${more} behind; what conf_check() answers stands in told. */
static int
check_conf(const char *more)
{
	char text[2048];
	struct conf *cf;
	int rc;

	snprintf(text, sizeof text,
	    HOST MX "user = nobody\nstate_dir = \"%s/state\"\ndirectory = \"%s/directory\"\n"
		    "%s%s",
	    dir, dir, strstr(more, "store") != NULL ? "" : "store \"maildir\" { path = \"/tmp\" }\n", more);
	cf = good(text);
	rc = conf_check(cf, take, &told);
	conf_free(cf);
	return rc;
}

static void
touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* A mailbox list, as letterplate-mailboxes would put it there. */
static void
list(void)
{
	struct snapshot s;
	char path[PATH_MAX];

	snapshot_init(&s);
	snapshot_load(&s, "alice@example.org\n");
	snapshot_path(&s, MDB_FILE, path);
	ck_assert_int_eq(rename(path, in_dir("directory/mailboxes.mdb")), 0);
	snapshot_fini(&s);
}

START_TEST(check_good)
{
	list();
	ck_assert_msg(check_conf("") == 0, "%s", told.text);
	ck_assert_str_eq(told.text, "");
}
END_TEST

START_TEST(check_no_snapshot_is_a_warning)
{
	ck_assert_msg(check_conf("") == 0, "%s", told.text);
	ck_assert_msg(strncmp(told.text, "x.conf:5: warning: there is no \"", 32) == 0, "%s", told.text);
}
END_TEST

/* A config with ${more} is good, and warned about by a line that has ${want}; NULL: not at all. */
static void
warns(const char *more, const char *want)
{
	ck_assert_msg(check_conf(more) == 0, "%s", told.text);
	if (want == NULL)
		ck_assert_str_eq(told.text, "");
	else
		ck_assert_msg(told.lines == 1 && strstr(told.text, want) != NULL, "want %s, but: %s", want, told.text);
}

/* Exit 0: a server that runs serves on with the one before, and another is put in its place without a reload. */
START_TEST(check_damaged_snapshot_is_a_warning)
{
	static const off_t cut[] = { 0, 1, 4096, -1 };
	const char *path = in_dir("directory/mailboxes.mdb");
	char junk[8192];
	struct stat st;
	int fd;

	for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
		list();
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_int_eq(truncate(path, cut[i] >= 0 ? cut[i] : st.st_size + cut[i]), 0);
		warns("", "mailboxes.mdb\" is damaged: every recipient is answered 451 until letterplate-mailboxes ");
	}
	list();
	memset(junk, 'x', sizeof junk);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(pwrite(fd, junk, sizeof junk, 0), sizeof junk);
	warns("", "mailboxes.mdb\" is damaged: ");
	ck_assert_int_eq(ftruncate(fd, sizeof junk), 0);
	warns("", "mailboxes.mdb\" is damaged: ");
	close(fd);
	list();
	warns("", NULL);
}
END_TEST

START_TEST(check_dsn_without_a_relay_is_a_warning)
{
	list();
	ck_assert_msg(check_conf("dsn = yes\n") == 0, "%s", told.text);
	ck_assert_msg(
	    strstr(told.text,
		": warning: without dsn_relay reports to foreign senders are given up; set it, or leave dsn off\n") !=
		NULL,
	    "%s", told.text);
	ck_assert_msg(check_conf("dsn = yes dsn_relay = \"relay.example:25\"\n") == 0, "%s", told.text);
	ck_assert_str_eq(told.text, "");
}
END_TEST

START_TEST(check_sockets_of_filters)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char more[512], want[512];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	list();

	ck_assert_uint_lt(strlcpy(to.sun_path, in_dir("filter.sock"), sizeof to.sun_path), sizeof to.sun_path);
	for (int policy = 0; policy <= 1; policy++) {
		snprintf(more, sizeof more, "%s \"x\" {\n socket = \"unix:%s\" }\n", policy ? "policy" : "milter",
		    to.sun_path);
		snprintf(
		    want, sizeof want, "x.conf:8: warning: \"x\" has no socket at \"%s\": No such file", to.sun_path);
		warns(more, want);
	}
	touch(to.sun_path);
	warns(more, "is no socket; correct the path");
	ck_assert_int_eq(unlink(to.sun_path), 0);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&to, sizeof to), 0);
	ck_assert_int_eq(chmod(to.sun_path, 0700), 0);
	warns(more, geteuid() == 0 ? " may not write to \"" : NULL);
	ck_assert_int_eq(chmod(to.sun_path, 0777), 0);
	warns(more, NULL);
	close(fd);
	warns("milter \"x\" { socket = \"inet:127.0.0.1:1\" }\n", NULL);
}
END_TEST

START_TEST(check_checks_without_one)
{
	list();
	warns("checks { }\n", "x.conf:7: warning: section checks switches none of its checks on");
	warns("checks { helo_own = no }\n", "switches none");
	warns("checks { helo_own = yes }\n", NULL);
}
END_TEST

START_TEST(check_missing_folders)
{
	char want[512], store[512];

	ck_assert_int_eq(rmdir(in_dir("state")), 0);
	ck_assert_int_eq(rmdir(in_dir("directory")), 0);
	snprintf(store, sizeof store, "store \"maildir\" {\n path = \"%s/none\" }\n", dir);
	ck_assert_int_eq(check_conf(store), -1);
	ck_assert_uint_eq(told.lines, 3);
	snprintf(want, sizeof want, "x.conf:4: state_dir \"%s/state\" does not exist", dir);
	ck_assert_msg(strstr(told.text, want) != NULL, "%s", told.text);
	snprintf(want, sizeof want, "x.conf:5: directory \"%s/directory\" does not exist", dir);
	ck_assert_msg(strstr(told.text, want) != NULL, "%s", told.text);
	snprintf(want, sizeof want, "x.conf:7: store path \"%s/none\" does not exist", dir);
	ck_assert_msg(strstr(told.text, want) != NULL, "%s", told.text);
}
END_TEST

START_TEST(check_file_as_folder)
{
	char store[512];

	list();
	snprintf(store, sizeof store, "store \"maildir\" { path = \"%s/directory/mailboxes.mdb\" }\n", dir);
	ck_assert_int_eq(check_conf(store), -1);
	ck_assert_msg(strstr(told.text, "is not a folder") != NULL && told.lines == 1, "%s", told.text);
}
END_TEST

START_TEST(check_not_writable)
{
	char store[512];

	list();
	ck_assert_int_eq(chmod(in_dir("mail"), 0500), 0);
	snprintf(store, sizeof store, "store \"maildir\" { path = \"%s/mail\" }\n", dir);
	ck_assert_int_eq(check_conf(store), -1);
	ck_assert_msg(
	    strstr(told.text, "may not write in it: Permission denied") != NULL && told.lines == 1, "%s", told.text);
	ck_assert_int_eq(chmod(in_dir("mail"), 0700), 0);
	ck_assert_msg(check_conf(store) == 0, "%s", told.text);
}
END_TEST

START_TEST(check_snapshot_not_readable)
{
	list();
	ck_assert_int_eq(chmod(in_dir("directory/mailboxes.mdb"), 0), 0);
	ck_assert_int_eq(check_conf(""), -1);
	ck_assert_msg(strstr(told.text, "may not read it: Permission denied") != NULL, "%s", told.text);
}
END_TEST

START_TEST(check_unix_socket_folder)
{
	list();
	ck_assert_int_eq(check_conf("listener \"l\" {\n address = \"unix:/nonexistent/x\" }\n"), -1);
	ck_assert_str_eq(told.text,
	    "x.conf:8: the folder of a unix socket \"/nonexistent\" does not exist; create it "
	    "and give it to this user\n");
}
END_TEST

START_TEST(check_unix_socket_file)
{
	char listener[512], want[512];

	list();
	snprintf(listener, sizeof listener, "listener \"l\" {\n address = \"unix:%s\" }\n", in_dir("big"));
	touch(in_dir("big"));
	ck_assert_int_eq(check_conf(listener), -1);
	snprintf(want, sizeof want,
	    "x.conf:8: \"unix:%s\": there is a file that is no socket: remove it or change the address\n",
	    in_dir("big"));
	ck_assert_str_eq(told.text, want);
	ck_assert_int_eq(unlink(in_dir("big")), 0);
	ck_assert_msg(check_conf(listener) == 0, "%s", told.text);
}
END_TEST

START_TEST(check_user)
{
	list();
	if (geteuid() != 0) {
		/* Then the user is of no interest. */
		struct conf *cf = good(HOST MX "user = nosuchuser state_dir = \"/tmp\" directory = \"/tmp\"\n"
					       "store \"maildir\" { path = \"/tmp\" }");

		ck_assert_msg(conf_check(cf, take, &told) == 0, "%s", told.text);
		conf_free(cf);
		return;
	}
	for (int i = 0; i < 2; i++) {
		struct conf *cf = good(i == 0 ? HOST MX "user = nosuchuser\nstate_dir = \"/tmp\"\n"
					      : HOST MX "user = root\nstate_dir = \"/tmp\"\n");

		ck_assert_int_eq(conf_check(cf, take, &told), -1);
		ck_assert_str_eq(told.text,
		    i == 0 ? "x.conf:3: user \"nosuchuser\" does not exist; create it or set another\n"
			   : "x.conf:3: user \"root\" is root; workers must not be: set another\n");
		conf_free(cf);
	}
}
END_TEST

/* The system has no process left: said, and nothing stays open in the master, which asks at each reload. */
START_TEST(check_without_a_process)
{
	int before = dup(STDERR_FILENO), after;

	close(before);
	no_process = true;
	ck_assert_int_ne(check_conf(""), 0);
	no_process = false;
	ck_assert_msg(strstr(told.text, "cannot check: Resource temporarily unavailable") != NULL, "%s", told.text);
	after = dup(STDERR_FILENO);
	close(after);
	ck_assert_int_eq(after, before);
}
END_TEST

START_TEST(read_errors)
{
	char *text;
	size_t n;
	int fd;

	ck_assert_int_eq(conf_read("/nonexistent", &text, &n), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(conf_read(dir, &text, &n), -1);
	ck_assert_int_eq(errno, EISDIR);
	fd = open(in_dir("big"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, CONF_TEXT_MAX), 0);
	ck_assert_int_eq(conf_read(in_dir("big"), &text, &n), 0);
	ck_assert_uint_eq(n, CONF_TEXT_MAX);
	free(text);
	ck_assert_int_eq(ftruncate(fd, CONF_TEXT_MAX + 1), 0);
	ck_assert_int_eq(conf_read(in_dir("big"), &text, &n), -1);
	ck_assert_int_eq(errno, EFBIG);
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("confcheck");
	TCase *t = tcase_create("check");

	tcase_add_checked_fixture(t, make_dir, remove_dir);
	tcase_add_test(t, check_good);
	tcase_add_test(t, check_no_snapshot_is_a_warning);
	tcase_add_test(t, check_damaged_snapshot_is_a_warning);
	tcase_add_test(t, check_sockets_of_filters);
	tcase_add_test(t, check_checks_without_one);
	tcase_add_test(t, check_dsn_without_a_relay_is_a_warning);
	tcase_add_test(t, check_missing_folders);
	tcase_add_test(t, check_file_as_folder);
	tcase_add_test(t, check_not_writable);
	tcase_add_test(t, check_snapshot_not_readable);
	tcase_add_test(t, check_unix_socket_folder);
	tcase_add_test(t, check_unix_socket_file);
	tcase_add_test(t, check_user);
	tcase_add_test(t, check_without_a_process);
	tcase_add_test(t, read_errors);
	suite_add_tcase(s, t);
	return suite_run(s);
}
