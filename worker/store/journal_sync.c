/*
 * journal_sync: the background thread.
 * Syncs the file system when enough acknowledged mail stands in Maildirs
 * unsynced, or has done so for long enough; retires that part of the journal;
 * makes segments before they are needed; tries again what failed.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/store/folders.h"
#include "worker/store/journal.h"

uint64_t
journal_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/*
 * Some file could not be written back, and the kernel does not say which: it
 * now calls the pages clean.  What the journal holds is written anew and
 * synced file by file.
 */
static int
repair(struct journal *j, const uint64_t snap[JOURNAL_SEGMENTS])
{
	int err = 0;

	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++) {
		struct journal_head h = { .size = snap[i] };
		struct journal_seg s;

		pthread_mutex_lock(&j->mutex);
		s = j->seg[i];
		pthread_mutex_unlock(&j->mutex);
		h.use = s.use;
		h.retired = s.retired;
		if (snap[i] > s.retired && journal_replay(j, &s, &h, true, NULL) == -1 && err == 0)
			err = errno;
	}
	errno = err;
	return err == 0 ? 0 : -1;
}

/* All that it holds is durable elsewhere.  What cannot be removed is tried again at the next pass. */
static void
remove_condemned(struct journal *j, unsigned no)
{
	char name[32];

	journal_seg_name(j->id, no, name);
	if ((unlinkat(j->dir, name, 0) == -1 && errno != ENOENT) || folders_flush(j->dir) == -1) {
		log_msg(LOG_L_ERROR, "journal", "cannot remove segment %s: %s", name, strerror(errno));
		return;
	}
	pthread_mutex_lock(&j->mutex);
	journal_seg_close(&j->seg[no]);
	pthread_mutex_unlock(&j->mutex);
}

static void
retire(struct journal *j, const uint64_t snap[JOURNAL_SEGMENTS])
{
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++) {
		struct journal_seg *s = &j->seg[i];
		enum journal_state state;
		bool all, over;

		pthread_mutex_lock(&j->mutex);
		state = s->state;
		all = snap[i] == s->placed; /* it may have been condemned since, with more in it */
		over = snap[i] <= s->retired;
		pthread_mutex_unlock(&j->mutex);
		if (state == JOURNAL_CONDEMNED && snap[i] > 0 && all)
			remove_condemned(j, i);
		if (state == JOURNAL_CONDEMNED || over)
			continue;
		if (journal_seg_retire(j, s, snap[i]) == -1) {
			log_msg(LOG_L_ERROR, "journal", "cannot retire segment %u.%u: %s; the journal is off", j->id, i,
			    strerror(errno));
			j->broken = true;
			continue;
		}
		pthread_mutex_lock(&j->mutex);
		s->retired = snap[i];
		if (s->state == JOURNAL_FULL && s->retired == s->end) {
			s->state = JOURNAL_FREE;
			j->ready = true; /* a killed process may have left none that could be used at once */
		}
		pthread_mutex_unlock(&j->mutex);
	}
}

/* What is placed by now; how many octets of it are new. */
static uint64_t
look(struct journal *j, uint64_t snap[JOURNAL_SEGMENTS])
{
	uint64_t unsynced;

	pthread_mutex_lock(&j->mutex);
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		snap[i] = j->seg[i].state != JOURNAL_NONE && j->seg[i].state != JOURNAL_FREE ? j->seg[i].placed : 0;
	unsynced = j->unsynced;
	j->unsynced = 0;
	pthread_mutex_unlock(&j->mutex);
	return unsynced;
}

static bool
must_repair(struct journal *j)
{
	bool must;

	pthread_mutex_lock(&j->mutex);
	must = j->must_repair;
	j->must_repair = false;
	pthread_mutex_unlock(&j->mutex);
	return must || journal_doubted(j, j->id);
}

int
journal_sync_pass(struct journal *j)
{
	uint64_t snap[JOURNAL_SEGMENTS], unsynced;
	int err = 0;

	pthread_mutex_lock(&j->syncing);
	unsynced = look(j, snap);
	(void)journal_sync_all(j); /* if it fails, that is to be repaired */
	if (must_repair(j)) {
		/* What was placed while the sync failed may have been lost by it too; it answers for the mailboxes no more. */
		unsynced += look(j, snap);
		log_msg(LOG_L_ERROR, "journal", "writing %llu octets anew", (unsigned long long)unsynced);
		err = repair(j, snap) == -1 ? errno : 0;
		if (err == 0)
			journal_doubt_end(j, j->id);
	}
	if (err == 0) {
		retire(j, snap);
	} else {
		log_msg(LOG_L_ERROR, "journal",
		    "acknowledged mail could not be made durable again: %s; the journal is kept and off",
		    strerror(err));
		j->broken = true;
	}
	pthread_mutex_lock(&j->mutex);
	if (err != 0) {
		j->unsynced += unsynced;
		j->must_repair = true;
	}
	pthread_cond_broadcast(&j->room);
	pthread_mutex_unlock(&j->mutex);
	pthread_mutex_unlock(&j->syncing);
	errno = err;
	return err == 0 ? 0 : -1;
}

