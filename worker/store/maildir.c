/*
 * maildir: the loop's half of the Maildir store.
 * Folds content into memory and hands jobs to the pool; no file system call
 * but in open() and close().  A message has at most one job under way, and
 * its room in the pool was promised at begin(), so commit and abort cannot
 * fail for want of it.
 */
#include "worker/store/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/store/filesystem.h"
#include "worker/store/journal.h"
#include "worker/store/place.h"

static uint64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int
maildir_open(const struct store_env *env, void **ctx)
{
	struct maildir *md = calloc(1, sizeof(*md));
	int err;

	if (md == NULL)
		return -1;
	md->env = env;
	md->root = open(env->conf->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (md->root == -1) {
		err = errno;
		log_msg(LOG_L_ERROR, "store", "cannot open the mail folder %s: %s", env->conf->path, strerror(err));
		free(md);
		errno = err;
		return -1;
	}
	md->whole = filesystem_unsure_at(env->conf->path) == NULL;
	unique_init(&md->unique, env->hostname, env->slot);
	if ((md->boxes = mailbox_cache_new(md->root, &md->unique)) == NULL) {
		log_msg(LOG_L_ERROR, "store", "no memory for the mailbox cache");
		close(md->root);
		free(md);
		errno = ENOMEM;
		return -1;
	}
	place_of(env->conf->path, md->root);
	*ctx = md;
	return 0;
}

static void
maildir_close(void *ctx)
{
	struct maildir *md = ctx;

	place_of(NULL, -1);
	mailbox_cache_free(md->boxes);
	close(md->root);
	free(md);
}

static int
maildir_begin(
    void *ctx, struct txn *t, struct span received, void (*wake)(void *arg), void *arg, struct store_msg **out)
{
	struct maildir *md = ctx;
	struct store_msg *m;

	if (t->targets == NULL) {
		errno = EINVAL;
		return -1;
	}
	if (place_lost() != 0) {
		errno = place_lost();
		return -1;
	}
	if (iopool_reserve(md->env->pool) == -1)
		return -1;
	if ((m = calloc(1, sizeof(*m) + received.n)) == NULL) {
		iopool_unreserve(md->env->pool);
		return -1;
	}
	m->md = md;
	m->txn = t;
	m->wake = wake;
	m->wake_arg = arg;
	m->received = span_of(m + 1, received.n);
	if (received.n > 0)
		memcpy(m + 1, received.p, received.n);
	*out = m;
	return 0;
}

static void
msg_free(struct store_msg *m)
{
	iopool_unreserve(m->md->env->pool);
	m->md->nlarge -= m->large;
	if (m->spot != &m->one)
		free(m->spot);
	free(m->spool);
	free(m->record);
	free(m->fill);
	free(m->out);
	free(m);
}

/* --- content --- */

static void append_done(struct iojob *j);

void
maildir_submit(struct store_msg *m, void (*run)(struct iojob *), void (*done)(struct iojob *))
{
	m->busy = true;
	m->job.run = run;
	m->job.done = done;
	iopool_submit_reserved(m->md->env->pool, &m->job);
}

/* What the spool needs to know is copied: the transaction may end while the pool writes. */
static int
spool_aim(struct store_msg *m, struct target *tg)
{
	struct spool *sp = m->spool;
	ssize_t n =
	    trace_target(m->txn, tg, m->md->env->conf->delivered_to, m->received, sp->prefix, sizeof(sp->prefix));

	if (n == -1 || tg->dir.n > sizeof(sp->text) || tg->folder.n > sizeof(sp->text) - tg->dir.n) {
		errno = EMSGSIZE;
		return -1;
	}
	sp->nprefix = (size_t)n;
	memcpy(sp->text, tg->dir.p, tg->dir.n);
	sp->dir = span_of(sp->text, tg->dir.n);
	if (tg->folder.n > 0)
		memcpy(sp->text + tg->dir.n, tg->folder.p, tg->folder.n);
	sp->folder = span_of(sp->text + tg->dir.n, tg->folder.n);
	sp->make = tg->folder_make;
	m->spool_target = tg;
	return 0;
}

/*
 * Room for ${max} octets at *p, which has *had and nothing that counts.  One more octet is there for a CR that waits at
 * the end.
 */
static int
chunk_room(uint8_t **p, size_t *had, size_t max)
{
	if (*p != NULL && *had >= max)
		return 0;
	free(*p);
	*had = 0;
	if ((*p = malloc(max + 1)) == NULL)
		return -1;
	*had = max;
	return 0;
}

/* It is larger than a chunk: larger ones are a quarter of the calls of a thread, if memory is left for them. */
static size_t
next_chunk(struct store_msg *m)
{
	if (!m->large && m->md->nlarge < STORE_LARGE_MAX) {
		m->large = true;
		m->md->nlarge++;
	}
	return m->large ? STORE_CHUNK_LARGE : STORE_CHUNK;
}

/* The chunk is full: have it written, and fill another.  Not while one is being written. */
static int
flush_chunk(struct store_msg *m)
{
	uint8_t *full = m->fill;
	size_t max = m->fill_max;

	if (m->spool == NULL) {
		if ((m->spool = calloc(1, sizeof(*m->spool))) == NULL)
			return -1;
		m->spool->fd = -1;
		if (spool_aim(m, m->txn->targets) == -1)
			return -1;
	}
	if (chunk_room(&m->out, &m->out_max, next_chunk(m)) == -1)
		return -1;
	m->fill = m->out;
	m->fill_max = m->out_max;
	m->out = full;
	m->out_max = max;
	m->nout = m->nfill;
	m->nfill = 0;
	maildir_submit(m, maildir_append_run, append_done);
	return 0;
}

static int
maildir_write(struct store_msg *m, struct span s, size_t *taken)
{
	size_t n = s.n;

	*taken = 0;
	if (m->fill == NULL && m->err == 0 && chunk_room(&m->fill, &m->fill_max, STORE_CHUNK) == -1)
		m->err = ENOMEM;
	while (s.n > 0 && m->err == 0) {
		if (m->nfill < m->fill_max) {
			m->nfill += fold_crlf(&m->fold, &s, m->fill + m->nfill, m->fill_max - m->nfill);
			*taken = n - s.n;
		} else if (m->busy) {
			m->waiting = true;
			errno = EAGAIN;
			return -1;
		} else if (flush_chunk(m) == -1) {
			m->err = errno;
		}
	}
	errno = m->err;
	return m->err == 0 ? 0 : -1;
}

/* --- the end --- */

static void
count_committing(struct maildir *md, int by)
{
	unsigned n = (unsigned)((int)atomic_load_explicit(&md->committing, memory_order_relaxed) + by);

	atomic_store_explicit(&md->committing, n, memory_order_relaxed);
	if (md->env->stats != NULL)
		stats_gauge(md->env->stats, STATS_COMMITS_PENDING, n);
}

/* Tell the caller, after the message is gone: it may begin another at once. */
static void
conclude(struct store_msg *m)
{
	void (*done)(void *arg, const struct store_done *d) = m->done;
	struct store_done result = m->result;
	struct maildir *md = m->md;
	void *arg = m->done_arg;
	uint64_t us = now_us() - m->commit_us;

	count_committing(md, -1);
	if (md->env->stats != NULL)
		stats_observe(md->env->stats, STATS_H_COMMIT, us);
	msg_free(m);
	done(arg, &result);
}

/* What the disk has is not said to be stored either, if it is where nobody looks. */
static void
commit_done(struct iojob *j)
{
	struct store_msg *m = (struct store_msg *)(void *)j;
	int lost = place_lost();

	for (uint32_t i = 0; i < m->nspot; i++)
		m->spot[i].target->err = lost != 0 ? lost : m->spot[i].err;
	if (lost != 0)
		m->result = (struct store_done){ .err = lost };
	if (m->md->journal != NULL)
		journal_count(m);
	conclude(m);
}

/* The message was lost while it came in; its spool, if any, has been removed. */
static void
lost_done(struct iojob *j)
{
	struct store_msg *m = (struct store_msg *)(void *)j;

	for (struct target *tg = m->txn->targets; tg != NULL; tg = tg->next)
		tg->err = m->err;
	m->result.err = m->err;
	conclude(m);
}

static int
spots_make(struct store_msg *m)
{
	uint32_t i = 0;

	m->spot = &m->one;
	if (m->txn->ntargets > 1 && (m->spot = calloc(m->txn->ntargets, sizeof(*m->spot))) == NULL)
		return -1;
	for (struct target *tg = m->txn->targets; tg != NULL && i < m->txn->ntargets; tg = tg->next, i++)
		m->spot[i] = (struct spot){ .target = tg,
			.folder = tg->folder,
			.box = { .tmp = -1, .new = -1, .make = tg->folder_make },
			.fd = -1 };
	m->nspot = i;
	return 0;
}

static void
commit_submit(struct store_msg *m)
{
	if (m->err == 0 && m->fill == NULL && chunk_room(&m->fill, &m->fill_max, STORE_CHUNK) == -1)
		m->err = ENOMEM;
	if (m->err == 0)
		m->err = place_lost();
	if (m->err == 0 && spots_make(m) == -1)
		m->err = ENOMEM;
	if (m->err != 0) {
		maildir_submit(m, maildir_discard_run, lost_done);
		return;
	}
	m->nfill += fold_end(&m->fold, m->fill + m->nfill);
	if (m->md->journal != NULL && journal_takes(m)) {
		m->job.kept = m->job.quick = true;
		maildir_submit(m, journal_stage_run, commit_done);
	} else {
		bool bulk = m->md->whole && m->nspot >= MAILDIR_BULK && m->spool == NULL;

		maildir_submit(m, bulk ? maildir_bulk_run : maildir_commit_run, commit_done);
	}
}

static void
maildir_commit(struct store_msg *m, bool all, void (*done)(void *arg, const struct store_done *d), void *arg)
{
	m->committing = true;
	m->waiting = false;
	m->all = all;
	m->done = done;
	m->done_arg = arg;
	m->commit_us = now_us();
	count_committing(m->md, 1);
	if (!m->busy)
		commit_submit(m);
}

static void
maildir_raw(struct store_msg *m)
{
	m->fold.raw = true;
}

static void
discard_done(struct iojob *j)
{
	msg_free((struct store_msg *)(void *)j);
}

void
maildir_aborted(struct store_msg *m)
{
	if (m->spool != NULL && m->spool->fd != -1)
		maildir_submit(m, maildir_discard_run, discard_done);
	else
		msg_free(m);
}

static void
maildir_abort(struct store_msg *m)
{
	m->txn = NULL;
	m->waiting = false;
	if (!m->busy)
		maildir_aborted(m);
}

/*
 * The first target's folder cannot be used: with LMTP that is no reason to
 * lose the others, so the next one lends its tmp/.  Not for what would be the
 * same there (a full disk).  Whether there was one.
 */
static bool
try_next_target(struct store_msg *m)
{
	int err = m->spool->err;

	if (m->spool->created || m->spool_target->next == NULL || err == ENOSPC || err == EDQUOT || err == EIO ||
	    err == EROFS || err == EMFILE || err == ENFILE || err == ENOMEM)
		return false;
	m->spool->err = 0;
	if (spool_aim(m, m->spool_target->next) == -1)
		return false;
	maildir_submit(m, maildir_append_run, append_done);
	return true;
}

static void
append_done(struct iojob *j)
{
	struct store_msg *m = (struct store_msg *)(void *)j;

	m->busy = false;
	if (m->spool->err != 0) {
		if (m->txn != NULL && try_next_target(m))
			return;
		m->err = m->spool->err != 0 ? m->spool->err : errno;
	}
	if (m->txn == NULL)
		maildir_aborted(m);
	else if (m->committing)
		commit_submit(m);
	else if (m->reading)
		maildir_read_go(m);
	else if (m->waiting) {
		m->waiting = false;
		m->wake(m->wake_arg);
	}
}

const struct store_ops store_maildir = { .name = "maildir",
	.open = maildir_open,
	.begin = maildir_begin,
	.write = maildir_write,
	.raw = maildir_raw,
	.read = maildir_read,
	.commit = maildir_commit,
	.abort = maildir_abort,
	.close = maildir_close };
