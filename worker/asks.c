/*
 * asks: slots with generations behind one lock, and a queue into the loop.
 * The lock is held for a few stores; the loop takes it only where a handler
 * answered later or a right is opened.
 */
#include "worker/asks.h"

#include <sys/eventfd.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct asks_slot {
	void *who; /* NULL: free */
	uint32_t gen;
	uint32_t next_free; /* index + 1, 0: none */
};

struct asks_answer {
	struct asks_answer *next;
	struct ask ask;
	enum verdict verdict;
	struct reply reply;
};

static struct asks {
	pthread_mutex_t lock;
	struct loop_src src;
	struct loop_task task;
	struct loop *loop;
	pthread_t thread; /* the loop's */
	asks_told *told;
	struct asks_slot *slot;
	uint32_t nslots, free; /* free: index + 1 */
	struct asks_answer *head, **tail;
	unsigned pending;
} asks = { .lock = PTHREAD_MUTEX_INITIALIZER, .src.fd = -1 };

/* Who waits for it, or NULL. */
static void *
asks_find(struct ask a)
{
	return a.slot < asks.nslots && asks.slot[a.slot].gen == a.gen ? asks.slot[a.slot].who : NULL;
}

static void *
asks_take(struct ask a)
{
	struct asks_slot *s;
	void *who = asks_find(a);

	if (who == NULL)
		return NULL;
	s = &asks.slot[a.slot];
	s->who = NULL;
	s->gen++;
	s->next_free = asks.free;
	asks.free = a.slot + 1;
	return who;
}

static void
asks_tell(void)
{
	struct asks_answer *list, *next;

	pthread_mutex_lock(&asks.lock);
	list = asks.head;
	asks.head = NULL;
	asks.tail = &asks.head;
	asks.pending = 0;
	pthread_mutex_unlock(&asks.lock);
	for (; list != NULL; list = next) {
		void *who;

		next = list->next;
		pthread_mutex_lock(&asks.lock);
		/* Whoever only asks for more time keeps the right. */
		who = list->verdict == V_LATER ? asks_find(list->ask) : asks_take(list->ask);
		pthread_mutex_unlock(&asks.lock);
		if (who != NULL)
			asks.told(who, list->verdict, &list->reply);
		free(list);
	}
}

static void
asks_ready(struct loop_src *src, unsigned what)
{
	uint64_t n;

	(void)what;
	if (read(src->fd, &n, sizeof(n)) == sizeof(n))
		asks_tell();
}

static void
asks_later(struct loop_task *t)
{
	(void)t;
	asks_tell();
}

int
asks_init(struct loop *l, asks_told *told)
{
	asks.tail = &asks.head;
	asks.told = told;
	asks.loop = l;
	asks.thread = pthread_self();
	asks.task.run = asks_later;
	asks.src.ready = asks_ready;
	asks.src.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (asks.src.fd == -1)
		return -1;
	return loop_watch_level(l, &asks.src, false);
}

void
asks_fini(void)
{
	struct asks_answer *next;

	for (; asks.head != NULL; asks.head = next) {
		next = asks.head->next;
		free(asks.head);
	}
	free(asks.slot);
	asks.slot = NULL;
	asks.nslots = asks.free = 0;
	if (asks.src.fd != -1)
		close(asks.src.fd);
	asks.src.fd = -1;
	if (asks.loop != NULL)
		loop_task_clear(asks.loop, &asks.task);
}

static int
asks_grow(void)
{
	uint32_t n = asks.nslots == 0 ? 64 : asks.nslots * 2;
	struct asks_slot *slot = reallocarray(asks.slot, n, sizeof(*slot));

	if (slot == NULL)
		return -1;
	asks.slot = slot;
	for (uint32_t i = n; i-- > asks.nslots;) {
		slot[i] = (struct asks_slot){ .gen = 1, .next_free = asks.free };
		asks.free = i + 1;
	}
	asks.nslots = n;
	return 0;
}

int
asks_open(void *who, struct ask *out)
{
	int error = -1;

	pthread_mutex_lock(&asks.lock);
	if (asks.free != 0 || asks_grow() == 0) {
		struct asks_slot *s = &asks.slot[asks.free - 1];

		*out = (struct ask){ asks.free - 1, s->gen };
		asks.free = s->next_free;
		s->who = who;
		error = 0;
	}
	pthread_mutex_unlock(&asks.lock);
	return error;
}

bool
asks_waits(struct ask a)
{
	bool waits;

	pthread_mutex_lock(&asks.lock);
	waits = asks_find(a) != NULL;
	pthread_mutex_unlock(&asks.lock);
	return waits;
}

void
asks_close(struct ask a)
{
	pthread_mutex_lock(&asks.lock);
	asks_take(a);
	pthread_mutex_unlock(&asks.lock);
}

int
ask_answer(struct ask a, enum verdict v, const struct reply *r)
{
	struct asks_answer *an;
	uint64_t one = 1;
	bool first = false;
	int error = 0;

	an = calloc(1, sizeof(*an));
	if (an == NULL)
		return -1;
	an->ask = a;
	an->verdict = v;
	if (v == V_REPLY && r != NULL)
		an->reply = *r;
	pthread_mutex_lock(&asks.lock);
	if (a.slot >= asks.nslots || asks.slot[a.slot].gen != a.gen)
		error = ESTALE;
	else if (asks.pending >= ASKS_PENDING_MAX)
		error = ENOBUFS;
	else {
		first = asks.pending++ == 0;
		*asks.tail = an;
		asks.tail = &an->next;
	}
	pthread_mutex_unlock(&asks.lock);
	if (error != 0) {
		free(an);
		errno = error;
		return -1;
	}
	/* Whoever came first has woken the loop for all; a milter's answer, which the loop itself gives, costs no system call. */
	if (!first)
		return 0;
	if (pthread_equal(asks.thread, pthread_self())) {
		loop_later(asks.loop, &asks.task);
		return 0;
	}
	return write(asks.src.fd, &one, sizeof(one)) == (ssize_t)sizeof(one) || errno == EAGAIN ? 0 : -1;
}
