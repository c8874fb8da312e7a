/*
 * The journal's records and segments, octet by octet: what is whole is found,
 * and nothing else is, whatever stands there.  Segments end on a guard page.
 * Crashes, failing calls and full disks are tests/fault's.
 */
#include "tests/unit/journalfix.h"

struct segment {
	uint8_t *p; /* ends on a guard page */
	struct journal_head h;
	uint64_t end;
};

/* A segment of one record, at its very end, behind zeros. */
static struct segment
make_segment(struct fix *f, unsigned boxes)
{
	char name[UNIQUE_MAX];
	size_t n, room;
	uint8_t *rec = make_record(f, boxes, &n, name), *mem;
	struct segment s = { .h = { .use = USE } };

	journal_record_seal((struct journal_record *)(void *)rec, USE, JOURNAL_BLOCK, true);
	s.h.size = s.end = JOURNAL_BLOCK + n;
	/* Records stand at multiples of eight, so the page may begin a few octets behind the end. */
	room = (s.h.size + 7) & ~7UL;
	mem = calloc(1, room);
	ck_assert_ptr_nonnull(mem);
	memcpy(mem + JOURNAL_BLOCK, rec, n);
	s.p = (uint8_t *)(uintptr_t)guarded(mem, room).p;
	free(mem);
	free(rec);
	return s;
}

static struct journal_record *
record_in(const struct segment *s)
{
	return (struct journal_record *)(void *)(s->p + JOURNAL_BLOCK);
}

static const struct journal_record *
found(const struct segment *s)
{
	return journal_record_at(s->p, &s->h, JOURNAL_BLOCK);
}

/* Checksums as if it had been written so. */
static void
reseal(const struct segment *s)
{
	struct journal_record *r = record_in(s);

	if (r->len >= sizeof(*r) && r->len <= s->h.size - JOURNAL_BLOCK)
		r->body_crc = crc32c(0, r + 1, r->len - sizeof(*r));
	journal_record_seal(r, r->use, r->pos, r->last != 0);
}

START_TEST(whole)
{
	struct fix f;

	fix_open(&f, true, 1, 8);
	for (unsigned boxes = 1; boxes <= JOURNAL_TARGETS_MAX; boxes++) {
		struct segment s = make_segment(&f, boxes);
		const struct journal_record *r = found(&s);

		ck_assert_ptr_eq(r, record_in(&s));
		ck_assert_uint_eq(r->ntargets, boxes);
		ck_assert_uint_eq(r->ncontent, CONTENT);
		ck_assert_uint_eq(r->len, s.h.size - JOURNAL_BLOCK);
		ck_assert_int_eq(memcmp(s.p + s.end - CONTENT, content, CONTENT), 0);
		/* The next batch begins at a block, the next record of a batch at eight. */
		ck_assert_uint_eq(journal_record_next(r) % JOURNAL_BLOCK, 0);
		ck_assert_uint_ge(journal_record_next(r), s.end);
		ck_assert_uint_lt(journal_record_next(r), s.end + JOURNAL_BLOCK);
		record_in(&s)->last = 0;
		ck_assert_uint_eq(journal_record_next(r), (s.end + 7) & ~7ULL);
	}
	fix_close(&f);
}
END_TEST

START_TEST(every_octet_counts)
{
	static const uint8_t change[] = { 0x01, 0x80, 0xff };
	struct fix f;
	struct segment s;

	fix_open(&f, true, 1, 8);
	s = make_segment(&f, 2);
	for (uint64_t at = JOURNAL_BLOCK; at < s.end; at++)
		for (size_t i = 0; i < sizeof(change); i++) {
			s.p[at] ^= change[i];
			ck_assert_msg(found(&s) == NULL, "octet %llu ^ %02x", (unsigned long long)at, change[i]);
			s.p[at] ^= change[i];
		}
	ck_assert_ptr_nonnull(found(&s));
	fix_close(&f);
}
END_TEST

/* Written up to any octet, over zeros and over what another use of the segment left there. */
START_TEST(torn)
{
	struct fix f;
	struct segment s;
	uint8_t *rec;
	size_t n;

	fix_open(&f, true, 1, 8);
	s = make_segment(&f, 1);
	n = s.end - JOURNAL_BLOCK;
	rec = malloc(n);
	ck_assert_ptr_nonnull(rec);
	memcpy(rec, record_in(&s), n);
	for (int old = 0; old < 2; old++)
		for (size_t cut = 0; cut <= n; cut++) {
			uint8_t *at = s.p + JOURNAL_BLOCK;

			memset(at, 0, n);
			if (old) {
				memcpy(at, rec, n);
				memset(at + n - CONTENT, 'x', CONTENT);
				record_in(&s)->use = USE - 1;
				reseal(&s);
			}
			memcpy(at, rec, cut);
			ck_assert_msg((found(&s) != NULL) == (cut == n), "cut at %zu of %zu", cut, n);
		}
	free(rec);
	fix_close(&f);
}
END_TEST

