/*
 * The Maildir store through its table of functions: what stands on disk,
 * octet by octet, after each way that a message may end.  Crashes, full disks
 * and failing system calls are tests/fault's.
 */
#include "worker/store/maildir.h"
#include "tests/unit/storefix.h"
#include "worker/store/folders.h"

enum { BIG = STORE_CHUNK + 2 * STORE_CHUNK_LARGE + 777 };

/* ${n} octets of lines that end in CRLF, as on the wire, and the same with LF. */
static void
make_content(size_t n, struct span *wire, struct span *file)
{
	uint8_t *w = malloc(n + 2), *l = malloc(n + 2);
	size_t wn = 0, ln = 0;

	ck_assert_ptr_nonnull(w);
	ck_assert_ptr_nonnull(l);
	for (size_t i = 0; wn < n; i++) {
		if (i % 61 == 60) {
			w[wn++] = '\r';
			w[wn++] = '\n';
			l[ln++] = '\n';
		} else {
			w[wn++] = l[ln++] = (uint8_t)(' ' + (i * 7 + i / 61) % 95);
		}
	}
	*wire = guarded(w, wn);
	*file = guarded(l, ln);
	free(w);
	free(l);
}

static struct target *
nth_target(const struct fix *f, unsigned n)
{
	struct target *tg = f->txn->targets;

	while (n-- > 0)
		tg = tg->next;
	return tg;
}

START_TEST(one_message)
{
	struct fix f;
	struct store_msg *m;
	struct stat st;
	char path[1024];

	fix_open(&f, true, 2, 8);
	fix_target(&f, "alice", "");
	m = fix_begin(&f);
	ck_assert_int_eq(fix_write(&f, m, SPAN("Subject: hi\r\n\r\na\rb\nc\r\n"), 100), 0);
	fix_commit(&f, m, true);
	ck_assert_int_eq(f.done.err, 0);
	ck_assert_int_eq(f.done.nstored, 1);
	ck_assert_int_eq(f.txn->targets->err, 0);
	fix_check(&f, "example.org/alice", f.txn->targets, SPAN("Subject: hi\n\na\rb\nc\n"));
	ck_assert_int_eq(fix_count(&f, "example.org/alice/cur", NULL), 0);
	snprintf(path, sizeof(path), "%s/example.org/alice/new", f.path);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	fix_close(&f);
}
END_TEST

START_TEST(name_form)
{
	struct fix f;
	struct store_msg *m;
	char name[256], tail[64];

	fix_open(&f, true, 1, 8);
	fix_target(&f, "alice", "");
	m = fix_begin(&f);
	fix_commit(&f, m, true);
	ck_assert_int_eq(fix_count(&f, "example.org/alice/new", name), 1);
	snprintf(tail, sizeof(tail), "P%dQ1_3.mx.example,S=", (int)getpid());
	ck_assert_ptr_nonnull(strstr(name, tail));
	ck_assert_ptr_nonnull(strstr(name, ".M"));
	ck_assert_ptr_null(strchr(name, ':'));
	fix_close(&f);
}
END_TEST

/* Sizes round the chunk, in pieces of several sizes: in memory below, through tmp/ above. */
static const size_t sizes[] = { 0, 1, 10240, STORE_CHUNK - 1, STORE_CHUNK, STORE_CHUNK + 1, 2 * STORE_CHUNK,
	2 * STORE_CHUNK + 2, BIG };
static const size_t pieces[] = { 1009, 4096, 16384, 3 * STORE_CHUNK };

START_TEST(size_and_piece)
{
	struct span wire, file;
	struct fix f;
	struct store_msg *m;

	make_content(sizes[_i / 4], &wire, &file);
	fix_open(&f, true, 2, 8);
	fix_target(&f, "alice", "");
	m = fix_begin(&f);
	ck_assert_int_eq(fix_write(&f, m, wire, pieces[_i % 4]), 0);
	fix_commit(&f, m, true);
	ck_assert_int_eq(f.done.err, 0);
	fix_check(&f, "example.org/alice", f.txn->targets, file);
	fix_close(&f);
}
END_TEST

