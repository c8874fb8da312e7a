/*
 * conn: reading, feeding and sending for one socket.
 * conn_recv() and conn_send() are the only calls that move octets, so that a
 * layer such as TLS has one place to stand.
 */
#include "worker/net/conn.h"

#include <sys/socket.h>

#include <errno.h>
#include <unistd.h>

/* One scratch area for all connections: only one is fed at a time. */
static uint8_t conn_scratch[CONN_IN_MAX];

static ssize_t
conn_recv(struct conn *c, void *p, size_t n)
{
	return c->secured ? tls_recv(c->tls, p, n) : recv(c->src.fd, p, n, 0);
}

static ssize_t
conn_send(struct conn *c, const void *p, size_t n)
{
	return c->secured ? tls_send(c->tls, p, n) : send(c->src.fd, p, n, MSG_NOSIGNAL);
}

static void
conn_end(struct conn *c, bool lost)
{
	c->flooded = c->tls != NULL && tls_flooded(c->tls);
	if (c->tls != NULL)
		tls_free(c->tls, !lost);
	c->tls = NULL;
	c->secured = false;
	loop_forget(c->loop, &c->src);
	loop_timer_clear(&c->timer);
	loop_task_clear(c->loop, &c->task);
	close(c->src.fd);
	c->src.fd = -1;
	buf_free(&c->in);
	buf_free(&c->out);
	c->ops->closed(c, lost);
}

