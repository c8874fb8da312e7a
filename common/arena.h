/*
 * arena: a bounded region that is freed as a whole.
 * A session has one and a transaction has one; what they keep lives there, so
 * that one call ends it.  The struct is embedded and costs nothing until used.
 */
#ifndef COMMON_ARENA_H_
#define COMMON_ARENA_H_

#include "common/span.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *head;  /* newest chunk, NULL when empty */
	uint32_t            held;  /* octets allocated from the system */
	uint32_t            limit; /* octets it may ever hold */
	uint32_t            first; /* octets of the first chunk */
};

#pragma GCC visibility push(default) /* for C modules */

/* An empty arena that starts with a chunk of ${first} octets and never holds more than ${limit}, each less than 4 GiB. */
void arena_init(struct arena *a, size_t first, size_t limit);

/**
 * arena_alloc(a, n):
 * Return ${n} zeroed octets aligned for any type, or NULL with errno ENOMEM
 * when the system's memory or the arena's limit is exhausted; the arena is
 * then unchanged.  Owner: the arena.  Dead after arena_reset().
 */
void *arena_alloc(struct arena *a, size_t n) __attribute__((malloc));

/* Copy ${s} into the arena.  0, or -1 with errno ENOMEM and *out untouched. */
int arena_dup(struct arena *a, struct span s, struct span *out);

/* Free all it holds; the arena is empty and may be used again. */
void arena_reset(struct arena *a);

#pragma GCC visibility pop
#endif