/* A CR at the very end of a full chunk, and one at the very end of a message. */
START_TEST(cr_at_the_seam)
{
	static uint8_t w[STORE_CHUNK + 3], l[STORE_CHUNK + 3];
	struct fix f;
	struct store_msg *m;

	memset(w, 'x', STORE_CHUNK);
	memset(l, 'x', STORE_CHUNK);
	w[STORE_CHUNK - 1] = w[STORE_CHUNK + 1] = l[STORE_CHUNK] = '\r';
	w[STORE_CHUNK] = l[STORE_CHUNK - 1] = '\n';
	fix_open(&f, true, 2, 8);
	for (size_t cut = STORE_CHUNK; cut <= STORE_CHUNK + 2; cut++) {
		fix_again(&f);
		fix_target(&f, "alice", "");
		m = fix_begin(&f);
		ck_assert_int_eq(fix_write(&f, m, span_of(w, cut), STORE_CHUNK), 0);
		fix_commit(&f, m, true);
		ck_assert_int_eq(f.done.err, 0);
		if (cut == STORE_CHUNK)
			l[STORE_CHUNK - 1] = '\r';
		fix_check(&f, "example.org/alice", f.txn->targets, span_of(l, cut == STORE_CHUNK ? cut : cut - 1));
		l[STORE_CHUNK - 1] = '\n';
		fix_remove(AT_FDCWD, f.path);
		ck_assert_int_eq(mkdir(f.path, 0700), 0);
		store_maildir.close(f.ctx);
		ck_assert_int_eq(store_maildir.open(&f.env, &f.ctx), 0);
	}
	fix_close(&f);
}
END_TEST

/* Several targets: few and more than a batch, small and streamed, own files and links. */
START_TEST(several_targets)
{
	static const unsigned counts[] = { 2, 3, MAILDIR_BATCH, 2 * MAILDIR_BATCH + 3 };
	bool delivered_to = _i & 1, big = _i & 2;
	unsigned n = counts[_i / 4];
	struct span wire, file;
	struct fix f;
	struct store_msg *m;
	char sub[64], path[1400], name[256];
	struct stat st;

	make_content(big ? BIG : 2000, &wire, &file);
	fix_open(&f, delivered_to, 2, 8);
	for (unsigned i = 0; i < n; i++) {
		snprintf(sub, sizeof(sub), "user%u", i);
		fix_target(&f, sub, "");
	}
	m = fix_begin(&f);
	ck_assert_int_eq(fix_write(&f, m, wire, 4096), 0);
	fix_commit(&f, m, true);
	ck_assert_int_eq(f.done.err, 0);
	ck_assert_int_eq(f.done.nstored, (int)n);
	for (unsigned i = 0; i < n; i++) {
		snprintf(sub, sizeof(sub), "example.org/user%u", i);
		fix_check(&f, sub, nth_target(&f, i), file);
		snprintf(path, sizeof(path), "%s/new", sub);
		fix_count(&f, path, name);
		snprintf(path, sizeof(path), "%s/%s/new/%s", f.path, sub, name);
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_uint_eq(st.st_nlink, delivered_to ? 1 : n);
	}
	fix_close(&f);
}
END_TEST

START_TEST(sub_folder)
{
	struct fix f;
	struct store_msg *m;
	char path[1024];

	fix_open(&f, true, 1, 8);
	for (int i = 0; i < 3; i++) {
		/* 0: there is none; 1 and 2: it was made, the second time from memory. */
		snprintf(path, sizeof(path), "%s/example.org/alice/.lists", f.path);
		if (i == 1)
			ck_assert_int_eq(mkdir(path, 0700), 0);
		fix_again(&f);
		fix_target(&f, "alice", "lists");
		m = fix_begin(&f);
		ck_assert_int_eq(fix_write(&f, m, SPAN("x\r\n"), 9), 0);
		fix_commit(&f, m, true);
		ck_assert_int_eq(f.done.err, 0);
		ck_assert_int_eq(fix_count(&f, "example.org/alice/new", NULL), 1);
		ck_assert_int_eq(fix_count(&f, "example.org/alice/.lists/new", NULL), i == 0 ? -1 : i);
	}
	fix_close(&f);
}
END_TEST

