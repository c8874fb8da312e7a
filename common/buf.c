/*
 * buf: one block of memory with two offsets; what is queued is always in one
 * piece.  It is moved to the front when that makes enough room, else the block
 * doubles.  No ring: a parser wants one span.
 */
#include "common/buf.h"

#include <errno.h>
#include <stdlib.h>

enum { BUF_FIRST = 256 }; /* octets of the first block, unless more is wanted */

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max < UINT32_MAX ? (uint32_t)max : UINT32_MAX };
}

/* Move to a block of at least ${need} octets, need <= max.  No realloc: it would leave a copy that nobody wipes. */
static int
buf_grow(struct buf *b, size_t need)
{
	size_t cap = b->cap > 0 ? b->cap : BUF_FIRST;
	size_t len = buf_len(b);
	uint8_t *base;

	while (cap < need && cap <= b->max / 2)
		cap *= 2;
	if (cap < need || cap > b->max)
		cap = b->max;
	base = malloc(cap);
	if (base == NULL)
		return -1;
	if (b->base != NULL) {
		memcpy(base, b->base + b->r, len);
		explicit_bzero(b->base, b->cap);
		free(b->base);
	}
	b->base = base;
	b->cap = (uint32_t)cap;
	b->r = 0;
	b->w = (uint32_t)len;
	return 0;
}

uint8_t *
buf_room(struct buf *b, size_t want, size_t *n)
{
	size_t len = buf_len(b);
	size_t left = buf_left(b);

	if (left == 0) {
		errno = ENOBUFS;
		return NULL;
	}
	if (want > left)
		want = left;
	if (b->base == NULL || b->cap - len < want) {
		if (buf_grow(b, len + want) != 0) {
			errno = ENOMEM;
			return NULL;
		}
	} else if (b->cap - b->w < want) {
		memmove(b->base, b->base + b->r, len);
		b->r = 0;
		b->w = (uint32_t)len;
	}
	*n = want;
	return b->base + b->w;
}

void
buf_added(struct buf *b, size_t n)
{
	if (n > b->cap - b->w)
		abort();
	b->w += (uint32_t)n;
}

void
buf_drop(struct buf *b, size_t n)
{
	if (n > buf_len(b))
		abort();
	b->r += (uint32_t)n;
	if (b->r == b->w)
		b->r = b->w = 0;
}

int
buf_put(struct buf *b, const void *p, size_t n)
{
	uint8_t *to;
	size_t room;

	if (n > buf_left(b)) {
		errno = ENOBUFS;
		return -1;
	}
	if (n == 0)
		return 0;
	to = buf_room(b, n, &room);
	if (to == NULL)
		return -1;
	memcpy(to, p, n);
	b->w += (uint32_t)n;
	return 0;
}

void
buf_free(struct buf *b)
{
	if (b->base != NULL) {
		explicit_bzero(b->base, b->cap);
		free(b->base);
	}
	buf_init(b, b->max);
}
