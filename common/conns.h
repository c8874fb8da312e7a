/*
 * conns: how many connections an address has open, over all workers.
 * A memfd with a table a worker slot.  A worker writes its own table alone and
 * reads the others', so a compromised one can lie about its own connections
 * and about no others'; the master empties the table of a dead one.
 */
#ifndef COMMON_CONNS_H_
#define COMMON_CONNS_H_

#include <stdint.h>

enum {
	CONNS_SLOTS	= 129,		/* as STATS_SLOTS */
	CONNS_ROWS	= 1 << 16,	/* rows a table; 8 octets each, untouched pages cost nothing */
	CONNS_PROBE	= 32		/* rows looked at for an address; a crowd beyond that goes uncounted */
};

struct conns;

/* A memfd with all tables empty and a secret that addresses are hashed with, or -1 with errno. */
int		 conns_create(void);

/* Map it: table ${slot} read-write, all others read-only.  NULL with errno. */
struct conns	*conns_map(int fd, unsigned slot);

/**
 * conns_enter(c, addr):
 * One more connection of ${addr} (16 octets; IPv6 is counted by its /64) in
 * this worker.  Return how many it has now over all workers, this one
 * included; two workers that accept at the same moment may be off by one.
 */
uint32_t	 conns_enter(struct conns *c, const uint8_t addr[16]);

/* One less; only for what conns_enter() counted. */
void		 conns_leave(struct conns *c, const uint8_t addr[16]);

/* Sessions over all workers now, for limits.connections: kept in each table's first row. */
uint32_t	 conns_total(const struct conns *c);

/* The owner of table ${slot} is dead: empty it (master; maps it for the moment).  0 or -1 with errno. */
int		 conns_clear(int fd, unsigned slot);

void		 conns_unmap(struct conns *c);
#endif
