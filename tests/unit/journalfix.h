/*
 * journalfix: a journal's segment in a scratch store, and records in it as a
 * worker would have left them, for the suites of what is done with those.
 */
#ifndef TESTS_UNIT_JOURNALFIX_H_
#define TESTS_UNIT_JOURNALFIX_H_

#include "common/crc32c.h"
#include "tests/unit/storefix.h"
#include "worker/store/folders.h"
#include "worker/store/journal.h"

static const char content[] = "Subject: hi\n\nthe text\n";

enum { USE = 7, CONTENT = sizeof(content) - 1 };

/* The record of a message for ${boxes} mailboxes. */
static inline uint8_t *
make_record(struct fix *f, unsigned boxes, size_t *n, char name[UNIQUE_MAX])
{
	struct store_msg m = { .md = f->ctx, .received = span_str(fix_received) };
	struct target   *t;

	fix_again(f);
	for (unsigned i = 0; i < boxes; i++) {
		char user[16];

		snprintf(user, sizeof(user), "user%u", i);
		fix_target(f, user, i == 1 ? "spam" : i == 2 ? "Held" : "");
	}
	m.txn   = f->txn;
	m.fill  = (uint8_t *)(uintptr_t)content;
	m.nfill = CONTENT;
	m.nspot = boxes;
	m.spot  = calloc(boxes, sizeof(m.spot[0]));
	ck_assert_ptr_nonnull(m.spot);
	t = f->txn->targets;
	for (unsigned i = 0; i < boxes; i++, t = t->next) {
		t->folder_make   = i == 2;
		m.spot[i].target = t;
		m.spot[i].folder = t->folder;
		unique_next(&m.md->unique, &m.spot[i].tmp_name);
	}
	ck_assert_int_eq(journal_record_begin(&m), 0);
	for (unsigned i = 0; i < boxes; i++)
		m.spot[i].size = m.spot[i].prefix.n + CONTENT;
	journal_record_complete(&m);
	unique_new(&m.md->unique, &m.spot[0].tmp_name, m.spot[0].size, name);
	free(m.spot);
	*n       = m.nrecord + m.nfill;
	m.record = realloc(m.record, *n);
	ck_assert_ptr_nonnull(m.record);
	memcpy(m.record + m.nrecord, content, CONTENT);
	return m.record;
}

struct seg_fix {
	struct fix          f;
	struct journal      j;
	struct journal_seg  seg;
	struct journal_head h;
};

static inline void
seg_fix_open(struct seg_fix *x)
{
	fix_open(&x->f, true, 1, 8);
	x->j = (struct journal){ .md = x->f.ctx, .size = 64 << 10, .life = { "the boot", 5 } };
	pthread_mutex_init(&x->j.mutex, NULL);
	pthread_cond_init(&x->j.room, NULL);
	ck_assert_int_eq(mkdirat(x->j.md->root, JOURNAL_FOLDER, 0700), 0);
	x->j.dir = folders_open(x->j.md->root, JOURNAL_FOLDER);
	ck_assert_int_ne(x->j.dir, -1);
	for (unsigned i = 0; i < JOURNAL_SEGMENTS; i++)
		x->j.seg[i] = (struct journal_seg){ .fd = -1, .mark = -1 };
	ck_assert_int_eq(journal_seg_create(&x->j, 0), 0);
	ck_assert_int_eq(journal_seg_begin(&x->j, &x->j.seg[0]), 0);
	x->h   = (struct journal_head){ .size = x->j.size, .use = x->j.seg[0].use, .retired = JOURNAL_BLOCK };
	x->seg = x->j.seg[0];
}

static inline void
seg_fix_close(struct seg_fix *x)
{
	journal_seg_close(&x->j.seg[0]);
	close(x->j.dir);
	fix_close(&x->f);
}

/* Write a message's record at the segment's end; where it stands. */
static inline uint64_t
append_message(struct seg_fix *x, unsigned boxes, char name[UNIQUE_MAX])
{
	size_t   n;
	uint8_t *rec = make_record(&x->f, boxes, &n, name);
	uint64_t at  = x->seg.end;

	journal_record_seal((struct journal_record *)(void *)rec, x->seg.use, at, true);
	ck_assert_int_eq(pwrite(x->seg.fd, rec, n, (off_t)at), (ssize_t)n);
	x->seg.end = journal_record_next((struct journal_record *)(void *)rec);
	free(rec);
	return at;
}

static inline void
append_void(struct seg_fix *x, uint64_t pos, unsigned failed)
{
	struct {
		struct journal_record r;
		struct journal_void   v;
	} rec = { .r = { .magic = JOURNAL_MAGIC, .kind = JOURNAL_VOID, .len = sizeof(rec) }, .v = { .pos = pos } };

	for (unsigned i = 0; i < JOURNAL_TARGETS_MAX; i++)
		rec.v.failed[i] = failed >> i & 1;
	rec.r.body_crc = crc32c(0, &rec.v, sizeof(rec.v));
	journal_record_seal(&rec.r, x->seg.use, x->seg.end, true);
	ck_assert_int_eq(pwrite(x->seg.fd, &rec, sizeof(rec), (off_t)x->seg.end), (ssize_t)sizeof(rec));
	x->seg.end = journal_record_next(&rec.r);
}

/* Files in example.org/user${n}/${sub}; the last one's name, and whether all end in the content. */
static inline unsigned
count_files(struct seg_fix *x, unsigned n, const char *sub, char last[NAME_MAX + 1])
{
	char     path[PATH_MAX];
	unsigned files = 0;
	DIR     *d;

	snprintf(path, sizeof(path), "%s/example.org/user%u/%s", x->f.path, n, sub);
	d = opendir(path);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.') {
			files++;
			snprintf(last, NAME_MAX + 1, "%s", e->d_name);
		}
	if (d != NULL)
		closedir(d);
	return files;
}
#endif
