/*
 * quota: how much a mailbox may hold, as the mailbox list says.
 */
#ifndef COMMON_QUOTA_H_
#define COMMON_QUOTA_H_

#include <stdbool.h>
#include <stdint.h>

struct quota_limit {
	uint64_t octets, messages; /* 0: no limit */
};

static inline bool
quota_limited(const struct quota_limit *q)
{
	return q->octets != 0 || q->messages != 0;
}

static inline bool
quota_same(const struct quota_limit *a, const struct quota_limit *b)
{
	return a->octets == b->octets && a->messages == b->messages;
}
#endif
