/*
 * blame: whose code a worker was in when it ended, or hung.
 * The worker itself cannot say: what a sandbox kills, or exit(3) ends, runs
 * nothing more.  So it notes in its counters what it calls (stats_running()),
 * and that is read here when it is gone.
 */
#ifndef MASTER_BLAME_H_
#define MASTER_BLAME_H_

#include "master/master.h"

enum { BLAME_MAX = STATS_RUNNING_MAX * STATS_HANDLER_MAX + 8 };

/**
 * blame_names(m, i, out):
 * The handlers whose code runs in the worker of slot ${i}, with commas; more
 * than STATS_RUNNING_MAX end in "...".  ${out}, or NULL for none.  The worker's
 * own word, that is not believed in anything: names as no config could have
 * them are left out.
 */
const char *blame_names(const struct master *m, unsigned i, char out[BLAME_MAX]);
#endif
