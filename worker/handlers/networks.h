/*
 * networks: clients that are known by their address alone: refused, put off,
 * let in unasked, or spared the checks.
 */
#ifndef WORKER_HANDLERS_NETWORKS_H_
#define WORKER_HANDLERS_NETWORKS_H_

#include "worker/handlers/handler.h"

extern const struct handler_ops networks_ops; /* of the section networks */

#endif
