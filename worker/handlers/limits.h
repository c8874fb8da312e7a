/*
 * limits: the first handler: how many connections there may be, in all and
 * from one address, counted over all workers.  A session is counted from the
 * moment its address is known, which may be long before anybody is asked: a
 * handshake, a greeting that is put off.  The handler says what was found then.
 * Who is refused is not counted: nobody keeps others out by sockets that are
 * only told to go.
 */
#ifndef WORKER_HANDLERS_LIMITS_H_
#define WORKER_HANDLERS_LIMITS_H_

#include "common/conf.h"
#include "common/conns.h"
#include "worker/handlers/handler.h"

enum limits_found {
	LIMITS_FINE,
	LIMITS_FULL,    /* limits.connections */
	LIMITS_ADDRESS, /* connections_per_ip */
	LIMITS_FAST     /* rate_per_ip */
};

struct limits {
	const struct conf *conf;
	struct conns      *conns;
	/* What limits_enter() said of the session that is asked about. */
	enum limits_found (*of)(const struct question *q);
};

/* One more connection of ${addr}, if that is LIMITS_FINE; once for each such a limits_leave(). */
enum limits_found limits_enter(const struct limits *l, const uint8_t addr[16]);
void              limits_leave(const struct limits *l, const uint8_t addr[16]);

/* The word of the log for it; "" for LIMITS_FINE. */
const char *limits_reason(enum limits_found found);

/* ctx is a struct limits that outlives the chain. */
extern const struct handler_ops limits_ops;

#endif
