/*
 * journal_replay: after a crash of the machine, what the journal holds and
 * the Maildirs lack is delivered.
 * A file counts as there under its unique name in new/ or cur/, whatever flags
 * or sizes a reader has put behind it; one that the crash has torn is replaced
 * where it stands.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/store/files.h"
#include "worker/store/folders.h"
#include "worker/store/journal.h"
#include "worker/store/quota.h"

struct copy { /* one target of a record */
	struct span dir, folder, prefix, content;
	char name[UNIQUE_MAX];
	bool make;
};

struct place {  /* where it was found */
	int at; /* new/ or cur/; or -1 */
	char name[NAME_MAX + 1];
};

/* --- what a record says --- */

static const struct journal_target *
copy_of(const struct journal_record *r, const struct journal_target *t, struct copy *c)
{
	const uint8_t *p = (const uint8_t *)(t + 1);
	size_t n = sizeof(*t) + t->ndir + t->nfolder + t->name_room + t->nprefix;

	c->dir = span_of(p, t->ndir);
	p += t->ndir;
	c->folder = span_of(p, t->nfolder > 0 && *p != '\0' ? t->nfolder : 0);
	p += t->nfolder;
	c->make = t->make != 0;
	snprintf(c->name, sizeof(c->name), "%.*s", (int)t->nname, (const char *)p);
	p += t->name_room;
	c->prefix = span_of(p, t->nprefix);
	c->content = span_of((const uint8_t *)r + r->len - r->ncontent, r->ncontent);
	return (const struct journal_target *)(const void *)((const uint8_t *)t + ((n + 7) & ~(size_t)7));
}

/* --- what stands there --- */

/* The unique part of ${name}, in front of sizes and flags. */
static bool
is_same(const char *entry, const char *name)
{
	size_t n = strcspn(name, ",");

	return strncmp(entry, name, n) == 0 && (entry[n] == '\0' || entry[n] == ',' || entry[n] == ':');
}

