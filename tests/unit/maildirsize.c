/*
 * maildirsize: what the file says, what a folder holds, and that many at once
 * never promise more than there is room for.
 */
#include "common/maildirsize.h"

#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>

#include "tests/unit/suite.h"

#define OCTETS(n) (&(struct quota_limit){ n, 0 })

static char root[] = "/tmp/maildirsize.XXXXXX";
static int home;

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

START_TEST(a_full_one_is_counted_anew_when_it_is_old)
{
	struct timespec old[2] = { { .tv_sec = time(NULL) - 2000 }, { .tv_sec = time(NULL) - 2000 } };

	put("maildirsize", "1000S\n999 1\n");
	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 500, NULL), -1);
	ck_assert_int_eq(utimensat(home, "maildirsize", old, 0), 0);
	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 500, NULL), 0);
}
END_TEST

START_TEST(settles_where_it_was_counted_anew)
{
	struct maildirsize m;
	uint64_t ino = 0;

	ck_assert_int_eq(maildirsize_room(home, OCTETS(1000), 100, &ino), 0);
	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(1000), &m), 0);
	ck_assert_int_eq(m.octets, 0);
	maildirsize_settle(home, 100, ino);
	ck_assert_int_eq(maildirsize_read(home, &m), 0);
	ck_assert_int_eq(m.octets, 100);
	maildirsize_settle(home, 100, m.id);
	maildirsize_release(home, 100, ino); /* of a file that is gone */
	ck_assert_int_eq(maildirsize_read(home, &m), 0);
	ck_assert_int_eq(m.octets, 100);
}
END_TEST

/* Deliveries of 10 octets each, until it is full; some are taken back. */
static void
fill(int me)
{
	for (int i = 0; i < 4000; i++) {
		uint64_t ino = 0;
		char name[64];

		if (maildirsize_room(home, OCTETS(6000), 10, &ino) != 0) {
			if (errno == EDQUOT)
				_exit(0);
			continue;
		}
		if (i % 5 == 4) {
			maildirsize_release(home, 10, ino);
			continue;
		}
		snprintf(name, sizeof(name), "new/%d.%d,S=10", me, i);
		put(name, "x");
		maildirsize_settle(home, 10, ino);
	}
	_exit(1);
}

START_TEST(many_at_once_never_pass_it)
{
	struct maildirsize m;
	int status;

	for (int i = 0; i < 8; i++)
		if (fork() == 0)
			fill(i);
	for (int i = 0; i < 8; i++) {
		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_int_eq(maildirsize_recalculate(home, OCTETS(6000), &m), 0);
	/* Beyond it only by what was on its way in the moment of a recount; short of it by the same. */
	ck_assert_int_le(m.octets, 6000 + 8 * 10);
	ck_assert_int_ge(m.octets, 6000 - 40 * 10);
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
	tcase_add_test(t, a_full_one_is_counted_anew_when_it_is_old);
	tcase_add_test(t, settles_where_it_was_counted_anew);
	tcase_add_test(t, the_last_room_goes_to_one);
	tcase_add_test(t, many_at_once_never_pass_it);
	suite_add_tcase(s, t);
	return suite_run(s);
}
