/*
 * storehouse: a store that forgets what it holds but not that it held it, and
 * holds its caller to store.h at each call.  How full, how late and how broken
 * it is, is the input's.
 */
#ifndef TESTS_FUZZ_PARTS_STOREHOUSE_H_
#define TESTS_FUZZ_PARTS_STOREHOUSE_H_

#include <errno.h>

#include "tests/fuzz/parts/ledger.h"
#include "tests/fuzz/parts/sent.h"
#include "worker/store/store.h"

enum {
	STOREHOUSE_HELD   = 2,   /* messages at a time: one, and one that is edited */
	STOREHOUSE_FINE   = 600, /* octets of one that fill it as often as the input says; then it is all the same, */
	STOREHOUSE_COARSE = 4096 /* and time is dear */
};

struct store_msg {
	struct txn *t;
	uint64_t    seen; /* of the envelope */
	uint8_t    *p;
	size_t      n, cap, since_full;
	bool        raw, complete, lost;
	void (*wake)(void *arg);
	void *wake_arg;
	void (*read_done)(void *arg, struct span s, int err);
	void       *read_arg;
	struct span piece;
	void (*done)(void *arg, const struct store_done *d);
	void             *done_arg;
	bool              all;
	struct loop_task  room, hand_out, durable;
	struct loop_timer late;
};

static struct {
	struct loop *loop;
	size_t       full_every, read_piece; /* 0: never full; all at once */
	size_t       breaks_at;              /* octets of content at which it fails; 0: never */
	bool         read_later, late, no_begin;
	int          error; /* of commit, or of those targets alone: */
	uint8_t      targets;
	unsigned     held;
} storehouse;

static uint64_t
storehouse_mix(uint64_t h, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const uint8_t *)p)[i]) * 0x100000001b3u;
	return h;
}

/* What the store goes by while it has a message. */
static uint64_t
storehouse_envelope(const struct txn *t)
{
	uint64_t h = storehouse_mix(14695981039346656037u, t->id, strlen(t->id));
	uint32_t n = 0;

	for (const struct target *tg = t->targets; tg != NULL; tg = tg->next, n++) {
		h = storehouse_mix(h, tg->key.p, tg->key.n);
		h = storehouse_mix(h, tg->dir.p, tg->dir.n);
		h = storehouse_mix(h, tg->folder.p, tg->folder.n);
	}
	if (n != t->ntargets)
		breach("%u targets, and %u are counted", n, t->ntargets);
	return h;
}

static void
storehouse_forget(struct store_msg *m)
{
	loop_task_clear(storehouse.loop, &m->room);
	loop_task_clear(storehouse.loop, &m->hand_out);
	loop_task_clear(storehouse.loop, &m->durable);
	loop_timer_clear(&m->late);
	free(m->p);
	free(m);
	storehouse.held--;
}

static void
storehouse_room(struct loop_task *t)
{
	struct store_msg *m = (struct store_msg *)((char *)t - offsetof(struct store_msg, room));

	m->since_full = 0;
	m->wake(m->wake_arg);
}

static void
storehouse_hand_out(struct loop_task *t)
{
	struct store_msg *m = (struct store_msg *)((char *)t - offsetof(struct store_msg, hand_out));

	m->read_done(m->read_arg, m->piece, 0);
}

static void
storehouse_end(struct store_msg *m)
{
	struct store_done d = { .err = 0 };
	unsigned          i = 0;

	if (storehouse_envelope(m->t) != m->seen)
		breach("the targets of %s changed while it was stored", m->t->id);
	for (struct target *tg = m->t->targets; tg != NULL; tg = tg->next, i++) {
		tg->err = (storehouse.targets >> i % 5 & 1) != 0 ? storehouse.error : 0;
		if (tg->err == 0)
			d.nstored++;
		else if (d.err == 0)
			d.err = tg->err;
	}
	if (m->all && d.err != 0)
		d.nstored = 0;
	if (d.nstored > 0)
		ledger_of(span_str(m->t->id))->stored++;
	m->done(m->done_arg, &d);
	storehouse_forget(m);
}

static void
storehouse_durable(struct loop_task *t)
{
	storehouse_end((struct store_msg *)((char *)t - offsetof(struct store_msg, durable)));
}

static void
storehouse_late(struct loop_timer *t)
{
	storehouse_end((struct store_msg *)((char *)t - offsetof(struct store_msg, late)));
}

