/*
 * storefix: a Maildir store in a scratch folder, with its pool and a small
 * loop, for the suites that deliver through its table of functions.
 */
#ifndef TESTS_UNIT_STOREFIX_H_
#define TESTS_UNIT_STOREFIX_H_

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "tests/unit/suite.h"
#include "worker/smtp/trace.h"
#include "worker/store/store.h"

static const char fix_received[] = "Received: from client.example by mx.example;\n\tTue, 24 Nov 2026 12:00:00 +0000\n";

struct fix {
	char              path[64];
	struct conf_store conf;
	struct store_env  env;
	struct iopool    *pool;
	void             *ctx;
	struct arena      arena;
	struct txn       *txn;
	unsigned          woken, ended;
	struct store_done done;
};

/* Remove a folder and all in it. */
static inline void
fix_remove(int at, const char *name)
{
	int  fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	DIR *d  = fd == -1 ? NULL : fdopendir(fd);

	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlinkat(fd, e->d_name, 0) != 0)
			fix_remove(fd, e->d_name);
	if (d != NULL)
		closedir(d);
	unlinkat(at, name, AT_REMOVEDIR);
}

static inline void
fix_open(struct fix *f, bool delivered_to, unsigned threads, unsigned queued)
{
	const char *base = getenv("TMPDIR");

	*f = (struct fix){ .conf = { .kind = "maildir", .delivered_to = delivered_to } };
	snprintf(
	    f->path, sizeof(f->path), "%s/letterplate-store-XXXXXX", base != NULL && strlen(base) < 30 ? base : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(f->path));
	f->conf.path = f->path;
	f->pool      = iopool_start(threads, queued);
	ck_assert_ptr_nonnull(f->pool);
	f->env = (struct store_env){
		.conf = &f->conf, .hostname = "mx.example", .pool = f->pool, .slot = 3, .size_max = 1 << 30
	};
	ck_assert_int_eq(store_maildir.open(&f->env, &f->ctx), 0);
	arena_init(&f->arena, TXN_ARENA_FIRST, TXN_ARENA_MAX);
	f->txn = txn_new(&f->arena);
	ck_assert_ptr_nonnull(f->txn);
}

static inline void
fix_close(struct fix *f)
{
	iopool_stop(f->pool);
	store_maildir.close(f->ctx);
	arena_reset(&f->arena);
	fix_remove(AT_FDCWD, f->path);
}

/* One more target, user@example.org in example.org/user. */
static inline void
fix_target(struct fix *f, const char *user, const char *folder)
{
	char         key[600], dir[600];
	struct rcpt *r = txn_rcpt_new(f->txn);

	ck_assert_ptr_nonnull(r);
	snprintf(key, sizeof(key), "%s@example.org", user);
	snprintf(dir, sizeof(dir), "example.org/%s", user);
	ck_assert_int_eq(arena_dup(&f->arena, span_str(user), &r->addr.local), 0);
	r->addr.domain = SPAN("example.org");
	ck_assert_int_eq(txn_deliver(f->txn, r, span_str(key), span_str(dir), span_str(folder), NULL), 0);
	txn_rcpt_accept(f->txn, r);
}

/* A new transaction. */
static inline void
fix_again(struct fix *f)
{
	arena_reset(&f->arena);
	f->txn = txn_new(&f->arena);
	ck_assert_ptr_nonnull(f->txn);
}

static inline void
fix_woken(void *arg)
{
	((struct fix *)arg)->woken++;
}

static inline void
fix_ended(void *arg, const struct store_done *d)
{
	struct fix *f = arg;

	f->ended++;
	f->done = *d;
}

static inline struct store_msg *
fix_begin(struct fix *f)
{
	struct store_msg *m = NULL;

	ck_assert_int_eq(store_maildir.begin(f->ctx, f->txn, span_str(fix_received), fix_woken, f, &m), 0);
	return m;
}