/* A handler chose it: made as Maildir++ has it, in a mailbox that is new, or removed from one that is remembered. */
START_TEST(folder_made)
{
	struct span wire, file;
	struct fix f;
	struct store_msg *m;
	struct stat st;
	char path[1024], from[1024];

	make_content(_i == 0 ? 100 : BIG, &wire, &file);
	fix_open(&f, true, 1, 8);
	for (int i = 0; i < 3; i++) {
		snprintf(from, sizeof(from), "%s/example.org/alice/.Held.now", f.path);
		snprintf(path, sizeof(path), "%s/example.org/alice/.gone", f.path);
		if (i == 2)
			ck_assert_int_eq(rename(from, path), 0);
		fix_again(&f);
		fix_target(&f, "alice", "Held.now");
		fix_target(&f, "bob", "Held.now");
		f.txn->targets->folder_make = f.txn->targets->next->folder_make = true;
		m = fix_begin(&f);
		ck_assert_int_eq(fix_write(&f, m, wire, 9999), 0);
		fix_commit(&f, m, true);
		ck_assert_int_eq(f.done.err, 0);
		ck_assert_int_eq(fix_count(&f, "example.org/alice/.Held.now/new", NULL), i == 1 ? 2 : 1);
		ck_assert_int_eq(fix_count(&f, "example.org/bob/.Held.now/new", NULL), i + 1);
		ck_assert_int_eq(fix_count(&f, "example.org/alice/.Held.now/tmp", NULL), 0);
		ck_assert_int_eq(fix_count(&f, "example.org/alice/.Held.now/cur", NULL), 0);
		ck_assert_int_eq(fix_count(&f, "example.org/alice/new", NULL), 0);
		ck_assert_int_eq(fix_count(&f, "example.org/alice/cur", NULL), 0);
		snprintf(path, sizeof(path), "%s/example.org/alice/.Held.now/maildirfolder", f.path);
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_int_eq(st.st_size, 0);
	}
	fix_close(&f);
}
END_TEST

