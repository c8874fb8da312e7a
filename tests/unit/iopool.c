/*
 * The I/O pool: every job runs once in a thread and ends once in the loop,
 * bounds are kept, promises hold, and stopping loses nothing.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "tests/unit/suite.h"
#include "worker/store/iopool.h"

struct job {
	struct iojob io;
	_Atomic unsigned ran;
	unsigned ended;
	pthread_t by;
	struct iopool *pool; /* hand over again from done() this often */
	unsigned again;
	int gate; /* a descriptor to wait for, or -1 */
	char name[16];
	bool masked;
};

static void
job_run(struct iojob *io)
{
	struct job *j = (struct job *)(void *)io;
	sigset_t set;
	char c;

	if (j->gate != -1 && read(j->gate, &c, 1) != 1)
		abort();
	j->by = pthread_self();
	pthread_getname_np(pthread_self(), j->name, sizeof(j->name));
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	j->masked = sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGHUP) == 1 && sigismember(&set, SIGSYS) == 0;
	atomic_fetch_add(&j->ran, 1);
}

static void
job_done(struct iojob *io)
{
	struct job *j = (struct job *)(void *)io;

	j->ended++;
	if (j->again > 0) {
		j->again--;
		iopool_submit_reserved(j->pool, &j->io);
	}
}

static void
job_init(struct job *j, int gate)
{
	*j = (struct job){ .io = { .run = job_run, .done = job_done }, .gate = gate };
}

static void
turn(struct iopool *p)
{
	struct pollfd fd = { .fd = iopool_fd(p), .events = POLLIN };

	ck_assert_int_eq(poll(&fd, 1, 20000), 1);
	iopool_reap(p);
}

START_TEST(each_once)
{
	enum { N = 5000 };
	static struct job j[N];
	struct iopool *p = iopool_start(4, N);

	ck_assert_ptr_nonnull(p);
	for (size_t i = 0; i < N; i++) {
		job_init(&j[i], -1);
		ck_assert_int_eq(iopool_submit(p, &j[i].io), 0);
		if (i % 7 == 0)
			iopool_reap(p);
	}
	while (iopool_pending(p) > 0)
		turn(p);
	for (size_t i = 0; i < N; i++) {
		ck_assert_uint_eq(j[i].ran, 1);
		ck_assert_uint_eq(j[i].ended, 1);
		ck_assert(!pthread_equal(j[i].by, pthread_self()));
	}
	ck_assert_uint_eq(iopool_reap(p), 0);
	iopool_stop(p);
}
END_TEST

START_TEST(thread_setup)
{
	struct iopool *p = iopool_start(1, 1);
	struct job j;

	job_init(&j, -1);
	ck_assert_int_eq(iopool_submit(p, &j.io), 0);
	turn(p);
	ck_assert_str_eq(j.name, "io-0");
	ck_assert(j.masked);
	iopool_stop(p);
}
END_TEST

START_TEST(full)
{
	struct iopool *p = iopool_start(1, 3);
	struct job j[4];
	int gate[2];

	ck_assert_int_eq(pipe(gate), 0);
	for (size_t i = 0; i < 4; i++)
		job_init(&j[i], i == 0 ? gate[0] : -1);
	ck_assert_int_eq(iopool_submit(p, &j[0].io), 0);
	ck_assert_int_eq(iopool_submit(p, &j[1].io), 0);
	ck_assert_int_eq(iopool_reserve(p), 0);
	ck_assert_int_eq(iopool_submit(p, &j[2].io), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_eq(iopool_reserve(p), -1);
	ck_assert_int_eq(errno, EAGAIN);
	iopool_submit_reserved(p, &j[2].io);
	ck_assert_uint_eq(iopool_pending(p), 3);
	ck_assert_uint_eq(iopool_reap(p), 0);
	ck_assert_int_eq(write(gate[1], "x", 1), 1);
	while (iopool_pending(p) > 0)
		turn(p);
	/* The promise lasts until it is taken back. */
	ck_assert_int_eq(iopool_submit(p, &j[1].io), 0);
	ck_assert_int_eq(iopool_submit(p, &j[0].io), 0);
	ck_assert_int_eq(iopool_submit(p, &j[3].io), -1);
	iopool_unreserve(p);
	ck_assert_int_eq(iopool_submit(p, &j[3].io), 0);
	ck_assert_int_eq(write(gate[1], "x", 1), 1);
	iopool_stop(p);
	ck_assert_uint_eq(j[3].ended, 1);
	close(gate[0]);
	close(gate[1]);
}
END_TEST

/* Nothing that was handed over is lost by a stop, nor what its done() hands over. */
START_TEST(stop_drains)
{
	enum { N = 64 };
	struct iopool *p = iopool_start(2, N);
	struct job j[N];

	for (size_t i = 0; i < N; i++) {
		job_init(&j[i], -1);
		j[i].pool = p;
		j[i].again = (unsigned)(i % 3);
		ck_assert_int_eq(iopool_reserve(p), 0);
		iopool_submit_reserved(p, &j[i].io);
	}
	iopool_stop(p);
	for (size_t i = 0; i < N; i++) {
		ck_assert_uint_eq(j[i].ran, 1 + i % 3);
		ck_assert_uint_eq(j[i].ended, 1 + i % 3);
	}
	iopool_stop(NULL);
}
END_TEST

START_TEST(bad_arguments)
{
	ck_assert_ptr_null(iopool_start(0, 1));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("iopool");
	TCase *tc = tcase_create("iopool");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, each_once);
	tcase_add_test(tc, thread_setup);
	tcase_add_test(tc, full);
	tcase_add_test(tc, stop_drains);
	tcase_add_test(tc, bad_arguments);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
