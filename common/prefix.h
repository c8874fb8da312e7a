/*
 * prefix: which of many networks an address is in: the longest prefix wins.
 * Built once and never changed; a look-up is a binary search over the borders
 * of the networks, whatever their number.
 */
#ifndef COMMON_PREFIX_H_
#define COMMON_PREFIX_H_

#include <stddef.h>
#include <stdint.h>

enum { PREFIX_MAX = 1 << 20 }; /* networks of a table */

struct prefix {
	uint8_t addr[16]; /* network order, IPv4 mapped; bits behind the prefix do not count */
	uint8_t bits;     /* 0..128 */
	uint8_t value;    /* not 0 */
};

struct prefix_table;

/**
 * prefix_new(list, n):
 * A table of ${n} networks.  Of two that are the same the earlier one counts.
 * NULL with errno ENOMEM, or E2BIG past PREFIX_MAX.  Owner: the caller, who
 * gives it to prefix_free().
 */
struct prefix_table *prefix_new(const struct prefix *list, size_t n);

/* The value of the smallest network that has ${addr}, 0: none has. */
uint8_t prefix_find(const struct prefix_table *t, const uint8_t addr[16]);

void prefix_free(struct prefix_table *t); /* NULL is a no-op */
#endif
