/*
 * limits: the first handler: how many connections there may be, in all and
 * from one address, counted over all workers.
 */
#ifndef WORKER_HANDLERS_LIMITS_H_
#define WORKER_HANDLERS_LIMITS_H_

#include "common/conf.h"
#include "common/conns.h"
#include "worker/handlers/handler.h"

struct limits {
	const struct conf *conf;
	struct conns      *conns;
};

/* ctx is a struct limits that outlives the chain. */
extern const struct handler_ops limits_ops;

#endif
