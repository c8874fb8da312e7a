/*
 * mdb: look-ups in a snapshot.
 * One read transaction lives as long as the map, since the file never changes;
 * a look-up is mdbfile_guard_path() and LMDB's mdb_get().  Not a writer, and
 * it knows nothing of what records mean.
 */
#include "common/mdb.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mdbfile.h"

/* Old names of LMDB's that are ours here. */
#undef mdb_open
#undef mdb_close

enum {
	OPEN_TRIES = 8 /* a new snapshot may be published between our open and LMDB's */
};

struct mdb {
	char *path;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_cursor *walk;
	struct mdbfile_guard guard;
	const uint8_t *base; /* LMDB's own map */
	int fd;              /* LMDB's, of the mapped file; good while env is not NULL */
	struct stat st;      /* of that, when it was mapped */
	bool older;          /* the newest cannot be used */
	bool spoilt;         /* the file was changed since it was mapped, which nobody is to do */
	struct mdb_info info;
};

/* LMDB's own errors are negative, all others are errno's. */
static int
fail(int rc)
{
	errno = rc < 0 ? EBADMSG : rc;
	return -1;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void
unmap(struct mdb *m)
{
	if (m->walk != NULL)
		mdb_cursor_close(m->walk);
	if (m->txn != NULL)
		mdb_txn_abort(m->txn);
	if (m->env != NULL)
		mdb_env_close(m->env);
	mdbfile_guard_fini(&m->guard);
	m->walk = NULL;
	m->txn = NULL;
	m->env = NULL;
}

void
mdb_watch(struct mdb *m)
{
	struct stat st;

	if (m != NULL && m->env != NULL && (fstat(m->fd, &st) != 0 || !same_file(&st, &m->st)))
		m->spoilt = true;
}

static bool
spoilt(const struct mdb *m)
{
	return m->env == NULL || m->spoilt;
}

/* Map and check the file by ourselves: LMDB divides by what it reads there, so it must not be the first. */
static int
open_guard(struct mdb *m)
{
	int fd = open(m->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc, e;

	if (fd < 0)
		return -1;
	rc = fstat(fd, &m->st);
	if (rc == 0 && !S_ISREG(m->st.st_mode)) {
		errno = EBADMSG;
		rc = -1;
	}
	if (rc == 0)
		rc = mdbfile_guard_init(&m->guard, fd, (uint64_t)m->st.st_size);
	e = errno;
	close(fd);
	errno = e;
	return rc;
}

/* 0, 1 when LMDB opened another file than open_guard() did, -1 with errno. */
static int
open_lmdb(struct mdb *m)
{
	struct stat st;
	mdb_filehandle_t fd;
	int rc = mdb_env_create(&m->env);

	if (rc != 0) {
		m->env = NULL;
		return fail(rc);
	}
	rc = mdb_env_set_mapsize(m->env, m->guard.npages * m->guard.psize);
	if (rc == 0)
		rc = mdb_env_open(m->env, m->path, MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR | MDB_NORDAHEAD, 0);
	if (rc == 0)
		rc = mdb_env_get_fd(m->env, &fd);
	if (rc != 0)
		return fail(rc);
	if (fstat(fd, &st) != 0)
		return -1;
	if (!same_file(&st, &m->st))
		return 1;
	m->fd = fd;
	rc = mdb_txn_begin(m->env, NULL, MDB_RDONLY, &m->txn);
	if (rc != 0) {
		m->txn = NULL;
		return fail(rc);
	}
	rc = mdb_dbi_open(m->txn, NULL, 0, &m->dbi);
	return rc != 0 ? fail(rc) : 0;
}

/* What it says of itself; by the way we learn where LMDB mapped it. */
static int
open_meta(struct mdb *m)
{
	struct span key = MDBFILE_META_KEY;
	MDB_val k = { key.n, (void *)(uintptr_t)key.p }, v;
	uint64_t leaf;
	int rc;

	if (mdbfile_guard_path(&m->guard, key, &leaf) != 0)
		return -1;
	rc = mdb_get(m->txn, m->dbi, &k, &v);
	if (rc != 0)
		return fail(rc == MDB_NOTFOUND ? EBADMSG : rc);
	if (v.mv_size != MDBFILE_META || mdbfile_meta_read(span_of(v.mv_data, v.mv_size), &m->info) != 0)
		return fail(EBADMSG);
	m->base = (const uint8_t *)((uintptr_t)v.mv_data & ~(uintptr_t)(m->guard.psize - 1)) - leaf * m->guard.psize;
	m->info.octets = (uint64_t)m->st.st_size;
	return 0;
}

static int
map(struct mdb *m)
{
	int rc = 1, e;

	for (int i = 0; i < OPEN_TRIES && rc == 1; i++) {
		unmap(m);
		rc = open_guard(m);
		if (rc == 0)
			rc = open_lmdb(m);
	}
	if (rc == 0)
		rc = open_meta(m);
	if (rc == 0)
		return 0;
	e = rc == 1 ? EAGAIN : errno;
	unmap(m);
	errno = e;
	return -1;
}

int
mdb_open(const char *dir, const char *name, struct mdb **out)
{
	struct mdb *m = calloc(1, sizeof(*m));
	int e;

	if (m == NULL)
		return -1;
	if (asprintf(&m->path, "%s/%s", dir, name) < 0) {
		free(m);
		errno = ENOMEM;
		return -1;
	}
	if (map(m) == 0) {
		*out = m;
		return 0;
	}
	e = errno;
	mdb_close(m);
	errno = e;
	return -1;
}

void
mdb_close(struct mdb *m)
{
	if (m == NULL)
		return;
	unmap(m);
	free(m->path);
	free(m);
}

/* Whether ${v} lies in the map, on pages that are as they were written: a long value has pages of its own. */
static bool
value_ok(struct mdb *m, const MDB_val *v)
{
	uintptr_t p = (uintptr_t)v->mv_data, base = (uintptr_t)m->base;
	size_t len = m->guard.npages * m->guard.psize;

	if (p < base || p - base > len || v->mv_size > len - (p - base))
		return false;
	size_t first = (p - base) / m->guard.psize;
	size_t last = (p - base + (v->mv_size > 0 ? v->mv_size - 1 : 0)) / m->guard.psize;

	for (size_t i = first; i <= last; i++)
		if (!mdbfile_guard_page(&m->guard, i))
			return false;
	return true;
}

int
mdb_find(struct mdb *m, struct span key, struct span *val)
{
	MDB_val k = { key.n, (void *)(uintptr_t)key.p }, v;
	uint64_t leaf;
	int rc;

	if (spoilt(m))
		return fail(EBADMSG);
	if (key.n == 0 || key.n > (size_t)mdb_env_get_maxkeysize(m->env))
		return 0;
	if (mdbfile_guard_path(&m->guard, key, &leaf) != 0)
		return -1;
	rc = mdb_get(m->txn, m->dbi, &k, &v);
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return fail(rc);
	if (!value_ok(m, &v))
		return fail(EBADMSG);
	*val = span_of(v.mv_data, v.mv_size);
	return 1;
}

int
mdb_check(struct mdb *m)
{
	if (spoilt(m))
		return fail(EBADMSG);
	for (size_t i = 0; i < m->guard.npages; i++)
		if (!mdbfile_guard_page(&m->guard, i))
			return fail(EBADMSG);
	return 0;
}

int
mdb_walk(struct mdb *m, bool first, struct span *key, struct span *val)
{
	MDB_val k = { 0 }, v = { 0 };
	int rc;

	if (first && mdb_check(m) != 0)
		return -1;
	if (m->walk == NULL) {
		rc = mdb_cursor_open(m->txn, m->dbi, &m->walk);
		if (rc != 0) {
			m->walk = NULL;
			return fail(rc);
		}
	}
	rc = mdb_cursor_get(m->walk, &k, &v, first ? MDB_FIRST : MDB_NEXT);
	if (rc == 0 && span_eq(span_of(k.mv_data, k.mv_size), MDBFILE_META_KEY))
		rc = mdb_cursor_get(m->walk, &k, &v, MDB_NEXT);
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return fail(rc);
	*key = span_of(k.mv_data, k.mv_size);
	*val = span_of(v.mv_data, v.mv_size);
	return 1;
}

/* Whether the path leads to what is mapped, and can be read: 1, 0, or -1 with errno. */
static int
still_there(const struct mdb *m)
{
	struct stat st;
	int fd = open(m->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc, e;

	if (fd < 0)
		return -1;
	rc = fstat(fd, &st);
	e = errno;
	close(fd);
	errno = e;
	return rc != 0 ? -1 : m->env != NULL && same_file(&st, &m->st);
}

int
mdb_refresh(struct mdb *m)
{
	struct mdb fresh = { .path = m->path };
	int rc;

	mdb_watch(m);
	if (spoilt(m)) {
		unmap(m);
		m->info = (struct mdb_info){ 0 };
	}
	rc = still_there(m);
	m->older = rc < 0;
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (map(&fresh) != 0) {
		m->older = true;
		return -1;
	}
	unmap(m);
	*m = fresh;
	return 1;
}

enum mdb_state
mdb_state(const struct mdb *m)
{
	if (m == NULL || spoilt(m))
		return MDB_STATE_NONE;
	return m->older ? MDB_STATE_OLDER : MDB_STATE_NEWEST;
}

void
mdb_info(const struct mdb *m, struct mdb_info *out)
{
	*out = m->info;
}
