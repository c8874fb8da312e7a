/*
 * client: connect, send, read one answer, keep the connection for the next.
 */
#include "worker/handlers/policy/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	CLIENT_RETRY_MS = 100,   /* a unix socket whose backlog is full says EAGAIN and is to be tried again */
	CLIENT_SWEEP_MS = 10000, /* how often idle connections are looked at */
	CLIENT_QUOTE = 80        /* octets of an answer without sense that are quoted */
};

struct policy_conn {
	struct loop_src src; /* first */
	LIST_ENTRY(policy_conn) entry;
	struct policy_client *client;
	struct policy_job *job; /* NULL: idle */
	uint64_t idle_ms;       /* since when, by loop_now_ms() */
	bool used;              /* it has answered before */
	size_t n;               /* octets in ${in} */
	uint8_t in[POLICY_ANSWER_MAX];
};

struct policy_client {
	struct loop *loop;
	struct sockaddr_storage ss;
	socklen_t len;
	LIST_HEAD(, policy_conn) idle, busy;
	TAILQ_HEAD(client_jobs, policy_job) waiting;
	unsigned nconn, nwaiting;
	struct loop_timer sweep, retry;
	struct loop_task task; /* questions wait and connections may be had */
};

static struct policy_client *
client_of_task(struct loop_task *t)
{
	return (struct policy_client *)((char *)t - offsetof(struct policy_client, task));
}

static void
client_close(struct policy_conn *k)
{
	LIST_REMOVE(k, entry);
	k->client->nconn--;
	loop_unwatch(k->client->loop, &k->src);
	close(k->src.fd);
	free(k);
}

/* The job is over: what it holds is given back, then whoever asked is told. */
static void
client_done(struct policy_job *j, const struct policy_answer *a, const char *why)
{
	explicit_bzero(j->request, j->n); /* it may be a token */
	free(j->request);
	j->request = NULL;
	j->conn = NULL;
	j->done(j, a, why);
}

static void
client_wait(struct policy_client *c, struct policy_job *j)
{
	TAILQ_INSERT_TAIL(&c->waiting, j, entry);
	c->nwaiting++;
}

/* The connection is of no use.  One that the server had closed while it was idle costs the question nothing. */
static void
client_lost(struct policy_conn *k, const char *why)
{
	struct policy_client *c = k->client;
	struct policy_job *j = k->job;
	bool stale = k->used && k->n == 0 && j != NULL && !j->again;

	client_close(k);
	if (j == NULL)
		return;
	if (stale) {
		j->again = true;
		j->conn = NULL;
		j->sent = 0;
		TAILQ_INSERT_HEAD(&c->waiting, j, entry);
		c->nwaiting++;
	} else {
		client_done(j, NULL, why);
	}
	if (c->nwaiting > 0)
		loop_later(c->loop, &c->task);
}

/* Send what is left.  False: the connection is gone. */
static bool
client_send(struct policy_conn *k)
{
	struct policy_job *j = k->job;

	while (j->sent < j->n) {
		ssize_t n = send(k->src.fd, j->request + j->sent, j->n - j->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
			return true;
		if (n < 0) {
			client_lost(k, strerror(errno));
			return false;
		}
		j->sent += (size_t)n;
	}
	return true;
}

/* An answer is complete: the connection is free, unless the server has said more than it was asked. */
static void
client_answered(struct policy_conn *k, const struct policy_answer *a, size_t took)
{
	struct policy_client *c = k->client;
	struct policy_job *j = k->job;
	bool more = k->n > took || j->sent < j->n;

	LIST_REMOVE(k, entry);
	LIST_INSERT_HEAD(&c->idle, k, entry);
	k->job = NULL;
	k->used = true;
	k->idle_ms = loop_now_ms(c->loop);
	/* The spans of *a are in k->in. */
	client_done(j, a, NULL);
	if (more)
		client_close(k);
	else
		k->n = 0;
	if (c->nwaiting > 0)
		loop_later(c->loop, &c->task);
}

/* What it says is no answer: the beginning of it is quoted, for whoever has to find out why. */
static void
client_nonsense(struct policy_conn *k)
{
	char why[POLICY_WHY_MAX], said[CLIENT_QUOTE] = "";
	size_t n = k->n < sizeof(said) ? k->n : sizeof(said);

	while (n > 0 && k->in[n - 1] == '\n')
		n--;
	for (size_t i = 0; i < n; i++)
		said[i] = k->in[i] != 0 ? (char)k->in[i] : '?';
	snprintf(why, sizeof(why), "the policy server's answer makes no sense: \"%.*s\"%s", (int)n, said,
	    k->n > sizeof(said) ? "..." : "");
	k->used = false;
	client_lost(k, why);
}

/* Read until there is an answer, or nothing more. */
static void
client_read(struct policy_conn *k)
{
	for (;;) {
		struct policy_answer a;
		ssize_t took, n = recv(k->src.fd, k->in + k->n, sizeof(k->in) - k->n, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == ENOTCONN))
			return;
		if (n <= 0) {
			client_lost(k, n == 0 ? "the policy server closed the connection" : strerror(errno));
			return;
		}
		if (k->job == NULL) {
			/* It talks without being asked. */
			client_close(k);
			return;
		}
		k->n += (size_t)n;
		took = policy_answer(span_of(k->in, k->n), &a);
		if (took == POLICY_BAD) {
			client_nonsense(k);
			return;
		}
		if (took > 0) {
			client_answered(k, &a, (size_t)took);
			return;
		}
	}
}

