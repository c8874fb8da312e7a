/*
 * tls_keys: the channel to the key process.
 * Questions go out in order and come back in order, but by number: a key
 * process that was started anew says so, and is asked again.  It is believed
 * no more than it must be: an answer to nothing is dropped.
 */
#include <sys/socket.h>

#include <bsd/stdlib.h>
#include <errno.h>
#include <stddef.h>

#include "common/log.h"
#include "worker/net/tls_priv.h"

static struct {
	struct loop_src src;
	TAILQ_HEAD(, tls_ask) asks;
	uint64_t last_id;
	bool gone, full;
} keys = { .src.fd = -1, .asks = TAILQ_HEAD_INITIALIZER(keys.asks) };

static void
tls_keys_done(struct tls_ask *a)
{
	TAILQ_REMOVE(&keys.asks, a, entry);
	a->done = true;
	loop_later(a->tls->loop, a->tls->wake);
}

/* Nobody will ever answer: what waits fails. */
static void
tls_keys_lost(const char *why)
{
	if (!keys.gone)
		log_msg(LOG_L_ERROR, "keys", "the key process is out of reach (%s): TLS handshakes fail", why);
	keys.gone = true;
	while (!TAILQ_EMPTY(&keys.asks))
		tls_keys_done(TAILQ_FIRST(&keys.asks));
}

static void
tls_keys_send(struct tls_ask *a)
{
	struct sign_ask m = { .id = a->id, .section = a->section, .scheme = a->scheme, .n = (uint32_t)a->text.n };
	ssize_t n;

	memcpy(m.text, a->text.p, a->text.n);
	do
		n = send(keys.src.fd, &m, SIGN_ASK_HEAD + a->text.n, MSG_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	a->sent = n > 0;
	if (n == -1 && errno == EAGAIN)
		keys.full = true;
	else if (n == -1)
		tls_keys_lost(strerror(errno));
}

static void
tls_keys_flush(void)
{
	struct tls_ask *a, *next;

	for (a = TAILQ_FIRST(&keys.asks); a != NULL && !keys.full && !keys.gone; a = next) {
		next = TAILQ_NEXT(a, entry);
		if (!a->sent)
			tls_keys_send(a);
	}
}

static void
tls_keys_again(void)
{
	struct tls_ask *a;

	TAILQ_FOREACH(a, &keys.asks, entry)
		a->sent = false;
	tls_keys_flush();
}

static void
tls_keys_heard(const struct sign_answer *m)
{
	struct tls_ask *a;

	if (m->id == 0) {
		tls_keys_again();
		return;
	}
	TAILQ_FOREACH(a, &keys.asks, entry) {
		if (a->id != m->id)
			continue;
		a->n = m->n;
		memcpy(a->octets, m->octets, m->n);
		tls_keys_done(a);
		return;
	}
}

static void
tls_keys_ready(struct loop_src *src, unsigned what)
{
	struct sign_answer m;

	if (what & LOOP_OUT) {
		keys.full = false;
		tls_keys_flush();
	}
	/* When nothing is asked any more there is nothing to come; what comes all the same is told of anew. */
	for (bool first = true; !keys.gone && (first || !TAILQ_EMPTY(&keys.asks)); first = false) {
		ssize_t n = recv(src->fd, &m, sizeof(m), 0);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0)
			tls_keys_lost(n == 0 ? "it hung up" : strerror(errno));
		else if ((size_t)n < SIGN_ANSWER_HEAD || m.n > SIGN_OCTETS_MAX || (size_t)n != SIGN_ANSWER_HEAD + m.n)
			tls_keys_lost("it sent something malformed");
		else
			tls_keys_heard(&m);
	}
}

int
tls_keys_open(struct loop *l, int fd)
{
	keys.src = (struct loop_src){ fd, tls_keys_ready };
	/* A predecessor in this slot may have questions under way; their numbers must not be ours. */
	arc4random_buf(&keys.last_id, sizeof(keys.last_id));
	return loop_watch(l, &keys.src);
}

void
tls_keys_ask(struct tls_ask *a)
{
	a->id = ++keys.last_id != 0 ? keys.last_id : ++keys.last_id;
	TAILQ_INSERT_TAIL(&keys.asks, a, entry);
	if (keys.gone || a->text.n > SIGN_TEXT_MAX) {
		TAILQ_REMOVE(&keys.asks, a, entry);
		a->done = true;
		return;
	}
	if (!keys.full)
		tls_keys_send(a);
}

void
tls_keys_drop(struct tls_ask *a)
{
	if (!a->done)
		TAILQ_REMOVE(&keys.asks, a, entry);
	a->done = true;
	a->n = 0;
}
