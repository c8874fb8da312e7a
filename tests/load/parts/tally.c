/*
 * tally: see tally.h.  Every unit's time is kept and sorted at the end: there
 * are a few millions at the most, and percentiles are exact.
 */
#include "tests/load/parts/tally.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TALLY_SECONDS = 24 * 3600 };

uint64_t
tally_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

void
tally_init(struct tally *t, size_t cap)
{
	*t = (struct tally){ .cap = cap, .nsecond = TALLY_SECONDS };
	t->took_ns = calloc(cap, sizeof(*t->took_ns));
	t->second = calloc(t->nsecond, sizeof(*t->second));
	if (t->took_ns == NULL || t->second == NULL)
		err(1, "memory for %zu measurements", cap);
	t->began_ns = t->last_ns = tally_now_ns();
}

void
tally_fini(struct tally *t)
{
	free(t->took_ns);
	free(t->second);
}

void
tally_add(struct tally *t, uint64_t took_ns, uint64_t now_ns)
{
	size_t s = (size_t)((now_ns - t->began_ns) / 1000000000U);

	if (t->n == t->cap)
		abort();
	t->took_ns[t->n++] = took_ns;
	t->last_ns = now_ns;
	if (s < t->nsecond)
		t->second[s]++;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double
part_ms(const struct tally *t, size_t per_mille)
{
	return t->n == 0 ? 0 : (double)t->took_ns[(t->n - 1) * per_mille / 1000] / 1e6;
}

/* The last second is not whole. */
static long
worst_second(const struct tally *t)
{
	size_t whole = (size_t)((t->last_ns - t->began_ns) / 1000000000U);
	long least = -1;

	for (size_t i = 0; i < whole && i < t->nsecond; i++)
		if (least == -1 || t->second[i] < (unsigned long)least)
			least = t->second[i];
	return least;
}

void
tally_print(struct tally *t)
{
	double s = (double)(t->last_ns - t->began_ns) / 1e9;

	qsort(t->took_ns, t->n, sizeof(*t->took_ns), by_value);
	printf("seconds=%.3f messages_per_second=%.1f p50_ms=%.3f p99_ms=%.3f p999_ms=%.3f max_ms=%.3f "
	       "worst_second=%ld",
	    s, s > 0 ? (double)t->n / s : 0, part_ms(t, 500), part_ms(t, 990), part_ms(t, 999), part_ms(t, 1000),
	    worst_second(t));
}
