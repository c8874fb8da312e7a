/*
 * credentials: a question a step of an exchange, an answer that is a reply.
 * No answer of letterplate-auth's says more than a client may know.
 */
#include "worker/handlers/credentials.h"

#include <sys/socket.h>

#include <bsd/stdlib.h>
#include <bsd/sys/queue.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/authask.h"
#include "common/log.h"
#include "worker/net/loop.h"
#include "worker/smtp/sasl.h"

struct pending {
	TAILQ_ENTRY(pending) entry;
	struct ask ask;
	uint64_t id; /* of the question, never used again */
	bool guess;  /* credentials_guesses_ops': yes lets nobody in */
};

static struct {
	struct loop_src src;
	struct loop *loop;
	uint64_t boot, ids;
	TAILQ_HEAD(, pending) list;
	unsigned n;
	bool gone, others;
	bool met; /* something came from it, or a predecessor, since we began */
} chan = { .src.fd = -1, .list = TAILQ_HEAD_INITIALIZER(chan.list) };

static void
unavailable(struct reply *r)
{
	reply_set(r, 454, ENH(4, 7, 0), "auth-unavailable", "it cannot be told now who you are, try again later");
}

static struct pending *
find(uint64_t id)
{
	struct pending *p;

	TAILQ_FOREACH(p, &chan.list, entry)
		if (p->id == id)
			break;
	return p;
}

static void
forget(struct pending *p)
{
	TAILQ_REMOVE(&chan.list, p, entry);
	chan.n--;
	free(p);
}

static void
told(struct pending *p, const struct reply *r)
{
	(void)ask_answer(p->ask, p->guess && r->code < 400 ? V_NEXT : V_REPLY, r);
	forget(p);
}

static void
told_all(void)
{
	struct reply r;

	unavailable(&r);
	while (!TAILQ_EMPTY(&chan.list))
		told(TAILQ_FIRST(&chan.list), &r);
}

static void
lost(const char *why)
{
	log_msg(LOG_L_ERROR, "auth-unreachable", "letterplate-auth is out of reach (%s): nobody can authenticate", why);
	chan.gone = true;
	told_all();
}

static void
make_reply(const struct auth_answer *m, struct reply *r)
{
	char text[SASL_SERVER_FIRST_MAX / 3 * 4 + 32];

	switch ((enum auth_result)m->result) {
	case AUTH_YES:
		if (m->n == 0)
			reply_set(r, 235, ENH(2, 7, 0), "authenticated", "welcome");
		else if (sasl_encode(span_of(m->text, m->n), text, sizeof(text)) > 0)
			reply_set(r, 334, 0, "auth-challenge", "%s", text);
		else
			unavailable(r);
		return;
	case AUTH_NO:
		reply_set(r, 535, ENH(5, 7, 8), "auth-wrong", "that is not how anybody here proves who it is");
		return;
	case AUTH_NO_IP:
		reply_set(r, 454, ENH(4, 7, 0), "auth-budget-ip",
		    "too many wrong guesses from your address, try again later");
		return;
	case AUTH_NO_USER:
		reply_set(
		    r, 454, ENH(4, 7, 0), "auth-budget-user", "too many wrong guesses at this name, try again later");
		return;
	case AUTH_BUSY:
		break;
	}
	unavailable(r);
}

static void
heard(const struct auth_answer *m)
{
	struct pending *p;
	struct reply r;

	bool again = chan.met;

	chan.met = true;
	if (m->boot == 0) {
		/* The first one that we hear of takes what has waited in the channel for it; a second one has lost some. */
		if (again)
			told_all();
		return;
	}
	/* To a predecessor in this slot. */
	if (m->boot != chan.boot)
		return;
	p = find(m->id);
	if (p == NULL)
		return; /* nobody waits for it any more */
	make_reply(m, &r);
	told(p, &r);
}

static void
ready(struct loop_src *src, unsigned what)
{
	struct auth_answer m;

	(void)what;
	while (!chan.gone) {
		ssize_t n = recv(src->fd, &m, sizeof(m), 0);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0)
			lost(n == 0 ? "it hung up" : strerror(errno));
		else if ((size_t)n < AUTH_ANSWER_HEAD || m.n > AUTH_TEXT_MAX || (size_t)n != AUTH_ANSWER_HEAD + m.n)
			lost("it sent something malformed");
		else
			heard(&m);
	}
}

void *
credentials_open(struct loop *l, int fd, bool others)
{
	chan.src = (struct loop_src){ fd, ready };
	chan.loop = l;
	chan.others = others;
	do
		arc4random_buf(&chan.boot, sizeof(chan.boot));
	while (chan.boot == 0);
	return loop_watch(l, &chan.src) == 0 ? &chan : NULL;
}

static bool
add(struct auth_ask *a, size_t *at, unsigned i, struct span s)
{
	if (s.n > sizeof(a->octets) - *at)
		return false;
	if (s.n > 0)
		memcpy(a->octets + *at, s.p, s.n);
	a->n[i] = (uint16_t)s.n;
	*at += s.n;
	return true;
}

