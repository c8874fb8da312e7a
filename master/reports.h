/*
 * reports: letterplate-reports, from the master's side.
 * One a generation whose config offers DSN.  It is no part of the promise that
 * a sender gets: records wait in the spool while none runs.
 */
#ifndef MASTER_REPORTS_H_
#define MASTER_REPORTS_H_

#include <poll.h>

#include "master/master.h"

enum { REPORTS_POLL_MAX = 8 }; /* generations that still have one */

/* Make ${gen}'s, if its config offers DSN.  0, or a sysexits code with one clear line in ${why}. */
int reports_prepare(struct master *m, struct generation *gen, char *why, size_t cap);

/* Start it.  0, or -1 with errno. */
int reports_start(struct master *m, struct generation *gen);

/* Whether it has said that it is ready; NULL: nothing to wait for. */
bool reports_ready(const struct reports *r);

/* Another generation serves, or all stops: it shall end. */
void reports_tell(struct reports *r, enum ipc_type type);

/* It logs to ${fd} from now on; NULL, or -1 as ${fd}: nothing to do. */
void reports_log_anew(struct reports *r, int fd);

/* Append what is to be polled; afterwards read what they say. */
nfds_t reports_poll(const struct master *m, struct pollfd *p);
void   reports_hear(struct master *m);

/* A child has ended: whether it was one of these. */
bool reports_ended(struct master *m, pid_t pid, int status);

/* Start those whose back-off is over. */
void reports_due(struct master *m);

/* When the next start is due, or INT64_MAX. */
int64_t reports_next_ms(const struct master *m);

/* For a successor, and as a predecessor wrote it (state.h).  NULL is a no-op. */
void reports_put(const struct reports *r, struct facts *f);
int  reports_get(struct master *m, const struct fact *f, char *why, size_t cap);

/* End the process; NULL is a no-op. */
void reports_free(struct reports *r);
#endif
