/*
 * maildirsize: what the file says, what a folder holds, and that many at once
 * never promise more than there is room for, whoever counts anew meanwhile.
 * Calls of the C library that the code makes while it counts come here first,
 * so that others act in that very moment.
 */
#include "common/maildirsize.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "tests/unit/suite.h"

#define OCTETS(n) (&(struct quota_limit){ n, 0 })

static char root[] = "/tmp/maildirsize.XXXXXX";
static int home;

/* Called before the new file gets its name, and after each folder that was read. */
static void (*on_rename)(void), (*on_closedir)(void);

int
renameat(int a, const char *from, int b, const char *to)
{
	if (on_rename != NULL)
		on_rename();
	return (int)syscall(SYS_renameat2, a, from, b, to, 0);
}

int
closedir(DIR *d)
{
	int (*real)(DIR *);

	*(void **)&real = dlsym(RTLD_NEXT, "closedir");
	if (on_closedir != NULL)
		on_closedir();
	return real(d);
}

static void
setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(root));
	home = open(root, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(mkdirat(home, (const char *[]){ "tmp", "new", "cur" }[i], 0700), 0);
}

static void
teardown(void)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	ck_assert_int_eq(system(cmd), 0);
}

static void
put(const char *name, const char *text)
{
	int fd = openat(home, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static const struct {
	const char *text;
	int64_t octets, messages;
	uint64_t limit;
	int error;
	uint64_t max_messages;
} row[] = {
	{ "1000S\n", 0, 0, 1000, 0, 0 },
	{ "1000S,10C\n100 1\n", 100, 1, 1000, 0, 10 },
	{ "7C\n100 1\n", 100, 1, 0, 0, 7 },
	{ "10C,1000S\n100 1\n-100 -1\n50 1\n", 50, 1, 1000, 0, 10 },
	{ "\n5 1\n", 5, 1, 0, 0, 0 },
	{ "1000S\n         100          1\n", 0, 0, 0, EBADMSG, 0 }, /* numbers begin the line */
	{ "1000S\n100     1  \n", 100, 1, 1000, 0, 0 },
	{ "", 0, 0, 0, EBADMSG, 0 },
	{ "1000S", 0, 0, 0, EBADMSG, 0 },
	{ "1000\n", 0, 0, 0, EBADMSG, 0 },
	{ "-1S\n", 0, 0, 0, EBADMSG, 0 },
	{ "1000S\n100\n", 0, 0, 0, EBADMSG, 0 },
	{ "1000S\n100 1", 0, 0, 0, EBADMSG, 0 },
	{ "1000S\nx 1\n", 0, 0, 0, EBADMSG, 0 },
	{ "1000S\n99999999999999999999 1\n", 0, 0, 0, EBADMSG, 0 },
	{ "1000S\n9223372036854775807 1\n1 1\n", 0, 0, 0, EBADMSG, 0 },
};

START_TEST(reads)
{
	struct maildirsize m;

	put("maildirsize", row[_i].text);
	if (row[_i].error != 0) {
		ck_assert_int_eq(maildirsize_read(home, &m), -1);
		ck_assert_int_eq(errno, row[_i].error);
		return;
	}
	ck_assert_int_eq(maildirsize_read(home, &m), 0);
	ck_assert_int_eq(m.octets, row[_i].octets);
	ck_assert_int_eq(m.messages, row[_i].messages);
	ck_assert_uint_eq(m.limit.octets, row[_i].limit);
	ck_assert_uint_eq(m.limit.messages, row[_i].max_messages);
}
END_TEST

START_TEST(counts_what_is_there)
{
	struct maildirsize m;

	put("new/1.host,S=100", "x");
	put("cur/2.host,S=50,W=60:2,S", "x");
	put("cur/3.host:2,", "four");
	put("cur/4.host,S=x:2,", "five!");
	put("tmp/5.host", "not yet");
	ck_assert_int_eq(mkdirat(home, ".Junk", 0700), 0);
	ck_assert_int_eq(mkdirat(home, ".Junk/new", 0700), 0);
	put(".Junk/new/6.host,S=1000", "x");
	put("new/.hidden", "x");
	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(5000), &m), 0);
	ck_assert_int_eq(m.octets, 100 + 50 + 4 + 5 + 1000);
	ck_assert_int_eq(m.messages, 5);
	ck_assert_uint_eq(m.limit.octets, 5000);
}
END_TEST

/* The file's first line. */
static const char *
first_line(void)
{
	static char line[64];
	int fd = openat(home, "maildirsize", O_RDONLY);
	ssize_t n = read(fd, line, sizeof(line) - 1);

	ck_assert_int_gt(n, 0);
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	close(fd);
	return line;
}

