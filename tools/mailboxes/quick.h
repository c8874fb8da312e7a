/*
 * quick: multikey quicksort of keys that lie in one region.
 * Eight octets of each key stand in its index entry, so that comparing seldom
 * touches the key itself.
 */
#ifndef TOOLS_MAILBOXES_QUICK_H_
#define TOOLS_MAILBOXES_QUICK_H_

#include "tools/mailboxes/sort.h"

enum {
	QUICK_HEAD = 14
}; /* octets before a stored item: what and line (64 bits), record length (32), key length (16) */

struct quick {
	uint64_t chunk; /* eight octets of the key, most significant first, NULs behind its end */
	uint32_t off;   /* of the item in the region */
};

/* The item stored at ${p}. */
void quick_load(const uint8_t *p, struct sort_item *it);

/* Store it at ${p}: the octets it takes. */
size_t quick_store(uint8_t *p, const struct sort_item *it);

static inline size_t
quick_size(const struct sort_item *it)
{
	return QUICK_HEAD + it->key.n + it->rec.n;
}

/* The chunk of ${key} from ${depth} on. */
uint64_t quick_chunk(struct span key, size_t depth);

/* -1, 0, 1: by key, what, line. */
int quick_compare(const struct sort_item *a, const struct sort_item *b);

/* Sort ${n} entries by their items in ${region}; chunks are those of depth 0. */
void quick_sort(const uint8_t *region, struct quick *v, size_t n);
#endif
