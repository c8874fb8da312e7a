/*
 * iopool: a queue, some threads that wait for it, and a list of what ended.
 * The loop learns of ended jobs by an eventfd that is written once a batch:
 * by the thread that finds the list empty.  Counting is the loop's alone and
 * needs no lock.
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

struct iopool {
	pthread_mutex_t lock;
	pthread_cond_t work; /* something is queued, or stop */
	pthread_cond_t news; /* a thread came up; in iopool_stop(): a job ended */
	struct jobs queued, ended;
	unsigned up; /* threads that are ready */
	bool stop, drain;
	int efd;
	unsigned loose, promised, pending, max; /* the loop's */
	unsigned nthreads;
	pthread_t thread[];
};

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

static void *
thread_main(void *arg)
{
	struct iopool *p = arg;
	struct iojob *j;
	char name[16];
	bool kept;

	pthread_mutex_lock(&p->lock);
	/* The name is set here: from outside it would take a write to /proc, which a sandbox refuses. */
	snprintf(name, sizeof(name), "io-%u", p->up);
	pthread_setname_np(pthread_self(), name);
	p->up++;
	pthread_cond_signal(&p->news);
	for (;;) {
		while (p->queued.head == NULL && !p->stop)
			pthread_cond_wait(&p->work, &p->lock);
		if ((j = p->queued.head) == NULL)
			break;
		if ((p->queued.head = j->next) == NULL)
			p->queued.tail = &p->queued.head;
		pthread_mutex_unlock(&p->lock);
		kept = j->kept;
		j->next = NULL;
		j->run(j);
		if (!kept)
			iopool_ended(p, j);
		pthread_mutex_lock(&p->lock);
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

	while (err == 0 && p->nthreads < n)
		if ((err = iopool_thread(&p->thread[p->nthreads], thread_main, p)) == 0)
			p->nthreads++;
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
	if ((p = calloc(1, sizeof(*p) + nthreads * sizeof(p->thread[0]))) == NULL)
		return NULL;
	jobs_init(&p->queued);
	jobs_init(&p->ended);
	p->max = maxqueued;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
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

static void
hand_over(struct iopool *p, struct iojob *j)
{
	p->pending++;
	pthread_mutex_lock(&p->lock);
	jobs_put(&p->queued, j);
	pthread_mutex_unlock(&p->lock);
	pthread_cond_signal(&p->work);
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
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->nthreads; i++)
		pthread_join(p->thread[i], NULL);
	if (p->efd != -1)
		close(p->efd);
	pthread_cond_destroy(&p->news);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
