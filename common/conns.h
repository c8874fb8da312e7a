/*
 * conns: how many connections an address has open, over all workers.
 * A memfd with a table a worker slot.  A worker writes its own table alone and
 * reads the others' through a descriptor that cannot write, so a compromised
 * one can lie about its own connections and about no others'; the master
 * empties the table of a dead one before it gives the slot away.
 */
#ifndef COMMON_CONNS_H_
#define COMMON_CONNS_H_

#include <stdint.h>

#include "common/stats.h"

enum {
	CONNS_SLOTS    = STATS_SLOT_REPORTS, /* those that a worker may have, and the master's, which stays empty */
	CONNS_RATE_MAX = 4095,               /* of an address in a minute that a worker counts */
	CONNS_ROWS     = 1 << 16,            /* rows a table; 8 octets each, untouched pages cost nothing */
	CONNS_PROBE    = 32                  /* rows looked at for an address; a crowd beyond that goes uncounted */
};

struct conns;

/* A memfd with all tables empty and a secret that addresses are hashed with, or -1 with errno. */
int conns_create(void);

/**
 * conns_map(fd, slot):
 * Map it: table ${slot} read-write, all others read-only.  NULL with errno:
 * EINVAL for no such slot, EBADMSG when ${fd} is none of ours.  Needs /proc
 * (to open the memfd again, for reading), so it is called before Landlock.
 */
struct conns *conns_map(int fd, unsigned slot);

/**
 * conns_enter(c, addr):
 * One more connection of ${addr} (16 octets; IPv6 is counted by its /64) in
 * this worker.  Return how many it has now over all workers, this one
 * included; two workers that accept at the same moment may be off by one.
 */
uint32_t conns_enter(struct conns *c, const uint8_t addr[16]);

/* One less; once for each conns_enter(), also when the row's crowd left it uncounted. */
void conns_leave(struct conns *c, const uint8_t addr[16]);

/* Connections entered and not left, over all workers, for limits.connections: each worker keeps its own number. */
uint32_t conns_total(const struct conns *c);

/**
 * conns_share(c, n):
 * This worker takes connections and has ${n} sessions: what the others compare
 * theirs with.  conns_share_none(): it takes none any more.
 */
void conns_share(struct conns *c, uint32_t n);
void conns_share_none(struct conns *c);

/**
 * conns_mean(c, others):
 * The mean of the sessions of all workers that take connections, rounded up;
 * UINT32_MAX when there is none but this one.  *others: the sum without this one's.
 */
uint32_t conns_mean(const struct conns *c, uint64_t *others);

/* What an address is counted for by the minute. */
enum conns_what { CONNS_SESSION, CONNS_HANDSHAKE };

/**
 * conns_rate(c, what, addr, minute):
 * ${addr} begins one more ${what}, in this worker, in ${minute} of a clock that
 * all workers share.  Return how many it has begun in that minute over all
 * workers, this one included and those that ended in it; off by one as above.
 * Past CONNS_RATE_MAX a worker counts no more.
 */
uint32_t conns_rate(struct conns *c, enum conns_what what, const uint8_t addr[16], uint64_t minute);

/* The owner of table ${slot} is dead: it has no connections; give their pages back (master).  0 or -1 with errno. */
int conns_clear(int fd, unsigned slot);

void conns_unmap(struct conns *c);
#endif