/* With the mutex held. */
static unsigned
count(const struct journal *j, enum journal_state state)
{
	unsigned n = 0;

	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		n += j->seg[i].state == state;
	return n;
}

/* With the mutex held: whether another segment should be made now, before it is needed. */
static bool
wants_spare(const struct journal *j)
{
	return !j->no_room && !j->broken && count(j, JOURNAL_FREE) == 0 && count(j, JOURNAL_NONE) > 0 &&
	    (!j->ready || j->hungry || (j->cur != NULL && j->cur->placed > j->size / 2));
}

/* The mutex is held, but for the time it takes. */
static void
make_spare(struct journal *j)
{
	unsigned no = 0;
	int r;

	while (j->seg[no].state != JOURNAL_NONE)
		no++;
	pthread_mutex_unlock(&j->mutex);
	r = journal_seg_create(j, no);
	if (r == -1)
		log_msg(LOG_L_WARN, "journal", "no further segment: %s", strerror(errno));
	pthread_mutex_lock(&j->mutex);
	if (r == -1) {
		j->no_room = true;
		j->retry_ms = journal_now_ms() + JOURNAL_RETRY_MS;
	}
}

static bool
has_segment(struct journal *j)
{
	bool has;

	pthread_mutex_lock(&j->mutex);
	has = count(j, JOURNAL_NONE) < JOURNAL_SEGMENTS;
	pthread_mutex_unlock(&j->mutex);
	return has;
}

/* The mutex is held, but for the time it takes. */
static void
retry(struct journal *j)
{
	bool good;

	pthread_mutex_unlock(&j->mutex);
	if (j->pending_start)
		journal_start(j);
	else if (j->pending_own)
		j->pending_own = journal_recover(j, JOURNAL_OWN) == -1;
	if (j->pending_others)
		j->pending_others = journal_recover(j, JOURNAL_DEAD) == -1;
	good = j->size > 0 && !j->pending_start && !j->pending_own;
	if (good && j->broken)
		good = journal_sync_pass(j) == 0 && (has_segment(j) || journal_seg_create(j, 0) == 0);
	pthread_mutex_lock(&j->mutex);
	if (good)
		j->broken = false;
	j->no_room = false;
	j->retry_ms = journal_now_ms() + JOURNAL_RETRY_MS;
}

static void
wait_until(struct journal *j, uint64_t ms)
{
	struct timespec ts = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };

	(void)pthread_cond_timedwait(&j->work, &j->mutex, &ts);
}

/* With the mutex held: nothing in it can be freed, and what waits for room would wait for ever. */
static bool
is_stuck(const struct journal *j)
{
	return j->hungry && count(j, JOURNAL_FREE) == 0 && j->unsynced == 0;
}

bool
journal_drained(const struct journal *j)
{
	return j->size == 0 && !j->pending_start && !j->pending_others;
}

void *
journal_sync_main(void *arg)
{
	struct journal *j = arg;

	pthread_setname_np(pthread_self(), "io-sync");
	pthread_mutex_lock(&j->mutex);
	while (!j->stop && !journal_drained(j)) {
		uint64_t now = journal_now_ms(), due = j->since_ms + JOURNAL_SYNC_MS;

		if (wants_spare(j)) {
			make_spare(j);
		} else if (j->unsynced > 0 && !j->broken &&
		    (j->hungry || j->unsynced >= JOURNAL_SYNC_OCTETS || now >= due)) {
			j->hungry = false;
			pthread_mutex_unlock(&j->mutex);
			(void)journal_sync_pass(j);
			pthread_mutex_lock(&j->mutex);
			j->since_ms = journal_now_ms();
		} else if (is_stuck(j)) {
			j->hungry = false;
			j->broken = true;
			j->retry_ms = now + JOURNAL_RETRY_MS;
			pthread_cond_broadcast(&j->room);
		} else if ((j->broken || j->pending_own || j->pending_others || j->no_room) && now >= j->retry_ms) {
			retry(j);
		} else {
			wait_until(j, j->unsynced > 0 && !j->broken ? due : now + JOURNAL_RETRY_MS);
		}
	}
	pthread_mutex_unlock(&j->mutex);
	return NULL;
}
