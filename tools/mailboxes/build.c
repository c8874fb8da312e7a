/*
 * build: writing a snapshot with LMDB.
 * In key order by MDB_APPEND, which fills every page and searches nothing; or
 * a few changes in a copy.  Checksums come at the end, see sums.c.
 */
#include "tools/mailboxes/build.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/mdbfile.h"
#include "tools/mailboxes/sums.h"

/* Old names of LMDB's that are ours here. */
#undef mdb_open
#undef mdb_close

enum {
	BATCH = 32768,         /* changes a transaction: some 3 MiB of dirty pages */
	SPARE = 64 << 20,      /* octets of address space beyond the guess */
	COPY_CHUNK = 64 << 20, /* octets copied at a time */
	FULL_BLOCKS = 64       /* blocks that a full disk may still have: LMDB writes up to 64 pages at a time */
};

struct build {
	const struct tool *t;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	unsigned pending;
};

/* LMDB takes a short write, which is how a full disk begins, for EIO. */
static bool
disk_full(const struct build *b)
{
	struct statvfs v;

	return fstatvfs(b->t->dirfd, &v) == 0 && v.f_bavail < FULL_BLOCKS;
}

static int
lmdb_fail(const struct build *b, int rc)
{
	if (rc == EIO && disk_full(b))
		rc = ENOSPC;
	warnx("cannot write %s/%s: %s", b->t->dir, TOOL_NEW, mdb_strerror(rc));
	return rc == ENOSPC || rc == EDQUOT || rc == EFBIG ? EX_CANTCREAT : EX_IOERR;
}

void
build_abort(struct build *b)
{
	if (b == NULL)
		return;
	if (b->txn != NULL)
		mdb_txn_abort(b->txn);
	if (b->env != NULL)
		mdb_env_close(b->env);
	tool_discard(b->t);
	free(b);
}

static int
begin(struct build *b)
{
	int rc = mdb_txn_begin(b->env, NULL, 0, &b->txn);

	b->pending = 0;
	if (rc != 0)
		b->txn = NULL;
	if (rc == 0)
		rc = mdb_dbi_open(b->txn, NULL, 0, &b->dbi);
	return rc == 0 ? 0 : lmdb_fail(b, rc);
}

static int
commit(struct build *b)
{
	int rc = mdb_txn_commit(b->txn);

	b->txn = NULL;
	return rc == 0 ? 0 : lmdb_fail(b, rc);
}

static int
open_env(struct build *b, uint64_t octets)
{
	char *path;
	int rc;

	if (asprintf(&path, "%s/%s", b->t->dir, TOOL_NEW) < 0)
		return lmdb_fail(b, ENOMEM);
	rc = mdb_env_create(&b->env);
	if (rc != 0)
		b->env = NULL;
	if (rc == 0)
		rc = mdb_env_set_mapsize(b->env, octets & ~(uint64_t)(MDBFILE_PSIZE_MAX - 1));
	if (rc == 0)
		rc = mdb_env_open(b->env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NORDAHEAD, 0644);
	free(path);
	return rc == 0 ? begin(b) : lmdb_fail(b, rc);
}