START_TEST(sub_folder_streamed)
{
	struct span wire, file;
	struct fix f;
	struct store_msg *m;
	char path[1024];

	make_content(BIG, &wire, &file);
	fix_open(&f, true, 1, 8);
	snprintf(path, sizeof(path), "%s/example.org", f.path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/example.org/alice", f.path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/example.org/alice/.lists", f.path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	fix_target(&f, "alice", "lists");
	fix_target(&f, "bob", "lists");
	m = fix_begin(&f);
	ck_assert_int_eq(fix_write(&f, m, wire, 9999), 0);
	fix_commit(&f, m, true);
	ck_assert_int_eq(f.done.err, 0);
	fix_check(&f, "example.org/alice/.lists", nth_target(&f, 0), file);
	fix_check(&f, "example.org/bob", nth_target(&f, 1), file);
	fix_close(&f);
}
END_TEST

/* One thread is kept busy, so that chunks pile up: EAGAIN with all but the rest taken, then wake(). */
struct gate {
	struct iojob job;
	int fd[2];
	bool ended;
};

static void
gate_run(struct iojob *j)
{
	char c;

	if (read(((struct gate *)(void *)j)->fd[0], &c, 1) != 1)
		abort();
}

static void
gate_done(struct iojob *j)
{
	((struct gate *)(void *)j)->ended = true;
}

START_TEST(eagain_and_wake)
{
	struct gate g = { .job = { .run = gate_run, .done = gate_done } };
	struct span wire, file;
	struct fix f;
	struct store_msg *m;
	size_t taken = 0;

	make_content(BIG, &wire, &file);
	fix_open(&f, true, 1, 8);
	ck_assert_int_eq(pipe(g.fd), 0);
	ck_assert_int_eq(iopool_submit(f.pool, &g.job), 0);
	fix_target(&f, "alice", "");
	m = fix_begin(&f);
	ck_assert_int_eq(store_maildir.write(m, wire, &taken), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_uint_ge(taken, STORE_CHUNK + STORE_CHUNK_LARGE);
	ck_assert_uint_lt(taken, STORE_CHUNK + STORE_CHUNK_LARGE + STORE_CHUNK_LARGE / 32);
	wire = span_skip(wire, taken);
	ck_assert_int_eq(store_maildir.write(m, wire, &taken), -1);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_uint_eq(taken, 0);
	ck_assert_uint_eq(f.woken, 0);
	ck_assert_int_eq(write(g.fd[1], "x", 1), 1);
	while (f.woken == 0)
		fix_turn(&f);
	ck_assert(g.ended);
	ck_assert_uint_eq(f.woken, 1);
	ck_assert_int_eq(fix_write(&f, m, wire, 5000), 0);
	fix_commit(&f, m, true);
	ck_assert_int_eq(f.done.err, 0);
	fix_check(&f, "example.org/alice", f.txn->targets, file);
	fix_close(&f);
}
END_TEST

/* Large chunks are for a number of messages at a time; others take small ones, and whoever ends leaves its share. */
START_TEST(large_chunks_are_few)
{
	enum { N = STORE_LARGE_MAX + 2 };
	struct store_msg *m[N];
	struct span wire, file;
	struct gate g = { .job = { .run = gate_run, .done = gate_done } };
	struct fix f;
	size_t taken;

	make_content(BIG, &wire, &file);
	fix_open(&f, true, 1, N + 1);
	ck_assert_int_eq(pipe(g.fd), 0);
	ck_assert_int_eq(iopool_submit(f.pool, &g.job), 0);
	fix_target(&f, "alice", "");
	for (int i = 0; i < N; i++) {
		size_t second = i < STORE_LARGE_MAX || i == N - 1 ? STORE_CHUNK_LARGE : STORE_CHUNK;

		if (i == N - 1) { /* one that has not begun to be written */
			ck_assert_int_eq(write(g.fd[1], "x", 1), 1);
			fix_settle(&f);
			store_maildir.abort(m[0]);
			fix_settle(&f);
			g.ended = false;
			ck_assert_int_eq(iopool_submit(f.pool, &g.job), 0);
		}
		m[i] = fix_begin(&f);
		ck_assert_int_eq(store_maildir.write(m[i], wire, &taken), -1);
		ck_assert_int_eq(errno, EAGAIN);
		ck_assert_uint_ge(taken, STORE_CHUNK + second);
		ck_assert_uint_lt(taken, (STORE_CHUNK + second) / 32 * 33); /* CRs are taken and not kept */
	}
	ck_assert_int_eq(write(g.fd[1], "x", 1), 1);
	fix_settle(&f);
	for (int i = 1; i < N; i++)
		store_maildir.abort(m[i]);
	fix_close(&f);
}
END_TEST

/* Abort after this many octets, with the pool idle or still at work; the transaction is gone at once. */
START_TEST(abort_anywhere)
{
	static const size_t at[] = { 0, 10, STORE_CHUNK, STORE_CHUNK + STORE_CHUNK / 32, BIG };
	size_t n = at[_i / 2];
	struct span wire, file;
	struct fix f;
	struct store_msg *m;
	int left;

	make_content(n, &wire, &file);
	fix_open(&f, true, 1, 1);
	fix_target(&f, "alice", "");
	m = fix_begin(&f);
	ck_assert_int_eq(fix_write(&f, m, wire, 8192), 0);
	if (_i & 1)
		fix_settle(&f);
	f.woken = 0;
	store_maildir.abort(m);
	arena_reset(&f.arena);
	fix_settle(&f);
	ck_assert_uint_eq(f.woken, 0);
	ck_assert_uint_eq(f.ended, 0);
	left = fix_count(&f, "example.org/alice/tmp", NULL);
	ck_assert_int_eq(left, file.n > STORE_CHUNK ? 0 : -1);
	ck_assert_int_le(fix_count(&f, "example.org/alice/new", NULL), 0);
	/* The promise went back to the pool, which has room for one. */
	ck_assert_int_eq(iopool_reserve(f.pool), 0);
	iopool_unreserve(f.pool);
	fix_close(&f);
}
END_TEST

/* More messages than the pool promises: begin() says so, and commit never fails for want of room. */
START_TEST(too_many)
{
	struct store_msg *m[3];
	struct fix f;

	fix_open(&f, true, 1, 2);
	fix_target(&f, "alice", "");
	m[0] = fix_begin(&f);
	m[1] = fix_begin(&f);
	ck_assert_int_eq(store_maildir.begin(f.ctx, f.txn, span_str(fix_received), fix_woken, &f, &m[2]), -1);
	ck_assert_int_eq(errno, EAGAIN);
	store_maildir.commit(m[0], true, fix_ended, &f);
	store_maildir.commit(m[1], true, fix_ended, &f);
	fix_settle(&f);
	ck_assert_uint_eq(f.ended, 2);
	ck_assert_int_eq(fix_count(&f, "example.org/alice/new", NULL), 2);
	m[2] = fix_begin(&f);
	store_maildir.abort(m[2]);
	fix_close(&f);
}
END_TEST

static void
put_file(const struct fix *f, const char *sub)
{
	char path[1024];
	int fd;

	snprintf(path, sizeof(path), "%s/example.org", f->path);
	ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
	snprintf(path, sizeof(path), "%s/%s", f->path, sub);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ne(fd, -1);
	close(fd);
}

/* A target whose folder is a file.  With all, the others are taken back; without, they stand.  It is first, between, or last; small or streamed; own files or links. */
START_TEST(one_target_broken)
{
	unsigned broken = (unsigned)_i % 3;
	bool all = _i / 3 & 1, big = _i / 6 & 1, delivered_to = _i / 12 & 1;
	struct span wire, file;
	struct fix f;
	struct store_msg *m;
	char sub[64];
	int err;

	make_content(big ? BIG : 100, &wire, &file);
	fix_open(&f, delivered_to, 1, 8);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(sub, sizeof(sub), "user%u", i);
		fix_target(&f, sub, "");
	}
	snprintf(sub, sizeof(sub), "example.org/user%u", broken);
	put_file(&f, sub);
	m = fix_begin(&f);
	err = fix_write(&f, m, wire, 4096);
	ck_assert_int_eq(err, 0);
	fix_commit(&f, m, all);
	ck_assert_int_eq(f.done.err, ENOTDIR);
	ck_assert_int_eq(f.done.nstored, all ? 0 : 2);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(sub, sizeof(sub), "example.org/user%u/new", i);
		ck_assert_int_eq(nth_target(&f, i)->err, all || i == broken ? ENOTDIR : 0);
		if (all) {
			ck_assert_int_le(fix_count(&f, sub, NULL), 0);
			*strrchr(sub, '/') = '\0';
			strncat(sub, "/tmp", 5);
			ck_assert_int_le(fix_count(&f, sub, NULL), 0);
		} else if (i != broken) {
			*strrchr(sub, '/') = '\0';
			fix_check(&f, sub, nth_target(&f, i), file);
		}
	}
	fix_close(&f);
}
END_TEST

