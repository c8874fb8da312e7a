/*
 * pool: the threads that may block, without a thread: a job is done in the
 * loop's next turn.  Included once, by the target: it takes the place of the
 * library's iopool.
 */
#ifndef TESTS_FUZZ_PARTS_POOL_H_
#define TESTS_FUZZ_PARTS_POOL_H_

#include <errno.h>

#include "tests/fuzz/parts/turn.h"
#include "worker/store/iopool.h"

struct iopool {
	struct loop     *loop;
	struct loop_task task;
	struct iojob    *first, **tail;
	unsigned         pending, promised, jobs; /* ...of this run */
	bool             full;                    /* it takes nothing more */
};

static struct iopool pool;

static void
pool_task(struct loop_task *t)
{
	struct iojob *j = pool.first, *next;

	(void)t;
	pool.first = NULL;
	pool.tail  = &pool.first;
	for (; j != NULL; j = next) {
		next = j->next;
		pool.pending--;
		pool.jobs++;
		j->run(j);
		j->done(j);
	}
}

struct iopool *
iopool_start(unsigned nthreads, unsigned maxqueued)
{
	(void)nthreads;
	(void)maxqueued;
	pool = (struct iopool){ .task.run = pool_task, .tail = &pool.first };
	return &pool;
}

void
iopool_submit_reserved(struct iopool *p, struct iojob *j)
{
	j->next  = NULL;
	*p->tail = j;
	p->tail  = &j->next;
	p->pending++;
	loop_later(p->loop, &p->task);
}

int
iopool_submit(struct iopool *p, struct iojob *j)
{
	if (p->full) {
		errno = EAGAIN;
		return -1;
	}
	iopool_submit_reserved(p, j);
	return 0;
}

int
iopool_reserve(struct iopool *p)
{
	if (p->full) {
		errno = EAGAIN;
		return -1;
	}
	p->promised++;
	return 0;
}

void
iopool_unreserve(struct iopool *p)
{
	if (p->promised-- == 0)
		breach("a promise is given back that nobody made");
}

/* What nobody needs here. */

void
iopool_gather(struct iopool *p)
{
	(void)p;
}

void
iopool_go(struct iopool *p)
{
	(void)p;
}

void
iopool_slow(struct iopool *p)
{
	(void)p;
}

void
iopool_tick(struct iopool *p)
{
	(void)p;
}

void
iopool_ended(struct iopool *p, struct iojob *j)
{
	(void)p;
	(void)j;
	abort();
}

struct iojob *
iopool_more(struct iopool *p, void (*run)(struct iojob *j))
{
	(void)p;
	(void)run;
	return NULL;
}

int
iopool_thread(pthread_t *t, void *(*run)(void *arg), void *arg)
{
	(void)t;
	(void)run;
	(void)arg;
	return ENOTSUP;
}

int
iopool_fd(const struct iopool *p)
{
	(void)p;
	return -1;
}

unsigned
iopool_reap(struct iopool *p)
{
	(void)p;
	return 0;
}

unsigned
iopool_pending(const struct iopool *p)
{
	return p->pending;
}

void
iopool_stop(struct iopool *p)
{
	(void)p;
}
#endif
