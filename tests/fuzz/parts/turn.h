/*
 * turn: the worker's own loop and its rights to answer, in a world whose time
 * stands still until the fuzzer moves it: nothing waits, and a deadline comes
 * when it is wanted.  Included once, by the target: what is defined here takes
 * the place of the library's.
 */
#ifndef TESTS_FUZZ_PARTS_TURN_H_
#define TESTS_FUZZ_PARTS_TURN_H_

#include <sys/epoll.h>

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Of the harness: it is no news to the fuzzer how often it goes round. */
#define UNTRACED __attribute__((no_sanitize("coverage")))

static uint64_t turn_us; /* what the clock says */

static int
turn_clock(clockid_t id, struct timespec *ts)
{
	(void)id;
	*ts = (struct timespec){ (time_t)(turn_us / 1000000), (long)(turn_us % 1000000) * 1000 };
	return 0;
}

#define clock_gettime(id, ts)          turn_clock(id, ts)
#define epoll_wait(ep, batch, max, ms) ((void)(ms), epoll_wait(ep, batch, max, 0))
#pragma clang attribute push(UNTRACED, apply_to = function)
#include "worker/net/loop.c" /* NOLINT(bugprone-suspicious-include) */
#pragma clang attribute pop
#undef clock_gettime
#undef epoll_wait
#include "worker/asks.c" /* NOLINT(bugprone-suspicious-include) */

static void breach(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

static void
breach(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "breach: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	abort();
}

/* One turn that waits for nobody.  True when something happened in it, or is to happen in the next. */
static bool
turn(struct loop *l)
{
	bool tasks = l->tasks != NULL;

	if (loop_turn(l) != 0)
		breach("epoll fails");
	return tasks || l->tasks != NULL || l->nbatch > 0;
}

/* Nobody waits for anything any more. */
static void UNTRACED
turn_check_rest(const struct loop *l)
{
	for (size_t i = 0; i < LOOP_WHEEL; i++)
		if (l->wheel[i] != NULL)
			breach("a deadline is left");
	if (l->tasks != NULL || l->naps != NULL)
		breach("work is left for the next turn");
	for (uint32_t i = 0; i < asks.nslots; i++)
		if (asks.slot[i].who != NULL)
			breach("a right to answer is left");
}

/* What the input says of what others do, octet by octet; behind its end they say yes. */
static struct {
	const uint8_t *p;
	size_t         n;
} says;

static uint8_t
says_next(void)
{
	if (says.n == 0)
		return 0;
	says.n--;
	return *says.p++;
}
#endif
