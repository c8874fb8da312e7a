/*
 * nowhere: a store that keeps a message in memory until its verdict, and
 * nothing after it: for a session that only asks what would be said.
 */
#include "worker/nowhere.h"

#include <errno.h>
#include <stdlib.h>

#include "common/buf.h"
#include "worker/net/loop.h"
#include "worker/smtp/txn.h"
#include "worker/store/fold.h"

enum { NOWHERE_PIECE = 16 << 10 };

void (*nowhere_tell)(const struct txn *t);

/* What others know as a struct store_msg. */
struct kept {
	struct loop_task task; /* first */
	struct loop *loop;
	struct txn *txn;
	struct fold fold;
	struct buf content;
	bool ended;
	void (*done)(void *arg, const struct store_done *d);
	void *done_arg;
};

static struct kept *
kept_of(struct store_msg *m)
{
	return (struct kept *)(void *)m;
}

/* The loop was put there by who chose this store. */
static int
nowhere_open(const struct store_env *env, void **ctx)
{
	(void)env;
	return *ctx != NULL ? 0 : -1;
}

static int
nowhere_begin(
    void *ctx, struct txn *t, struct span received, void (*wake)(void *arg), void *arg, struct store_msg **out)
{
	struct kept *k = calloc(1, sizeof(*k));

	(void)received;
	(void)wake;
	(void)arg;
	if (k == NULL)
		return -1;
	k->loop = ctx;
	k->txn = t;
	buf_init(&k->content, NOWHERE_MAX);
	*out = (struct store_msg *)(void *)k;
	return 0;
}

static int
nowhere_write(struct store_msg *m, struct span s, size_t *taken)
{
	uint8_t piece[NOWHERE_PIECE];
	struct kept *k = kept_of(m);

	*taken = s.n;
	while (s.n > 0) {
		size_t n = fold_crlf(&k->fold, &s, piece, sizeof(piece));

		if (buf_put(&k->content, piece, n) != 0)
			return -1;
	}
	return 0;
}

static void
nowhere_raw(struct store_msg *m)
{
	kept_of(m)->fold.raw = true;
}

static void
nowhere_read(struct store_msg *m, uint64_t at, void (*done)(void *arg, struct span s, int err), void *arg)
{
	struct kept *k = kept_of(m);
	struct span all;
	uint8_t last;

	if (!k->ended && fold_end(&k->fold, &last) == 1 && buf_put(&k->content, &last, 1) != 0) {
		done(arg, span_of(NULL, 0), errno);
		return;
	}
	k->ended = true;
	all = buf_view(&k->content);
	all = at < all.n ? span_skip(all, (size_t)at) : span_of(NULL, 0);
	done(arg, span_head(all, all.n < NOWHERE_PIECE ? all.n : NOWHERE_PIECE), 0);
}

static void
nowhere_free(struct kept *k)
{
	buf_free(&k->content);
	free(k);
}

static void
nowhere_done(struct loop_task *t)
{
	struct kept *k = (struct kept *)(void *)t;
	struct store_done d = { .nstored = (int)k->txn->ntargets };

	k->done(k->done_arg, &d);
	nowhere_free(k);
}

static void
nowhere_commit(struct store_msg *m, bool all, void (*done)(void *arg, const struct store_done *d), void *arg)
{
	struct kept *k = kept_of(m);

	(void)all;
	if (nowhere_tell != NULL)
		nowhere_tell(k->txn);
	k->done = done;
	k->done_arg = arg;
	k->task.run = nowhere_done;
	loop_later(k->loop, &k->task);
}

static void
nowhere_abort(struct store_msg *m)
{
	nowhere_free(kept_of(m));
}

static void
nowhere_close(void *ctx)
{
	(void)ctx;
}

const struct store_ops nowhere_ops = { "nowhere", nowhere_open, nowhere_begin, nowhere_write, nowhere_raw, nowhere_read,
	nowhere_commit, nowhere_abort, nowhere_close };
