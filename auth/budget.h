/*
 * budget: how many wrong guesses an address and a name have had in this hour.
 * A table of fixed size, in one process that all guesses pass: what is over
 * the limit is refused without being looked at.
 */
#ifndef AUTH_BUDGET_H_
#define AUTH_BUDGET_H_

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

enum {
	BUDGET_ROWS = 1 << 16, /* addresses and names together that are remembered */
	BUDGET_WAYS = 8,       /* rows that one may stand in; the one with the fewest failures gives way */
	BUDGET_S    = 3600     /* seconds after which a row is forgotten */
};

/* Start empty.  0, or -1 with errno. */
int budget_init(void);

/* What is counted for an address: all of IPv4's, 64 bits of IPv6's (TRUST A4); 0: none. */
uint64_t budget_address(const uint8_t addr[16]);
uint64_t budget_name(struct span user);

/**
 * budget_take(key, most, now):
 * Count a guess before it is known to be wrong, so that many at once get no
 * more than ${most} (0: no limit) an hour.  False: it may have no more, and
 * nothing was counted.  ${now} in seconds.
 */
bool budget_take(uint64_t key, uint32_t most, int64_t now);

/* It was right after all, or was not looked at. */
void budget_back(uint64_t key);
#endif