START_TEST(messages_have_a_limit_too)
{
	const struct quota_limit three = { 0, 3 }, both = { 1000, 3 };
	struct maildirsize m;
	uint64_t id = 0;

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(maildirsize_room(home, &three, 5000, &id), 0);
	ck_assert_str_eq(first_line(), "3C");
	ck_assert_int_eq(maildirsize_room(home, &three, 0, NULL), -1);
	ck_assert_int_eq(errno, EDQUOT);
	ck_assert_int_eq(maildirsize_room(home, &three, 0, &id), -1);
	ck_assert_int_eq(maildirsize_read(home, &m), 0);
	ck_assert_int_eq(m.messages, 3);
	maildirsize_release(home, 5000, id);
	ck_assert_int_eq(maildirsize_room(home, &three, 1, NULL), 0);

	/* Another limit: counted anew, and there is nothing. */
	ck_assert_int_eq(maildirsize_room(home, &both, 1001, NULL), -1);
	ck_assert_str_eq(first_line(), "1000S,3C");
	ck_assert_int_eq(maildirsize_room(home, &both, 400, &id), 0);
	ck_assert_int_eq(maildirsize_room(home, &both, 400, &id), 0);
	ck_assert_int_eq(maildirsize_room(home, &both, 400, &id), -1);
	ck_assert_int_eq(maildirsize_room(home, &both, 10, &id), 0);
	ck_assert_int_eq(maildirsize_room(home, &both, 10, &id), -1);
	ck_assert_int_eq(errno, EDQUOT);
	ck_assert_int_eq(maildirsize_recalculate(home, &(struct quota_limit){ 0, 0 }, &m), 0);
	ck_assert_str_eq(first_line(), "0S");
}
END_TEST

START_TEST(has_room_or_not)
{
	struct maildirsize m;
	uint64_t ino = 0;

	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 1001, NULL), -1);
	ck_assert_int_eq(errno, EDQUOT);
	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 1000, NULL), 0);
	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 600, &ino), 0);
	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 401, &ino), -1);
	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 400, &ino), 0);
	maildirsize_release(home, 400, ino);
	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 300, &ino), 0);
	ck_assert_int_eq(maildirsize_read(home, &m), 0);
	ck_assert_int_eq(m.octets, 900);
	ck_assert_int_eq(m.messages, 2);
	/* Another limit: counted anew, and nothing is there. */
	ck_assert_int_eq(maildirsize_room(home, OCTETS(2000), 2000, NULL), 0);
}
END_TEST

/* Or from a time that is yet to come: the clock was set back, and a day later would be too late for who has room. */
START_TEST(a_full_one_is_counted_anew_when_it_is_old)
{
	time_t when = time(NULL) + (_i == 0 ? -2000 : 86400);
	struct timespec old[2] = { { .tv_sec = when }, { .tv_sec = when } };

	put("maildirsize", "1000S\n999 1\n");
	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 500, NULL), -1);
	ck_assert_int_eq(utimensat(home, "maildirsize", old, 0), 0);
	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 500, NULL), 0);
}
END_TEST

/* A descriptor to hold the mailbox by, as each delivery has its own. */
static int
open_home(void)
{
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

START_TEST(counted_anew_on_its_way)
{
	struct maildirsize m;
	uint64_t a = 0, b = 0;
	int held = open_home();

	/* The first is staged, the mailbox is counted anew without it, and the second gets the room. */
	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 600, &a), 0);
	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(1000), &m), 0);
	ck_assert_int_eq(m.octets, 0);
	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 600, &b), 0);
	ck_assert_uint_ne(a, b);
	ck_assert_int_eq(maildirsize_hold(held, a), -1);
	ck_assert_int_eq(errno, ESTALE);
	close(held);
	maildirsize_release(home, 600, a); /* of a file that is gone: nothing */
	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 600, &a), -1);
	ck_assert_int_eq(errno, EDQUOT);
	held = open_home();
	ck_assert_int_eq(maildirsize_hold(held, b), 0);
	put("new/1.b,S=600", "x");
	close(held);
	ck_assert_int_eq(maildirsize_read(home, &m), 0);
	ck_assert_int_eq(m.octets, 600);
	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(1000), &m), 0);
	ck_assert_int_eq(m.octets, 600);
	/* Placed before the count, taken back after it. */
	held = open_home();
	ck_assert_int_eq(maildirsize_hold(held, 0), 0);
	ck_assert_int_eq(unlinkat(home, "new/1.b,S=600", 0), 0);
	maildirsize_release(home, 600, 0);
	close(held);
	ck_assert_int_eq(maildirsize_read(home, &m), 0);
	ck_assert_int_eq(m.octets, 0);
}
END_TEST

