/*
 * upgrade: the binary is replaced in place.
 * The new program rehearses in a child: it reads all that we would hand over
 * and the config, and says so.  Then we become it, by an exec in our own
 * process, and it starts a generation of its own workers; should that come to
 * nothing it becomes us again.  docs/decisions/050-upgrade.md argues it.
 */
#ifndef MASTER_UPGRADE_H_
#define MASTER_UPGRADE_H_

#include <poll.h>

#include "master/master.h"

enum { UPGRADE_REHEARSE_MS = 10000 }; /* what a rehearsal may take */

/* By which a new program knows what it is started for: a descriptor each. */
#define UPGRADE_STATE     "LETTERPLATE_STATE"
#define UPGRADE_REHEARSAL "LETTERPLATE_REHEARSAL"

void upgrade_init(struct upgrade *u);

/* Have the program on disk rehearse. */
void upgrade_begin(struct master *m);

/* Whether one is under way: then no other generation may start. */
bool upgrade_busy(const struct master *m);

/* We stop: a rehearsal is called off. */
void upgrade_call_off(struct master *m);

/* Append what is to be polled; afterwards read what the rehearsal says. */
nfds_t upgrade_poll(const struct master *m, struct pollfd *p);
void   upgrade_hear(struct master *m);

/* A child has ended: whether it was the rehearsal.  If it went well this does not return, for the new program goes on. */
bool upgrade_ended(struct master *m, pid_t pid, int status);

void    upgrade_due(struct master *m);
int64_t upgrade_next_ms(const struct master *m);

/* Our first generation serves, or comes to nothing. */
void upgrade_serves(struct master *m);
void upgrade_failed(struct master *m, const char *why);

/* In the new program: read the state ${fd}, say to ${out} whether it and the config will do, and end. */
void upgrade_rehearse(struct master *m, int fd, int out) __attribute__((noreturn));

/* In the new program: take over.  0, or -1 with a line in ${why}: then nothing can be done but to end. */
int upgrade_resume(struct master *m, int fd, char *why, size_t cap);

/* After that: start our generation, or go on after our successor has come to nothing. */
void upgrade_proceed(struct master *m);
#endif
