/*
 * spool: names, and the system calls on them.
 */
#include "reports/spool.h"

#include <bsd/string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"

enum { READ_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

/* What stands in the file of a record that is done and could not be removed.  No record begins so. */
static const char done_mark[] = "done\n";

static int
folder(int at, const char *name)
{
	if (mkdirat(at, name, 0700) == -1 && errno != EEXIST)
		return -1;
	return openat(at, name, READ_FLAGS);
}

int
spool_open(struct spool *sp, const char *store)
{
	int root = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC), bad;

	*sp = (struct spool){ .base = -1, .new = -1, .tmp = -1 };
	TAILQ_INIT(&sp->list);
	if (root == -1)
		return -1;
	sp->base = folder(root, REPORT_SPOOL);
	close(root);
	if (sp->base == -1 || (sp->new = folder(sp->base, "new")) == -1 || (sp->tmp = folder(sp->base, "tmp")) == -1 ||
	    (bad = folder(sp->base, "bad")) == -1)
		return -1;
	close(bad);
	return 0;
}

int
spool_lock(struct spool *sp)
{
	if (flock(sp->base, LOCK_EX | LOCK_NB) == 0)
		return 1;
	return errno == EWOULDBLOCK ? 0 : -1;
}

/* SECONDS.ID, as worker/dsn.c writes it. */
static bool
name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 2 && n < REPORT_NAME_MAX && name[0] >= '0' && name[0] <= '9' && strchr(name, '.') != NULL;
}

static struct spool_entry **
bucket(struct spool *sp, const char *name)
{
	return &sp->bucket[span_hash(span_str(name)) % SPOOL_BUCKETS];
}

static struct spool_entry *
find(struct spool *sp, const char *name)
{
	struct spool_entry *e = *bucket(sp, name);

	while (e != NULL && strcmp(e->name, name) != 0)
		e = e->next;
	return e;
}

static void
forget(struct spool *sp, struct spool_entry *e)
{
	struct spool_entry **at = bucket(sp, e->name);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	TAILQ_REMOVE(&sp->list, e, entry);
	sp->n--;
	sp->ndone -= e->done;
	free(e);
}

static int
note(struct spool *sp, const char *name)
{
	struct spool_entry *e = find(sp, name);

	if (e == NULL) {
		if ((e = calloc(1, sizeof(*e))) == NULL)
			return -1;
		strlcpy(e->name, name, sizeof(e->name));
		e->next = *bucket(sp, name);
		*bucket(sp, name) = e;
		TAILQ_INSERT_TAIL(&sp->list, e, entry);
		sp->n++;
	}
	e->seen = true;
	return 0;
}

/* A folder to read, from its beginning. */
static DIR *
open_list(int fd)
{
	int mine = openat(fd, ".", READ_FLAGS);
	DIR *d = mine != -1 ? fdopendir(mine) : NULL;

	if (d == NULL && mine != -1)
		close(mine);
	return d;
}

int
spool_scan(struct spool *sp)
{
	DIR *d = open_list(sp->new);
	struct spool_entry *e, *next;
	const struct dirent *de;
	int err = 0;

	if (d == NULL)
		return -1;
	TAILQ_FOREACH(e, &sp->list, entry)
		e->seen = false;
	errno = 0;
	while (err == 0 && (de = readdir(d)) != NULL) {
		if (name_ok(de->d_name) && note(sp, de->d_name) != 0)
			err = errno;
		errno = 0;
	}
	if (err == 0)
		err = errno;
	closedir(d);
	for (e = TAILQ_FIRST(&sp->list); err == 0 && e != NULL; e = next) {
		next = TAILQ_NEXT(e, entry);
		/* Somebody has taken it away by hand. */
		if (!e->seen && !e->busy)
			forget(sp, e);
	}
	errno = err;
	return err == 0 ? 0 : -1;
}

void
spool_sweep(struct spool *sp, int64_t now)
{
	DIR *d = open_list(sp->tmp);
	const struct dirent *de;
	struct stat st;

	while (d != NULL && (de = readdir(d)) != NULL)
		if (name_ok(de->d_name) && fstatat(sp->tmp, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && now - st.st_mtim.tv_sec > SPOOL_STALE_S)
			(void)unlinkat(sp->tmp, de->d_name, 0);
	if (d != NULL)
		closedir(d);
}

struct spool_entry *
spool_next(struct spool *sp, enum spool_way way, int64_t now_ms)
{
	struct spool_entry *e;

	TAILQ_FOREACH(e, &sp->list, entry)
		if (e->way == way && !e->busy && !e->done && e->due_ms <= now_ms)
			return e;
	return NULL;
}

int64_t
spool_due_ms(const struct spool *sp)
{
	const struct spool_entry *e;
	int64_t due = INT64_MAX;

	TAILQ_FOREACH(e, &sp->list, entry)
		if (!e->busy && !e->done && e->due_ms < due)
			due = e->due_ms;
	return due;
}

/* All of ${fd}, which has ${size} octets. */
static int
read_all(int fd, uint8_t *p, size_t size)
{
	size_t n = 0;

	while (n < size) {
		ssize_t r = read(fd, p + n, size - n);

		if (r == -1 && errno == EINTR)
			continue;
		if (r <= 0) {
			errno = r == 0 ? EBADMSG : errno;
			return -1;
		}
		n += (size_t)r;
	}
	return 0;
}

/* The record in ${fd}; *text is malloc()ed even when it is none. */
static int
read_record(int fd, uint8_t **text, struct report *r)
{
	struct stat st;
	size_t n;

	if (fstat(fd, &st) == -1)
		return -1;
	errno = EBADMSG;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > REPORT_RECORD_MAX)
		return -1;
	n = (size_t)st.st_size;
	if ((*text = malloc(n)) == NULL || read_all(fd, *text, n) != 0)
		return -1;
	errno = ENODATA;
	if (span_eq(span_of(*text, n), span_str(done_mark)))
		return -1;
	errno = EBADMSG;
	return report_read(span_of(*text, n), r);
}

