/*
 * loop: epoll, a hashed timing wheel, and a list of put-off work.
 * Deadlines cost O(1) to set and clear; a wheel's spoke also holds those of
 * later rounds, which are passed over.
 */
#include "worker/net/loop.h"

#include <sys/epoll.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct loop {
	int ep;
	bool stop;
	uint64_t now_us;
	uint64_t tick; /* the last tick whose spoke was looked at */
	struct loop_timer *wheel[LOOP_WHEEL];
	struct loop_task *tasks, **tasks_tail;
	struct loop_task *naps;
	uint64_t nap_us; /* when they are over */
	struct epoll_event batch[LOOP_BATCH];
	int nbatch, at;
	void (*turn)(void *arg, uint64_t us, unsigned events);
	void *turn_arg;
};

uint64_t
loop_clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t
loop_now_us(const struct loop *l)
{
	return l->now_us;
}

uint64_t
loop_now_ms(const struct loop *l)
{
	return l->now_us / 1000;
}

struct loop *
loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->ep = epoll_create1(EPOLL_CLOEXEC);
	if (l->ep == -1) {
		free(l);
		return NULL;
	}
	l->tasks_tail = &l->tasks;
	l->now_us = loop_clock_us();
	l->tick = loop_now_ms(l) / LOOP_TICK_MS;
	return l;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	close(l->ep);
	free(l);
}

void
loop_observe(struct loop *l, void (*turn)(void *arg, uint64_t us, unsigned events), void *arg)
{
	l->turn = turn;
	l->turn_arg = arg;
}

static int
loop_add(struct loop *l, struct loop_src *src, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = src };

	return epoll_ctl(l->ep, EPOLL_CTL_ADD, src->fd, &ev);
}

