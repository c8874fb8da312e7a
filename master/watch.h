/*
 * watch: whether the workers' loops turn, and the service manager's watchdog.
 * A loop that turns changes the beat in its stats slot every second.  Lateness
 * is counted in the master's own turns, none of which counts for more than
 * WATCH_TURN_MS: a master that was held up itself, with or without its workers,
 * learns nothing from it.
 */
#ifndef MASTER_WATCH_H_
#define MASTER_WATCH_H_

#include "master/master.h"

enum {
	WATCH_HANG_MS =
	    30000, /* a loop that has not turned for so long hangs; half of WATCHDOG_USEC if that is less, */
	WATCH_HANG_MIN_MS = 5000, /* but no less than this */
	WATCH_TURN_MS     = 1500,
	WATCH_ABORT_MS    = 2000 /* between SIGABRT and SIGKILL */
};

/* Take $WATCHDOG_USEC, if it is meant for us, out of the environment. */
void watch_init(struct watch *w);

/* The same as a predecessor knew it; microseconds, 0: no watchdog. */
void watch_set(struct watch *w, uint64_t watchdog_us);

/* Once a turn: look at all beats, end who hangs, beat. */
void watch_due(struct master *m);
#endif
