/*
 * logs: where master, workers and key process log, and what happens when it is
 * rotated.  The master alone opens; a generation's processes get its descriptor
 * as their standard output.
 */
#ifndef MASTER_LOGS_H_
#define MASTER_LOGS_H_

#include "master/master.h"

/* Open what gen->conf says into gen->log_fd.  0, or -1 with a line in ${why} (LISTEN_WHY_MAX octets). */
int logs_open(struct generation *gen, char *why);

/* The master itself logs there too from now on: as long as ${gen} lives, or until this is called with another. */
void logs_use(const struct generation *gen);

/* A worker says that its daemon is gone: at most once a second it is looked for again. */
void logs_lost(struct master *m);

/* Once a turn of the loop: open anew what USR1 or logs_lost() asked for, and pass it on. */
void logs_due(struct master *m);
#endif
