/*
 * journal_recover: whose journal is it?
 * The owner of journal N holds a lock on the file N.lock for as long as it
 * lives.  Who starts takes the journal of its slot, and looks after each
 * whose lock nobody holds: replays it if the machine has crashed, syncs, and
 * then removes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
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
	struct journal_seg seg;
	struct journal_head head;
	bool bad;
};

/* Open and replay what is not retired.  What cannot be opened for what stands in it was never finished, and goes. */
static int
replay_one(struct journal *j, unsigned id, unsigned no, struct found *f)
{
	char name[32];

	if (journal_seg_open(j, id, no, &f->seg, &f->head) == -1) {
		if (errno != EBADMSG)
			return errno == ENOENT ? 0 : -1;
		journal_seg_name(id, no, name);
		log_msg(LOG_L_WARN, "journal", "segment %s is not one of a journal of this version; removing it", name);
		return unlinkat(j->dir, name, 0);
	}
	f->seg.state = JOURNAL_FULL;
	if (f->head.retired >= f->head.size || is_our_life(j, &f->head.life))
		return 0;
	return journal_replay(j, &f->seg, &f->head, false);
}

static int
sync_found(struct journal *j, const struct found f[JOURNAL_SEGMENTS])
{
	struct stat st;
	int err;

	if (syncfs(j->md->root) == 0 && fstat(j->md->root, &st) == 0)
		return 0;
	err = errno;
	log_msg(LOG_L_ERROR, "journal", "syncing the mailboxes failed: %s; writing anew", strerror(err));
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		if (f[i].seg.state != JOURNAL_NONE && journal_replay(j, &f[i].seg, &f[i].head, true) == -1)
			return -1;
	return 0;
}

/* All of it is durable elsewhere: ours is kept to be used, another's removed. */
static int
settle(struct journal *j, unsigned id, unsigned no, struct found *f, bool own)
{
	char name[32];

	if (own && f->head.size == j->size) {
		f->seg.use = f->head.use;
		if (journal_seg_retire(j, &f->seg, j->size) == 0) {
			f->seg.state = JOURNAL_FREE;
			f->seg.retired = f->seg.end = f->seg.placed = 0;
			j->seg[no] = f->seg;
			return 0;
		}
	}
	journal_seg_close(&f->seg);
	journal_seg_name(id, no, name);
	return unlinkat(j->dir, name, 0);
}

/* Journal ${id}, whose lock we hold. */
static int
recover_id(struct journal *j, unsigned id, bool own)
{
	struct found f[JOURNAL_SEGMENTS];
	bool any = false, old = false;
	uint64_t before = j->replayed;
	int r = 0, err;

	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		f[i] = (struct found){ .seg = { .fd = -1, .mark = -1 } };
	for (unsigned i = 0; i < JOURNAL_SEGMENTS && r == 0; i++) {
		r = replay_one(j, id, i, &f[i]);
		any |= f[i].seg.state != JOURNAL_NONE;
		old |= f[i].seg.state != JOURNAL_NONE && f[i].head.retired < f[i].head.size;
		if (own && f[i].head.use > j->next_use)
			j->next_use = f[i].head.use;
	}
	if (r == 0 && old)
		r = sync_found(j, f);
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		if (r == 0 && f[i].seg.state != JOURNAL_NONE)
			r = settle(j, id, i, &f[i], own);
	err = errno;
	if (r == -1) {
		log_msg(LOG_L_ERROR, "journal", "journal %u could not be replayed: %s; it is kept, and tried again", id,
		    strerror(err));
		for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
			journal_seg_close(&f[i].seg);
	} else if (j->replayed != before || (old && !own)) {
		log_msg(LOG_L_INFO, "journal", "journal %u was left behind: %llu messages written again", id,
		    (unsigned long long)(j->replayed - before));
	}
	if (any && (!own || r == -1))
		(void)folders_flush(j->dir);
	return r;
}

int
journal_recover(struct journal *j, bool own)
{
	int r = 0, lock;

	if (own)
		return recover_id(j, j->id, true);
	for (unsigned id = 1; id < JOURNAL_IDS; id++) {
		if (id == j->id || (lock = journal_lock(j, id, false)) == -1)
			continue;
		if (recover_id(j, id, false) == -1)
			r = -1;
		close(lock);
	}
	return r;
}
