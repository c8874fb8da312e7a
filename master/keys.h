/*
 * keys: the key process of a generation, from the master's side.
 * Its channels to the workers are made once and held here, both ends: so
 * either side can be replaced without the other noticing more than a delay.
 * Certificates and keys are taken once, into sealed memfds, for the same
 * reason: who is started later gets those that the generation began with.
 */
#ifndef MASTER_KEYS_H_
#define MASTER_KEYS_H_

#include <poll.h>

#include "master/master.h"

enum { KEYS_POLL_MAX = MASTER_SLOTS }; /* a generation has a worker at least */

/* Take the files of ${gen}'s config and make channels.  0 (also when it offers no TLS), or a sysexits code with one clear line in ${why}. */
int keys_prepare(struct master *m, struct generation *gen, char *why, size_t cap);

/* Start it.  0, or -1 with errno. */
int keys_start(struct master *m, struct generation *gen);

/* Whether it has said that it is ready; NULL: nothing to wait for. */
bool keys_ready(const struct keys *k);

/* What worker ${nth} inherits. */
int keys_channel(const struct keys *k, unsigned nth);
int keys_certs(const struct keys *k);

/* It logs to ${fd} from now on; NULL, or -1 as ${fd}: nothing to do. */
void keys_log_anew(struct keys *k, int fd);

/* Append what is to be polled; afterwards read what they say. */
nfds_t keys_poll(const struct master *m, struct pollfd *p);
void   keys_hear(struct master *m);

/* Tell all of them. */
void keys_tell(struct master *m, enum ipc_type type, uint32_t arg);

/* A child has ended: whether it was one of these. */
bool keys_ended(struct master *m, pid_t pid, int status);

/* Start those whose back-off is over; turn the ticket keys. */
void keys_due(struct master *m);

/* When the next start is due, or INT64_MAX. */
int64_t keys_next_ms(const struct master *m);

/* For a successor, and as a predecessor wrote it (state.h).  NULL is a no-op. */
void keys_put(const struct keys *k, struct facts *f);
int  keys_get(struct master *m, const struct fact *f, char *why, size_t cap);
int  keys_get_channel(struct master *m, const struct fact *f, char *why, size_t cap);

/* End the process, close all; NULL is a no-op. */
void keys_free(struct keys *k);
#endif
