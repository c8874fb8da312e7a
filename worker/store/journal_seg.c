/*
 * journal_seg: the files of a journal.
 * Each is written once from end to end and synced before it is used, so that
 * a later fdatasync has no metadata to commit: with Maildir files lying
 * unsynced, one that has waits for all of them (seen: 4 a second).
 */
#include "worker/store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/log.h"
#include "worker/store/folders.h"

_Static_assert(sizeof(struct journal_head) == 80, "no padding in what is written");

void
journal_seg_name(unsigned id, unsigned no, char out[static 32])
{
	snprintf(out, 32, "%u.%u", id, no);
}

static uint32_t
head_crc(const struct journal_head *h)
{
	const size_t at = offsetof(struct journal_head, size);

	return crc32c(0, (const uint8_t *)h + at, sizeof(*h) - at);
}

static int
head_write(const struct journal *j, const struct journal_seg *s, int fd, uint64_t retired)
{
	struct journal_head h = {
		.magic = JOURNAL_MAGIC, .size = j->size, .use = s->use, .retired = retired, .life = j->life
	};
	ssize_t n;

	/* Written where it stands though it guards records: it lies within one sector, which a disk writes whole or not at all. */
	h.crc = head_crc(&h);
	if ((n = pwrite(fd, &h, sizeof(h), 0)) == (ssize_t)sizeof(h))
		return 0;
	errno = n == -1 ? errno : EIO;
	return -1;
}

int
journal_seg_begin(struct journal *j, struct journal_seg *s)
{
	s->use = ++j->next_use;
	/* All three: a background sync before the first batch is placed must not retire this use up to where the last one ended. */
	s->end = s->placed = s->retired = JOURNAL_BLOCK;
	return head_write(j, s, s->fd, s->retired);
}

int
journal_seg_retire(const struct journal *j, struct journal_seg *s, uint64_t pos)
{
	return head_write(j, s, s->mark, pos) == -1 || fdatasync(s->mark) == -1 ? -1 : 0;
}

void
journal_seg_close(struct journal_seg *s)
{
	if (s->fd != -1)
		close(s->fd);
	if (s->mark != -1)
		close(s->mark);
	*s = (struct journal_seg){ .state = JOURNAL_NONE, .fd = -1, .mark = -1 };
}

/* A full disk is left its last room for mail. */
static bool
is_room(struct journal *j)
{
	struct statvfs v;
	unsigned have = 0;

	pthread_mutex_lock(&j->mutex);
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		have += j->seg[i].state != JOURNAL_NONE;
	pthread_mutex_unlock(&j->mutex);
	if (fstatvfs(j->dir, &v) == -1)
		return false;
	return (uint64_t)v.f_bavail * v.f_frsize / (have > 0 ? 16 : 2) >= j->size;
}

static int
fill(int fd, uint64_t size)
{
	static const uint8_t zero[64 << 10];

	if (fallocate(fd, 0, 0, (off_t)size) == -1 && errno != EOPNOTSUPP)
		return -1;
	for (uint64_t at = 0; at < size; at += sizeof(zero)) {
		size_t n = size - at < sizeof(zero) ? (size_t)(size - at) : sizeof(zero);
		ssize_t w = pwrite(fd, zero, n, (off_t)at);

		if (w != (ssize_t)n) {
			errno = w == -1 ? errno : EIO;
			return -1;
		}
	}
	return fsync(fd);
}

int
journal_seg_create(struct journal *j, unsigned no)
{
	struct journal_seg s;
	char name[32], tmp[40];
	int fd, err = 0;

	if (!is_room(j)) {
		errno = ENOSPC;
		return -1;
	}
	journal_seg_name(j->id, no, name);
	snprintf(tmp, sizeof(tmp), "%s.made", name);
	(void)unlinkat(j->dir, tmp, 0);
	if ((fd = openat(j->dir, tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) == -1)
		return -1;
	s = (struct journal_seg){ .fd = fd, .mark = -1 };
	if (fill(fd, j->size) == -1 || head_write(j, &s, fd, j->size) == -1 || fsync(fd) == -1 ||
	    renameat(j->dir, tmp, j->dir, name) == -1 || folders_flush(j->dir) == -1 ||
	    (s.mark = openat(j->dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC)) == -1)
		err = errno;
	if (err != 0) {
		journal_seg_close(&s);
		(void)unlinkat(j->dir, tmp, 0);
		errno = err;
		return -1;
	}
	pthread_mutex_lock(&j->mutex);
	s.state = JOURNAL_FREE;
	j->seg[no] = s;
	j->ready = true;
	pthread_cond_broadcast(&j->room);
	pthread_mutex_unlock(&j->mutex);
	return 0;
}

/* ENOENT: no such segment; EBADMSG: its head is not to be believed.  One that cannot be read is neither. */
int
journal_seg_open(struct journal *j, unsigned id, unsigned no, struct journal_seg *s, struct journal_head *h)
{
	struct stat st;
	char name[32];
	ssize_t n = 0;
	int err;

	journal_seg_name(id, no, name);
	*s = (struct journal_seg){ .fd = -1, .mark = -1 };
	if ((s->fd = openat(j->dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC)) == -1 ||
	    (s->mark = openat(j->dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC)) == -1 || fstat(s->fd, &st) == -1 ||
	    (n = pread(s->fd, h, sizeof(*h), 0)) == -1) {
		err = errno;
	} else if (n != (ssize_t)sizeof(*h) || h->magic != JOURNAL_MAGIC || h->crc != head_crc(h) ||
	    (uint64_t)st.st_size != h->size) {
		err = EBADMSG;
	} else {
		s->use = h->use;
		s->retired = h->retired;
		s->end = h->size;
		return 0;
	}
	journal_seg_close(s);
	errno = err;
	return -1;
}

/* By a link, which never takes another's place; a crash in between leaves both names. */
int
journal_seg_aside(const struct journal *j, unsigned id, unsigned no)
{
	char name[32], aside[48];
	int r = -1;

	journal_seg_name(id, no, name);
	for (unsigned i = 0; i < JOURNAL_ASIDE; i++) {
		snprintf(aside, sizeof(aside), i == 0 ? "%s.bad" : "%s.bad.%u", name, i);
		if ((r = linkat(j->dir, name, j->dir, aside, 0)) == 0 || errno != EEXIST)
			break;
	}
	if (r == -1 || unlinkat(j->dir, name, 0) == -1 || folders_flush(j->dir) == -1)
		return -1;
	log_msg(LOG_L_ERROR, "journal",
	    "segment %s has a damaged head, so what it holds is not delivered, though it may be acknowledged mail: it "
	    "is kept as "
	    "%s/" JOURNAL_FOLDER "/%s for you to look into (docs/DURABILITY.md) and to remove",
	    name, j->md->env->conf->path, aside);
	return 0;
}
