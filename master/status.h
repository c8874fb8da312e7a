/*
 * status: what runs, since when, with what: the answer to "letterplate ctl status".
 */
#ifndef MASTER_STATUS_H_
#define MASTER_STATUS_H_

#include "common/facts.h"

struct master;

/* A fact a line: server, config, workers, listeners, and what the workers' gauges say.  Reads the config file and the stats segment. */
void status_write(const struct master *m, struct facts *f);

/* Whether it is to serve and no worker does: of one that retires nobody is greeted, one of a generation that starts serves already. */
bool status_failing(const struct master *m);

/* What the server does, in a word: starting, serving, failing, reloading, draining. */
const char *status_word(const struct master *m);
#endif
