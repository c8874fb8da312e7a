/*
 * nowhere: a store that keeps a message in memory until its verdict, and
 * nothing after it.  Its context is the struct loop, put into *ctx by the
 * caller of open().
 */
#ifndef WORKER_NOWHERE_H_
#define WORKER_NOWHERE_H_

#include "worker/store/store.h"

enum { NOWHERE_MAX = 256 << 20 }; /* octets of a message; beyond: the store fails */

extern const struct store_ops nowhere_ops;

/* Told of each message that is taken, before that is done; NULL: nobody wants to know. */
struct txn;
extern void (*nowhere_tell)(const struct txn *t);
#endif
