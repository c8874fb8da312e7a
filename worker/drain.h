/*
 * drain: how a worker ends: what the master says, a signal, or the master's
 * death starts it; the last session or the clock ends it.
 */
#ifndef WORKER_DRAIN_H_
#define WORKER_DRAIN_H_

#include "common/ipc.h"
#include "worker/worker.h"

enum {
	/* how long commits under way may still take when all else is over; the master kills a second later */
	DRAIN_COMMIT_MS = 4000
};

/* Listen to the master on ${control} and to TERM.  0, or -1 with errno.  Signals must be blocked already. */
int drain_start(struct worker *w, int control);

/* Tell the master something; a master that is gone is noticed elsewhere. */
void drain_tell(enum ipc_type type, uint32_t arg);

#endif
