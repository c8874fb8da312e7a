/*
 * journal_recover: whose journal is it?
 * The owner of journal N holds a lock on the file N.lock for as long as it
 * lives.  Who starts takes the journal of its slot, and looks after each
 * whose lock nobody holds: replays it if the machine has crashed, syncs, and
 * then removes it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/store/folders.h"
#include "worker/store/journal.h"

int
journal_lock(const struct journal *j, unsigned id, bool create)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "%u.lock", id);
	fd = openat(j->dir, name, O_RDWR | (create ? O_CREAT : 0) | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd != -1 && flock(fd, LOCK_EX | LOCK_NB) == -1) {
		int err = errno;

		close(fd);
		fd = -1;
		errno = err;
	}
	return fd;
}

/* The mount and the boot are those in which it was written: all that was acknowledged stands in new/, if only in memory. */
static bool
is_our_life(const struct journal *j, const struct journal_life *l)
{
	return l->mount != 0 && l->mount == j->life.mount && l->boot[0] != '\0' &&
	    memcmp(l->boot, j->life.boot, sizeof(l->boot)) == 0;
}

struct found {
	struct journal_seg seg; /* JOURNAL_NONE: there is none, or it is not ours any more */
	struct journal_head head;
	bool old;     /* something in it is not retired */
	bool crashed; /* ... and the machine has crashed since */
	bool failed;  /* something in it could not be delivered */
};

/* Open and replay what is not retired.  No crash leaves a damaged head: a segment has its name once that is durable. */
static int
replay_one(struct journal *j, unsigned id, unsigned no, struct found *f)
{
	if (journal_seg_open(j, id, no, &f->seg, &f->head) == -1) {
		if (errno == EBADMSG)
			return journal_seg_aside(j, id, no);
		return errno == ENOENT ? 0 : -1;
	}
	f->seg.state = JOURNAL_FULL;
	f->old = f->head.retired < f->head.size;
	f->crashed = f->old && !is_our_life(j, &f->head.life);
	if (f->crashed)
		f->failed = journal_replay(j, &f->seg, &f->head, false, journal_left_of(j, id, no, f->head.use)) == -1;
	return f->failed ? -1 : 0;
}

/* What is left to be delivered of some is no reason not to make durable what they have. */
static int
sync_found(struct journal *j, unsigned id, const struct found f[JOURNAL_SEGMENTS])
{
	int r, err = 0;

	pthread_mutex_lock(&j->syncing);
	r = journal_sync_all(j);
	pthread_mutex_unlock(&j->syncing);
	if (r == 0 && !journal_doubted(j, id))
		return 0;
	log_msg(LOG_L_WARN, "journal", "writing anew what journal %u holds: a sync of the mailboxes failed", id);
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		if (f[i].seg.state != JOURNAL_NONE && f[i].old &&
		    journal_replay(j, &f[i].seg, &f[i].head, true, NULL) == -1 && err == 0)
			err = errno;
	/* Our own may have more, which was adopted: that is the background's. */
	if (err == 0 && id != j->id)
		journal_doubt_end(j, id);
	errno = err;
	return err == 0 ? 0 : -1;
}

/* All of it is durable elsewhere: ours is kept to be used, another's removed. */
static int
settle(struct journal *j, unsigned id, unsigned no, struct found *f, bool own)
{
	char name[32];

	if (own && f->head.size == j->size && journal_seg_retire(j, &f->seg, j->size) == 0) {
		f->seg.state = JOURNAL_FREE;
		j->ready = true;
		f->seg.retired = f->seg.end = f->seg.placed = 0;
		j->seg[no] = f->seg;
		f->seg = (struct journal_seg){ .fd = -1, .mark = -1 };
	} else {
		journal_seg_close(&f->seg);
		journal_seg_name(id, no, name);
		if (unlinkat(j->dir, name, 0) == -1)
			return -1;
	}
	journal_left_drop(j, id, no);
	return 0;
}

/*
 * Only a process has died: what it left is one more thing that the background is to sync.  A start must not wait for the
 * disk.  After a sync that failed its files are not trusted any more: they go once that is done.
 */
static void
adopt(struct journal *j, unsigned no, struct found *f)
{
	if (f->old) {
		if (journal_doubted(j, j->id))
			f->seg.state = JOURNAL_CONDEMNED;
		f->seg.end = f->seg.placed = j->size;
		j->unsynced++;
	} else {
		f->seg.state = JOURNAL_FREE;
		j->ready = true;
	}
	j->seg[no] = f->seg;
	f->seg = (struct journal_seg){ .fd = -1, .mark = -1 };
}

