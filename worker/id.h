/*
 * id: names for sessions and messages that are unique on this host, also
 * after a restart and when the clock jumps.
 */
#ifndef WORKER_ID_H_
#define WORKER_ID_H_

#include "worker/smtp/txn.h"

/*
 * 16 characters of [0-9a-v] and a NUL: 32 bits of the second the worker
 * started plus its monotonic age (so it never goes back within a worker), 20
 * random bits of the worker, 28 bits of a counter.
 */
enum { ID_CHARS = 16 };

/* Once a process, before id_next(). */
void id_init(void);

void id_next(char out[TXN_ID_MAX]);
#endif
