/*
 * tally: what a load generator has seen: how many units are done, how long each
 * took, how many in each second.  Prints them as words name=value.
 */
#ifndef TESTS_LOAD_PARTS_TALLY_H_
#define TESTS_LOAD_PARTS_TALLY_H_

#include <stddef.h>
#include <stdint.h>

struct tally {
	uint64_t *took_ns;
	size_t    n, cap;
	uint64_t  began_ns, last_ns; /* CLOCK_MONOTONIC */
	unsigned *second;            /* units that ended in each full second since it began */
	size_t    nsecond;
};

/* Room for ${cap} units; memory that is not used is not touched.  Exits when there is none. */
void tally_init(struct tally *t, size_t cap);
void tally_fini(struct tally *t);

/* A unit that took ${took_ns} ended at ${now_ns}.  Aborts beyond the cap. */
void tally_add(struct tally *t, uint64_t took_ns, uint64_t now_ns);

/*
 * Print seconds, messages_per_second, p50_ms, p99_ms, p999_ms, max_ms, and
 * worst_second: the fewest in any whole second, or -1 in a run of less than one.
 * Sorts what was added.
 */
void tally_print(struct tally *t);

/* CLOCK_MONOTONIC. */
uint64_t tally_now_ns(void);
#endif