/* A process that holds the mailbox; it ends by a signal. */
static pid_t
holder(void)
{
	int ready[2];
	pid_t pid;
	char c;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (maildirsize_hold(open_home(), 0) == 0)
			(void)!write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

START_TEST(who_counts_waits_for_who_delivers)
{
	struct maildirsize m;
	pid_t holds, counts;
	int status;

	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(1000), &m), 0);
	holds = holder();
	if ((counts = fork()) == 0)
		_exit(maildirsize_recalculate(home, OCTETS(1000), &m) == 0 && m.octets == 600 ? 0 : 1);
	usleep(300000);
	ck_assert_int_eq(waitpid(counts, &status, WNOHANG), 0);
	put("new/1.a,S=600", "x");
	/* Killed: what it held is free at once. */
	ck_assert_int_eq(kill(holds, SIGKILL), 0);
	ck_assert_int_eq(waitpid(holds, &status, 0), holds);
	ck_assert_int_eq(waitpid(counts, &status, 0), counts);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(who_is_stopped_is_not_waited_for_for_ever)
{
	struct maildirsize m;
	pid_t holds;
	int fd;

	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(1000), &m), 0);
	holds = holder();
	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(1000), &m), -1);
	ck_assert_int_eq(errno, EBUSY);
	ck_assert_int_eq(maildirsize_read(home, &m), 0); /* still the old one's word */
	fd = open_home();
	ck_assert_int_eq(maildirsize_hold(fd, m.id), 0); /* others deliver */
	close(fd);
	kill(holds, SIGKILL);
	waitpid(holds, NULL, 0);
	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(1000), &m), 0);
}
END_TEST

static unsigned renames;

static void
nobody_delivers(void)
{
	struct maildirsize m;
	int fd = open_home();

	renames++;
	ck_assert_int_eq(flock(fd, LOCK_SH | LOCK_NB), -1);
	ck_assert_int_eq(errno, EWOULDBLOCK);
	close(fd);
	ck_assert_int_eq(maildirsize_read(home, &m), 0); /* never gone */
}

START_TEST(while_it_is_counted_nobody_delivers)
{
	struct maildirsize m;

	put("maildirsize", "1000S\n0 0\n");
	put("new/1.a,S=100", "x");
	on_rename = nobody_delivers;
	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(1000), &m), 0);
	on_rename = NULL;
	ck_assert_uint_eq(renames, 1);
	ck_assert_int_eq(m.octets, 100);
}
END_TEST

static void
set_changed(const char *name, time_t when)
{
	ck_assert_int_eq(utimensat(home, name, (struct timespec[]){ { .tv_sec = when }, { .tv_sec = when } }, 0), 0);
}

/* Folders that were read while others had to wait. */
static unsigned closed;

static bool
others_wait(void)
{
	int fd = open_home();
	bool waits = flock(fd, LOCK_SH | LOCK_NB) == -1;

	close(fd);
	return waits;
}

/* The count that others wait for has seen new/ and comes to cur/: a reader moves a message there. */
static void
reader_moves(void)
{
	if (others_wait() && ++closed == 1)
		ck_assert_int_eq(renameat2(home, "new/1.a,S=100", home, "cur/1.a,S=100:2,S", 0), 0);
}

START_TEST(what_a_reader_moves_is_counted_once)
{
	struct maildirsize m;

	put("new/1.a,S=100", "x");
	put("cur/2.a,S=10:2,", "x");
	/* Never long ago: each pass reads them. */
	set_changed("new", time(NULL) + 100);
	set_changed("cur", time(NULL) + 100);
	on_closedir = reader_moves;
	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(1000), &m), 0);
	on_closedir = NULL;
	ck_assert_int_eq(faccessat(home, "cur/1.a,S=100:2,S", F_OK, 0), 0);
	ck_assert_int_eq(m.octets, 110);
	ck_assert_int_eq(m.messages, 2);
	ck_assert_int_ge(closed, 4);
}
END_TEST

static void
count_closed(void)
{
	closed += others_wait();
}

/* What has long been as it is is read before others have to wait, and not again. */
START_TEST(others_wait_for_what_is_new)
{
	struct maildirsize m;
	unsigned all;

	put("new/1.a,S=100", "x");
	put("cur/2.a,S=10:2,", "x");
	on_closedir = count_closed;
	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(1000), &m), 0);
	all = closed;
	closed = 0;
	set_changed("new", time(NULL) - 100);
	set_changed("cur", time(NULL) - 100);
	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(1000), &m), 0);
	on_closedir = NULL;
	ck_assert_uint_le(closed + 2, all);
	ck_assert_uint_eq(closed, 1); /* ".", for the sub-folders */
	ck_assert_int_eq(m.octets, 110);
}
END_TEST

