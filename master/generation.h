/*
 * generation: workers of one config, from start to retirement.
 * Start and reload are the same: a new generation starts on sockets that are
 * already bound, and only when all of it is ready does the old one retire.
 */
#ifndef MASTER_GENERATION_H_
#define MASTER_GENERATION_H_

#include "master/master.h"

/**
 * generation_prepare(m, conf, text, n, wait_ms, why):
 * Bind what ${conf} names; the new generation becomes m->starting.  0, or a
 * sysexits code with one clear line in ${why} (LISTEN_WHY_MAX octets) and
 * nothing changed.  Owns ${conf} in any case.
 */
int generation_prepare(struct master *m, struct conf *conf, const char *text, size_t n, int wait_ms, char *why);

/* Start the workers of m->starting.  0, or as above. */
int generation_launch(struct master *m, char *why);

/* Read the config anew and start a generation with it; what goes wrong is logged and the old one serves on. */
void generation_reload(struct master *m);

/* Tell the service manager that we serve, and with what; ${more} is added to the status. */
void generation_say_serving(const struct master *m, const char *more);

/* A worker of ${gen} said that it is ready. */
void generation_ready(struct master *m, struct generation *gen);

/* A worker of ${gen}, which is still starting, cannot start, with a sysexits code. */
void generation_failed(struct master *m, struct generation *gen, int code);

/* Programs of the starting generation: that beside us, or after EX_PROTOCOL the ${held} one of the serving (-1: none).  As process_open_exe(). */
int generation_program(const struct master *m, int held, const char *name, char *path, size_t cap);

/* Whether a reload is to be tried again, now. */
bool generation_again(const struct master *m);

/* A slot of ${gen} became free. */
void generation_left(struct master *m, struct generation *gen);

/* All workers are gone: free the last one. */
void generation_end(struct master *m);

/* Look at deadlines. */
void    generation_due(struct master *m);
int64_t generation_next_ms(const struct master *m);
#endif
