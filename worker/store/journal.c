/*
 * journal: the loop's half, and the table of functions.
 * A message that is small, complete and for few goes through the journal; all
 * else is the Maildir store's as before.
 */
#include "worker/store/journal.h"

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/store/filesystem.h"
#include "worker/store/folders.h"

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

/* Where nobody knows the number it stays 0: then every journal found is replayed by name. */
static void
life_get(struct journal *j)
{
	const char *boot = j->md->env->boot;

	if (boot == NULL || boot[0] == '\0' || (j->life.mount = filesystem_life(j->md->root)) == 0)
		return;
	strlcpy(j->life.boot, boot, sizeof(j->life.boot));
}

static int
folder_open(struct journal *j)
{
	if (mkdirat(j->md->root, JOURNAL_FOLDER, 0700) == -1 && errno != EEXIST)
		return -1;
	if ((j->dir = folders_open(j->md->root, JOURNAL_FOLDER)) == -1)
		return -1;
	return folders_flush(j->dir) == -1 || folders_flush(j->md->root) == -1 ? -1 : 0;
}

/* The slot's own; while a worker of a master that was killed still holds that, a spare one. */
static int
owner_lock(struct journal *j, unsigned slot)
{
	for (j->id = slot; j->id < JOURNAL_IDS; j->id += STATS_SLOT_REPORTS + 1)
		if ((j->lock = journal_lock(j, j->id, true)) != -1)
			return 0;
	return -1;
}

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

/*
 * What the machine's crash has left is delivered before anything else.  All
 * that may wait for the disk is the background's: the first segment too, and
 * until it is there mail comes in the direct way.  What fails is tried again.
 */
static void
journal_begin(struct journal *j)
{
	if ((j->pending_own = journal_recover(j, JOURNAL_OWN) == -1))
		j->broken = true;
	(void)journal_recover(j, JOURNAL_CRASHED);
	j->pending_others = true;
	j->retry_ms = j->broken ? journal_now_ms() + JOURNAL_RETRY_MS : 0;
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
	if (env->conf->journal == 0)
		return 0;
	if ((j = journal_new(md)) == NULL) {
		err = ENOMEM;
		goto err0;
	}
	if (folder_open(j) == -1 || owner_lock(j, env->slot) == -1) {
		log_msg(LOG_L_WARN, "journal",
		    "cannot use %s/" JOURNAL_FOLDER ": %s; every message is synced by itself", env->conf->path,
		    strerror(errno));
		journal_free(j);
		return 0;
	}
	life_get(j);
	journal_begin(j);
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