/* Whether the machine has crashed since ${id} was written. */
static bool
has_crashed(struct journal *j, unsigned id)
{
	struct journal_head h;
	struct journal_seg seg;
	bool crashed = false;

	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		if (journal_seg_open(j, id, i, &seg, &h) == 0) {
			crashed |= h.retired < h.size && !is_our_life(j, &h.life);
			journal_seg_close(&seg);
		}
	return crashed;
}

/* Of those that were found: what could be delivered is over, once it is durable. */
static int
settle_all(struct journal *j, unsigned id, struct found f[JOURNAL_SEGMENTS], bool own)
{
	bool crashed = false, sync = false, some = false;
	int err = 0;

	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		crashed |= f[i].crashed;
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		if (own && !crashed && f[i].seg.state != JOURNAL_NONE && f[i].head.size == j->size)
			adopt(j, i, &f[i]);
		else
			sync |= f[i].old && !f[i].failed;
	if (sync && sync_found(j, id, f) == -1)
		return -1;
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++) {
		if (f[i].seg.state == JOURNAL_NONE || f[i].failed)
			continue;
		some = true;
		if (settle(j, id, i, &f[i], own) == -1 && err == 0)
			err = errno;
	}
	if (some)
		(void)folders_flush(j->dir);
	errno = err;
	return err == 0 ? 0 : -1;
}

/* Journal ${id}, whose lock we hold. */
static int
recover_id(struct journal *j, unsigned id, bool own)
{
	struct found f[JOURNAL_SEGMENTS];
	bool old = false;
	uint64_t before = j->replayed;
	int err = 0;

	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++) {
		f[i] = (struct found){ .seg = { .fd = -1, .mark = -1 } };
		if (own && j->seg[i].state != JOURNAL_NONE) /* taken up when the rest could not be */
			continue;
		if (replay_one(j, id, i, &f[i]) == -1 && err == 0)
			err = errno;
		old |= f[i].old;
		if (own && f[i].head.use > j->next_use)
			j->next_use = f[i].head.use;
	}
	if (settle_all(j, id, f, own) == -1 && err == 0)
		err = errno;
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		journal_seg_close(&f[i].seg);
	if (err != 0)
		log_msg(LOG_L_ERROR, "journal",
		    "journal %u could not be replayed: %s; what is left of it is kept, and tried again", id,
		    strerror(err));
	if (j->replayed != before || (old && !own && err == 0))
		log_msg(LOG_L_INFO, "journal", "journal %u was left behind: %llu messages written again", id,
		    (unsigned long long)(j->replayed - before));
	return err == 0 ? 0 : -1;
}

/* The owner that a file of the folder is the lock of, or JOURNAL_IDS. */
static unsigned
owner_of(const char *name)
{
	size_t digits = strspn(name, "0123456789");

	if (digits == 0 || digits > 4 || strcmp(name + digits, ".lock") != 0)
		return JOURNAL_IDS;
	return (unsigned)strtoul(name, NULL, 10);
}

static int
recover_dead(struct journal *j, unsigned id, bool crashed_only)
{
	int r = 0, lock;

	if (id >= JOURNAL_IDS || id == j->id)
		return 0;
	if ((lock = journal_held(j, id)) == -1 && (lock = journal_lock(j, id, false)) == -1)
		return 0;
	if (!crashed_only || has_crashed(j, id))
		r = recover_id(j, id, false);
	journal_hold(j, id, lock, r == -1);
	return r;
}

int
journal_each(struct journal *j, int (*fn)(struct journal *j, unsigned id, bool arg), bool arg)
{
	_Alignas(struct dirent64) char buf[8192];
	const struct dirent64 *d;
	int r = 0, fd;
	ssize_t n;

	if ((fd = folders_open(j->dir, ".")) == -1)
		return -1;
	while ((n = getdents64(fd, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < n; at += d->d_reclen) {
			d = (const struct dirent64 *)(const void *)(buf + at);
			if (fn(j, owner_of(d->d_name), arg) == -1)
				r = -1;
		}
	close(fd);
	return n == -1 ? -1 : r;
}

int
journal_recover(struct journal *j, enum journal_whose whose)
{
	return whose == JOURNAL_OWN ? recover_id(j, j->id, true)
				    : journal_each(j, recover_dead, whose == JOURNAL_CRASHED);
}
