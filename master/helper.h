/*
 * helper: a process that a generation has beside its workers, from the
 * master's side: letterplate-keys, letterplate-auth, letterplate-reports.
 * Its channels to the workers are made once and held here, both ends, and so
 * are the files that it was made of: so either side can be replaced without
 * the other noticing more than a delay, and who is started later has what the
 * generation began with.  What the kinds differ in stands in helper_kind.h.
 */
#ifndef MASTER_HELPER_H_
#define MASTER_HELPER_H_

#include <poll.h>

#include "common/facts.h"
#include "master/master.h"

enum { HELPER_POLL_MAX = HELPER_KINDS * MASTER_SLOTS }; /* a generation has a worker at least */

/* Make those that ${gen}'s config asks for.  0, or a sysexits code with one clear line in ${why}. */
int helper_prepare(struct master *m, struct generation *gen, char *why, size_t cap);

/* Start them.  0, or -1 with errno. */
int helper_start(struct master *m, struct generation *gen);

/* Whether all of them have said that they are ready. */
bool helper_ready(const struct generation *gen);

/* What worker ${nth} inherits of kind ${what}: a channel; -1 where there is no such helper. */
int helper_channel(const struct generation *gen, enum helper_what what, unsigned nth);

/* Descriptor ${i} of those that kind ${what} was made of; -1 where there is none.  Owner: the helper. */
int helper_file(const struct generation *gen, enum helper_what what, unsigned i);

/* Those of ${gen} log to ${fd} from now on; -1: nothing to do. */
void helper_log_anew(const struct generation *gen, int fd);

/* Append what is to be polled; afterwards read what they say. */
nfds_t helper_poll(const struct master *m, struct pollfd *p);
void   helper_hear(struct master *m);

/* Tell all of all generations. */
void helper_tell(struct master *m, enum ipc_type type, uint32_t arg);

/* Another generation serves, or all stops: those of ${gen} that its workers do not need shall end, and hear ${type}. */
void helper_dismiss(struct generation *gen, enum ipc_type type);

/* A child has ended: whether it was one of these. */
bool helper_ended(struct master *m, pid_t pid, int status);

/* Start those whose back-off is over. */
void helper_due(struct master *m);

/* When the next start is due, or INT64_MAX. */
int64_t helper_next_ms(const struct master *m);

/* Those of ${gen} for a successor, and as a predecessor wrote them (state.h): 1 when ${f} was none of them, 0, or -1 with a line in ${why}. */
void helper_put(const struct generation *gen, struct facts *f);
int  helper_get(struct master *m, const struct fact *f, char *why, size_t cap);

/* End those of ${gen}, close all. */
void helper_free(struct generation *gen);
#endif
