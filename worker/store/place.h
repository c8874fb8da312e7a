/*
 * place: whether the store's path still leads to the folder that is open.
 * Asked within each second, in the pool: what is written goes by the open folder
 * alone, so one that was moved away or mounted over would go on taking mail
 * that nobody finds.  The sandbox lets a worker reach no other, so it takes no
 * more mail and says why: letterplate-log(5), store-moved.
 */
#ifndef WORKER_STORE_PLACE_H_
#define WORKER_STORE_PLACE_H_

#include "worker/store/iopool.h"

/* From now on it is about ${path}, which outlives it, and ${root}, which is open; -1: about nothing. */
void place_of(const char *path, int root);

/* In the loop, at least once a second: ask, unless an answer is due. */
void place_tick(struct iopool *pool);

/* In the loop: 0, or why nothing may be acknowledged: ESTALE, another folder is there; ENOENT, none; ENOTDIR, ELOOP. */
int place_lost(void);
#endif
