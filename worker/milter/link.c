/*
 * link: reading is edge-triggered, so it goes on until there is nothing more,
 * in portions; a packet is shown when all of it is here.
 */
#include "worker/milter/link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct milter_link *
link_of(struct loop_src *src)
{
	return (struct milter_link *)((char *)src - offsetof(struct milter_link, src));
}

void
milter_link_close(struct milter_link *k)
{
	if (k->gone != NULL)
		*k->gone = true;
	loop_task_clear(k->loop, &k->task);
	loop_timer_clear(&k->mute);
	if (k->src.fd != -1) {
		loop_unwatch(k->loop, &k->src);
		close(k->src.fd);
	}
	buf_free(&k->out);
	buf_free(&k->in);
	for (size_t i = 0; i < MILTER_M_N; i++)
		free((void *)(uintptr_t)k->symbols[i].p);
	free(k);
}

/* It broke.  Whoever has it lets go of it and then closes it. */
static void
lost(struct milter_link *k, const char *why)
{
	struct milter_owner *o = k->owner;

	if (o != NULL)
		o->lost(o, why);
	else
		k->drop(k);
}

void
milter_link_nobody(struct milter_link *k)
{
	(void)k;
}

static bool
connected(struct milter_link *k)
{
	int error = 0;
	socklen_t n = sizeof(error);

	if (getsockopt(k->src.fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && error == 0) {
		k->connecting = false;
		return true;
	}
	lost(k, error == ECONNREFUSED ? "refused" : "unreachable");
	return false;
}

bool
milter_link_send(struct milter_link *k)
{
	while (buf_len(&k->out) > 0 && k->writable && !k->connecting) {
		struct span s = buf_view(&k->out);
		ssize_t n = send(k->src.fd, s.p, s.n, MSG_NOSIGNAL);

		if (n > 0) {
			buf_drop(&k->out, (size_t)n);
		} else if (errno == EAGAIN) {
			k->writable = false;
		} else if (errno != EINTR) {
			lost(k, "closed");
			return false;
		}
	}
	if (buf_len(&k->out) == 0 && k->out.cap > MILTER_OUT_KEEP)
		buf_free(&k->out);
	return true;
}

void
milter_link_rest(struct milter_link *k)
{
	if (buf_len(&k->out) == 0)
		buf_free(&k->out);
}

/* Show a packet, whose octets are good until something is read.  False: the link is gone. */
static bool
show_one(struct milter_link *k, uint8_t cmd, struct span data)
{
	bool gone = false;

	if (k->owner == NULL) {
		k->drop(k); /* who is not asked does not answer */
		return false;
	}
	/* cppcheck-suppress autoVariables ; taken back before it ends, or the link is no more */
	k->gone = &gone;
	k->owner->packet(k->owner, cmd, data);
	if (!gone)
		k->gone = NULL;
	return !gone;
}

/*
 * Show the packets that are kept, each forgotten before it is shown: it may be
 * the last of this owner, and the link another's afterwards.  False: no reading
 * now; the link is gone, or others have their turn first.
 */
static bool
show(struct milter_link *k)
{
	for (unsigned i = 0; i < MILTER_BURST_MAX; i++) {
		struct span data, in = buf_view(&k->in);
		uint8_t cmd;
		ssize_t n = milter_frame(in, k->st.chunk, &cmd, &data);

		if (n == MILTER_FRAME_MORE)
			return true;
		if (n == MILTER_FRAME_BAD) {
			lost(k, "length");
			return false;
		}
		buf_drop(&k->in, (size_t)n);
		if (!show_one(k, cmd, data))
			return false;
	}
	loop_later(k->loop, &k->task);
	return false;
}

/* ${n} octets were read to where nothing is kept.  A packet and no more, which is what most answers are, needs no memory. */
static bool
show_read(struct milter_link *k, const uint8_t *p, size_t n)
{
	struct span data;
	uint8_t cmd;

	if (milter_frame(span_of(p, n), k->st.chunk, &cmd, &data) == (ssize_t)n)
		return show_one(k, cmd, data);
	if (buf_put(&k->in, p, n) != 0) {
		lost(k, "no-memory");
		return false;
	}
	return show(k);
}

/* One read.  False: nothing more now, or the link is gone. */
static bool
take(struct milter_link *k)
{
	static uint8_t scratch[MILTER_READ];
	size_t room = sizeof(scratch);
	bool kept = buf_len(&k->in) > 0, dry;
	uint8_t *p = kept ? buf_room(&k->in, MILTER_READ, &room) : scratch;
	ssize_t n;

	if (p == NULL) {
		lost(k, "no-memory");
		return false;
	}
	n = recv(k->src.fd, p, room, 0);
	if (n == -1 && errno == EINTR)
		return true;
	/* A read that brought less than was asked for emptied the socket (epoll(7)), unless its end stands behind it. */
	dry = n > 0 && (size_t)n < room && !k->hup;
	if (n == -1 && errno == EAGAIN) {
		if (buf_len(&k->in) == 0)
			buf_free(&k->in);
		return false;
	}
	if (n <= 0) {
		lost(k, "closed");
		return false;
	}
	if (kept)
		buf_added(&k->in, (size_t)n);
	if (kept ? !show(k) : !show_read(k, p, (size_t)n))
		return false;
	if (!dry)
		return true;
	if (buf_len(&k->in) == 0)
		buf_free(&k->in);
	return false;
}

static void
read_on(struct milter_link *k)
{
	for (unsigned i = 0; i < MILTER_READS; i++)
		if (!take(k))
			return;
	loop_later(k->loop, &k->task);
}

static void
again(struct loop_task *t)
{
	struct milter_link *k = (struct milter_link *)((char *)t - offsetof(struct milter_link, task));

	if (show(k))
		read_on(k);
}

static void
ready(struct loop_src *src, unsigned what)
{
	struct milter_link *k = link_of(src);
	bool gone = false;

	if ((what & LOOP_OUT) != 0)
		k->writable = true;
	if ((what & LOOP_HUP) != 0)
		k->hup = true;
	if (k->connecting && (what & (LOOP_OUT | LOOP_HUP)) != 0 && !connected(k))
		return;
	/* cppcheck-suppress autoVariables ; taken back before it ends, or the link is no more */
	k->gone = &gone;
	if ((what & LOOP_OUT) != 0 && milter_link_send(k) && !gone && k->owner != NULL)
		k->owner->ready(k->owner);
	if (gone)
		return;
	k->gone = NULL;
	if ((what & (LOOP_IN | LOOP_HUP)) != 0 && !k->connecting)
		read_on(k);
}

struct milter_link *
milter_link_open(struct loop *l, const struct sockaddr *to, socklen_t len, struct milter_owner *owner)
{
	struct milter_link *k = calloc(1, sizeof(*k));
	int one = 1, error;

	if (k == NULL)
		return NULL;
	k->loop = l;
	k->owner = owner;
	k->src.ready = ready;
	k->task.run = again;
	milter_state_init(&k->st);
	buf_init(&k->out, MILTER_OUT_MAX);
	buf_init(&k->in, MILTER_CHUNK_1M + MILTER_HEAD);
	k->src.fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (k->src.fd == -1)
		goto err;
	if (to->sa_family != AF_UNIX)
		(void)setsockopt(k->src.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	k->connecting = true;
	if (connect(k->src.fd, to, len) != 0 && errno != EINPROGRESS)
		goto err;
	if (loop_watch(l, &k->src) != 0)
		goto err;
	return k;

err:
	error = errno;
	if (k->src.fd != -1)
		close(k->src.fd);
	k->src.fd = -1;
	milter_link_close(k);
	errno = error;
	return NULL;
}

int
milter_link_symbols(struct milter_link *k, const struct milter_options *o)
{
	for (size_t i = 0; i < MILTER_M_N; i++) {
		struct span s = o->symbols[i];
		uint8_t *p;

		if (s.p == NULL)
			continue;
		p = malloc(s.n + 1);
		if (p == NULL)
			return -1;
		memcpy(p, s.p, s.n);
		k->symbols[i] = span_of(p, s.n);
	}
	return 0;
}
