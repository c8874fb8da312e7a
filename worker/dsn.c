/*
 * dsn: see dsn.h.  Staging and publishing are Maildir's tmp/ and new/ once
 * more, and rest on the same calls.
 */
#include "worker/dsn.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/field.h"
#include "common/report.h"
#include "worker/store/files.h"
#include "worker/store/folders.h"

struct dsn_spool {
	int base;
	struct iopool *pool;
};

struct dsn {
	struct iojob job; /* first */
	struct dsn_spool *spool;
	const struct txn *txn;
	struct buf headers;
	uint8_t last[2]; /* octets of content before the next one */
	bool complete;   /* there was an empty line */
	bool cut, staged, stored, published;
	int64_t arrived;
	int err;
	dsn_done *done;
	void *arg;
	char name[REPORT_NAME_MAX];
};

/* --- the spool --- */

/* Other processes may have made them a moment ago: they are synced all the same. */
static int
make_spool(int root)
{
	static const char *const sub[] = { "tmp", "new", "bad" };
	int base = folders_open_made(root, REPORT_SPOOL), fd, err = 0;

	if (base == -1)
		return -1;
	for (size_t i = 0; i < sizeof(sub) / sizeof(sub[0]) && err == 0; i++) {
		if ((fd = folders_open_made(base, sub[i])) == -1)
			err = errno;
		else
			close(fd);
	}
	if (err == 0 && (folders_sync(base) == -1 || folders_sync(root) == -1))
		err = errno;
	if (err == 0)
		return base;
	close(base);
	errno = err;
	return -1;
}

struct dsn_spool *
dsn_open(const char *store, struct iopool *pool)
{
	struct dsn_spool *sp = calloc(1, sizeof(*sp));
	int root = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = errno;

	if (sp != NULL && root != -1) {
		sp->pool = pool;
		sp->base = make_spool(root);
		err = errno;
	}
	if (root != -1)
		close(root);
	if (sp != NULL && root != -1 && sp->base != -1)
		return sp;
	free(sp);
	errno = err;
	return NULL;
}

/* Whether so many records wait that there must be no more. */
static bool
spool_full(int new)
{
	int fd = fcntl(new, F_DUPFD_CLOEXEC, 0);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;
	unsigned n = 0;

	if (d == NULL) {
		if (fd != -1)
			close(fd);
		return false;
	}
	while (n < REPORT_SPOOL_MAX + 2 && readdir(d) != NULL)
		n++;
	closedir(d);
	return n >= REPORT_SPOOL_MAX + 2; /* "." and ".." */
}

/* --- the loop's half --- */

bool
dsn_wanted(const struct txn *t)
{
	if (t->from.is_null)
		return false;
	for (const struct rcpt *rc = t->rcpts; rc != NULL; rc = rc->next)
		if ((rc->notify & NOTIFY_SUCCESS) != 0)
			return true;
	return false;
}

bool
dsn_tells(const struct rcpt *rc)
{
	/* A handler may have taken it out: then it was not delivered. */
	if ((rc->notify & NOTIFY_SUCCESS) == 0 || rc->ntargets == 0)
		return false;
	for (const struct rcpt_target *rt = rc->targets; rt != NULL; rt = rt->next)
		if (rt->target->err != 0)
			return false;
	return true;
}

struct dsn *
dsn_begin(struct dsn_spool *sp, const struct txn *t)
{
	struct dsn *d = arena_alloc(t->arena, sizeof(*d));

	if (d == NULL || iopool_reserve(sp->pool) != 0)
		return NULL;
	d->spool = sp;
	d->txn = t;
	d->arrived = time(NULL);
	d->last[0] = d->last[1] = '\n';
	buf_init(&d->headers, REPORT_HEADERS_MAX);
	snprintf(d->name, sizeof(d->name), "%" PRId64 ".%s", d->arrived, t->id);
	return d;
}

/* Up to the first empty line, with or without CR; header_of() has the rest to say. */
void
dsn_content(struct dsn *d, struct span s)
{
	size_t n = 0;

	while (n < s.n && !d->complete) {
		uint8_t c = s.p[n++];

		d->complete = c == '\n' && (d->last[1] == '\n' || (d->last[1] == '\r' && d->last[0] == '\n'));
		d->last[0] = d->last[1];
		d->last[1] = c;
	}
	if (d->cut || n == 0)
		return;
	if (n > buf_left(&d->headers)) {
		n = buf_left(&d->headers);
		d->cut = true;
	}
	if (n > 0 && buf_put(&d->headers, s.p, n) != 0)
		d->cut = true;
}

static void
finished(struct iojob *j)
{
	struct dsn *d = (struct dsn *)(void *)j;

	d->done(d->arg, d->err);
}

static void
submit(struct dsn *d, void (*run)(struct iojob *), dsn_done *done, void *arg)
{
	d->done = done;
	d->arg = arg;
	d->err = 0;
	d->job.run = run;
	d->job.done = finished;
	iopool_submit_reserved(d->spool->pool, &d->job);
}

