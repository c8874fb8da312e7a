/*
 * buf: a queue of octets with a hard cap.
 * The only memory on the I/O path that grows.  An empty queue holds none, so
 * an idle session pays for no buffer.
 */
#ifndef COMMON_BUF_H_
#define COMMON_BUF_H_

#include "common/span.h"

struct buf {
	uint8_t *base;     /* NULL while nothing was ever put, or after buf_free() */
	uint32_t r, w;     /* read and write offsets, r <= w <= cap */
	uint32_t cap, max; /* octets allocated; octets allowed */
};

/* An empty queue that never holds more than ${max} octets, nor 4 GiB.  Allocates nothing. */
void buf_init(struct buf *b, size_t max);

/**
 * buf_room(b, want, n):
 * Make room for up to ${want} octets behind what is queued and return where to
 * put them; *n says how many fit (less than ${want} near the cap).  NULL with
 * errno ENOBUFS when the queue is at its cap, ENOMEM when memory is out; the
 * queue is unchanged then.  The pointer is good until the next call on ${b}.
 */
uint8_t *buf_room(struct buf *b, size_t want, size_t *n);

/* ${n} octets were written where buf_room() said. */
void buf_added(struct buf *b, size_t n);

/* Forget the first ${n} octets, ${n} <= buf_len(b).  Keeps the memory. */
void buf_drop(struct buf *b, size_t n);

/* Append ${n} octets.  0, or -1 with errno ENOBUFS (cap) or ENOMEM; all or nothing. */
int buf_put(struct buf *b, const void *p, size_t n);

/* Give all memory back; the queue is empty and may be used again.  What it held is wiped. */
void buf_free(struct buf *b);

static inline size_t
buf_len(const struct buf *b)
{
	return b->w - b->r;
}

/* Octets that buf_put() would still take before ENOBUFS. */
static inline size_t
buf_left(const struct buf *b)
{
	return b->max - buf_len(b);
}

/* What is queued; good until the next call that changes ${b}. */
static inline struct span
buf_view(const struct buf *b)
{
	return b->base != NULL ? (struct span){ b->base + b->r, b->w - b->r } : (struct span){ NULL, 0 };
}
#endif