/* The store's folders are removed behind its back between two messages. */
START_TEST(folders_removed)
{
	static const char *const gone[] = { "example.org", "example.org/alice", "example.org/alice/tmp",
		"example.org/alice/new" };
	struct fix f;
	struct store_msg *m;
	char path[1024];

	fix_open(&f, true, 1, 8);
	for (int i = 0; i < 2; i++) {
		fix_again(&f);
		fix_target(&f, "alice", "");
		m = fix_begin(&f);
		ck_assert_int_eq(fix_write(&f, m, SPAN("x\r\n"), 9), 0);
		fix_commit(&f, m, true);
		ck_assert_int_eq(f.done.err, 0);
		snprintf(path, sizeof(path), "%s/%s", f.path, gone[_i]);
		if (i == 0)
			fix_remove(AT_FDCWD, path);
	}
	ck_assert_int_eq(fix_count(&f, "example.org/alice/new", NULL), _i == 2 ? 2 : 1);
	fix_close(&f);
}
END_TEST

/* A mailbox or a domain that is moved away gets no more mail: it goes where its name says. */
START_TEST(folders_moved)
{
	static const char *const moved[] = { "example.org", "example.org/alice" };
	struct fix f;
	struct store_msg *m;
	char path[1024], away[1024];

	fix_open(&f, true, 1, 8);
	for (int i = 0; i < 2; i++) {
		fix_again(&f);
		fix_target(&f, "alice", "");
		m = fix_begin(&f);
		ck_assert_int_eq(fix_write(&f, m, SPAN("x\r\n"), 9), 0);
		fix_commit(&f, m, true);
		ck_assert_int_eq(f.done.err, 0);
		snprintf(path, sizeof(path), "%s/%s", f.path, moved[_i]);
		snprintf(away, sizeof(away), "%s/away", f.path);
		if (i == 0)
			ck_assert_int_eq(rename(path, away), 0);
	}
	ck_assert_int_eq(fix_count(&f, "example.org/alice/new", NULL), 1);
	ck_assert_int_eq(fix_count(&f, _i == 0 ? "away/alice/new" : "away/new", NULL), 1);
	fix_close(&f);
}
END_TEST

