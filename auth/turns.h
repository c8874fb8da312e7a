/*
 * turns: who waits, a line for each worker, served in turn.  A worker has its
 * share of the places and no more: one that was taken over can keep its own
 * clients waiting, and no other's.  Not locked: its user has a lock.
 */
#ifndef AUTH_TURNS_H_
#define AUTH_TURNS_H_

#include <stdbool.h>

#include "common/conf.h"

/* Who waits; the first part of what is waited with. */
struct turn {
	struct turn *next;
};

struct turns {
	struct turns_line {
		struct turn *head, **tail;
		unsigned     n;
	} line[CONF_WORKERS_MAX];
	unsigned lines, at; /* at: the one that is served next */
	unsigned share;     /* places of a line */
};

/* ${lines}, 1 to CONF_WORKERS_MAX, share ${most} places. */
void turns_init(struct turns *t, unsigned lines, unsigned most);

/* False: there is no place left in ${line}. */
bool turns_put(struct turns *t, unsigned line, struct turn *who);

/* Who is next, or NULL: nobody waits. */
struct turn *turns_take(struct turns *t);

#endif
