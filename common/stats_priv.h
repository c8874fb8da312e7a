/*
 * stats_priv: what the files that read the segment share.
 */
#ifndef COMMON_STATS_PRIV_H_
#define COMMON_STATS_PRIV_H_

#include "common/stats.h"

/* Add a count from outside: it stops at the top instead of beginning again. */
void stats_sum_add(uint64_t *sum, uint64_t n);

uint64_t stats_get(const _Atomic uint64_t *p);

/* Add a histogram. */
void stats_sum_hist(uint64_t bucket[STATS_BUCKETS], uint64_t *sum_us, const struct stats_hist *h);

/* What stats_reply() and stats_tls_failed() do, ${by} times at once, in a table of ${n} rows; the writer's side. */
void stats_reason_add(
    struct stats_reason *table, size_t n, uint16_t code, uint32_t enh, const char *reason, uint64_t by);

/* The same of stats_tag(). */
void stats_tag_add(struct stats_slot *s, const char *word, uint64_t by);

/* Add the handlers and tags of one slot.  0, or -1 with errno ENOMEM. */
int stats_read_handlers(struct stats_sum *sum, const struct stats_slot *s);

#endif