/* Symbolic links below the store's path are not followed. */
START_TEST(symbolic_link)
{
	static const char *const link[] = { "example.org", "example.org/alice", "example.org/alice/tmp",
		"example.org/alice/new" };
	struct fix f;
	struct store_msg *m;
	char path[1024], away[1024];

	fix_open(&f, true, 1, 8);
	snprintf(away, sizeof(away), "%s/away", f.path);
	ck_assert_int_eq(mkdir(away, 0700), 0);
	for (int i = 0; i < 2 && i < _i; i++) {
		snprintf(path, sizeof(path), "%s/%s", f.path, link[i]);
		ck_assert_int_eq(mkdir(path, 0700), 0);
	}
	snprintf(path, sizeof(path), "%s/%s", f.path, link[_i]);
	ck_assert_int_eq(symlink(away, path), 0);
	fix_target(&f, "alice", "");
	m = fix_begin(&f);
	fix_commit(&f, m, true);
	ck_assert_int_eq(f.done.err, ENOTDIR);
	ck_assert_int_eq(fix_count(&f, "away", NULL), 0);
	fix_close(&f);
}
END_TEST

/* The directory never makes these; the store refuses them all the same. */
START_TEST(bad_dir)
{
	static const struct {
		const char *dir, *folder;
	} bad[] = { { "", "" }, { "example.org", "" }, { "/alice", "" }, { "example.org/", "" }, { "../alice", "" },
		{ "example.org/..", "" }, { "example.org/.alice", "" }, { "example.org/a/b", "" },
		{ "example.org/alice", "../x" }, { "example.org/alice", "." }, { "example.org/alice", "a/b" } };
	struct fix f;
	struct store_msg *m;

	fix_open(&f, true, 1, 8);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fix_again(&f);
		fix_target(&f, "alice", "");
		f.txn->targets->dir = span_str(bad[i].dir);
		f.txn->targets->folder = span_str(bad[i].folder);
		m = fix_begin(&f);
		fix_commit(&f, m, true);
		ck_assert_int_eq(f.done.err, EINVAL);
	}
	ck_assert_int_eq(fix_count(&f, ".", NULL), 0);
	fix_close(&f);
}
END_TEST

START_TEST(no_targets)
{
	struct fix f;
	struct store_msg *m;

	fix_open(&f, true, 1, 8);
	ck_assert_int_eq(store_maildir.begin(f.ctx, f.txn, span_str(fix_received), fix_woken, &f, &m), -1);
	ck_assert_int_eq(errno, EINVAL);
	fix_close(&f);
}
END_TEST

