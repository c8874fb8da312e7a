/*
 * iopool: a queue, some threads that wait for it, and a list of what ended.
 * The loop learns of ended jobs by an eventfd that is written once a batch:
 * by the thread that finds the list empty.  Counting is the loop's alone and
 * needs no lock.
 *
 * A thread is called only when those at work are too few for what waits: one
 * for each IOPOOL_BEHIND jobs.  To wake one for each job cost more than most
 * jobs do; it is woken when the lock is free, or it would sleep again.  Who waits, because its job is not a quick one or has
 * said so (iopool_slow), is not counted among them, nor is one whose quick job
 * was not over from one iopool_tick() to the next: a file system may hang
 * below any call.
 */
#include "worker/store/iopool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct jobs {
	struct iojob *head, **tail;
};

/* A thread of a pool. */
struct member {
	struct iopool *pool;
	pthread_t thread;
	pthread_cond_t work; /* called, or stop */
	bool called;
	bool at_work;
	bool slow;                  /* its job waits */
	unsigned long jobs, ticked; /* taken so far; ... at the last iopool_tick() */
	struct member *below;
};

enum { CALLED_MAX = 4 };

struct called {
	unsigned n;
	struct member *m[CALLED_MAX];
};

struct iopool {
	pthread_mutex_t lock;
	pthread_cond_t news; /* a thread came up; in iopool_stop(): a job ended */
	struct jobs queued, ended;
	unsigned nqueued;
	unsigned up;         /* threads that are ready */
	unsigned looking;    /* threads that will look at the queue soon, the called ones included */
	struct member *idle; /* a stack: who worked last is called first, its caches are warm */
	bool stop, drain;
	int efd;
	struct jobs fresh; /* the loop's, and what follows: quick jobs that are kept back */
	unsigned nfresh;
	bool gather;
	unsigned loose, promised, pending, max;
	unsigned nthreads;
	struct member member[];
};

static _Thread_local struct member *me; /* of this thread */

static void
jobs_put(struct jobs *q, struct iojob *j)
{
	j->next = NULL;
	*q->tail = j;
	q->tail = &j->next;
}

