/*
 * asks: the one-shot rights to answer later that handlers hold.
 * A table of slots, each with a generation: an answer whose generation has
 * passed finds nobody and does nothing.  Answers may come from any thread;
 * they are acted on in the loop.
 */
#ifndef WORKER_ASKS_H_
#define WORKER_ASKS_H_

#include "worker/handlers/handler.h"
#include "worker/net/loop.h"

enum { ASKS_PENDING_MAX = 1 << 16 }; /* answers that may wait for the loop; more is a handler gone wild: ENOBUFS */

/* Told an answer, in the loop.  ${who} is what asks_open() was given. */
typedef void asks_told(void *who, enum verdict v, const struct reply *r);

/* Start the table of this process.  0, or -1 with errno. */
int  asks_init(struct loop *l, asks_told *told);
void asks_fini(void);

/* A right for ${who}.  0, or -1 with errno ENOMEM. */
int asks_open(void *who, struct ask *out);

/* Whether somebody waits for ${a}; from any thread. */
bool asks_waits(struct ask a);

/* Nobody waits for ${a} any more.  Harmless when it was answered. */
void asks_close(struct ask a);
#endif