START_TEST(of_another_use)
{
	struct fix f;
	struct segment s;

	fix_open(&f, true, 1, 8);
	s = make_segment(&f, 1);
	s.h.use = USE + 1;
	ck_assert_ptr_null(found(&s));
	s.h.use = USE;
	record_in(&s)->pos += 8; /* it was copied from elsewhere */
	reseal(&s);
	ck_assert_ptr_null(found(&s));
	fix_close(&f);
}
END_TEST

/* Lengths that a broken writer could have sealed: none of them may lead out of the record.  0 of ${n}: that of the target. */
static const struct {
	const char *what;
	size_t at, n;
	uint64_t value;
	bool in_target;
} lie[] = {
#define RECORD(field, v) \
	{ \
#field " = " #v, offsetof(struct journal_record, field), sizeof(((struct journal_record *)0)->field), \
		    v, false \
	}
#define TARGET(field, v) \
	{ \
#field " = " #v, offsetof(struct journal_target, field), sizeof(((struct journal_target *)0)->field), \
		    v, true \
	}
	RECORD(len, 0), RECORD(len, 1), RECORD(len, 47), RECORD(len, 48), RECORD(len, UINT32_MAX),
	RECORD(len, 1U << 31), RECORD(len, UINT32_MAX - 7), RECORD(ncontent, UINT32_MAX), RECORD(ncontent, 1U << 31),
	RECORD(ncontent, 0), RECORD(ncontent, 4096), RECORD(ntargets, 0), RECORD(ntargets, 2),
	RECORD(ntargets, UINT16_MAX), RECORD(kind, 0), RECORD(kind, JOURNAL_VOID), RECORD(kind, 3),
	RECORD(kind, UINT16_MAX), RECORD(magic, 0), RECORD(use, 0), RECORD(pos, 0), RECORD(pos, UINT64_MAX),
	TARGET(ndir, UINT16_MAX), TARGET(ndir, 0), TARGET(nfolder, UINT16_MAX), TARGET(nname, UINT16_MAX),
	TARGET(name_room, UINT16_MAX), TARGET(name_room, 0), TARGET(nprefix, UINT32_MAX),
	TARGET(nprefix, UINT32_MAX - 15), TARGET(nprefix, 0)
};

START_TEST(lies)
{
	struct fix f;
	struct segment s;

	fix_open(&f, true, 1, 8);
	for (size_t i = 0; i < sizeof(lie) / sizeof(lie[0]); i++) {
		uint8_t *at;

		s = make_segment(&f, 1);
		at = s.p + JOURNAL_BLOCK + (lie[i].in_target ? sizeof(struct journal_record) : 0) + lie[i].at;
		memcpy(at, &lie[i].value, lie[i].n);
		reseal(&s);
		ck_assert_msg(found(&s) == NULL, "%s is believed", lie[i].what);
	}
	fix_close(&f);
}
END_TEST

START_TEST(positions)
{
	struct fix f;
	struct segment s;

	fix_open(&f, true, 1, 8);
	s = make_segment(&f, 1);
	for (uint64_t d = 0; d < 128; d += 8) {
		ck_assert_ptr_null(journal_record_at(s.p, &s.h, (s.h.size & ~7ULL) - d));
		ck_assert_ptr_null(journal_record_at(s.p, &s.h, s.h.size + d));
		ck_assert_ptr_null(journal_record_at(s.p, &s.h, UINT64_MAX - 7 - d));
	}
	/* The segment ends before the record does. */
	for (uint64_t end = JOURNAL_BLOCK; s.h.size > end;) {
		s.h.size--;
		ck_assert_ptr_null(found(&s));
	}
	fix_close(&f);
}
END_TEST

/* --- segments, and what is done with them --- */

static void
replay(struct seg_fix *x, unsigned written)
{
	uint64_t before = x->j.replayed;

	ck_assert_int_eq(journal_replay(&x->j, &x->seg, &x->h, false, NULL), 0);
	ck_assert_uint_eq(x->j.replayed - before, written);
}

/* What a handler chose is made where a crash took it; what a sender named is not. */
START_TEST(replays_into_folders)
{
	struct seg_fix x;
	char name[UNIQUE_MAX], last[NAME_MAX + 1];

	seg_fix_open(&x);
	append_message(&x, 3, name);
	replay(&x, 3);
	ck_assert_uint_eq(count_files(&x, 1, "new", last), 1);
	ck_assert_uint_eq(count_files(&x, 1, ".spam/new", last), 0);
	ck_assert_uint_eq(count_files(&x, 2, "new", last), 0);
	ck_assert_uint_eq(count_files(&x, 2, ".Held/new", last), 1);
	ck_assert_uint_eq(count_files(&x, 2, ".Held", last), 4); /* tmp, new, cur, and the mark */
	replay(&x, 0);
	seg_fix_close(&x);
}
END_TEST

