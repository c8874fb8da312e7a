/*
 * conns: connections an address, counted in shared memory.
 *
 * The memfd: a page with the secret, a page a slot with its number of
 * connections, a table a slot, and another of those begun in a minute.  A row
 * is one 64-bit word, tag and count (or tag, minute and count), so it changes
 * at once for whoever reads.  An address has its rows within a
 * window of CONNS_PROBE; a search looks at all of them, so a row that falls
 * empty is simply free: nothing is shifted under a reader and no tombstone
 * remains.  The hash is keyed, since a client picks its own IPv6 /64s.
 */
#include "common/conns.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/ip.h"
#include "common/siphash.h"

enum {
	MAGIC = 0x4c50434e, /* "LPCN" */
	PAGE = 4096,
	TABLE = CONNS_ROWS * 8, /* octets of a table */
	COUNT_BITS = 20,
	COUNT_MAX = (1 << COUNT_BITS) - 1,
	RATE_BITS = 12,  /* of a row of a rate table: its count */
	MINUTE_BITS = 16 /* and the minute that it is about; 45 days on it could be taken for another one */
};

/* Words of a slot's page: how many connections, the last minute that it counted in, and 0 or its sessions and one. */
enum { SHARE = 2 };

#define NUMBERS_AT ((off_t)PAGE)
#define TABLES_AT  (NUMBERS_AT + (off_t)CONNS_SLOTS * PAGE)
#define RATES_AT   (TABLES_AT + (off_t)CONNS_SLOTS * TABLE)
#define WHOLE      (RATES_AT + (off_t)CONNS_SLOTS * TABLE)
#define RELAXED    memory_order_relaxed

struct head {
	uint32_t magic, slots, rows;
	uint8_t secret[16];
};

struct conns {
	const uint8_t *whole;     /* read-only */
	_Atomic uint64_t *number; /* ours, read-write */
	_Atomic uint64_t *row;
	_Atomic uint64_t *rate;
	unsigned slot;
	uint8_t secret[16];
};

/* What an address is looked up by in any table. */
struct place {
	uint64_t tag; /* never 0, in place above the count */
	size_t first; /* row where its window begins */
};

