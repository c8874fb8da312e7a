/*
 * steady: one number, the distance of two clocks.
 */
#include "common/steady.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic int64_t distance; /* seconds from the monotonic clock to the wall's; 0: nobody has looked */

static int64_t
seconds(clockid_t which)
{
	struct timespec ts;

	clock_gettime(which, &ts);
	return ts.tv_sec;
}

void
steady_begin(void)
{
	int64_t unset = 0;

	atomic_compare_exchange_strong(&distance, &unset, seconds(CLOCK_REALTIME) - seconds(CLOCK_MONOTONIC));
}

int64_t
steady_now(void)
{
	if (atomic_load_explicit(&distance, memory_order_relaxed) == 0)
		steady_begin();
	return seconds(CLOCK_MONOTONIC) + atomic_load_explicit(&distance, memory_order_relaxed);
}

int64_t
steady_early(void)
{
	int64_t steady = steady_now(), wall = seconds(CLOCK_REALTIME);

	return wall < steady ? wall : steady;
}