static void
jobs_init(struct jobs *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

/* With the lock: call threads, if those that will look are too few.  Who is to be woken when it is released; if there are more, these call them. */
static struct called
call(struct iopool *p)
{
	unsigned want = (p->nqueued + IOPOOL_BEHIND - 1) / IOPOOL_BEHIND;
	struct called c = { .n = 0 };

	for (struct member *m; p->looking < want && c.n < CALLED_MAX && (m = p->idle) != NULL; p->looking++) {
		p->idle = m->below;
		m->called = true;
		c.m[c.n++] = m;
	}
	return c;
}

/* Without the lock. */
static void
wake(struct called c)
{
	for (unsigned i = 0; i < c.n; i++)
		pthread_cond_signal(&c.m[i]->work);
}

/* With the lock: the next job, or NULL. */
static struct iojob *
take(struct iopool *p)
{
	struct iojob *j = p->queued.head;

	if (j == NULL)
		return NULL;
	if ((p->queued.head = j->next) == NULL)
		p->queued.tail = &p->queued.head;
	j->next = NULL;
	p->nqueued--;
	return j;
}

/* With the lock: ${m} waits.  As call(). */
static struct called
leave_looking(struct iopool *p, struct member *m)
{
	if (m->slow)
		return (struct called){ .n = 0 };
	m->slow = true;
	p->looking--;
	return call(p);
}

void
iopool_slow(struct iopool *p)
{
	struct called called;

	if (me == NULL || me->pool != p)
		return;
	pthread_mutex_lock(&p->lock);
	called = leave_looking(p, me);
	pthread_mutex_unlock(&p->lock);
	wake(called);
}

/* Jobs that are at work are slow; all of them, or those that were at the last tick. */
static void
notice_slow(struct iopool *p, bool all)
{
	pthread_mutex_lock(&p->lock);
	for (unsigned i = 0; i < p->nthreads; i++) {
		struct member *m = &p->member[i];

		if (m->at_work && (all || m->ticked == m->jobs))
			wake(leave_looking(p, m));
		m->ticked = m->jobs;
	}
	pthread_mutex_unlock(&p->lock);
}

void
iopool_tick(struct iopool *p)
{
	notice_slow(p, false);
}

struct iojob *
iopool_more(struct iopool *p, void (*run)(struct iojob *j))
{
	struct iojob *j = NULL;

	pthread_mutex_lock(&p->lock);
	if (p->queued.head != NULL && p->queued.head->run == run)
		j = take(p);
	pthread_mutex_unlock(&p->lock);
	return j;
}

void
iopool_ended(struct iopool *p, struct iojob *j)
{
	static const uint64_t one = 1;
	struct iojob *next;
	bool first;

	pthread_mutex_lock(&p->lock);
	first = p->ended.head == NULL;
	for (; j != NULL; j = next) {
		next = j->next;
		jobs_put(&p->ended, j);
	}
	if (p->drain)
		pthread_cond_signal(&p->news);
	pthread_mutex_unlock(&p->lock);
	/* It cannot fail: the counter is far from its end, and the descriptor is ours until the threads are joined. */
	if (first && write(p->efd, &one, sizeof(one)) != sizeof(one))
		abort();
}

/* With the lock, but for the time a job takes: until nothing is queued. */
static void
work(struct iopool *p)
{
	struct called called;
	struct iojob *j;
	bool kept;

	while ((j = take(p)) != NULL) {
		me->jobs++;
		me->at_work = true;
		called = j->quick ? call(p) : leave_looking(p, me);
		pthread_mutex_unlock(&p->lock);
		wake(called);
		kept = j->kept;
		j->run(j);
		if (!kept)
			iopool_ended(p, j);
		pthread_mutex_lock(&p->lock);
		if (me->slow)
			p->looking++;
		me->slow = me->at_work = false;
	}
}

static void *
thread_main(void *arg)
{
	struct iopool *p;
	char name[16];

	me = arg;
	p = me->pool;
	pthread_mutex_lock(&p->lock);
	/* The name is set here: from outside it would take a write to /proc, which a sandbox refuses. */
	snprintf(name, sizeof(name), "io-%u", p->up);
	pthread_setname_np(pthread_self(), name);
	p->up++;
	pthread_cond_signal(&p->news);
	for (;;) {
		me->called = false;
		me->below = p->idle;
		p->idle = me;
		while (!me->called && !p->stop)
			pthread_cond_wait(&me->work, &p->lock);
		if (!me->called)
			break;
		work(p);
		p->looking--;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals are the loop's; only those that a thread brings on itself stay (a blocked SIGSYS could not be told from outside). */
int
iopool_thread(pthread_t *t, void *(*run)(void *arg), void *arg)
{
	sigset_t block, old;
	pthread_attr_t attr;
	int err;

	if ((err = pthread_attr_init(&attr)) != 0)
		return err;
	sigfillset(&block);
	sigdelset(&block, SIGSEGV);
	sigdelset(&block, SIGBUS);
	sigdelset(&block, SIGFPE);
	sigdelset(&block, SIGILL);
	sigdelset(&block, SIGSYS);
	sigdelset(&block, SIGABRT);
	pthread_sigmask(SIG_SETMASK, &block, &old);
	if ((err = pthread_attr_setstacksize(&attr, IOPOOL_STACK)) == 0)
		err = pthread_create(t, &attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

static int
threads_create(struct iopool *p, unsigned n)
{
	int err = 0;

	while (err == 0 && p->nthreads < n) {
		struct member *m = &p->member[p->nthreads];

		m->pool = p;
		pthread_cond_init(&m->work, NULL);
		if ((err = iopool_thread(&m->thread, thread_main, m)) == 0)
			p->nthreads++;
		else
			pthread_cond_destroy(&m->work);
	}
	pthread_mutex_lock(&p->lock);
	while (p->up < p->nthreads)
		pthread_cond_wait(&p->news, &p->lock);
	pthread_mutex_unlock(&p->lock);
	return err;
}

struct iopool *
iopool_start(unsigned nthreads, unsigned maxqueued)
{
	struct iopool *p;
	int err;

	if (nthreads == 0 || nthreads > 1024) {
		errno = EINVAL;
		return NULL;
	}
	if ((p = calloc(1, sizeof(*p) + nthreads * sizeof(p->member[0]))) == NULL)
		return NULL;
	jobs_init(&p->queued);
	jobs_init(&p->ended);
	jobs_init(&p->fresh);
	p->max = maxqueued;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->news, NULL);
	if ((p->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) == -1)
		err = errno;
	else
		err = threads_create(p, nthreads);
	if (err != 0) {
		iopool_stop(p);
		errno = err;
		return NULL;
	}
	return p;
}

void
iopool_gather(struct iopool *p)
{
	p->gather = true;
}

void
iopool_go(struct iopool *p)
{
	struct called called;

	if (p->nfresh == 0)
		return;
	pthread_mutex_lock(&p->lock);
	*p->queued.tail = p->fresh.head;
	p->queued.tail = p->fresh.tail;
	p->nqueued += p->nfresh;
	called = call(p);
	pthread_mutex_unlock(&p->lock);
	wake(called);
	jobs_init(&p->fresh);
	p->nfresh = 0;
}

static void
hand_over(struct iopool *p, struct iojob *j)
{
	p->pending++;
	jobs_put(&p->fresh, j);
	p->nfresh++;
	if (!p->gather || !j->quick || p->nfresh >= IOPOOL_BEHIND)
		iopool_go(p);
}

int
iopool_submit(struct iopool *p, struct iojob *j)
{
	if (p->loose + p->promised >= p->max) {
		errno = EAGAIN;
		return -1;
	}
	p->loose++;
	j->promised = false;
	hand_over(p, j);
	return 0;
}

int
iopool_reserve(struct iopool *p)
{
	if (p->loose + p->promised >= p->max) {
		errno = EAGAIN;
		return -1;
	}
	p->promised++;
	return 0;
}

void
iopool_unreserve(struct iopool *p)
{
	if (p->promised == 0)
		abort();
	p->promised--;
}

void
iopool_submit_reserved(struct iopool *p, struct iojob *j)
{
	j->promised = true;
	hand_over(p, j);
}

int
iopool_fd(const struct iopool *p)
{
	return p->efd;
}

unsigned
iopool_reap(struct iopool *p)
{
	struct iojob *j, *next;
	uint64_t count;
	unsigned n = 0;

	/* Before the list is taken: a job that ends after that finds it empty and writes again. */
	if (read(p->efd, &count, sizeof(count)) == -1 && errno != EAGAIN)
		abort();
	pthread_mutex_lock(&p->lock);
	j = p->ended.head;
	jobs_init(&p->ended);
	pthread_mutex_unlock(&p->lock);
	for (; j != NULL; j = next) {
		next = j->next;
		p->pending--;
		if (!j->promised)
			p->loose--;
		j->done(j);
		n++;
	}
	return n;
}

unsigned
iopool_pending(const struct iopool *p)
{
	return p->pending;
}

/* A done() may hand over further work (a commit after the last chunk), so this goes on until nothing is left. */
static void
drain(struct iopool *p)
{
	p->gather = false;
	iopool_go(p);
	/* Nobody ticks any more. */
	notice_slow(p, true);
	while (p->pending > 0) {
		pthread_mutex_lock(&p->lock);
		p->drain = true;
		while (p->ended.head == NULL)
			pthread_cond_wait(&p->news, &p->lock);
		pthread_mutex_unlock(&p->lock);
		iopool_reap(p);
	}
}

void
iopool_stop(struct iopool *p)
{
	if (p == NULL)
		return;
	drain(p);
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	for (struct member *m = p->idle; m != NULL; m = m->below)
		pthread_cond_signal(&m->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->nthreads; i++)
		pthread_join(p->member[i].thread, NULL);
	/* Not before: one thread may still be about to wake another that is over. */
	for (unsigned i = 0; i < p->nthreads; i++)
		pthread_cond_destroy(&p->member[i].work);
	if (p->efd != -1)
		close(p->efd);
	pthread_cond_destroy(&p->news);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
