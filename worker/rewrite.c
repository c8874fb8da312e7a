/*
 * rewrite: store -> editor -> handler, or second message.
 */
#include "worker/rewrite.h"

#include <errno.h>

#include "worker/hooks.h"

void
rewrite_begin(struct session *s, struct rewrite *rw, struct store_msg *from)
{
	struct txn *t = smtp_txn(s->smtp);
	uint8_t *wire = rw->wire;

	*rw = (struct rewrite){ .from = from, .active = true, .wire = wire };
	edits_init(&rw->none, 0);
	editor_init(&rw->editor, t->edits != NULL ? t->edits : &rw->none);
}

void
rewrite_end(struct rewrite *rw)
{
	if (!rw->active)
		return;
	editor_fini(&rw->editor);
	edits_fini(&rw->none);
	rw->active = false;
}

/* The store hands content out; at its end an empty piece. */
static void
rewrite_got(void *arg, struct span piece, int err)
{
	struct session *s = arg;
	struct rewrite *rw = message_rewrite(s);

	rw->reading = false;
	rw->error = err;
	rw->in = piece;
	rw->at += piece.n;
	if (err == 0 && piece.n == 0) {
		rw->ended = true;
		editor_end(&rw->editor);
	}
	if (!rw->inside)
		session_wake(s);
}

/* Have ${rw}->out filled.  REWRITE_DONE: there is no more. */
static enum rewrite_result
rewrite_fill(struct session *s, struct rewrite *rw)
{
	for (;;) {
		bool ended = rw->ended;
		int got;

		if (rw->error != 0)
			return REWRITE_FAILED;
		if (rw->reading)
			return REWRITE_WAIT;
		got = editor_next(&rw->editor, &rw->in, &rw->out);
		if (got < 0) {
			rw->error = errno;
			return REWRITE_FAILED;
		}
		if (got > 0)
			return REWRITE_WAIT; /* there is something */
		if (ended)
			return REWRITE_DONE;
		rw->reading = rw->inside = true;
		s->w->store->read(rw->from, rw->at, rewrite_got, s);
		rw->inside = false;
		if (rw->reading)
			s->wait = SESSION_ROOM;
	}
}

enum rewrite_result
rewrite_store(struct session *s, struct rewrite *rw, struct store_msg *to)
{
	for (;;) {
		size_t taken = 0;

		if (rw->out.n == 0) {
			enum rewrite_result r = rewrite_fill(s, rw);

			if (rw->out.n == 0)
				return r;
		}
		if (s->w->store->write(to, rw->out, &taken) != 0 && errno != EAGAIN) {
			rw->error = errno;
			return REWRITE_FAILED;
		}
		rw->out = span_skip(rw->out, taken);
		if (rw->out.n > 0) {
			s->wait = SESSION_ROOM;
			return REWRITE_WAIT;
		}
	}
}

/* A piece of out as it was on the wire. */
static struct span
rewrite_wire(struct rewrite *rw)
{
	struct span piece = span_head(rw->out, rw->out.n < REWRITE_PIECE ? rw->out.n : REWRITE_PIECE);
	size_t w = 0;

	rw->out = span_skip(rw->out, piece.n);
	for (size_t i = 0; i < piece.n; i++) {
		if (piece.p[i] == '\n')
			rw->wire[w++] = '\r';
		rw->wire[w++] = piece.p[i];
	}
	return span_of(rw->wire, w);
}

enum rewrite_result
rewrite_show(struct session *s, struct rewrite *rw, struct reply *r)
{
	if (rw->wire == NULL && (rw->wire = arena_alloc(smtp_txn(s->smtp)->arena, 2 * REWRITE_PIECE)) == NULL) {
		rw->error = ENOMEM;
		return REWRITE_FAILED;
	}
	if (!s->run.showing)
		return REWRITE_DONE;
	for (;;) {
		if (!s->run.again && rw->out.n == 0) {
			enum rewrite_result got = rewrite_fill(s, rw);

			if (rw->out.n == 0)
				return got;
		}
		if (!s->run.again)
			rw->piece = rewrite_wire(rw);
		switch (session_show(s, rw->piece, r)) {
		case V_NEXT:
			if (!s->run.showing)
				return REWRITE_DONE;
			break;
		case V_LATER:
			return REWRITE_WAIT;
		case V_REPLY:
		case V_DISCARD:
		case V_FAIL:
		case V_AGAIN:
			return REWRITE_DECIDED;
		}
	}
}