/* Send what is queued.  0, or -1 when the connection is broken. */
static int
conn_flush(struct conn *c)
{
	while (c->can_write && buf_len(&c->out) > 0) {
		struct span s = buf_view(&c->out);
		ssize_t n = conn_send(c, s.p, s.n);

		if (n > 0) {
			buf_drop(&c->out, (size_t)n);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -1;
		c->can_write = false;
	}
	if (buf_len(&c->out) == 0 && c->out.base != NULL)
		buf_free(&c->out);
	return 0;
}

/*
 * Read behind what was kept, into the scratch area; *in is all of it.  A read
 * that brought less than was asked for emptied the socket (epoll(7)), so the
 * EAGAIN is saved, unless the peer's end may stand behind it.
 */
static int
conn_read(struct conn *c, struct span *in)
{
	struct span kept = buf_view(&c->in);
	size_t room = CONN_READ;
	ssize_t n;

	if (kept.p != NULL)
		memcpy(conn_scratch, kept.p, kept.n);
	buf_free(&c->in);
	*in = span_of(conn_scratch, kept.n);
	if (room > sizeof(conn_scratch) - kept.n)
		room = sizeof(conn_scratch) - kept.n;
	do
		n = conn_recv(c, conn_scratch + kept.n, room);
	while (n == -1 && errno == EINTR);
	if (n == -1 && errno != EAGAIN) {
		explicit_bzero(conn_scratch, kept.n);
		return -1;
	}
	if (n == 0)
		c->eof = true;
	if (n > 0)
		in->n += (size_t)n;
	/* A record of TLS is less than was asked for, whatever stands behind it. */
	if (n < (ssize_t)room && !(n > 0 && (c->hup || c->secured)))
		c->can_read = false;
	return 0;
}

/*
 * The same, but only look.  A beginning that grows no more, because the peer
 * has ended it, looks the same each time: conn_feed_peeked() notices.
 */
static int
conn_look(struct conn *c, struct span *in)
{
	ssize_t n;

	do
		n = recv(c->src.fd, conn_scratch, CONN_KEEP, MSG_PEEK);
	while (n == -1 && errno == EINTR);
	if (n == -1 && errno != EAGAIN)
		return -1;
	if (n == 0)
		c->eof = true;
	if (n <= 0)
		c->can_read = false;
	*in = span_of(conn_scratch, n > 0 ? (size_t)n : 0);
	return 0;
}

/* Feed what was looked at, and take from the socket what was consumed.  -1 when that fails. */
static int
conn_feed_peeked(struct conn *c, struct span in)
{
	struct span left = in;
	size_t taken;

	c->say = c->ops->feed(c, &left);
	taken = in.n - left.n;
	if (taken > 0)
		return recv(c->src.fd, conn_scratch, taken, 0) == (ssize_t)taken ? 0 : -1;
	/* The next octet is an edge, and so is the peer's end. */
	c->eof = c->eof || c->hup;
	c->can_read = false;
	return 0;
}

/* Feed *in and keep what is left.  -1 when that does not fit. */
static int
conn_feed(struct conn *c, struct span in)
{
	bool mine = in.n > 0 && in.p != conn_scratch;
	struct span left = in;
	int rc;

	c->say = c->ops->feed(c, &left);
	if (mine) {
		/* What was queued behind a secret stays; the secret does not. */
		if (c->secret)
			explicit_bzero((uint8_t *)(uintptr_t)in.p, in.n - left.n);
		c->secret = false;
		buf_drop(&c->in, in.n - left.n);
		if (left.n == 0)
			buf_free(&c->in);
		return 0;
	}
	rc = left.n > 0 ? buf_put(&c->in, left.p, left.n) : 0;
	if (c->secret)
		explicit_bzero(conn_scratch, in.n);
	else if (left.n > 0)
		/* The beginning of a line: nobody knows yet what it holds. */
		explicit_bzero(conn_scratch + (in.n - left.n), left.n);
	c->secret = false;
	return rc;
}

/*
 * A last word was sent: let the peer take it, read on and forget, and close.
 * Where the owner has no room for one more who lingers, what is there is still
 * read, so that the reset that would eat the last word comes seldom.  True when
 * closed.
 */
static bool
conn_linger(struct conn *c)
{
	bool may = c->lingering || c->ops->lingers(c);

	if (!c->lingering) {
		c->lingering = true;
		/* What the peer still says is thrown away, so it needs not be deciphered. */
		if (c->secured)
			tls_bye(c->tls);
		c->secured = false;
		shutdown(c->src.fd, SHUT_WR);
		c->due_ms = 0;
		conn_deadline(c, CONN_LINGER_MS);
	}
	while (c->can_read && !c->eof) {
		ssize_t n = conn_recv(c, conn_scratch, CONN_READ);

		if (n > 0) {
			/* Nobody looks at it, so it may be a password. */
			explicit_bzero(conn_scratch, (size_t)n);
			c->discarded += (uint32_t)n;
			if (c->discarded <= CONN_LINGER_MAX)
				continue;
		} else if (n == -1 && errno == EINTR) {
			continue;
		} else if (n == -1 && errno == EAGAIN) {
			c->can_read = false;
			break;
		}
		c->eof = true;
	}
	if (!c->eof && may)
		return false;
	conn_end(c, false);
	return true;
}

/* Whether feeding makes sense now: the owner wants more and there may be more, or there is room again. */
static bool
conn_hungry(const struct conn *c)
{
	switch (c->say) {
	case CONN_MORE:
		return c->can_read && !c->eof;
	case CONN_FULL:
		return buf_left(&c->out) >= CONN_OUT_MAX / 2;
	case CONN_WAIT:
	case CONN_TLS:
	case CONN_CLOSE:
	case CONN_LINGER:
		break;
	}
	return false;
}

/* What was queued in clear is sent: go on with the handshake. */
static void
conn_shake(struct conn *c)
{
	if (buf_len(&c->in) > 0) {
		c->say = CONN_LINGER;
		return;
	}
	switch (tls_handshake(c->tls)) {
	case TLS_WAIT:
		return;
	case TLS_DONE:
		c->secured = true;
		c->can_read = c->can_write = true;
		c->say = CONN_MORE;
		c->ops->secured(c, true);
		return;
	case TLS_BROKEN:
		/* So that the alert reaches the peer. */
		c->say = CONN_LINGER;
		c->ops->secured(c, false);
		return;
	}
}

/* Send; then act on the owner's last word.  True when the connection is over. */
static bool
conn_settle(struct conn *c)
{
	/* Nobody is to be kept waiting for one who can hear no answer. */
	if (conn_flush(c) != 0 || (c->gone && c->say == CONN_WAIT)) {
		conn_end(c, true);
		return true;
	}
	/* Who has closed its half only may still read what it asked for. */
	if (buf_len(&c->out) > 0)
		return false;
	if (c->say == CONN_MORE && c->eof) {
		conn_end(c, true);
		return true;
	}
	if (c->say == CONN_TLS)
		conn_shake(c);
	if (c->say == CONN_CLOSE) {
		conn_end(c, false);
		return true;
	}
	return c->say == CONN_LINGER && conn_linger(c);
}

static void
conn_pump(struct conn *c)
{
	for (unsigned i = 0; i < CONN_READS; i++) {
		struct span in = buf_view(&c->in);

		if (!conn_hungry(c))
			return;
		bool look = c->peeking;

		if (c->say == CONN_MORE && (look ? conn_look(c, &in) : conn_read(c, &in)) != 0) {
			conn_end(c, true);
			return;
		}
		if ((look ? conn_feed_peeked(c, in) : conn_feed(c, in)) != 0) {
			conn_end(c, true);
			return;
		}
		if (conn_settle(c))
			return;
	}
	if (conn_hungry(c))
		loop_later(c->loop, &c->task);
}

static void
conn_ready(struct loop_src *src, unsigned what)
{
	struct conn *c = (struct conn *)((char *)src - offsetof(struct conn, src));

	if (what & (LOOP_IN | LOOP_HUP))
		c->can_read = true;
	if (what & LOOP_HUP)
		c->hup = true;
	if (what & LOOP_GONE)
		c->gone = true;
	if (what & LOOP_OUT)
		c->can_write = true;
	/* TLS may have to write in order to read (a key update), and the other way round. */
	if (c->secured)
		c->can_read = c->can_write = true;
	if (!conn_settle(c))
		conn_pump(c);
}

static void
conn_task(struct loop_task *t)
{
	struct conn *c = (struct conn *)((char *)t - offsetof(struct conn, task));

	if (c->say != CONN_TLS || !conn_settle(c))
		conn_pump(c);
}

static void
conn_timer(struct loop_timer *t)
{
	struct conn *c = (struct conn *)((char *)t - offsetof(struct conn, timer));
	uint64_t now = loop_now_ms(c->loop);

	if (now < c->due_ms) {
		loop_timer_set(c->loop, t, c->due_ms - now);
		return;
	}
	/* It has had its last word and does not take it. */
	if (c->lingering || c->say == CONN_CLOSE || c->say == CONN_LINGER)
		conn_end(c, c->lingering ? false : true);
	else
		c->ops->late(c);
}

int
conn_start(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops)
{
	*c = (struct conn){ .src = { fd, conn_ready }, .loop = l, .ops = ops };
	c->timer.fire = conn_timer;
	c->task.run = conn_task;
	c->can_read = c->can_write = true;
	c->say = CONN_MORE;
	buf_init(&c->in, CONN_IN_MAX);
	buf_init(&c->out, CONN_OUT_MAX);
	if (loop_watch(l, &c->src) != 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	/* Reads first: input that is there before the greeting is an early talker's. */
	loop_later(l, &c->task);
	return 0;
}

int
conn_tls(struct conn *c, struct tls_port *p)
{
	c->tls = tls_new(p, c->src.fd, c->loop, &c->task);
	if (c->tls == NULL)
		return -1;
	c->say = CONN_TLS;
	return 0;
}

bool
conn_shaking(const struct conn *c)
{
	return c->say == CONN_TLS;
}

struct tls_facts
conn_tls_facts(const struct conn *c)
{
	return c->tls != NULL ? tls_facts(c->tls) : (struct tls_facts){ .version = NULL };
}

size_t
conn_tls_binding(const struct conn *c, const char *type, uint8_t *out, size_t cap)
{
	return c->secured ? tls_binding(c->tls, type, out, cap) : 0;
}

void
conn_peek(struct conn *c, bool on)
{
	c->peeking = on;
}

void
conn_resume(struct conn *c)
{
	if (c->src.fd == -1 || c->say != CONN_WAIT)
		return;
	if (conn_feed(c, buf_view(&c->in)) != 0) {
		conn_end(c, true);
		return;
	}
	if (!conn_settle(c))
		conn_pump(c);
}

void
conn_nudge(struct conn *c)
{
	c->can_read = true;
	conn_pump(c);
}

void
conn_deadline(struct conn *c, uint64_t ms)
{
	c->due_ms = loop_now_ms(c->loop) + ms;
	if (c->timer.prev == NULL || c->timer.at_ms > c->due_ms)
		loop_timer_set(c->loop, &c->timer, ms);
}

void
conn_finish(struct conn *c)
{
	if (c->src.fd == -1)
		return;
	c->say = CONN_LINGER;
	conn_deadline(c, CONN_LINGER_MS);
	conn_settle(c);
}

void
conn_abort(struct conn *c)
{
	if (c->src.fd != -1)
		conn_end(c, true);
}
