/*
 * room: how much the file system that mail goes to still holds.
 * A pool thread asks: a disk that hangs holds up that thread and no session.
 */
#ifndef WORKER_ROOM_H_
#define WORKER_ROOM_H_

#include "common/stats.h"
#include "worker/store/iopool.h"

enum { ROOM_EVERY_S = 10 };

/* Hold the folder ${path} open, before the sandbox closes.  0, or -1 with errno: then nothing is ever said of it. */
int room_open(const char *path);

/* Once a second, in the loop: each ROOM_EVERY_S one question, unless the last one is not answered; the gauges STORE_* of ${s} are set. */
void room_second(struct iopool *pool, struct stats_slot *s);
#endif
