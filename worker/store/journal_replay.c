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

/* 1: it is there; 0: it is not; -1 with errno: nobody knows. */
static int
look_in(int at, const char *name, struct place *pl)
{
	_Alignas(struct dirent64) char buf[8192];
	const struct dirent64 *d;
	ssize_t n;
	int fd, err;

	if ((fd = folders_open(at, ".")) == -1)
		return -1;
	pl->at = -1;
	while (pl->at == -1 && (n = getdents64(fd, buf, sizeof(buf))) != 0) {
		if (n == -1) {
			err = errno;
			close(fd);
			errno = err;
			return -1;
		}
		for (ssize_t i = 0; i < n && pl->at == -1; i += d->d_reclen) {
			d = (const struct dirent64 *)(const void *)(buf + i);
			if (is_same(d->d_name, name)) {
				pl->at = at;
				snprintf(pl->name, sizeof(pl->name), "%s", d->d_name);
			}
		}
	}
	close(fd);
	return pl->at != -1;
}

/* The same in new/ and cur/; *cur is opened on the way if need be. */
static int
find(const struct mailbox *box, int *cur, const char *name, struct place *pl)
{
	struct stat st;
	int r;

	if (fstatat(box->new, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		pl->at = box->new;
		snprintf(pl->name, sizeof(pl->name), "%s", name);
		return 1;
	}
	if (errno != ENOENT)
		return -1;
	/* A reader moves from new/ to cur/, so in this order. */
	if ((r = look_in(box->new, name, pl)) != 0)
		return r;
	*cur = folders_open(box->new, "../cur");
	/* Removed by its owner, or no folder (a symbolic link, which is not followed): no reader has put it there. */
	if (*cur == -1)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	return look_in(*cur, name, pl);
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
	int cur = -1, r = 0, err;

	if (mailbox_enter_lazy(j->md->boxes, c->dir, &c->folder, &box) == -1)
		return -1;
	switch (find(&box, &cur, c->name, &pl)) {
	case -1:
		r = -1;
		break;
	case 0:
		/* While we live, what is not there any more was removed by its owner. */
		if (!rewrite)
			r = write_to(j, &box, box.new, c->name, c, false) == 0 ? 1 : -1;
		break;
	default:
		if (rewrite || !is_whole(&pl, c))
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

/* --- a segment --- */

struct replay {
	uint8_t *seg;
	const struct journal_head *h;
	uint32_t *at; /* where whole records begin */
	size_t n;
	bool rewrite;
	struct journal_left *left; /* of before; or NULL */
	struct journal_left now;
	unsigned written;
	int err; /* the first that failed */
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

static void
failed(struct replay *rp, const struct journal_record *r, unsigned target, const struct copy *c)
{
	if (rp->err == 0) {
		rp->err = errno;
		if (rp->left == NULL || !rp->left->tried) /* once, however often it is tried */
			log_msg(LOG_L_ERROR, "journal", "cannot write acknowledged mail to %.*s: %s", (int)c->dir.n,
			    (const char *)c->dir.p, strerror(rp->err));
	}
	/* Without memory all of it is tried again. */
	if (rp->now.tried && journal_left_add(&rp->now, r->pos, target) == -1)
		rp->now.tried = false;
}

static void
deliver_record(struct journal *j, struct replay *rp, const struct journal_record *r)
{
	const struct journal_target *t = (const struct journal_target *)(const void *)(r + 1);

	for (unsigned i = 0; i < r->ntargets; i++) {
		struct copy c;
		bool skip = t->skip != 0;
		int done;

		t = copy_of(r, t, &c);
		if (skip || !journal_left_has(rp->left, r->pos, i))
			continue;
		if ((done = deliver(j, &c, rp->rewrite)) == -1)
			failed(rp, r, i, &c);
		else
			rp->written += (unsigned)done;
	}
}

/* What is left of it now is what ${left} says. */
static void
leave(struct replay *rp)
{
	if (rp->left != NULL) {
		free(rp->left->at);
		rp->left->at = rp->now.at;
		rp->left->n = rp->now.n;
		rp->left->tried = rp->now.tried;
	} else {
		free(rp->now.at);
	}
}

int
journal_replay(struct journal *j, const struct journal_seg *s, const struct journal_head *h, bool rewrite,
    struct journal_left *left)
{
	struct replay rp = { .h = h, .rewrite = rewrite, .left = left, .now = { .tried = left != NULL } };

	if (load(&rp, s->fd) == -1) {
		rp.err = errno;
	} else {
		for (size_t i = 0; i < rp.n; i++)
			if (record_no(&rp, i)->kind == JOURNAL_VOID)
				take_back(&rp, (const struct journal_void *)(const void *)(record_no(&rp, i) + 1));
		for (size_t i = 0; i < rp.n; i++)
			if (record_no(&rp, i)->kind == JOURNAL_MESSAGE && rp.at[i] >= h->retired)
				deliver_record(j, &rp, record_no(&rp, i));
		leave(&rp);
	}
	free(rp.at);
	free(rp.seg);
	atomic_fetch_add(&j->replayed, rp.written);
	errno = rp.err;
	return rp.err == 0 ? 0 : -1;
}