/* Make TOOL_NEW ourselves, so that its mode is what it shall be whatever the umask says. */
static int
create(const struct tool *t)
{
	int fd = openat(t->dirfd, TOOL_NEW, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd >= 0 && fchmod(fd, 0644) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static struct build *
build_open(const struct tool *t, uint64_t octets, int *rc)
{
	struct build *b = calloc(1, sizeof(*b));

	if (b == NULL) {
		warn("cannot make a snapshot");
		*rc = EX_OSERR;
		return NULL;
	}
	b->t = t;
	*rc = open_env(b, octets);
	if (*rc == 0)
		return b;
	build_abort(b);
	return NULL;
}

struct build *
build_new(const struct tool *t, uint64_t octets, int *rc)
{
	uint8_t meta[MDBFILE_META] = { 0 };
	struct build *b;
	int fd = create(t);

	if (fd < 0) {
		*rc = tool_fail(t, "create", TOOL_NEW);
		return NULL;
	}
	close(fd);
	/* A value over 2 KiB has pages of its own, at worst half empty; pages are full else: 3 is on the safe side. */
	b = build_open(t, octets * 3 + SPARE, rc);
	if (b == NULL)
		return NULL;
	*rc = build_append(b, MDBFILE_META_KEY, span_of(meta, sizeof(meta)));
	if (*rc == 0)
		return b;
	build_abort(b);
	return NULL;
}

/* Copy the pages of the current snapshot, not its sums; shared by the file system where that can. */
static int
copy_pages(const struct tool *t, int from, int to, uint64_t *octets)
{
	struct mdbfile_tail tail;
	uint8_t end[MDBFILE_TAIL];
	struct stat st;
	off_t at = 0;

	if (fstat(from, &st) != 0 || pread(from, end, sizeof(end), st.st_size - MDBFILE_TAIL) != (ssize_t)sizeof(end))
		return tool_fail(t, "read", MDB_FILE);
	errno = EBADMSG;
	if (mdbfile_tail_read(end, (uint64_t)st.st_size, &tail) != 0)
		return tool_fail(t, "read", MDB_FILE);
	*octets = tail.npages * tail.psize;
	while ((uint64_t)at < *octets) {
		uint64_t left = *octets - (uint64_t)at;
		ssize_t n = copy_file_range(from, &at, to, NULL, left < COPY_CHUNK ? (size_t)left : COPY_CHUNK, 0);

		if (n <= 0)
			return tool_fail(t, "copy", MDB_FILE);
	}
	return 0;
}

struct build *
build_copy(const struct tool *t, int *rc)
{
	int from = openat(t->dirfd, MDB_FILE, O_RDONLY | O_CLOEXEC), to;
	uint64_t octets = 0;

	if (from < 0) {
		*rc = tool_fail(t, "open", MDB_FILE);
		return NULL;
	}
	to = create(t);
	*rc = to < 0 ? tool_fail(t, "create", TOOL_NEW) : copy_pages(t, from, to, &octets);
	close(from);
	if (to >= 0)
		close(to);
	if (*rc == 0)
		return build_open(t, octets + SPARE, rc);
	tool_discard(t);
	return NULL;
}

static int
put(struct build *b, struct span key, struct span rec, unsigned flags)
{
	MDB_val k = { key.n, (void *)(uintptr_t)key.p }, v = { rec.n, (void *)(uintptr_t)rec.p };
	int rc;

	if (b->pending++ == BATCH) {
		rc = commit(b);
		if (rc == 0)
			rc = begin(b);
		if (rc != 0)
			return rc;
	}
	rc = mdb_put(b->txn, b->dbi, &k, &v, flags);
	return rc == 0 ? 0 : lmdb_fail(b, rc);
}

int
build_append(struct build *b, struct span key, struct span rec)
{
	return put(b, key, rec, MDB_APPEND);
}

int
build_put(struct build *b, struct span key, struct span rec)
{
	return put(b, key, rec, 0);
}

int
build_delete(struct build *b, struct span key)
{
	MDB_val k = { key.n, (void *)(uintptr_t)key.p };
	int rc = mdb_del(b->txn, b->dbi, &k, NULL);

	return rc == 0 || rc == MDB_NOTFOUND ? 0 : lmdb_fail(b, rc);
}

/* Add the sums and sync, over a descriptor of our own: closing LMDB's writes nothing. */
static int
seal(const struct tool *t, size_t npages, size_t psize)
{
	int fd = openat(t->dirfd, TOOL_NEW, O_RDWR | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return tool_fail(t, "open", TOOL_NEW);
	if (sums_write(fd, npages, psize) != 0)
		rc = tool_fail(t, "write", TOOL_NEW);
	else if (fsync(fd) != 0) /* never tried again: the pages may be clean and lost (PostgreSQL, 2018) */
		rc = tool_fail(t, "sync", TOOL_NEW);
	close(fd);
	return rc;
}

int
build_done(struct build *b, uint64_t entries, uint64_t domains)
{
	struct mdb_info i = { .entries = entries, .domains = domains, .made = time(NULL) };
	const struct tool *t = b->t;
	uint8_t meta[MDBFILE_META];
	MDB_envinfo info;
	MDB_stat stat;
	int rc;

	mdbfile_meta_write(&i, meta);
	rc = build_put(b, MDBFILE_META_KEY, span_of(meta, sizeof(meta)));
	if (rc == 0)
		rc = commit(b);
	if (rc != 0) {
		build_abort(b);
		return rc;
	}
	mdb_env_info(b->env, &info);
	mdb_env_stat(b->env, &stat);
	mdb_env_close(b->env);
	free(b);
	rc = seal(t, info.me_last_pgno + 1, stat.ms_psize);
	if (rc != 0)
		tool_discard(t);
	return rc;
}