int
loop_watch(struct loop *l, struct loop_src *src)
{
	return loop_add(l, src, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int
loop_watch_level(struct loop *l, struct loop_src *src, bool exclusive)
{
	return loop_add(l, src, EPOLLIN | (exclusive ? EPOLLEXCLUSIVE : 0u));
}

void
loop_unwatch(struct loop *l, struct loop_src *src)
{
	epoll_ctl(l->ep, EPOLL_CTL_DEL, src->fd, NULL);
	loop_forget(l, src);
}

void
loop_forget(struct loop *l, const struct loop_src *src)
{
	for (int i = l->at; i < l->nbatch; i++)
		if (l->batch[i].data.ptr == src)
			l->batch[i].data.ptr = NULL;
}

void
loop_timer_clear(struct loop_timer *t)
{
	if (t->prev == NULL)
		return;
	*t->prev = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	t->prev = NULL;
}

void
loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t ms)
{
	struct loop_timer **spoke;
	uint64_t tick;

	loop_timer_clear(t);
	t->at_ms = loop_now_ms(l) + ms;
	/* Never the spoke that is being looked at: a deadline of 0 is due at the next tick. */
	tick = t->at_ms / LOOP_TICK_MS + 1;
	if (tick <= l->tick)
		tick = l->tick + 1;
	spoke = &l->wheel[tick % LOOP_WHEEL];
	t->next = *spoke;
	t->prev = spoke;
	if (t->next != NULL)
		t->next->prev = &t->next;
	*spoke = t;
}

void
loop_later(struct loop *l, struct loop_task *t)
{
	if (t->prev != NULL)
		return;
	t->next = NULL;
	t->prev = l->tasks_tail;
	*l->tasks_tail = t;
	l->tasks_tail = &t->next;
}

void
loop_task_clear(struct loop *l, struct loop_task *t)
{
	if (t->prev == NULL)
		return;
	*t->prev = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	else if (l->tasks_tail == &t->next)
		l->tasks_tail = t->prev;
	t->prev = NULL;
}

static void
loop_fire_spoke(struct loop *l, uint64_t tick)
{
	struct loop_timer *due = NULL, *t, *next;
	uint64_t end_ms = (tick + 1) * LOOP_TICK_MS;

	/* Take the due ones out first: what they call may set and clear others on this spoke. */
	for (t = l->wheel[tick % LOOP_WHEEL]; t != NULL; t = next) {
		next = t->next;
		if (t->at_ms >= end_ms)
			continue;
		loop_timer_clear(t);
		t->next = due;
		t->prev = &due;
		if (due != NULL)
			due->prev = &t->next;
		due = t;
	}
	while ((t = due) != NULL) {
		loop_timer_clear(t);
		t->fire(t);
	}
}

static void
loop_fire(struct loop *l)
{
	uint64_t now = loop_now_ms(l) / LOOP_TICK_MS;

	/* After a long sleep one round over the wheel sees every deadline. */
	if (now - l->tick > LOOP_WHEEL)
		l->tick = now - LOOP_WHEEL;
	while (l->tick < now) {
		l->tick++;
		loop_fire_spoke(l, l->tick);
	}
}

static void
loop_run_tasks(struct loop *l)
{
	struct loop_task *list = l->tasks, *t;

	if (list == NULL)
		return;
	l->tasks = NULL;
	l->tasks_tail = &l->tasks;
	list->prev = &list;
	while ((t = list) != NULL) {
		loop_task_clear(l, t);
		t->run(t);
	}
}

void
loop_nap(struct loop *l, struct loop_task *t)
{
	if (t->prev != NULL)
		return;
	if (l->naps == NULL)
		l->nap_us = loop_clock_us() + LOOP_NAP_US;
	t->next = l->naps;
	t->prev = &l->naps; /* not to be followed: it says that the task is queued */
	l->naps = t;
}

static void
loop_wake_naps(struct loop *l)
{
	struct loop_task *t, *list = l->naps;

	if (list == NULL || l->now_us < l->nap_us)
		return;
	l->naps = NULL;
	while ((t = list) != NULL) {
		list = t->next;
		t->next = NULL;
		t->prev = NULL;
		t->run(t);
	}
}

static unsigned
loop_what(uint32_t events)
{
	return (events & EPOLLIN ? LOOP_IN : 0u) | (events & EPOLLOUT ? LOOP_OUT : 0u) |
	    (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? LOOP_HUP : 0u) |
	    (events & (EPOLLHUP | EPOLLERR) ? LOOP_GONE : 0u);
}

/* Milliseconds until a deadline may be due. */
static int
loop_idle_ms(const struct loop *l)
{
	uint64_t tick = l->tick + 1, now_ms = loop_now_ms(l);

	while (tick < l->tick + LOOP_SLEEP && l->wheel[tick % LOOP_WHEEL] == NULL)
		tick++;
	return tick * LOOP_TICK_MS <= now_ms ? 0 : (int)(tick * LOOP_TICK_MS - now_ms);
}

static int
loop_turn(struct loop *l)
{
	int wait_ms = l->tasks != NULL ? 0 : loop_idle_ms(l);

	if (l->naps != NULL && wait_ms > LOOP_NAP_US / 1000)
		wait_ms = LOOP_NAP_US / 1000;
	l->nbatch = epoll_wait(l->ep, l->batch, LOOP_BATCH, wait_ms);
	l->now_us = loop_clock_us();
	if (l->nbatch == -1) {
		l->nbatch = 0;
		if (errno != EINTR)
			return -1;
	}
	for (l->at = 0; l->at < l->nbatch;) {
		const struct epoll_event *e = &l->batch[l->at++];

		if (e->data.ptr != NULL) {
			struct loop_src *src = e->data.ptr;

			src->ready(src, loop_what(e->events));
		}
	}
	loop_run_tasks(l);
	loop_wake_naps(l);
	loop_fire(l);
	if (l->turn != NULL)
		l->turn(l->turn_arg, loop_clock_us() - l->now_us, (unsigned)l->nbatch);
	return 0;
}

int
loop_run(struct loop *l)
{
	while (!l->stop)
		if (loop_turn(l) != 0)
			return -1;
	l->stop = false;
	return 0;
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}
