/*
 * credentials: asks letterplate-auth who a client is.  Last in the chain, so
 * that others may know it first; before those, credentials_guesses_ops asks it whether the
 * client's address may guess at all.
 */
#ifndef WORKER_HANDLERS_CREDENTIALS_H_
#define WORKER_HANDLERS_CREDENTIALS_H_

#include "worker/handlers/handler.h"

enum { CREDENTIALS_PENDING_MAX = 4096 }; /* questions of a worker under way; more: 454 */

extern const struct handler_ops credentials_ops, credentials_guesses_ops;

/**
 * credentials_open(l, fd, others):
 * The ctx of both: the channel ${fd}, which is its own now.  ${others}: handlers
 * of sections decide too, and credentials_guesses_ops stands before them.  Once a worker.
 * NULL with errno.
 */
void *credentials_open(struct loop *l, int fd, bool others);

/* A guess from ${addr} that others decided about was not wrong: it is not counted. */
void credentials_right(const uint8_t addr[16]);
#endif
