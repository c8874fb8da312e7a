/*
 * nobody: what senders are told while no worker serves.
 * Workers whose module crashes at its start, or whose store is gone, die again
 * and again, and connections would wait in the listeners' queues for nobody.
 * Then the master answers them itself: 421 and good-bye, without a look at what
 * they say.  Not in the gaps of a start, a reload or an upgrade, and not while
 * workers come back that somebody has killed.
 */
#ifndef MASTER_NOBODY_H_
#define MASTER_NOBODY_H_

#include "master/master.h"

struct pollfd;

enum {
	NOBODY_MS = 2000, /* how long none has served, where each slot's last one has failed */
	NOBODY_PATIENCE_MS =
	    10000, /* the same while one starts after an end that was not its fault: it may have a journal to replay */
	NOBODY_BATCH = 64,   /* connections that are answered in a turn of the master */
	NOBODY_RATE  = 1000, /* ... and in a second */
	NOBODY_LINGER_MS =
	    2000 /* how long a socket stays that was answered: to close one with unread input takes the answer back */
};

/* For the service manager. */
#define NOBODY_STATUS "no worker serves, senders are told 421: the log says why"

/* Listeners to be waited for, at most CONF_ADDRESSES_MAX. */
unsigned nobody_poll(const struct master *m, struct pollfd *p);

/* Once a turn, when all else is done: begin, answer, end. */
void    nobody_due(struct master *m);
int64_t nobody_next_ms(const struct master *m);
#endif
