/*
 * budget: how many wrong guesses an address and a name have had in this hour.
 * A table of fixed size in a memfd that the master makes once and every
 * letterplate-auth maps: so a reload, a crash and an upgrade of the binary
 * forget nothing, and the processes of two generations count together.  What is
 * over the limit is refused without being looked at.
 *
 * Beside it stands from where names were let in: guesses at a name from
 * elsewhere are not counted against who comes from there (a "device cookie"
 * whose cookie is the address), or anybody could keep anybody out.
 */
#ifndef COMMON_BUDGET_H_
#define COMMON_BUDGET_H_

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

enum {
	BUDGET_ROWS = 1 << 16, /* addresses and names together that are remembered; 24 octets each */
	BUDGET_WAYS = 8,       /* rows that one may stand in; the one with the fewest failures gives way */
	BUDGET_S    = 3600,    /* seconds after which a row is forgotten */
	BUDGET_KNOWN =
	    1 << 14,           /* pairs of a name and an address that are known; 16 octets each; the oldest gives way */
	BUDGET_KNOWN_S = 86400 /* seconds for which one is known */
};

struct budget;

/* A memfd with an empty table and a secret that keys are made with, which grows and shrinks no more; or -1 with errno. */
int budget_create(void);

/* Map it.  NULL with errno: EPROTONOSUPPORT when ${fd} is of a build that has another table, or none at all.  Never unmapped. */
struct budget *budget_map(int fd);

/* Whether ${fd} is one that budget_map() takes. */
bool budget_ours(int fd);

/* What is counted for an address: all of IPv4's, 64 bits of IPv6's (TRUST A4); 0: none. */
uint64_t budget_address(const struct budget *b, const uint8_t addr[16]);
uint64_t budget_name(const struct budget *b, struct span user);

/* The same for a name from one address, counted as budget_address() does; 0: no address. */
uint64_t budget_pair(const struct budget *b, struct span user, const uint8_t addr[16]);

/**
 * budget_take(b, key, most, now):
 * Count a guess before it is known to be wrong, so that many at once get no
 * more than ${most} (0: no limit) an hour.  False: it may have no more, and
 * nothing was counted.  ${now} in seconds of a clock that all processes share.
 */
bool budget_take(struct budget *b, uint64_t key, uint32_t most, int64_t now);

/* It was right after all, or was not looked at. */
void budget_back(struct budget *b, uint64_t key);

/* The ${pair}'s name was let in from there; whether it was in the BUDGET_KNOWN_S seconds before ${now}. */
void budget_know(struct budget *b, uint64_t pair, int64_t now);
bool budget_known(struct budget *b, uint64_t pair, int64_t now);
#endif