static bool
look_in(int at, const char *name, struct place *pl)
{
	_Alignas(struct dirent64) char buf[8192];
	const struct dirent64 *d;
	ssize_t n;
	int fd;

	if (at == -1 || (fd = folders_open(at, ".")) == -1)
		return false;
	pl->at = -1;
	while (pl->at == -1 && (n = getdents64(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n && pl->at == -1; i += d->d_reclen) {
			d = (const struct dirent64 *)(const void *)(buf + i);
			if (is_same(d->d_name, name)) {
				pl->at = at;
				snprintf(pl->name, sizeof(pl->name), "%s", d->d_name);
			}
		}
	close(fd);
	return pl->at != -1;
}

static bool
find(const struct mailbox *box, int cur, const char *name, struct place *pl)
{
	struct stat st;

	if (fstatat(box->new, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		pl->at = box->new;
		snprintf(pl->name, sizeof(pl->name), "%s", name);
		return true;
	}
	/* A reader moves from new/ to cur/, so in this order. */
	return look_in(box->new, name, pl) || look_in(cur, name, pl);
}

static bool
reads_as(int fd, struct span want)
{
	uint8_t buf[16 << 10];

	while (want.n > 0) {
		ssize_t n = read(fd, buf, want.n < sizeof(buf) ? want.n : sizeof(buf));

		if (n <= 0 || memcmp(buf, want.p, (size_t)n) != 0)
			return false;
		want = span_skip(want, (size_t)n);
	}
	return true;
}

/* Whether the file is what was acknowledged.  Longer is fine: somebody has added to it. */
static bool
is_whole(const struct place *pl, const struct copy *c)
{
	int fd = openat(pl->at, pl->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool whole;

	if (fd == -1)
		return false;
	whole = reads_as(fd, c->prefix) && reads_as(fd, c->content);
	close(fd);
	return whole;
}

/* --- what is done about it --- */

static int
write_to(struct journal *j, struct mailbox *box, int at, const char *name, const struct copy *c, bool sync)
{
	struct unique_name n;
	char tmp[UNIQUE_MAX];
	int fd, err = 0;

	if (mailbox_tmp(box) == -1 || (fd = files_create(box->tmp, &j->md->unique, &n)) == -1)
		return -1;
	unique_tmp(&j->md->unique, &n, tmp);
	if (files_write(fd, c->prefix, c->content) == -1 || (sync && fsync(fd) == -1))
		err = errno;
	if (close(fd) == -1 && err == 0)
		err = errno;
	if (err == 0 && (renameat(box->tmp, tmp, at, name) == -1 || (sync && folders_flush(at) == -1)))
		err = errno;
	if (err != 0)
		(void)files_remove(box->tmp, tmp);
	errno = err;
	return err == 0 ? 0 : -1;
}

/* 1: written; 0: it was there, or is its owner's business; -1 with errno. */
static int
deliver(struct journal *j, struct copy *c, bool rewrite)
{
	struct mailbox box = { .make = c->make };
	struct place pl = { .at = -1 };
	int cur, r = 0, err;

	if (mailbox_enter_lazy(j->md->boxes, c->dir, &c->folder, &box) == -1)
		return -1;
	cur = openat(box.new, "../cur", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!find(&box, cur, c->name, &pl)) {
		/* While we live, what is not there any more was removed by its owner. */
		if (!rewrite)
			r = write_to(j, &box, box.new, c->name, c, false) == 0 ? 1 : -1;
	} else if (rewrite || !is_whole(&pl, c)) {
		r = write_to(j, &box, pl.at, pl.name, c, rewrite) == 0 ? 1 : -1;
	}
	err = errno;
	if (cur != -1)
		close(cur);
	mailbox_leave(&box);
	if (!rewrite)
		quota_forget(j->md, c->dir);
	errno = err;
	return r;
}

static int
deliver_record(struct journal *j, const struct journal_record *r, bool rewrite, unsigned *written)
{
	const struct journal_target *t = (const struct journal_target *)(const void *)(r + 1);

	for (unsigned i = 0; i < r->ntargets; i++) {
		struct copy c;
		bool skip = t->skip != 0;
		int done;

		t = copy_of(r, t, &c);
		if (skip)
			continue;
		if ((done = deliver(j, &c, rewrite)) == -1)
			return -1;
		*written += (unsigned)done;
	}
	return 0;
}

/* --- a segment --- */

struct replay {
	uint8_t *seg;
	const struct journal_head *h;
	uint32_t *at; /* where whole records begin */
	size_t n;
};

static struct journal_record *
record_no(const struct replay *rp, size_t i)
{
	return (struct journal_record *)(void *)(rp->seg + rp->at[i]);
}

/* Read it and find its records: up to the first that is not whole, which is where writing ended. */
static int
load(struct replay *rp, int fd)
{
	const struct journal_record *r;
	ssize_t n;

	rp->seg = malloc(rp->h->size);
	rp->at = malloc(rp->h->size / sizeof(*r) * sizeof(rp->at[0]));
	if (rp->seg == NULL || rp->at == NULL)
		return -1;
	if ((n = pread(fd, rp->seg, rp->h->size, 0)) != (ssize_t)rp->h->size) {
		errno = n == -1 ? errno : EIO;
		return -1;
	}
	for (uint64_t pos = JOURNAL_BLOCK; (r = journal_record_at(rp->seg, rp->h, pos)) != NULL;
	     pos = journal_record_next(r))
		rp->at[rp->n++] = (uint32_t)pos;
	return 0;
}

static int
by_pos(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* What was refused after it had stood in the journal.  Checksums are compared by now. */
static void
take_back(const struct replay *rp, const struct journal_void *v)
{
	uint32_t pos = (uint32_t)v->pos;
	const uint32_t *at = bsearch(&pos, rp->at, rp->n, sizeof(pos), by_pos);
	struct journal_record *m;
	uint8_t *p;

	if (at == NULL || *at != v->pos)
		return;
	m = record_no(rp, (size_t)(at - rp->at));
	p = (uint8_t *)(m + 1);
	for (unsigned i = 0; m->kind == JOURNAL_MESSAGE && i < m->ntargets && i < JOURNAL_TARGETS_MAX; i++) {
		struct journal_target *t = (struct journal_target *)(void *)p;
		struct copy c;

		t->skip |= v->failed[i];
		p += (size_t)((const uint8_t *)copy_of(m, t, &c) - p);
	}
}

int
journal_replay(struct journal *j, const struct journal_seg *s, const struct journal_head *h, bool rewrite)
{
	struct replay rp = { .h = h };
	unsigned written = 0;
	int r = load(&rp, s->fd), err;

	for (size_t i = 0; r == 0 && i < rp.n; i++)
		if (record_no(&rp, i)->kind == JOURNAL_VOID)
			take_back(&rp, (const struct journal_void *)(const void *)(record_no(&rp, i) + 1));
	for (size_t i = 0; r == 0 && i < rp.n; i++)
		if (record_no(&rp, i)->kind == JOURNAL_MESSAGE && rp.at[i] >= h->retired)
			r = deliver_record(j, record_no(&rp, i), rewrite, &written);
	err = errno;
	free(rp.at);
	free(rp.seg);
	atomic_fetch_add(&j->replayed, written);
	errno = err;
	return r;
}
