/*
 * bound: how much memory a worker's sessions can hold at the worst, by its
 * config: the sum of the bounds that docs/ARCHITECTURE.md lists.  What a module
 * keeps is the module's, and what moves within one call (a buffer that grows)
 * is one session's at a time; neither is in it.
 */
#ifndef WORKER_BOUND_H_
#define WORKER_BOUND_H_

#include "common/conf.h"

/* Octets of one session, beside TLS (tls_memory()). */
uint64_t bound_session(const struct conf *cf);

/* Octets that only some sessions can have at a time, together: what is limited in a worker. */
uint64_t bound_shared(const struct conf *cf);

#endif