int
spool_read(struct spool *sp, const struct spool_entry *e, uint8_t **text, struct report *r)
{
	int fd = openat(sp->new, e->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), err;

	*text = NULL;
	if (fd == -1)
		return -1;
	err = read_record(fd, text, r) == 0 ? 0 : errno;
	close(fd);
	if (err == 0)
		return 0;
	free(*text);
	*text = NULL;
	errno = err;
	return -1;
}

int64_t
spool_age_s(const struct spool_entry *e, int64_t now)
{
	int64_t written = strtoimax(e->name, NULL, 10);

	return written > 0 && written < now ? now - written : 0;
}

int
spool_changeable(const struct spool *sp)
{
	return faccessat(sp->new, ".", W_OK | X_OK, 0);
}

/* Write into its file that it is done: that may be allowed where its removal is not.  0, or -1. */
static int
mark(const struct spool *sp, const struct spool_entry *e)
{
	int fd = openat(sp->new, e->name, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
	bool good = fd != -1 && write(fd, done_mark, strlen(done_mark)) == (ssize_t)strlen(done_mark) && fsync(fd) == 0;

	if (fd != -1)
		close(fd);
	return good ? 0 : -1;
}

/* 0: it is gone, and so is ${e}; -1 with errno. */
static int
remove_record(struct spool *sp, struct spool_entry *e)
{
	if (unlinkat(sp->new, e->name, 0) == -1 && errno != ENOENT)
		return -1;
	/* A power cut before this is on disk sends the report twice. */
	(void)fsync(sp->new);
	forget(sp, e);
	return 0;
}

void
spool_done(struct spool *sp, struct spool_entry *e)
{
	const char *why;

	if (remove_record(sp, e) == 0)
		return;
	why = strerror(errno);
	e->done = true;
	e->busy = false;
	sp->ndone++;
	log_msg(LOG_L_ERROR, "reports",
	    "cannot remove %s/new/%s: %s; it is done with and %s: let the server's user change the folder, "
	    "or remove the file",
	    REPORT_SPOOL, e->name, why,
	    mark(sp, e) == 0 ? "marked so" : "cannot be marked so, and a restart would do it once more");
}

void
spool_clear(struct spool *sp)
{
	struct spool_entry *e, *next;

	for (e = sp->ndone > 0 ? TAILQ_FIRST(&sp->list) : NULL; e != NULL; e = next) {
		next = TAILQ_NEXT(e, entry);
		if (e->done)
			(void)remove_record(sp, e);
	}
}

int
spool_bad(struct spool *sp, struct spool_entry *e, int64_t now_ms)
{
	int bad = openat(sp->base, "bad", READ_FLAGS);
	bool good = bad != -1 && renameat2(sp->new, e->name, bad, e->name, RENAME_NOREPLACE) == 0;

	if (!good)
		log_msg(
		    LOG_L_ERROR, "reports", "cannot put %s/new/%s aside: %s", REPORT_SPOOL, e->name, strerror(errno));
	if (bad != -1)
		close(bad);
	if (good)
		forget(sp, e);
	else
		spool_later(sp, e, now_ms);
	return good ? 0 : -1;
}

void
spool_again(struct spool *sp, struct spool_entry *e)
{
	e->tries++;
	e->busy = false;
	e->way = SPOOL_UNKNOWN;
	TAILQ_REMOVE(&sp->list, e, entry);
	TAILQ_INSERT_TAIL(&sp->list, e, entry);
}

void
spool_later(struct spool *sp, struct spool_entry *e, int64_t now_ms)
{
	int64_t wait = SPOOL_RETRY_FIRST_MS;

	for (unsigned i = 0; i < e->tries && wait < SPOOL_RETRY_MAX_MS; i++)
		wait *= 2;
	e->due_ms = now_ms + (wait < SPOOL_RETRY_MAX_MS ? wait : SPOOL_RETRY_MAX_MS);
	spool_again(sp, e);
}