/* The question that ${s} has come to; octets of it, 0: it does not fit.  NULL: whether it may guess. */
static size_t
make_ask(const struct sasl *s, struct auth_ask *a)
{
	struct span first;
	size_t at = 0;
	bool ok;

	if (s == NULL) {
		a->what = AUTH_GUESS;
		return AUTH_ASK_HEAD;
	}
	first = span_of(s->first, s->nfirst);
	ok = add(a, &at, 0, span_of(s->user, s->nuser));

	switch (s->step) {
	case SASL_PASSWORD:
		a->what = AUTH_PASSWORD;
		a->counted = chan.others;
		ok = ok && add(a, &at, 1, s->password);
		break;
	case SASL_FIRST:
		a->what = AUTH_FIRST;
		ok = ok && add(a, &at, 1, first);
		break;
	case SASL_FINAL:
		a->what = AUTH_FINAL;
		ok = ok && add(a, &at, 1, first) && add(a, &at, 2, span_of(s->server_first, s->nserver_first)) &&
		    add(a, &at, 3, s->final) && add(a, &at, 4, span_of(s->proof, sizeof(s->proof)));
		break;
	case SASL_CONFIRMED:
	case SASL_TOKEN:
	case SASL_EXPLAINED:
		return 0;
	}
	return ok ? AUTH_ASK_HEAD + at : 0;
}

static ssize_t
send_all(const struct auth_ask *a, size_t size)
{
	ssize_t n;

	do
		n = send(chan.src.fd, a, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	return n;
}

static ssize_t
send_ask(const struct sasl *s, const struct question *q, uint64_t id)
{
	struct auth_ask a = { .boot = chan.boot, .id = id };
	size_t size = make_ask(s, &a);
	ssize_t n = -1;

	memcpy(a.addr, q->session->remote_addr, sizeof(a.addr));
	if (size > 0)
		n = send_all(&a, size);
	explicit_bzero(&a, sizeof(a));
	return n;
}

void
credentials_right(const uint8_t addr[16])
{
	struct auth_ask a = { .boot = chan.boot, .what = AUTH_RIGHT };

	memcpy(a.addr, addr, sizeof(a.addr));
	if (chan.others && !chan.gone)
		(void)send_all(&a, AUTH_ASK_HEAD); /* lost when the channel is full: then it stays counted */
}

/* Whether what the client saw of the channel is what we see. */
static bool
bound(const struct sasl *s, const struct auth_try *t)
{
	return s->bind != 'p' || (t->binding.n > 0 && span_eq(t->binding, span_of(s->binding, s->nbinding)));
}

/* Ask what ${s} has come to, or (NULL) whether its client may guess. */
static enum verdict
ask(const struct sasl *s, const struct question *q, struct reply *r)
{
	struct pending *p = chan.gone || chan.n >= CREDENTIALS_PENDING_MAX ? NULL : calloc(1, sizeof(*p));

	/* What is kept is a number: the question may be answered, and memory another's, when it is given up. */
	if (p == NULL || handler_keep(q, (void *)(uintptr_t)++chan.ids) != 0 || send_ask(s, q, chan.ids) <= 0) {
		free(p);
		unavailable(r);
		return V_REPLY;
	}
	p->ask = q->ask;
	p->id = chan.ids;
	p->guess = s == NULL;
	TAILQ_INSERT_TAIL(&chan.list, p, entry);
	chan.n++;
	return V_LATER;
}

static enum verdict
on_auth(void *ctx, const struct question *q, struct reply *r)
{
	const struct sasl *s = q->auth->exchange;
	enum verdict v;

	(void)ctx;
	if (s->step == SASL_TOKEN)
		return V_NEXT;
	if (s->step == SASL_FINAL && !bound(s, q->auth)) {
		reply_set(r, 535, ENH(5, 7, 8), "auth-binding", "your TLS is not ours");
		return V_REPLY;
	}
	v = ask(s, q, r);
	if (v == V_REPLY && s->step == SASL_PASSWORD)
		credentials_right(q->session->remote_addr);
	return v;
}

/* SCRAM is for the credentials alone to tell. */
static enum verdict
on_guess(void *ctx, const struct question *q, struct reply *r)
{
	const struct sasl *s = q->auth->exchange;

	(void)ctx;
	return s->step == SASL_TOKEN || s->step == SASL_PASSWORD ? ask(NULL, q, r) : V_NEXT;
}

/* Its answer may be lost, and would be waited for until all places are taken. */
static void
on_cancel(void *ctx, const struct question *q)
{
	struct pending *p = find((uintptr_t)q->mine);

	(void)ctx;
	if (p != NULL)
		forget(p);
}

static void
close_all(void *ctx)
{
	(void)ctx;
	told_all();
}

const struct handler_ops credentials_ops = {
	.abi = HANDLER_ABI, .name = "credentials", .on_auth = on_auth, .on_cancel = on_cancel, .close = close_all
};

const struct handler_ops credentials_guesses_ops = {
	.abi = HANDLER_ABI, .name = "guesses", .on_auth = on_guess, .on_cancel = on_cancel
};
