/*
 * The I/O pool: every job runs once in a thread and ends once in the loop,
 * bounds are kept, promises hold, and stopping loses nothing.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/unit/suite.h"
#include "worker/store/iopool.h"

struct job {
	struct iojob io;
	atomic_bool begun;
	_Atomic unsigned ran;
	unsigned ended;
	pthread_t by;
	struct iopool *pool; /* hand over again from done() this often */
	unsigned again;
	int gate; /* a descriptor to wait for, or -1 */
	char name[16];
	bool masked;
	struct iopool *slow; /* says that it waits */
};

static void
job_run(struct iojob *io)
{
	struct job *j = (struct job *)(void *)io;
	sigset_t set;
	char c;

	atomic_store(&j->begun, true);
	if (j->slow != NULL)
		iopool_slow(j->slow);
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

/* A job that is not a quick one has a thread of its own, as long as there are threads; so has a quick one that says that it waits. */
static void
waits_alone(bool quick)
{
	enum { N = 4 };
	struct iopool *p = iopool_start(N, N);
	struct job j[N];
	int gate[2];

	ck_assert_int_eq(pipe(gate), 0);
	for (size_t i = 0; i < N; i++) {
		job_init(&j[i], i < N - 1 ? gate[0] : -1);
		j[i].io.quick = quick;
		j[i].slow = quick ? p : NULL;
		ck_assert_int_eq(iopool_submit(p, &j[i].io), 0);
	}
	turn(p);
	ck_assert_uint_eq(j[N - 1].ended, 1);
	ck_assert_uint_eq(iopool_pending(p), N - 1);
	ck_assert_int_eq(write(gate[1], "xxx", 3), 3);
	iopool_stop(p);
	for (size_t i = 0; i < N; i++)
		ck_assert_uint_eq(j[i].ended, 1);
	close(gate[0]);
	close(gate[1]);
}

START_TEST(slow_jobs)
{
	waits_alone(false);
	waits_alone(true);
}
END_TEST

/* One thread does quick jobs; where it is held up, another comes when more than IOPOOL_BEHIND wait. */
START_TEST(quick_jobs)
{
	struct iopool *p = iopool_start(4, 100);
	struct job j[2 + IOPOOL_BEHIND];
	int gate[2];

	ck_assert_int_eq(pipe(gate), 0);
	for (size_t i = 0; i <= 1 + IOPOOL_BEHIND; i++) {
		job_init(&j[i], i == 0 ? gate[0] : -1);
		j[i].io.quick = true;
	}
	ck_assert_int_eq(iopool_submit(p, &j[0].io), 0);
	while (!atomic_load(&j[0].begun))
		usleep(1000);
	for (size_t i = 1; i <= IOPOOL_BEHIND; i++)
		ck_assert_int_eq(iopool_submit(p, &j[i].io), 0);
	usleep(20000);
	ck_assert_uint_eq(iopool_reap(p), 0);
	ck_assert_int_eq(iopool_submit(p, &j[1 + IOPOOL_BEHIND].io), 0);
	while (iopool_pending(p) > 1)
		turn(p);
	ck_assert_uint_eq(j[0].ended, 0);
	ck_assert_int_eq(write(gate[1], "x", 1), 1);
	iopool_stop(p);
	ck_assert_uint_eq(j[0].ended, 1);
	close(gate[0]);
	close(gate[1]);
}
END_TEST

/* Quick jobs are kept back until their number or the loop says go, others never, and a stop loses none. */
START_TEST(gathered)
{
	struct iopool *p = iopool_start(4, 100);
	struct job j[2 + IOPOOL_BEHIND];

	for (size_t i = 0; i <= 1 + IOPOOL_BEHIND; i++) {
		job_init(&j[i], -1);
		j[i].io.quick = true;
	}
	iopool_gather(p);
	ck_assert_int_eq(iopool_submit(p, &j[0].io), 0);
	usleep(20000);
	ck_assert(!atomic_load(&j[0].begun));
	ck_assert_uint_eq(iopool_pending(p), 1);
	iopool_go(p);
	turn(p);
	ck_assert_uint_eq(j[0].ended, 1);

	for (size_t i = 1; i <= IOPOOL_BEHIND; i++)
		ck_assert_int_eq(iopool_submit(p, &j[i].io), 0);
	while (iopool_pending(p) > 0)
		turn(p);

	ck_assert_int_eq(iopool_submit(p, &j[0].io), 0);
	j[1].io.quick = false;
	ck_assert_int_eq(iopool_submit(p, &j[1].io), 0);
	while (iopool_pending(p) > 0)
		turn(p);
	ck_assert_uint_eq(j[0].ended, 2);
	ck_assert_uint_eq(j[1].ended, 2);

	ck_assert_int_eq(iopool_submit(p, &j[1 + IOPOOL_BEHIND].io), 0);
	iopool_stop(p);
	ck_assert_uint_eq(j[1 + IOPOOL_BEHIND].ended, 1);
}
END_TEST

/* A quick job hangs and has not said so: one that waits behind it waits for two ticks, and the next for none. */
START_TEST(quick_jobs_that_hang)
{
	struct iopool *p = iopool_start(3, 100);
	struct job j[3];
	int gate[2];

	ck_assert_int_eq(pipe(gate), 0);
	for (size_t i = 0; i < 3; i++) {
		job_init(&j[i], i == 0 ? gate[0] : -1);
		j[i].io.quick = true;
	}
	ck_assert_int_eq(iopool_submit(p, &j[0].io), 0);
	while (!atomic_load(&j[0].begun))
		usleep(1000);
	ck_assert_int_eq(iopool_submit(p, &j[1].io), 0);
	iopool_tick(p);
	usleep(20000);
	ck_assert_uint_eq(iopool_reap(p), 0);
	iopool_tick(p);
	turn(p);
	ck_assert_uint_eq(j[1].ended, 1);
	ck_assert_int_eq(iopool_submit(p, &j[2].io), 0);
	turn(p);
	ck_assert_uint_eq(j[2].ended, 1);
	/* What was taken for slow is counted again when it is over. */
	ck_assert_int_eq(write(gate[1], "x", 1), 1);
	turn(p);
	ck_assert_uint_eq(j[0].ended, 1);
	iopool_tick(p);
	iopool_tick(p);
	ck_assert_int_eq(iopool_submit(p, &j[2].io), 0);
	turn(p);
	ck_assert_uint_eq(j[2].ended, 2);
	iopool_stop(p);
	close(gate[0]);
	close(gate[1]);
}
END_TEST

static int stopped_gate;

/* It opens the gate that the job before it waits for. */
static void
opener_run(struct iojob *io)
{
	job_run(io);
	if (write(stopped_gate, "x", 1) != 1)
		abort();
}

/* Who stops ticks no more: what waits behind a quick job that hangs is done all the same. */
START_TEST(stop_behind_one_that_hangs)
{
	struct iopool *p = iopool_start(3, 100);
	struct job j[2];
	int gate[2];

	ck_assert_int_eq(pipe(gate), 0);
	stopped_gate = gate[1];
	for (size_t i = 0; i < 2; i++) {
		job_init(&j[i], i == 0 ? gate[0] : -1);
		j[i].io.quick = true;
	}
	j[1].io.run = opener_run;
	ck_assert_int_eq(iopool_submit(p, &j[0].io), 0);
	while (!atomic_load(&j[0].begun))
		usleep(1000);
	ck_assert_int_eq(iopool_submit(p, &j[1].io), 0);
	iopool_stop(p);
	ck_assert_uint_eq(j[0].ended + j[1].ended, 2);
	close(gate[0]);
	close(gate[1]);
}
END_TEST

static struct iopool *more_pool;
static struct iojob *more[4];

static void
more_run(struct iojob *io)
{
	struct job *j = (struct job *)(void *)io;

	job_run(io);
	for (size_t i = 0; i < 4; i++)
		more[i] = i == 0 || more[i - 1] != NULL ? iopool_more(more_pool, more_run) : NULL;
	j->io.next = NULL;
	iopool_ended(more_pool, io);
	for (size_t i = 0; i < 4 && more[i] != NULL; i++)
		iopool_ended(more_pool, more[i]);
}

/* Two of its kind are next, then another kind, then one of its kind: it gets the two. */
START_TEST(more_of_a_kind)
{
	struct job j[5];
	int gate[2];

	more_pool = iopool_start(1, 5);
	ck_assert_int_eq(pipe(gate), 0);
	for (size_t i = 0; i < 5; i++) {
		job_init(&j[i], i == 0 ? gate[0] : -1);
		if (i != 3) {
			j[i].io.run = more_run;
			j[i].io.kept = true;
		}
		j[i].io.quick = true;
		ck_assert_int_eq(iopool_submit(more_pool, &j[i].io), 0);
	}
	ck_assert_int_eq(write(gate[1], "x", 1), 1);
	iopool_stop(more_pool);
	for (size_t i = 0; i < 5; i++) {
		ck_assert_uint_eq(j[i].ended, 1);
		ck_assert_uint_eq(j[i].ran, i == 1 || i == 2 ? 0 : 1);
	}
	close(gate[0]);
	close(gate[1]);
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
	tcase_add_test(tc, slow_jobs);
	tcase_add_test(tc, quick_jobs);
	tcase_add_test(tc, gathered);
	tcase_add_test(tc, quick_jobs_that_hang);
	tcase_add_test(tc, stop_behind_one_that_hangs);
	tcase_add_test(tc, more_of_a_kind);
	tcase_add_test(tc, bad_arguments);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