/* Hold the mailbox for a message that was counted in *id, counting it again where need be.  The descriptor, or -1. */
static int
enter(uint64_t *id)
{
	for (;;) {
		int fd = open_home();

		if (maildirsize_hold(fd, *id) == 0)
			return fd;
		close(fd);
		if (errno != ESTALE || maildirsize_room(home, OCTETS(6000), 10, id) != 0)
			return -1;
	}
}

/* Deliveries of 10 octets each, until it is full; some are taken back, before they are placed or after it. */
static void
fill(int me)
{
	for (int i = 0; i < 4000; i++) {
		uint64_t id = 0;
		char name[64];
		int held;

		if (maildirsize_room(home, OCTETS(6000), 10, &id) != 0) {
			if (errno == EDQUOT)
				_exit(0);
			continue;
		}
		if (i % 5 == 4) {
			maildirsize_release(home, 10, id);
			continue;
		}
		snprintf(name, sizeof(name), "new/%d.%d,S=10", me, i);
		held = enter(&id);
		if (held == -1)
			continue;
		put(name, "x");
		close(held);
		if (i % 7 == 6) {
			held = enter(&(uint64_t){ 0 });
			if (unlinkat(home, name, 0) == 0)
				maildirsize_release(home, 10, 0);
			close(held);
		}
	}
	_exit(1);
}

/* As many do at the same time: by the command, and by removing the file. */
static void
count_all_the_while(void)
{
	struct maildirsize m;

	for (unsigned i = 0;; i++) {
		if (i % 2 == 0)
			(void)maildirsize_recalculate(home, OCTETS(6000), &m);
		else
			(void)unlinkat(home, "maildirsize", 0);
		usleep(500);
	}
}

START_TEST(many_at_once_never_pass_it)
{
	struct maildirsize says, m;
	pid_t counts;
	int status;

	if ((counts = fork()) == 0)
		count_all_the_while();
	for (int i = 0; i < 8; i++)
		if (fork() == 0)
			fill(i);
	for (int i = 0; i < 8; i++) {
		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	kill(counts, SIGKILL);
	waitpid(counts, &status, 0);
	if (maildirsize_read(home, &says) != 0)
		ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(6000), &m), 0);
	if (says.id != 0) {
		ck_assert_int_eq(says.octets, m.octets);
		ck_assert_int_eq(says.messages, m.messages);
	}
	ck_assert_int_le(m.octets, 6000);
	ck_assert_int_ge(m.octets, 6000 - 8 * 10);
}
END_TEST

/* Where nothing is counted anew it is exact: four have room, and eight want it at the same moment. */
START_TEST(the_last_room_goes_to_one)
{
	struct maildirsize m;
	int go[2], status;
	char c;

	for (int round = 0; round < 60; round++) {
		ck_assert_int_eq(pipe(go), 0);
		ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(40), &m), 0);
		for (int i = 0; i < 8; i++)
			if (fork() == 0) {
				uint64_t ino;

				close(go[1]);
				(void)!read(go[0], &c, 1);
				for (int k = 0; k < 3; k++)
					(void)maildirsize_room(home, OCTETS(40), 10, &ino);
				_exit(0);
			}
		close(go[0]);
		close(go[1]);
		for (int i = 0; i < 8; i++)
			ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(maildirsize_read(home, &m), 0);
		ck_assert_int_le(m.octets, 40);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("maildirsize");
	TCase *t = tcase_create("maildirsize");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, reads, 0, (int)(sizeof(row) / sizeof(*row)));
	tcase_add_test(t, counts_what_is_there);
	tcase_add_test(t, messages_have_a_limit_too);
	tcase_add_test(t, has_room_or_not);
	tcase_add_loop_test(t, a_full_one_is_counted_anew_when_it_is_old, 0, 2);
	tcase_add_test(t, counted_anew_on_its_way);
	tcase_add_test(t, who_counts_waits_for_who_delivers);
	tcase_add_test(t, who_is_stopped_is_not_waited_for_for_ever);
	tcase_add_test(t, while_it_is_counted_nobody_delivers);
	tcase_add_test(t, what_a_reader_moves_is_counted_once);
	tcase_add_test(t, others_wait_for_what_is_new);
	tcase_add_test(t, the_last_room_goes_to_one);
	tcase_add_test(t, many_at_once_never_pass_it);
	suite_add_tcase(s, t);
	return suite_run(s);
}
