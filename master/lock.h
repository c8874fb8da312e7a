/*
 * lock: one server a state_dir, for two would overwrite each other's counters.
 * What is locked is a file that only the server's own user and root can open:
 * the folder is readable for all, and whoever can open it can lock it.
 * Earlier builds lock the folder; so it is locked as well, where that is to be
 * had, and one of them that runs is known by its control socket.
 */
#ifndef MASTER_LOCK_H_
#define MASTER_LOCK_H_

#include "master/master.h"

#define LOCK_FILE "lock" /* in state_dir, empty, never removed: who waits for it has it open */

/**
 * lock_take(m, dir, wait_ms, why):
 * Open the state_dir ${dir} and lock it, within ${wait_ms} for one who is about
 * to end.  Both descriptors stay in *m.  0, or a sysexits code with one line in
 * ${why} (of LISTEN_WHY_MAX octets).
 */
int lock_take(struct master *m, const char *dir, int wait_ms, char *why);

/* After an upgrade from a build that had no such file: lock it, too. */
void lock_resume(struct master *m);
#endif