/* A turn of the loop: wait for the pool, then done(). */
static inline void
fix_turn(struct fix *f)
{
	struct pollfd p = { .fd = iopool_fd(f->pool), .events = POLLIN };

	ck_assert_int_eq(poll(&p, 1, 20000), 1);
	iopool_reap(f->pool);
}

static inline void
fix_settle(struct fix *f)
{
	while (iopool_pending(f->pool) > 0)
		fix_turn(f);
}

/* Offer all of it, ${piece} octets at a time, waiting where the store says so.  0 or the errno. */
static inline int
fix_write(struct fix *f, struct store_msg *m, struct span s, size_t piece)
{
	while (s.n > 0) {
		size_t   n = s.n < piece ? s.n : piece, taken = 0;
		unsigned woken = f->woken;

		if (store_maildir.write(m, span_head(s, n), &taken) == -1) {
			if (errno != EAGAIN)
				return errno;
			while (f->woken == woken)
				fix_turn(f);
		}
		s = span_skip(s, taken);
	}
	return 0;
}

static inline void
fix_commit(struct fix *f, struct store_msg *m, bool all)
{
	unsigned ended = f->ended;

	store_maildir.commit(m, all, fix_ended, f);
	ck_assert_uint_eq(f->ended, ended);
	while (f->ended == ended)
		fix_turn(f);
}

/* How many files stand in PATH/${sub}; the name of one of them in ${name} (NAME_MAX + 1 octets, or NULL).  -1: no such folder. */
static inline int
fix_count(const struct fix *f, const char *sub, char *name)
{
	char path[2048];
	DIR *d;
	int  n = 0;

	snprintf(path, sizeof(path), "%s/%s", f->path, sub);
	if ((d = opendir(path)) == NULL)
		return -1;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
			if (name != NULL)
				memcpy(name, e->d_name, strlen(e->d_name) + 1);
			n++;
		}
	closedir(d);
	return n;
}

/* What the file for target ${tg} must be: its trace lines and ${content}. */
static inline struct span
fix_expect(const struct fix *f, const struct target *tg, struct span content)
{
	uint8_t *p = malloc(TRACE_TARGET_MAX + content.n);
	ssize_t  n;

	ck_assert_ptr_nonnull(p);
	n = trace_target(f->txn, tg, f->conf.delivered_to, span_str(fix_received), (char *)p, TRACE_TARGET_MAX);
	ck_assert_int_gt(n, 0);
	memcpy(p + n, content.p, content.n);
	return span_of(p, (size_t)n + content.n);
}

/* The one file in PATH/${sub}/new is ${content} behind the trace lines of ${tg}, octet by octet, with its size in its name and nobody else's business. */
static inline void
fix_check(const struct fix *f, const char *sub, const struct target *tg, struct span content)
{
	struct span want = fix_expect(f, tg, content);
	char        dir[800], path[2048], name[256], size[32];
	uint8_t    *got = malloc(want.n + 1);
	struct stat st;
	int         fd;

	snprintf(dir, sizeof(dir), "%s/new", sub);
	ck_assert_int_eq(fix_count(f, dir, name), 1);
	snprintf(path, sizeof(path), "%s/%s/%s", f->path, dir, name);
	fd = open(path, O_RDONLY);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq((size_t)st.st_size, want.n);
	ck_assert_ptr_nonnull(got);
	ck_assert_int_eq(read(fd, got, want.n + 1), (ssize_t)want.n);
	ck_assert_int_eq(memcmp(got, want.p, want.n), 0);
	close(fd);
	snprintf(size, sizeof(size), ",S=%zu", want.n);
	ck_assert_ptr_nonnull(strstr(name, size));
	ck_assert_str_eq(strstr(name, ",S="), size);
	free(got);
	free((void *)(uintptr_t)want.p);
	snprintf(dir, sizeof(dir), "%s/tmp", sub);
	ck_assert_int_eq(fix_count(f, dir, NULL), 0);
}
#endif
