/*
 * check: passwords of many workers wait for few threads: each worker has its
 * share of the places, and its turn.
 */
#include "auth/check.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

#include "tests/unit/suite.h"

enum { WORKERS = 4, WAIT_MS = 20000 };

static int pair[WORKERS][2];
static pid_t runner;

/* As letterplate-auth ends: its threads may be in the middle of a hash, and exit() takes libcrypto from under them. */
static void
end_with_threads(void)
{
	if (getpid() != runner)
		_exit(EXIT_SUCCESS);
}

static void
start(void)
{
	static struct credentials list;
	static struct conf conf;
	int fd = budget_create();

	credential_list_init(&list);
	for (unsigned i = 0; i < WORKERS; i++)
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair[i]), 0);
	ck_assert_int_eq(check_start(&conf, &list, budget_map(fd), WORKERS), 0);
}

static void
ask(unsigned worker, uint64_t id)
{
	struct auth_ask a = { .boot = 1, .id = id, .what = AUTH_PASSWORD, .n = { 4, 4 } };

	memcpy(a.octets, "noneword", 8);
	ck_assert(check_form(&a, AUTH_ASK_HEAD + 8));
	check_ask(worker, pair[worker][0], &a);
}

/* The next answer for ${worker}: true, or false if there is none after ${ms}. */
static bool
hear(unsigned worker, int ms, struct auth_answer *a)
{
	struct pollfd p = { .fd = pair[worker][1], .events = POLLIN };

	return poll(&p, 1, ms) == 1 && recv(p.fd, a, sizeof(*a), 0) > 0;
}

/* Answers that ${worker} has by now: all, and those that say that it was not looked at. */
static unsigned
heard(unsigned worker, unsigned *busy)
{
	struct auth_answer a;
	unsigned n = 0;

	while (hear(worker, 0, &a)) {
		*busy += a.result == AUTH_BUSY;
		n++;
	}
	return n;
}

START_TEST(one_worker_starves_no_other)
{
	struct auth_answer a;
	unsigned n = 0, busy = 0;

	start();
	for (unsigned i = 0; i < CHECK_QUEUE; i++) {
		ask(0, i);
		n += heard(0, &busy);
	}
	for (unsigned w = 1; w < WORKERS; w++)
		ask(w, 7);
	for (unsigned w = 1; w < WORKERS; w++) {
		ck_assert_msg(hear(w, WAIT_MS, &a), "worker %u waits for all of another's", w);
		ck_assert_uint_eq(a.id, 7);
		ck_assert_uint_eq(a.result, AUTH_NO);
	}
	n += heard(0, &busy);
	ck_assert_msg(n - busy <= 40, "%u passwords were looked at before", n - busy);
	/* Its share of the places, and those that threads had taken by then. */
	ck_assert_msg(busy >= CHECK_QUEUE - CHECK_QUEUE / WORKERS - 40, "%u found no place", busy);
	end_with_threads();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("check");
	TCase *t = tcase_create("turns");
	int failed;

	runner = getpid();
	tcase_add_test(t, one_worker_starves_no_other);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	failed = suite_run(s);
	fflush(stdout);
	_exit(failed);
}