static int
storehouse_begin(
    void *ctx, struct txn *t, struct span received, void (*wake)(void *arg), void *arg, struct store_msg **out)
{
	struct store_msg *m;

	(void)ctx;
	if (received.n < 10 || memcmp(received.p, "Received: ", 10) != 0 || received.p[received.n - 1] != '\n' ||
	    memchr(received.p, '\0', received.n) != NULL ||
	    memmem(received.p, received.n, t->id, strlen(t->id)) == NULL)
		breach("a Received field that is none");
	if (t->ntargets == 0 || t->nrcpt == 0)
		breach("%s is for nobody", t->id);
	if (storehouse.no_begin) {
		errno = (t->ntargets & 1) != 0 ? EAGAIN : ENOSPC;
		return -1;
	}
	if (++storehouse.held > STOREHOUSE_HELD)
		breach("a session has %u messages in the store", storehouse.held);
	m = calloc(1, sizeof(*m));
	if (m == NULL)
		abort();
	m->t            = t;
	m->seen         = storehouse_envelope(t);
	m->wake         = wake;
	m->wake_arg     = arg;
	m->room.run     = storehouse_room;
	m->hand_out.run = storehouse_hand_out;
	m->durable.run  = storehouse_durable;
	m->late.fire    = storehouse_late;
	*out            = m;
	return 0;
}

static int
storehouse_write(struct store_msg *m, struct span s, size_t *taken)
{
	size_t every = m->n < STOREHOUSE_FINE ? storehouse.full_every : STOREHOUSE_COARSE;
	size_t room  = storehouse.full_every == 0 ? s.n : every > m->since_full ? every - m->since_full : 0;

	if (m->complete || m->lost || m->room.prev != NULL || s.n == 0)
		breach("content is written that nobody waits for");
	*taken = 0;
	if (storehouse.breaks_at != 0 && m->n + s.n >= storehouse.breaks_at) {
		m->lost = true;
		errno   = ENOSPC;
		return -1;
	}
	*taken = s.n < room ? s.n : room;
	if (m->n + *taken > m->cap) {
		m->cap = 2 * (m->n + *taken);
		m->p   = realloc(m->p, m->cap);
		if (m->p == NULL)
			abort();
	}
	memcpy(m->p + m->n, s.p, *taken);
	m->n += *taken;
	m->since_full += *taken;
	if (*taken == s.n)
		return 0;
	loop_later(storehouse.loop, &m->room);
	errno = EAGAIN;
	return -1;
}

static void
storehouse_raw(struct store_msg *m)
{
	if (m->n > 0)
		breach("content is called raw behind its beginning");
	m->raw = true;
}

/* The content is complete, and folded as a store does. */
static void
storehouse_complete(struct store_msg *m)
{
	size_t n = 0;

	if (!m->complete && !m->raw) {
		for (size_t i = 0; i < m->n; i++)
			if (m->p[i] != '\r' || i + 1 == m->n || m->p[i + 1] != '\n')
				m->p[n++] = m->p[i];
		m->n = n;
	}
	m->complete = true;
}

static void
storehouse_read(struct store_msg *m, uint64_t at, void (*done)(void *arg, struct span s, int err), void *arg)
{
	size_t most = at < STOREHOUSE_FINE ? storehouse.read_piece : STOREHOUSE_COARSE;

	storehouse_complete(m);
	if (at > m->n || m->hand_out.prev != NULL || m->lost)
		breach("content is read that is not there");
	m->piece = span_skip(span_of(m->p, m->n), (size_t)at);
	if (storehouse.read_piece != 0 && m->piece.n > most)
		m->piece.n = most;
	m->read_done = done;
	m->read_arg  = arg;
	if (storehouse.read_later)
		loop_later(storehouse.loop, &m->hand_out);
	else
		done(arg, m->piece, 0);
}

static void
storehouse_commit(struct store_msg *m, bool all, void (*done)(void *arg, const struct store_done *d), void *arg)
{
	if (m->lost || m->room.prev != NULL || m->hand_out.prev != NULL)
		breach("%s is made durable before it is whole", m->t->id);
	if (storehouse_envelope(m->t) != m->seen)
		breach("the targets of %s changed since it began", m->t->id);
	sent_check(m->t, span_of(m->p, m->n), m->raw || m->complete, m->raw);
	storehouse_complete(m);
	m->all      = all;
	m->done     = done;
	m->done_arg = arg;
	if (storehouse.late)
		loop_timer_set(storehouse.loop, &m->late, 700000);
	else
		loop_later(storehouse.loop, &m->durable);
}

static void
storehouse_abort(struct store_msg *m)
{
	if (m->done != NULL)
		breach("a message is aborted that is being made durable");
	storehouse_forget(m);
}

static const struct store_ops storehouse_ops = { .name = "storehouse",
	.begin                                         = storehouse_begin,
	.write                                         = storehouse_write,
	.raw                                           = storehouse_raw,
	.read                                          = storehouse_read,
	.commit                                        = storehouse_commit,
	.abort                                         = storehouse_abort };
#endif
