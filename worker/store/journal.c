/*
 * journal: the loop's half, and the table of functions.
 * A message that is small, complete and for few goes through the journal; all
 * else is the Maildir store's as before.
 */
#include "worker/store/journal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"

bool
journal_takes(struct store_msg *m)
{
	struct journal *j = m->md->journal;

	if (j->broken || !j->ready || m->spool != NULL || m->nspot > JOURNAL_TARGETS_MAX ||
	    m->nfill > JOURNAL_CONTENT_MAX)
		return false;
	if (journal_record_begin(m) == 0 &&
	    m->nrecord + m->nfill + 2 * JOURNAL_BLOCK + JOURNAL_SPARE + 8 <= j->size - JOURNAL_BLOCK)
		return true;
	for (uint32_t i = 0; i < m->nspot; i++)
		m->spot[i].prefix = span_of(NULL, 0);
	return false;
}

/* The stats slot is the loop's alone, so what threads did is carried over here. */
void
journal_count(const struct store_msg *m)
{
	struct journal *j = m->md->journal;
	struct stats_slot *st = m->md->env->stats;
	uint64_t batches = j->batches, replayed = j->replayed;

	if (st == NULL)
		return;
	if (m->journaled)
		stats_add(st, STATS_JOURNAL_RECORDS, 1);
	stats_add(st, STATS_JOURNAL_BATCHES, batches - j->counted_batches);
	stats_add(st, STATS_JOURNAL_REPLAYED, replayed - j->counted_replayed);
	j->counted_batches = batches;
	j->counted_replayed = replayed;
}

/* --- start --- */

static struct journal *
journal_new(struct maildir *md)
{
	struct journal *j = calloc(1, sizeof(*j));
	pthread_condattr_t attr;

	if (j == NULL)
		return NULL;
	j->md = md;
	j->dir = j->lock = -1;
	j->size = (md->env->conf->journal / JOURNAL_SEGMENTS + JOURNAL_BLOCK - 1) / JOURNAL_BLOCK * JOURNAL_BLOCK;
	j->queue_tail = &j->queue;
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		j->seg[i] = (struct journal_seg){ .fd = -1, .mark = -1 };
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->work, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&j->room, NULL);
	pthread_mutex_init(&j->mutex, NULL);
	pthread_mutex_init(&j->syncing, NULL);
	return j;
}

static void
journal_free(struct journal *j)
{
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		journal_seg_close(&j->seg[i]);
	journal_left_free(j);
	if (j->dir != -1)
		close(j->dir);
	if (j->lock != -1)
		close(j->lock);
	pthread_cond_destroy(&j->work);
	pthread_cond_destroy(&j->room);
	pthread_mutex_destroy(&j->mutex);
	pthread_mutex_destroy(&j->syncing);
	free(j);
}

static int
journal_open(const struct store_env *env, void **ctx)
{
	struct maildir *md;
	struct journal *j;
	int err;

	if (store_maildir.open(env, ctx) == -1)
		return -1;
	md = *ctx;
	if ((j = journal_new(md)) == NULL) {
		err = ENOMEM;
		goto err0;
	}
	journal_start(j);
	if (journal_drained(j)) {
		journal_free(j);
		return 0;
	}
	j->retry_ms = j->broken && j->size > 0 ? journal_now_ms() + JOURNAL_RETRY_MS : 0;
	if ((err = iopool_thread(&j->thread, journal_sync_main, j)) != 0) {
		log_msg(LOG_L_ERROR, "journal", "cannot start a thread: %s", strerror(err));
		goto err1;
	}
	md->journal = j;
	return 0;

err1:
	journal_free(j);
err0:
	store_maildir.close(md);
	errno = err;
	return -1;
}

static void
journal_close(void *ctx)
{
	struct maildir *md = ctx;
	struct journal *j = md->journal;

	if (j != NULL) {
		pthread_mutex_lock(&j->mutex);
		j->stop = true;
		pthread_cond_signal(&j->work);
		pthread_mutex_unlock(&j->mutex);
		pthread_join(j->thread, NULL);
		if (j->unsynced > 0 || j->must_repair)
			(void)journal_sync_pass(j);
		journal_free(j);
	}
	store_maildir.close(ctx);
}

static int
journal_store_begin(
    void *ctx, struct txn *t, struct span received, void (*wake)(void *arg), void *arg, struct store_msg **m)
{
	return store_maildir.begin(ctx, t, received, wake, arg, m);
}

static int
journal_store_write(struct store_msg *m, struct span s, size_t *taken)
{
	return store_maildir.write(m, s, taken);
}

static void
journal_store_raw(struct store_msg *m)
{
	store_maildir.raw(m);
}

static void
journal_store_read(struct store_msg *m, uint64_t at, void (*done)(void *arg, struct span s, int err), void *arg)
{
	store_maildir.read(m, at, done, arg);
}

static void
journal_store_commit(struct store_msg *m, bool all, void (*done)(void *arg, const struct store_done *d), void *arg)
{
	store_maildir.commit(m, all, done, arg);
}

static void
journal_store_abort(struct store_msg *m)
{
	store_maildir.abort(m);
}

const struct store_ops store_journal = { .name = "journal",
	.open = journal_open,
	.begin = journal_store_begin,
	.write = journal_store_write,
	.raw = journal_store_raw,
	.read = journal_store_read,
	.commit = journal_store_commit,
	.abort = journal_store_abort,
	.close = journal_close };