int
conns_create(void)
{
	struct head h = { .magic = MAGIC, .slots = CONNS_SLOTS, .rows = CONNS_ROWS };
	int fd, err;

	arc4random_buf(h.secret, sizeof(h.secret));
	if ((fd = memfd_create("letterplate-conns", MFD_CLOEXEC | MFD_ALLOW_SEALING)) == -1)
		return -1;
	if (ftruncate(fd, WHOLE) == 0 && pwrite(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

/*
 * A shared mapping of a descriptor that could write may be made writable by
 * mprotect(2) later, whatever it was mapped as; of one that is open for
 * reading it may not.
 */
static void *
map_whole(int fd)
{
	char path[40];
	void *p;
	int ro, err;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if ((ro = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return MAP_FAILED;
	p = mmap(NULL, (size_t)WHOLE, PROT_READ, MAP_SHARED | MAP_NORESERVE, ro, 0);
	err = errno;
	close(ro);
	errno = err;
	return p;
}

static void *
map_own(int fd, off_t at, size_t n)
{
	return mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at);
}

/* The seals keep the size: a mapping cannot lose its pages later. */
static int
check(int fd, unsigned slot, struct head *h)
{
	struct stat st;
	int seals;

	if (slot >= CONNS_SLOTS) {
		errno = EINVAL;
		return -1;
	}
	if (fstat(fd, &st) != 0)
		return -1;
	seals = fcntl(fd, F_GET_SEALS);
	if (st.st_size != WHOLE || seals == -1 || (seals & F_SEAL_SHRINK) == 0 ||
	    pread(fd, h, sizeof(*h), 0) != (ssize_t)sizeof(*h) || h->magic != MAGIC || h->slots != CONNS_SLOTS ||
	    h->rows != CONNS_ROWS) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

struct conns *
conns_map(int fd, unsigned slot)
{
	struct conns *c;
	struct head h;
	void *whole, *number, *row, *rate;
	int err;

	if (check(fd, slot, &h) != 0)
		goto err0;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		goto err0;
	if ((whole = map_whole(fd)) == MAP_FAILED)
		goto err1;
	if ((number = map_own(fd, NUMBERS_AT + (off_t)slot * PAGE, PAGE)) == MAP_FAILED)
		goto err2;
	if ((row = map_own(fd, TABLES_AT + (off_t)slot * TABLE, TABLE)) == MAP_FAILED)
		goto err3;
	if ((rate = map_own(fd, RATES_AT + (off_t)slot * TABLE, TABLE)) == MAP_FAILED)
		goto err4;
	c->rate = rate;
	c->whole = whole;
	c->number = number;
	c->row = row;
	c->slot = slot;
	memcpy(c->secret, h.secret, sizeof(c->secret));
	return c;

err4:
	err = errno;
	munmap(row, TABLE);
	errno = err;
err3:
	err = errno;
	munmap(number, PAGE);
	errno = err;
err2:
	err = errno;
	munmap(whole, (size_t)WHOLE);
	errno = err;
err1:
	free(c);
err0:
	return NULL;
}

void
conns_unmap(struct conns *c)
{
	if (c == NULL)
		return;
	munmap((void *)(uintptr_t)c->whole, (size_t)WHOLE);
	munmap(c->number, PAGE);
	munmap(c->row, TABLE);
	munmap(c->rate, TABLE);
	free(c);
}

int
conns_clear(int fd, unsigned slot)
{
	static const int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	static const uint64_t none = 0;
	off_t at = NUMBERS_AT + (off_t)slot * PAGE;
	struct head h;

	/* What it counted in this minute stays, and so does the mark next to its number. */
	if (check(fd, slot, &h) != 0 || pwrite(fd, &none, sizeof(none), at) != (ssize_t)sizeof(none) ||
	    pwrite(fd, &none, sizeof(none), at + SHARE * (off_t)sizeof(none)) != (ssize_t)sizeof(none))
		return -1;
	return fallocate(fd, hole, TABLES_AT + (off_t)slot * TABLE, TABLE);
}

/* A host has a /64 at least (RFC 6177), so an IPv6 address counts as that; a mapped IPv4 address counts whole. */
static struct place
find(const struct conns *c, const uint8_t addr[16])
{
	uint64_t h = siphash(c->secret, span_of(addr, ip_is4(addr) ? 16 : 8));
	uint64_t tag = h >> COUNT_BITS << COUNT_BITS;

	return (struct place){
		.tag = tag != 0 ? tag : (uint64_t)1 << COUNT_BITS,
		.first = (size_t)(h % (CONNS_ROWS - CONNS_PROBE + 1)),
	};
}

/* The row of an address with a connection at least, in one table's window, or -1. */
static ssize_t
row_of(const _Atomic uint64_t *row, struct place at)
{
	for (size_t i = at.first; i < at.first + CONNS_PROBE; i++) {
		uint64_t w = atomic_load_explicit(&row[i], RELAXED);

		if ((w & ~(uint64_t)COUNT_MAX) == at.tag && (w & COUNT_MAX) != 0)
			return (ssize_t)i;
	}
	return -1;
}

static const _Atomic uint64_t *
number_of(const struct conns *c, unsigned slot)
{
	return (const void *)(c->whole + NUMBERS_AT + (off_t)slot * PAGE);
}

/* How many the others have.  A table whose worker has no connection is not touched: reading a hole of a memfd would fill it. */
static uint64_t
count_others(const struct conns *c, struct place at)
{
	uint64_t n = 0;

	for (unsigned s = 0; s < CONNS_SLOTS; s++) {
		const _Atomic uint64_t *row;
		ssize_t i;

		if (s == c->slot || atomic_load_explicit(number_of(c, s), RELAXED) == 0)
			continue;
		row = (const void *)(c->whole + TABLES_AT + (off_t)s * TABLE);
		if ((i = row_of(row, at)) != -1)
			n += atomic_load_explicit(&row[i], RELAXED) & COUNT_MAX;
	}
	return n;
}

uint32_t
conns_enter(struct conns *c, const uint8_t addr[16])
{
	struct place at = find(c, addr);
	ssize_t own = row_of(c->row, at);
	uint64_t w = 1;

	atomic_store_explicit(c->number, atomic_load_explicit(c->number, RELAXED) + 1, RELAXED);
	if (own != -1) {
		w = atomic_load_explicit(&c->row[own], RELAXED);
		w += (w & COUNT_MAX) < COUNT_MAX;
		atomic_store_explicit(&c->row[own], w, RELAXED);
	} else {
		for (size_t i = at.first; i < at.first + CONNS_PROBE; i++) {
			if ((atomic_load_explicit(&c->row[i], RELAXED) & COUNT_MAX) == 0) {
				atomic_store_explicit(&c->row[i], at.tag | 1, RELAXED);
				break;
			}
		}
	}
	return (uint32_t)((w & COUNT_MAX) + count_others(c, at));
}

void
conns_leave(struct conns *c, const uint8_t addr[16])
{
	struct place at = find(c, addr);
	ssize_t own = row_of(c->row, at);
	uint64_t n = atomic_load_explicit(c->number, RELAXED);

	if (n > 0)
		atomic_store_explicit(c->number, n - 1, RELAXED);
	if (own != -1)
		atomic_store_explicit(&c->row[own], atomic_load_explicit(&c->row[own], RELAXED) - 1, RELAXED);
}

uint32_t
conns_total(const struct conns *c)
{
	uint64_t n = 0;

	for (unsigned s = 0; s < CONNS_SLOTS; s++) {
		uint64_t one = atomic_load_explicit(number_of(c, s), RELAXED);

		n += one < COUNT_MAX ? one : COUNT_MAX;
	}
	return (uint32_t)n;
}

void
conns_share(struct conns *c, uint32_t n)
{
	atomic_store_explicit(c->number + SHARE, (uint64_t)n + 1, RELAXED);
}

void
conns_share_none(struct conns *c)
{
	atomic_store_explicit(c->number + SHARE, 0, RELAXED);
}

uint32_t
conns_mean(const struct conns *c, uint64_t *others)
{
	uint64_t sum = 0;
	unsigned n = 0;

	*others = 0;
	for (unsigned s = 0; s < CONNS_SLOTS; s++) {
		uint64_t one = atomic_load_explicit(number_of(c, s) + SHARE, RELAXED);

		if (one == 0)
			continue;
		one = one - 1 < COUNT_MAX ? one - 1 : COUNT_MAX;
		sum += one;
		*others += s != c->slot ? one : 0;
		n++;
	}
	return n > 1 ? (uint32_t)((sum + n - 1) / n) : UINT32_MAX;
}

/* The row of an address in a minute, in one rate table's window, or -1. */
static ssize_t
rate_row(const _Atomic uint64_t *rate, struct place at, uint64_t key)
{
	for (size_t i = at.first; i < at.first + CONNS_PROBE; i++)
		if (atomic_load_explicit(&rate[i], RELAXED) >> RATE_BITS == key)
			return (ssize_t)i;
	return -1;
}

/* A row of our table for an address that has none: one that is about another minute is free.  -1 in a crowd. */
static ssize_t
rate_new(struct conns *c, struct place at, uint64_t minute)
{
	for (size_t i = at.first; i < at.first + CONNS_PROBE; i++)
		if ((atomic_load_explicit(&c->rate[i], RELAXED) >> RATE_BITS & ((1U << MINUTE_BITS) - 1)) != minute)
			return (ssize_t)i;
	return -1;
}

uint32_t
conns_rate(struct conns *c, enum conns_what what, const uint8_t addr[16], uint64_t minute)
{
	struct place at = find(c, addr);
	uint64_t now = minute % ((1U << MINUTE_BITS) - 1) + 1; /* never 0, which a fresh row has */
	uint64_t key = (at.tag >> (RATE_BITS + MINUTE_BITS) ^ (uint64_t)what) << MINUTE_BITS | now, n = 1;
	ssize_t i = rate_row(c->rate, at, key);

	if (i != -1) {
		n = atomic_load_explicit(&c->rate[i], RELAXED) & CONNS_RATE_MAX;
		n += n < CONNS_RATE_MAX;
	} else {
		i = rate_new(c, at, now);
	}
	if (i != -1)
		atomic_store_explicit(&c->rate[i], key << RATE_BITS | n, RELAXED);
	/* Next to a worker's number stands the last minute in which it counted, so that no idle table is touched. */
	atomic_store_explicit(c->number + 1, minute + 1, RELAXED);
	for (unsigned s = 0; s < CONNS_SLOTS; s++) {
		const _Atomic uint64_t *rate = (const void *)(c->whole + RATES_AT + (off_t)s * TABLE);

		if (s == c->slot || atomic_load_explicit(number_of(c, s) + 1, RELAXED) != minute + 1)
			continue;
		if ((i = rate_row(rate, at, key)) != -1)
			n += atomic_load_explicit(&rate[i], RELAXED) & CONNS_RATE_MAX;
	}
	return (uint32_t)n;
}
