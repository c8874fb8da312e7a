/*
 * auth: letterplate-auth of a generation, from the master's side, as keys.h
 * has the key process.
 */
#ifndef MASTER_AUTH_H_
#define MASTER_AUTH_H_

#include <poll.h>

#include "master/master.h"

enum { AUTH_POLL_MAX = MASTER_SLOTS }; /* a generation has a worker at least */

/* Open what ${gen}'s config names and make channels.  0 (also when it offers no AUTH), or a sysexits code with one clear line in ${why}. */
int auth_prepare(struct master *m, struct generation *gen, char *why, size_t cap);

/* Start it.  0, or -1 with errno. */
int auth_start(struct master *m, struct generation *gen);

/* Whether it has said that it is ready; NULL: nothing to wait for. */
bool auth_ready(const struct auth *k);

/* What worker ${nth} inherits. */
int auth_channel(const struct auth *k, unsigned nth);

/* It logs to ${fd} from now on; NULL, or -1 as ${fd}: nothing to do. */
void auth_log_anew(struct auth *k, int fd);

/* Append what is to be polled; afterwards read what they say. */
nfds_t auth_poll(const struct master *m, struct pollfd *p);
void   auth_hear(struct master *m);

/* Tell all of them. */
void auth_tell(struct master *m, enum ipc_type type, uint32_t arg);

/* A child has ended: whether it was one of these. */
bool auth_ended(struct master *m, pid_t pid, int status);

/* Start those whose back-off is over; turn the ticket keys. */
void auth_due(struct master *m);

/* When the next start is due, or INT64_MAX. */
int64_t auth_next_ms(const struct master *m);

/* For a successor, and as a predecessor wrote it (state.h).  NULL is a no-op. */
void auth_put(const struct auth *k, struct facts *f);
int  auth_get(struct master *m, const struct fact *f, char *why, size_t cap);
int  auth_get_channel(struct master *m, const struct fact *f, char *why, size_t cap);

/* End the process, close all; NULL is a no-op. */
void auth_free(struct auth *k);
#endif
