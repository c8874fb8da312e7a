/*
 * arena: chunks from calloc(3) on a list, newest first.
 * Nothing is given back alone, and a chunk is never used twice, so that what
 * calloc zeroed is still zero when it is handed out.  Does not grow past its
 * limit, whoever asks.
 */
#include "common/arena.h"

#include <errno.h>
#include <stdlib.h>

/* Under AddressSanitizer the unused part of a chunk is poisoned, so that a write past an allocation is seen. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { ARENA_CHUNK_MAX = 64 << 10 }; /* octets at which chunks stop to double */

struct arena_chunk {
	struct arena_chunk *next;
	uint32_t size, used; /* octets of data[] */
	_Alignas(max_align_t) uint8_t data[];
};

void
arena_init(struct arena *a, size_t first, size_t limit)
{
	*a = (struct arena){ .first = (uint32_t)first, .limit = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX };
}

/* A chunk that takes ${total} octets from the system, in no list yet. */
static struct arena_chunk *
arena_chunk_new(struct arena *a, size_t total)
{
	struct arena_chunk *c;

	if (total < sizeof(*c))
		abort();
	c = calloc(1, total);
	if (c == NULL)
		return NULL;
	c->size = (uint32_t)(total - sizeof(*c));
	a->held += (uint32_t)total; /* within the limit */
	ASAN_POISON_MEMORY_REGION(c->data, c->size);
	return c;
}

static void *
arena_take(struct arena_chunk *c, size_t rounded, size_t n)
{
	uint8_t *p = c->data + c->used;

	c->used += (uint32_t)rounded;
	ASAN_UNPOISON_MEMORY_REGION(p, n);
	return p;
}

/* Make room for ${need} octets with a chunk's head: a new head chunk, or for a big request one of its own behind the head. */
static struct arena_chunk *
arena_grow(struct arena *a, size_t need)
{
	size_t left = a->limit > a->held ? a->limit - a->held : 0;
	size_t next = a->head == NULL ? a->first : 2 * (a->head->size + sizeof(*a->head));
	struct arena_chunk *c;

	if (need > left)
		return NULL;
	if (a->head != NULL && next > ARENA_CHUNK_MAX)
		next = ARENA_CHUNK_MAX;
	if (next > left)
		next = left;
	if (need > next / 2 && a->head != NULL) {
		c = arena_chunk_new(a, need);
		if (c == NULL)
			return NULL;
		c->next = a->head->next;
		a->head->next = c;
		return c;
	}
	c = arena_chunk_new(a, need > next ? need : next);
	if (c == NULL)
		return NULL;
	c->next = a->head;
	a->head = c;
	return c;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	const size_t align = _Alignof(max_align_t);
	struct arena_chunk *c = a->head;
	size_t rounded, need;

	if (n == 0)
		n = 1;
	if (__builtin_add_overflow(n, align - 1, &rounded))
		goto full;
	rounded -= rounded % align;
	if (__builtin_add_overflow(rounded, sizeof(*c), &need))
		goto full;
	if (c == NULL || c->size - c->used < rounded)
		c = arena_grow(a, need);
	if (c != NULL)
		return arena_take(c, rounded, n);
full:
	errno = ENOMEM;
	return NULL;
}

int
arena_dup(struct arena *a, struct span s, struct span *out)
{
	uint8_t *p;

	if (s.n == 0) {
		*out = (struct span){ NULL, 0 };
		return 0;
	}
	p = arena_alloc(a, s.n);
	if (p == NULL)
		return -1;
	memcpy(p, s.p, s.n);
	*out = (struct span){ p, s.n };
	return 0;
}

void
arena_reset(struct arena *a)
{
	struct arena_chunk *c, *next;

	for (c = a->head; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	a->head = NULL;
	a->held = 0;
}