START_TEST(replays)
{
	struct seg_fix x;
	char one[UNIQUE_MAX], two[UNIQUE_MAX], last[NAME_MAX + 1], from[PATH_MAX], to[PATH_MAX];
	struct stat st;
	FILE *fp;

	seg_fix_open(&x);
	append_message(&x, 1, one);
	append_message(&x, 2, two);
	replay(&x, 3);
	ck_assert_uint_eq(count_files(&x, 0, "new", last), 2);
	ck_assert_uint_eq(count_files(&x, 1, "new", last), 1); /* it has no folder "spam" */
	replay(&x, 0);                                         /* by name: nothing is doubled */
	ck_assert_uint_eq(count_files(&x, 0, "new", last), 2);

	/* A reader has it, with flags. */
	snprintf(from, sizeof(from), "%s/example.org/user0/new/%s", x.f.path, one);
	snprintf(to, sizeof(to), "%s/example.org/user0/cur/%s:2,S", x.f.path, one);
	ck_assert_int_eq(rename(from, to), 0);
	replay(&x, 0);
	ck_assert_uint_eq(count_files(&x, 0, "new", last), 1);

	/* Torn in cur/: replaced where it stands. */
	ck_assert_int_eq(stat(to, &st), 0);
	ck_assert_int_eq(truncate(to, st.st_size - 1), 0);
	replay(&x, 1);
	ck_assert_uint_eq(count_files(&x, 0, "new", last), 1);
	ck_assert_uint_eq(count_files(&x, 0, "cur", last), 1);
	ck_assert_int_eq(access(to, F_OK), 0);
	fp = fopen(to, "r+");
	ck_assert_ptr_nonnull(fp);
	ck_assert_int_eq(fseek(fp, -2, SEEK_END), 0);
	fputc('\0', fp); /* a page that never came */
	fclose(fp);
	replay(&x, 1);
	seg_fix_close(&x);
}
END_TEST

/* The count of a mailbox was not synced: it may lack what is replayed, and what was there already. */
START_TEST(replayed_is_counted_anew)
{
	struct seg_fix x;
	char name[UNIQUE_MAX], path[PATH_MAX];

	seg_fix_open(&x);
	append_message(&x, 1, name);
	snprintf(path, sizeof(path), "%s/example.org/user0/maildirsize", x.f.path);
	for (unsigned i = 0; i < 3; i++) {
		int fd = i == 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

		ck_assert(i == 0 || fd != -1);
		close(fd);
		x.f.env.quota = i == 1;
		replay(&x, i == 0);
		ck_assert_int_eq(access(path, F_OK), i == 2 ? 0 : -1);
	}
	seg_fix_close(&x);
}
END_TEST

START_TEST(takes_back)
{
	struct seg_fix x;
	char name[UNIQUE_MAX], last[NAME_MAX + 1];
	uint64_t at;

	seg_fix_open(&x);
	at = append_message(&x, 3, name);
	append_void(&x, at, 1 | 4);
	append_void(&x, JOURNAL_BLOCK + 8, 7);          /* of nothing */
	append_void(&x, at + (UINT64_C(1) << 32), 0xf); /* of nothing: it must not be cut to 32 bits */
	replay(&x, 1);
	ck_assert_uint_eq(count_files(&x, 0, "new", last), 0);
	ck_assert_uint_eq(count_files(&x, 2, "new", last), 0);
	seg_fix_close(&x);
}
END_TEST

START_TEST(not_what_is_retired)
{
	struct seg_fix x;
	char name[UNIQUE_MAX], last[NAME_MAX + 1];

	seg_fix_open(&x);
	append_message(&x, 1, name);
	x.h.retired = x.seg.end;
	append_message(&x, 1, name);
	replay(&x, 1);
	ck_assert_uint_eq(count_files(&x, 0, "new", last), 1);
	ck_assert_str_eq(last, name);
	seg_fix_close(&x);
}
END_TEST

/* Behind a record that is torn nothing is believed, though it is whole: writing had ended there. */
START_TEST(ends_at_a_torn_tail)
{
	struct seg_fix x;
	char name[UNIQUE_MAX], last[NAME_MAX + 1];
	uint64_t second;

	seg_fix_open(&x);
	append_message(&x, 1, name);
	second = append_message(&x, 1, name);
	append_message(&x, 1, name);
	ck_assert_int_eq(pwrite(x.seg.fd, "\0\0\0\0\0\0\0\0", 8, (off_t)second + 60), 8);
	replay(&x, 1);
	ck_assert_uint_eq(count_files(&x, 0, "new", last), 1);
	seg_fix_close(&x);
}
END_TEST