bool
dsn_published(const struct dsn *d)
{
	return d->published;
}

void
dsn_end(struct dsn *d)
{
	if (d == NULL)
		return;
	iopool_unreserve(d->spool->pool);
	buf_free(&d->headers);
}

/* --- the pool's half --- */

/* What was gathered up to the header's end, which no line of the body may pass: it would go back to whom the sender says that he is. */
static struct span
header_of(const struct dsn *d, bool *cut)
{
	struct span all = buf_view(&d->headers), h = field_header(all), rest = span_skip(all, h.n);

	/* The line that the limit went through may have lost its colon. */
	*cut = d->cut && (rest.n == 0 || rest.p == NULL || memchr(rest.p, '\n', rest.n) == NULL);
	return h;
}

static int
encode(const struct dsn *d, struct buf *b)
{
	const struct txn *t = d->txn;
	char text[ADDR_TEXT_MAX];
	bool cut;
	ssize_t n = addr_format(&t->from, text, sizeof(text));
	struct report r = {
		.id = span_str(t->id),
		.from = span_of(text, n > 0 ? (size_t)n : 0),
		.envid = t->envid,
		.headers = header_of(d, &cut),
		.arrived = d->arrived,
		.smtputf8 = t->smtputf8,
		.requiretls = t->requiretls,
	};

	r.cut = cut;
	if (report_put(b, &r) != 0)
		return -1;
	for (const struct rcpt *rc = t->rcpts; rc != NULL; rc = rc->next) {
		struct report_rcpt to = { .orcpt = rc->orcpt };

		if (!dsn_tells(rc))
			continue;
		n = addr_format(&rc->addr, text, sizeof(text));
		to.address = span_of(text, n > 0 ? (size_t)n : 0);
		if (report_put_rcpt(b, &to) != 0)
			return -1;
	}
	return report_put_end(b);
}

/* Write the record of those that dsn_tells() to tmp/, and sync it. */
static int
write_record(struct dsn *d, int tmp)
{
	struct buf b;
	int fd = -1, err = 0;

	buf_init(&b, REPORT_RECORD_MAX);
	if (encode(d, &b) != 0 ||
	    (fd = openat(tmp, d->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) == -1) {
		err = errno;
	} else {
		d->staged = true;
		if (files_write(fd, buf_view(&b), span_of(NULL, 0)) == -1) {
			err = errno;
			close(fd);
		} else if (files_finish(fd) == -1) {
			err = errno;
		}
	}
	buf_free(&b);
	if (err != 0 && d->staged) {
		d->staged = false;
		(void)files_remove(tmp, d->name);
	}
	errno = err;
	return err == 0 ? 0 : -1;
}

/* 0, or an errno. */
static int
stage(struct dsn *d, int tmp, int new)
{
	if (spool_full(new))
		return ENOBUFS;
	return write_record(d, tmp) == 0 ? 0 : errno;
}

static void
stage_run(struct iojob *j)
{
	struct dsn *d = (struct dsn *)(void *)j;
	int tmp = folders_open(d->spool->base, "tmp"), new = folders_open(d->spool->base, "new");

	d->err = tmp == -1 || new == -1 ? errno : stage(d, tmp, new);
	if (tmp != -1)
		close(tmp);
	if (new != -1)
		close(new);
}

/* How many recipients ask for it, and how many of them it tells of; of none when a handler left nobody to tell. */
static void
count(const struct txn *t, unsigned *ask, unsigned *told)
{
	*ask = *told = 0;
	for (const struct rcpt *rc = t->rcpts; rc != NULL; rc = rc->next) {
		*ask += (rc->notify & NOTIFY_SUCCESS) != 0;
		*told += !t->from.is_null && dsn_tells(rc);
	}
}

static int
publish(struct dsn *d, int tmp, int new)
{
	unsigned ask, told;

	count(d->txn, &ask, &told);
	if (!d->stored || told < ask) {
		d->staged = false;
		if (files_remove(tmp, d->name) == -1)
			return -1;
		if (!d->stored || told == 0)
			return 0;
		if (write_record(d, tmp) != 0)
			return -1;
	}
	if (renameat2(tmp, d->name, new, d->name, RENAME_NOREPLACE) == -1 || folders_flush(new) == -1)
		return -1;
	d->published = true;
	return 0;
}

static void
publish_run(struct iojob *j)
{
	struct dsn *d = (struct dsn *)(void *)j;
	int tmp = folders_open(d->spool->base, "tmp"), new = folders_open(d->spool->base, "new");

	if (tmp == -1 || new == -1 || publish(d, tmp, new) != 0)
		d->err = errno;
	if (tmp != -1)
		close(tmp);
	if (new != -1)
		close(new);
}

void
dsn_stage(struct dsn *d, dsn_done *done, void *arg)
{
	submit(d, stage_run, done, arg);
}

void
dsn_publish(struct dsn *d, bool stored, dsn_done *done, void *arg)
{
	d->stored = stored;
	submit(d, publish_run, done, arg);
}
