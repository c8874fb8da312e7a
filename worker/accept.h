/*
 * accept: from a shared listening socket to a session, or to a short no.
 */
#ifndef WORKER_ACCEPT_H_
#define WORKER_ACCEPT_H_

#include "worker/worker.h"

enum {
	ACCEPT_BATCH    = 32, /* connections taken a turn, so that other workers get some too */
	ACCEPT_SLACK    = 8,  /* sessions, and a 16th of the mean: so many above the mean are no reason to hold back */
	ACCEPT_NAPS     = 8,  /* so often a worker holds back for others that take nothing */
	ACCEPT_PAUSE_MS = 200 /* how long a listener rests when no descriptor is left */
};

/* Watch the inherited sockets: ${fds[i]} for the i-th address of the config.  0, or -1 after a logged line. */
int accept_start(struct worker *w, const int *fds, size_t n);

/* What sessions of the config's ${cl} are offered and held to, in *ls, which is zeroed; nothing of its socket. */
void accept_offer(struct listener *ls, struct worker *w, const struct conf_listener *cl);

/* The number of sessions has changed: let the other workers know. */
void accept_share(struct worker *w);

/* Take no more: unwatch and close them. */
void accept_stop(void);

#endif
