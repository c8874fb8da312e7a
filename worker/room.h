/*
 * room: how much the file system that mail goes to still holds.
 * A pool thread asks: a disk that hangs holds up that thread and no session.
 */
#ifndef WORKER_ROOM_H_
#define WORKER_ROOM_H_

#include "common/stats.h"
#include "worker/store/iopool.h"

enum { ROOM_EVERY_MS = 10000 };

/* Hold the folder ${path} open, before the sandbox closes.  0, or -1 with errno: then nothing is ever said of it. */
int room_open(const char *path);

/*
 * In the loop, at ${now_ms} by its clock, more often than that: at once and then each ROOM_EVERY_MS one question, unless the last
 * one is not answered; the gauges STORE_* of ${s} are set.
 */
void room_tick(struct iopool *pool, struct stats_slot *s, uint64_t now_ms);
#endif