/* A background sync between the begin of a segment's next use and its first batch: it covers nothing of that. */
START_TEST(begun_anew)
{
	struct seg_fix x;
	struct journal_seg s, *cur = &x.j.seg[0];
	struct journal_head h;

	seg_fix_open(&x);
	pthread_mutex_init(&x.j.syncing, NULL);
	cur->state = JOURNAL_CURRENT;
	cur->end = cur->placed = x.j.size - JOURNAL_SPARE / 8;
	ck_assert_int_eq(journal_sync_pass(&x.j), 0);
	ck_assert_uint_eq(cur->retired, cur->end);
	ck_assert_int_eq(journal_seg_begin(&x.j, cur), 0);
	ck_assert_int_eq(journal_sync_pass(&x.j), 0);
	ck_assert_int_eq(journal_seg_open(&x.j, 0, 0, &s, &h), 0);
	ck_assert_uint_eq(h.use, cur->use);
	ck_assert_uint_eq(h.retired, JOURNAL_BLOCK);
	journal_seg_close(&s);
	seg_fix_close(&x);
}
END_TEST

START_TEST(heads)
{
	struct seg_fix x;
	struct journal_seg s;
	struct journal_head h;
	uint8_t head[sizeof(h)];
	char path[PATH_MAX];

	seg_fix_open(&x);
	ck_assert_int_eq(journal_seg_open(&x.j, 0, 0, &s, &h), 0);
	ck_assert_uint_eq(h.size, x.j.size);
	ck_assert_uint_eq(h.use, x.seg.use);
	ck_assert_int_eq(memcmp(&h.life, &x.j.life, sizeof(h.life)), 0);
	journal_seg_close(&s);
	ck_assert_int_eq(pread(x.seg.fd, head, sizeof(head), 0), (ssize_t)sizeof(head));
	for (size_t i = 0; i < sizeof(head); i++) {
		uint8_t c = head[i] ^ 0x10;

		ck_assert_int_eq(pwrite(x.seg.fd, &c, 1, (off_t)i), 1);
		ck_assert_int_eq(journal_seg_open(&x.j, 0, 0, &s, &h), -1);
		ck_assert_int_eq(errno, EBADMSG);
		ck_assert_int_eq(pwrite(x.seg.fd, &head[i], 1, (off_t)i), 1);
	}
	ck_assert_int_eq(journal_seg_retire(&x.j, &x.j.seg[0], 4 * JOURNAL_BLOCK), 0);
	ck_assert_int_eq(journal_seg_open(&x.j, 0, 0, &s, &h), 0);
	ck_assert_uint_eq(h.retired, 4 * JOURNAL_BLOCK);
	journal_seg_close(&s);
	ck_assert_int_eq(journal_seg_open(&x.j, 0, 1, &s, &h), -1);
	ck_assert_int_eq(errno, ENOENT);
	snprintf(path, sizeof(path), "%s/" JOURNAL_FOLDER "/0.0", x.f.path);
	for (off_t n = 0; n < (off_t)x.j.size; n += 4099) {
		ck_assert_int_eq(truncate(path, n), 0);
		ck_assert_int_eq(journal_seg_open(&x.j, 0, 0, &s, &h), -1);
		ck_assert_int_eq(errno, EBADMSG);
		n += n == 0 ? 79 : 0;
		ck_assert_int_eq(ftruncate(x.seg.fd, (off_t)x.j.size), 0);
		ck_assert_int_eq(pwrite(x.seg.fd, head, sizeof(head), 0), (ssize_t)sizeof(head));
	}
	seg_fix_close(&x);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("journal");
	TCase *r = tcase_create("records"), *g = tcase_create("segments");

	tcase_set_timeout(r, 30);
	tcase_add_test(r, whole);
	tcase_add_test(r, every_octet_counts);
	tcase_add_test(r, torn);
	tcase_add_test(r, of_another_use);
	tcase_add_test(r, lies);
	tcase_add_test(r, positions);
	tcase_set_timeout(g, 30);
	tcase_add_test(g, replays);
	tcase_add_test(g, replayed_is_counted_anew);
	tcase_add_test(g, replays_into_folders);
	tcase_add_test(g, takes_back);
	tcase_add_test(g, not_what_is_retired);
	tcase_add_test(g, ends_at_a_torn_tail);
	tcase_add_test(g, begun_anew);
	tcase_add_test(g, heads);
	suite_add_tcase(s, r);
	suite_add_tcase(s, g);
	return suite_run(s);
}
