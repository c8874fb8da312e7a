/*
 * pretend: a worker that serves one session and nobody else, to tell what would
 * be said to it: the config's own chain and sandbox, but no listener, no store
 * and no counters of the server.  Started by letterplate-mailboxes check.
 * argv: letterplate-worker -p CONFIGFILE ADDRESS LISTENER ("" is the first that
 * speaks SMTP).
 */
#ifndef WORKER_PRETEND_H_
#define WORKER_PRETEND_H_

#include "worker/worker.h"

/* Descriptors that it finds open, beside IPC_FD_CONF with the config's text. */
enum {
	PRETEND_FD_CLIENT  = 4, /* the session's, a stream socket */
	PRETEND_FD_ANSWERS = 5  /* a line for each handler's answer is written to it, before the reply */
};

/**
 * pretend_conf(cf, address, listener):
 * Choose the listener and take from the config what a pretended client cannot
 * do: TLS, AUTH, PROXY, waiting for the greeting.  0, or -1 after a message.
 */
int pretend_conf(struct conf *cf, const char *address, const char *listener);

/* Counters and connection tables of its own, and the client's descriptor made ready; before the sandbox closes.  0, or -1 with errno. */
int pretend_shared(struct worker *w);

/* The store, before it is opened; and the ear at the chain. */
void pretend_store(struct worker *w);

/* The message was taken: what it came to, to PRETEND_FD_ANSWERS. */
struct txn;
void pretend_tell(const struct txn *t);

/* Begin the session; the loop ends with it. */
void pretend_start(struct worker *w);
#endif
