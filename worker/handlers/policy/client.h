/*
 * client: persistent connections to one policy server, in the loop.
 * A question takes an idle connection, or a new one, or waits its turn; a
 * connection has one question at a time, and never outlives one that nobody
 * waits for any more: an answer can't be taken for another's.  Deadlines are
 * the chain's.
 */
#ifndef WORKER_HANDLERS_POLICY_CLIENT_H_
#define WORKER_HANDLERS_POLICY_CLIENT_H_

#include <sys/socket.h>

#include <bsd/sys/queue.h>

#include "worker/handlers/policy/answer.h"
#include "worker/net/loop.h"

enum {
	POLICY_WHY_MAX   = 160,  /* octets of why there is no answer, in words */
	POLICY_CONNS_MAX = 64,   /* connections to one server of one worker */
	POLICY_WAIT_MAX  = 4096, /* questions that may wait for one of them */
	POLICY_IDLE_MS   = 60000 /* an idle connection is kept for so long; servers close theirs in their own time */
};

struct policy_client;
struct policy_conn;

/* One question under way; embedded in whoever asks.  Zeroed: none is. */
struct policy_job {
	TAILQ_ENTRY(policy_job) entry; /* while it waits */
	struct policy_conn *conn;      /* NULL: it waits for one */
	char               *request;   /* its own; NULL: not under way */
	size_t              n, sent;   /* octets */
	bool                again; /* a connection that had been idle failed: this is the second try, on a new one */

	/* The answer (good for the call), or NULL and ${why} there is none, in words (good for the call, hostile).  Called once, never from within
	   policy_client_ask(); the job is not under way any more. */
	void (*done)(struct policy_job *j, const struct policy_answer *a, const char *why);
};

/* For the server at ${ss}.  NULL with errno ENOMEM.  Connects only when asked. */
struct policy_client *policy_client_new(struct loop *l, const struct sockaddr_storage *ss, socklen_t len);
void                  policy_client_free(struct policy_client *c); /* no job is under way; NULL is a no-op */

/* Ask ${request} (${n} octets, copied); j->done is set.  0, or -1 with errno ENOMEM, or EAGAIN past POLICY_WAIT_MAX. */
int policy_client_ask(struct policy_client *c, struct policy_job *j, const char *request, size_t n);

/* Nobody waits for ${j} any more; done() will not be called.  Not under way: a no-op. */
void policy_client_cancel(struct policy_client *c, struct policy_job *j);
#endif
