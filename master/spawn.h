/*
 * spawn: processes in slots: start, hear, reap, end.
 * A slot keeps its number while workers come and go in it, so that a new one
 * goes on counting where its predecessor died.  What a generation wants is
 * generation.c's business; this file reports to it what happened.
 */
#ifndef MASTER_SPAWN_H_
#define MASTER_SPAWN_H_

#include "common/ipc.h"
#include "master/master.h"

/* How many slots are free. */
unsigned spawn_free_slots(const struct master *m);

/* Give ${n} free slots to ${gen} and start a worker in each.  0, or -1 with errno; those that run already are the caller's to end. */
int spawn_generation(struct master *m, struct generation *gen, unsigned n);

/* Start those whose back-off is over, and SIGKILL those whose time is up. */
void spawn_due(struct master *m);

/* When the next of these is due, or INT64_MAX. */
int64_t spawn_next_ms(const struct master *m);

/* Read what the worker in slot ${i} says. */
void spawn_hear(struct master *m, unsigned i);

/* Take note of all children that have ended. */
void spawn_reap(struct master *m);

/* Tell the workers of ${gen} (NULL: all) to STOP or RETIRE, and note when to kill them; one that can't be told is sent TERM. */
void spawn_tell(struct master *m, const struct generation *gen, enum ipc_type type);

/* Tell all workers and key processes, and those started later until the next reload, to log at ${level} (enum log_level). */
void spawn_loglevel(struct master *m, unsigned level);

/* Hand the worker in slot ${i} a duplicate of ${fd} to write to what ${filter} asks for. */
void spawn_trace(struct master *m, unsigned i, int fd, const char *filter);

/* SIGKILL the workers of ${gen} (NULL: all).  Return how many there were. */
unsigned spawn_kill(struct master *m, const struct generation *gen);

/* Processes that run. */
unsigned spawn_running(const struct master *m);
#endif
