/*
 * sort: sorts more entries than memory holds, by key, then ${what}, then line.
 * Runs are sorted in one region of memory and spilled to an unlinked file;
 * reading merges them.  Knows nothing of what it sorts.  Keys hold no NUL.
 */
#ifndef TOOLS_MAILBOXES_SORT_H_
#define TOOLS_MAILBOXES_SORT_H_

#include <stdint.h>

#include "common/span.h"

enum {
	SORT_MEMORY   = 256 << 20, /* octets that sorting takes in all; less if fewer suffice */
	SORT_ITEM_MAX = 128 << 10  /* octets of one key and record, with their head */
};

struct sort;

struct sort_item {
	struct span key, rec;
	uint64_t    line; /* below 2^56 */
	uint8_t     what;
};

/* A sorter in ${memory} octets (at least 16 SORT_ITEM_MAX) that spills into folder ${dirfd}.  NULL with errno. */
struct sort *sort_new(int dirfd, size_t memory);

/* 0, or -1 with errno (ENOSPC...; EINVAL: the item is too large). */
int sort_add(struct sort *s, const struct sort_item *it);

/* All were added; sort_next() may be called.  0, or -1 with errno. */
int sort_finish(struct sort *s);

/* The next in order: 1, 0 at the end, -1 with errno.  Spans are good until the next call. */
int sort_next(struct sort *s, struct sort_item *it);

uint64_t sort_octets(const struct sort *s); /* of all keys and records */
uint64_t sort_count(const struct sort *s);
void     sort_free(struct sort *s); /* NULL is a no-op */
#endif