START_TEST(open_missing)
{
	struct conf_store conf = { .kind = "maildir", .path = "/nonexistent/letterplate" };
	struct store_env env = { .conf = &conf, .hostname = "mx.example" };
	void *ctx = NULL;

	ck_assert_int_eq(store_maildir.open(&env, &ctx), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_null(ctx);
}
END_TEST

START_TEST(counts)
{
	struct stats_slot *s = aligned_alloc(4096, (sizeof(*s) + 4095) / 4096 * 4096);
	struct fix f;
	struct store_msg *m;
	uint64_t n = 0;

	memset((void *)s, 0, sizeof(*s));
	fix_open(&f, true, 1, 8);
	f.env.stats = s;
	fix_target(&f, "alice", "");
	m = fix_begin(&f);
	store_maildir.commit(m, true, fix_ended, &f);
	ck_assert_uint_eq(atomic_load(&s->gauge[STATS_COMMITS_PENDING]), 1);
	fix_settle(&f);
	ck_assert_uint_eq(atomic_load(&s->gauge[STATS_COMMITS_PENDING]), 0);
	for (size_t i = 0; i < STATS_BUCKETS; i++)
		n += atomic_load(&s->hist[STATS_H_COMMIT].bucket[i]);
	ck_assert_uint_eq(n, 1);
	fix_close(&f);
	free(s);
}
END_TEST

/* More mailboxes than are remembered, twice. */
START_TEST(many_mailboxes)
{
	struct fix f;
	char user[32];

	fix_open(&f, true, 4, MAILBOX_CACHE + 64);
	for (int round = 0; round < 2; round++)
		for (unsigned i = 0; i < MAILBOX_CACHE + 40; i++) {
			struct store_msg *m;

			fix_again(&f);
			snprintf(user, sizeof(user), "user%u", i);
			fix_target(&f, user, "");
			m = fix_begin(&f);
			fix_commit(&f, m, true);
			ck_assert_int_eq(f.done.err, 0);
		}
	ck_assert_int_eq(fix_count(&f, "example.org", NULL), MAILBOX_CACHE + 40);
	ck_assert_int_eq(fix_count(&f, "example.org/user0/new", NULL), 2);
	fix_close(&f);
}
END_TEST

/* --- content handed out again --- */

static struct {
	uint8_t *p;
	size_t n;
	unsigned calls;
	bool ended;
	int err;
} again;

static void
take_again(void *arg, struct span s, int err)
{
	(void)arg;
	again.calls++;
	again.err = err;
	again.ended = s.n == 0;
	if (s.n > 0)
		memcpy(again.p + again.n, s.p, s.n);
	again.n += s.n;
}

/* What is read is what stands in the file; written to a second message, it is not folded again. */
START_TEST(read_again)
{
	struct span wire, file;
	struct fix f;
	struct store_msg *m, *second;

	make_content(sizes[_i], &wire, &file);
	memset(&again, 0, sizeof(again));
	again.p = malloc(file.n + 16);
	ck_assert_ptr_nonnull(again.p);
	fix_open(&f, true, 2, 8);
	fix_target(&f, "alice", "");
	m = fix_begin(&f);
	ck_assert_int_eq(fix_write(&f, m, wire, 4096), 0);
	ck_assert_int_eq(fix_write(&f, m, SPAN("x\r\r\ny\r"), 3), 0);
	do {
		unsigned calls = again.calls;

		store_maildir.read(m, again.n, take_again, NULL);
		while (again.calls == calls)
			fix_turn(&f);
		ck_assert_int_eq(again.err, 0);
	} while (!again.ended);
	ck_assert_uint_eq(again.n, file.n + 5);
	ck_assert_int_eq(memcmp(again.p, file.p, file.n), 0);
	ck_assert_int_eq(memcmp(again.p + file.n, "x\r\ny\r", 5), 0);
	second = fix_begin(&f);
	store_maildir.raw(second);
	ck_assert_int_eq(fix_write(&f, second, span_of(again.p, again.n), 1009), 0);
	store_maildir.abort(m);
	fix_commit(&f, second, true);
	ck_assert_int_eq(f.done.err, 0);
	fix_check(&f, "example.org/alice", f.txn->targets, span_of(again.p, again.n));
	fix_close(&f);
	free(again.p);
}
END_TEST

START_TEST(aborted_while_it_is_read)
{
	struct span wire, file;
	struct fix f;
	struct store_msg *m;

	make_content(BIG, &wire, &file);
	memset(&again, 0, sizeof(again));
	fix_open(&f, true, 2, 8);
	fix_target(&f, "alice", "");
	m = fix_begin(&f);
	ck_assert_int_eq(fix_write(&f, m, wire, 4096), 0);
	fix_settle(&f);
	store_maildir.read(m, 0, take_again, NULL);
	store_maildir.abort(m);
	fix_settle(&f);
	ck_assert_uint_eq(again.calls, 0);
	ck_assert_int_eq(fix_count(&f, "example.org/alice/tmp", NULL), 0);
	fix_close(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("maildir");
	TCase *tc = tcase_create("maildir");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, read_again, 0, (int)(sizeof(sizes) / sizeof(sizes[0])));
	tcase_add_test(tc, aborted_while_it_is_read);
	tcase_add_test(tc, one_message);
	tcase_add_test(tc, name_form);
	tcase_add_loop_test(tc, size_and_piece, 0, 4 * (int)(sizeof(sizes) / sizeof(sizes[0])));
	tcase_add_test(tc, cr_at_the_seam);
	tcase_add_loop_test(tc, several_targets, 0, 16);
	tcase_add_test(tc, sub_folder);
	tcase_add_test(tc, sub_folder_streamed);
	tcase_add_loop_test(tc, folder_made, 0, 2);
	tcase_add_test(tc, eagain_and_wake);
	tcase_add_test(tc, large_chunks_are_few);
	tcase_add_loop_test(tc, abort_anywhere, 0, 10);
	tcase_add_test(tc, too_many);
	tcase_add_loop_test(tc, one_target_broken, 0, 24);
	tcase_add_loop_test(tc, folders_removed, 0, 4);
	tcase_add_loop_test(tc, folders_moved, 0, 2);
	tcase_add_loop_test(tc, symbolic_link, 0, 4);
	tcase_add_test(tc, bad_dir);
	tcase_add_test(tc, no_targets);
	tcase_add_test(tc, open_missing);
	tcase_add_test(tc, counts);
	tcase_add_test(tc, many_mailboxes);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
