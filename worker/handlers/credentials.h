/*
 * credentials: asks letterplate-auth who a client is.  Last in the chain, so
 * that others may know it first.
 */
#ifndef WORKER_HANDLERS_CREDENTIALS_H_
#define WORKER_HANDLERS_CREDENTIALS_H_

#include "worker/handlers/handler.h"

enum { CREDENTIALS_PENDING_MAX = 4096 }; /* questions of a worker under way; more: 454 */

extern const struct handler_ops credentials_ops;

/* The ctx of credentials_ops: the channel ${fd}, which is its own now.  Once a worker.  NULL with errno. */
void *credentials_open(struct loop *l, int fd);
#endif