static void
client_ready(struct loop_src *src, unsigned what)
{
	struct policy_conn *k = (struct policy_conn *)src;

	if (k->job != NULL && (what & LOOP_OUT) != 0 && !client_send(k))
		return;
	if ((what & (LOOP_IN | LOOP_HUP)) != 0)
		client_read(k);
}

/* A new connection, at least begun.  NULL with errno. */
static struct policy_conn *
client_connect(struct policy_client *c)
{
	struct policy_conn *k = calloc(1, sizeof(*k));
	int error;

	if (k == NULL)
		return NULL;
	k->client = c;
	k->src.ready = client_ready;
	k->src.fd = socket(c->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (k->src.fd == -1)
		goto err0;
	if (connect(k->src.fd, (const struct sockaddr *)&c->ss, c->len) != 0 && errno != EINPROGRESS)
		goto err1;
	if (loop_watch(c->loop, &k->src) != 0)
		goto err1;
	LIST_INSERT_HEAD(&c->busy, k, entry);
	c->nconn++;
	return k;

err1:
	error = errno;
	close(k->src.fd);
	errno = error;
err0:
	error = errno;
	free(k);
	errno = error;
	return NULL;
}

static void
client_give(struct policy_conn *k, struct policy_job *j)
{
	k->job = j;
	k->n = 0;
	j->conn = k;
	(void)client_send(k);
}

/* Give connections to those who wait. */
static void
client_run(struct loop_task *t)
{
	struct policy_client *c = client_of_task(t);

	while (c->nwaiting > 0) {
		struct policy_job *j = TAILQ_FIRST(&c->waiting);
		struct policy_conn *k = j->again ? NULL : LIST_FIRST(&c->idle);

		if (k != NULL) {
			LIST_REMOVE(k, entry);
			LIST_INSERT_HEAD(&c->busy, k, entry);
		} else if (c->nconn < POLICY_CONNS_MAX || !LIST_EMPTY(&c->idle)) {
			if (c->nconn >= POLICY_CONNS_MAX)
				client_close(LIST_FIRST(&c->idle)); /* NOLINT(clang-analyzer-unix.Malloc) */
			k = client_connect(c);
			if (k == NULL && errno == EAGAIN) {
				loop_timer_set(c->loop, &c->retry, CLIENT_RETRY_MS);
				return;
			}
		} else {
			return;
		}
		TAILQ_REMOVE(&c->waiting, j, entry);
		c->nwaiting--;
		if (k != NULL)
			client_give(k, j);
		else
			client_done(j, NULL, strerror(errno));
	}
}

static void
client_retry(struct loop_timer *t)
{
	struct policy_client *c = (struct policy_client *)((char *)t - offsetof(struct policy_client, retry));

	client_run(&c->task);
}

static void
client_sweep(struct loop_timer *t)
{
	struct policy_client *c = (struct policy_client *)((char *)t - offsetof(struct policy_client, sweep));
	struct policy_conn *k, *next;

	LIST_FOREACH_SAFE(k, &c->idle, entry, next)
	if (loop_now_ms(c->loop) - k->idle_ms >= POLICY_IDLE_MS)
		client_close(k);
	if (c->nconn > 0)
		loop_timer_set(c->loop, t, CLIENT_SWEEP_MS);
}

struct policy_client *
policy_client_new(struct loop *l, const struct sockaddr_storage *ss, socklen_t len)
{
	struct policy_client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->loop = l;
	c->ss = *ss;
	c->len = len;
	LIST_INIT(&c->idle);
	LIST_INIT(&c->busy);
	TAILQ_INIT(&c->waiting);
	c->task.run = client_run;
	c->sweep.fire = client_sweep;
	c->retry.fire = client_retry;
	return c;
}

void
policy_client_free(struct policy_client *c)
{
	if (c == NULL)
		return;
	/* The analyzer does not see that a connection leaves the list before it is freed. */
	while (!LIST_EMPTY(&c->idle))
		client_close(LIST_FIRST(&c->idle)); /* NOLINT(clang-analyzer-unix.Malloc) */
	loop_task_clear(c->loop, &c->task);
	loop_timer_clear(&c->sweep);
	loop_timer_clear(&c->retry);
	free(c);
}

int
policy_client_ask(struct policy_client *c, struct policy_job *j, const char *request, size_t n)
{
	if (c->nwaiting >= POLICY_WAIT_MAX) {
		errno = EAGAIN;
		return -1;
	}
	j->request = malloc(n);
	if (j->request == NULL)
		return -1;
	memcpy(j->request, request, n);
	j->n = n;
	j->sent = 0;
	j->conn = NULL;
	j->again = false;
	client_wait(c, j);
	loop_later(c->loop, &c->task);
	if (c->sweep.prev == NULL)
		loop_timer_set(c->loop, &c->sweep, CLIENT_SWEEP_MS);
	return 0;
}

void
policy_client_cancel(struct policy_client *c, struct policy_job *j)
{
	if (j->request == NULL)
		return;
	if (j->conn != NULL) {
		/* Its answer may still come, and nobody would know whose it is. */
		client_close(j->conn);
		if (c->nwaiting > 0)
			loop_later(c->loop, &c->task);
	} else {
		TAILQ_REMOVE(&c->waiting, j, entry);
		c->nwaiting--;
	}
	explicit_bzero(j->request, j->n); /* it may be a token */
	free(j->request);
	j->request = NULL;
	j->conn = NULL;
}
