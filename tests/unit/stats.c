/*
 * stats: the suite of common/stats.c and stats_read.c, with real processes
 * that count, die and are followed; and of letterplate-stats' forms, which are
 * printed from segments full of damage.
 *
 *	stats segment DIR [SECONDS]	make a segment in DIR and count in it: for tests/tools/stats.sh
 *	STATS_ROUNDS=100000 stats	so many damaged segments
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>

#include "common/stats.h"
#include "common/stats_form.h"
#include "tests/unit/statsfix.h"
#include "tools/stats/show.h"

static uint64_t
count_of(const struct stats_sum *s, uint16_t code, uint32_t enh, const char *reason)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->nrow; i++)
		if (s->row[i].code == code && s->row[i].enh == enh && strcmp(s->row[i].reason, reason) == 0)
			n += s->row[i].count;
	return n;
}

#define E511 (5u << 20 | 1u << 10 | 1u)
#define E571 (5u << 20 | 7u << 10 | 1u)

START_TEST(a_fresh_segment)
{
	struct stats_sum s;
	struct stat st;
	char fresh[96];

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0644);
	ck_assert_uint_ge((uint64_t)st.st_blocks * 512, (uint64_t)st.st_size); /* no holes: see stats.c */
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	ck_assert_int_eq(access(fresh, F_OK), -1);
	look(&s);
	ck_assert_str_eq(s.version, "1.2.3");
	ck_assert_uint_le((uint64_t)time(NULL) - s.started, 60);
	ck_assert_uint_eq(sample_replies(&s), 0);
	ck_assert_uint_eq(s.nrow, 0);
	ck_assert_uint_eq(s.nworker, 0);
	stats_sum_free(&s);
}
END_TEST

START_TEST(made_anew_over_the_old_one)
{
	struct stats_slot *s = stats_slot_map(fd, 1, 1);
	struct stats_sum sum;
	int other;

	stats_add(s, STATS_MESSAGES, 5);
	ck_assert_int_ge(other = stats_create(dir, "2"), 0);
	look(&sum);
	ck_assert_uint_eq(sum.counter[STATS_MESSAGES], 0);
	stats_sum_free(&sum);
	stats_add(s, STATS_MESSAGES, 5); /* whoever has the old one is not disturbed */
	stats_slot_unmap(s);
	close(other);
	ck_assert_int_eq(stats_create("/nonexistent", "2"), -1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(maps_its_own_slot_alone)
{
	struct stats_slot *s = stats_slot_map(fd, 7, 1);
	unsigned long from, to, at;
	char line[512];
	int maps = 0;
	FILE *f = fopen("/proc/self/maps", "r");

	ck_assert_ptr_nonnull(s);
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		char *end;

		if (strstr(line, path) == NULL)
			continue;
		maps++;
		from = strtoul(line, &end, 16);
		to = strtoul(end + 1, &end, 16);
		at = strtoul(end + 6, NULL, 16);
		ck_assert_uint_eq(to - from, sizeof(*s));
		ck_assert_uint_eq(at, STATS_HEAD + 7 * sizeof(*s));
	}
	fclose(f);
	ck_assert_int_eq(maps, 1);
	stats_slot_unmap(s);
}
END_TEST

START_TEST(refuses_what_is_no_slot)
{
	struct stats_head h;
	int ro;

	ck_assert_ptr_null(stats_slot_map(fd, STATS_SLOTS, 1));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(stats_slot_clear(fd, STATS_SLOTS), -1);
	ro = open(path, O_RDONLY);
	ck_assert_ptr_null(stats_slot_map(ro, 1, 1));
	ck_assert_int_eq(errno, EACCES);
	close(ro);
	ck_assert_int_eq(pread(fd, &h, sizeof(h), 0), sizeof(h));
	h.layout++;
	ck_assert_int_eq(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	ck_assert_ptr_null(stats_slot_map(fd, 1, 1));
	ck_assert_int_eq(errno, EPROTONOSUPPORT);
	h.layout--;
	ck_assert_int_eq(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	ck_assert_int_eq(ftruncate(fd, STATS_HEAD + 2 * sizeof(struct stats_slot)), 0);
	ck_assert_ptr_null(stats_slot_map(fd, 1, 1));
}
END_TEST

START_TEST(counts_replies_by_code_and_reason)
{
	struct stats_slot *a = stats_slot_map(fd, 1, 1), *b = stats_slot_map(fd, 2, 1);
	struct stats_sum s;

	for (int i = 0; i < 3; i++)
		stats_reply(a, 550, E511, "no-such-mailbox");
	stats_reply(b, 550, E511, "no-such-mailbox");
	stats_reply(b, 550, E571, "no-such-mailbox");
	stats_reply(b, 551, E511, "no-such-mailbox");
	stats_reply(b, 550, E511, "no-such");
	stats_reply(b, 550, E511, "");
	stats_reply(b, 354, 0, "");
	stats_reply(b, 220, 0, "greeting");
	stats_reply(b, 250, 0, "Bad Word\n");
	stats_reply(b, 250, 0, "Bad Word\n");
	stats_reply(b, 250, 0, "0123456789012345678901234567890123456789");
	stats_reply(b, 250, 0, "0123456789012345678901234567890123456789");
	stats_reply(b, 60000, 0, "");
	look(&s);
	ck_assert_uint_eq(s.reply[550], 7);
	ck_assert_uint_eq(s.reply[551], 1);
	ck_assert_uint_eq(s.reply[354], 1);
	ck_assert_uint_eq(s.reply[250], 4);
	ck_assert_uint_eq(s.reply[0], 1);
	ck_assert_uint_eq(sample_replies(&s), 15);
	ck_assert_uint_eq(count_of(&s, 550, E511, "no-such-mailbox"), 4);
	ck_assert_uint_eq(count_of(&s, 550, E571, "no-such-mailbox"), 1);
	ck_assert_uint_eq(count_of(&s, 551, E511, "no-such-mailbox"), 1);
	ck_assert_uint_eq(count_of(&s, 550, E511, "no-such"), 1);
	ck_assert_uint_eq(count_of(&s, 220, 0, "greeting"), 1);
	ck_assert_uint_eq(count_of(&s, 250, 0, "bad-word-"), 2);
	ck_assert_uint_eq(count_of(&s, 250, 0, "012345678901234567890123456789012"), 2);
	ck_assert_uint_eq(s.nrow, 7);
	for (size_t i = 1; i < s.nrow; i++)
		ck_assert_uint_le(s.row[i - 1].code, s.row[i].code);
	stats_sum_free(&s);
	stats_slot_unmap(a);
	stats_slot_unmap(b);
}
END_TEST

START_TEST(a_full_table_of_reasons)
{
	struct stats_slot *a = stats_slot_map(fd, 1, 1);
	struct stats_sum s;
	uint64_t all = 0;
	char reason[16];

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 300; i++) {
			snprintf(reason, sizeof(reason), "reason-%d", i);
			stats_reply(a, 550, E511, reason);
		}
	look(&s);
	ck_assert_uint_eq(s.nrow, STATS_REASONS);
	ck_assert_uint_eq(count_of(&s, 0, 0, "other"), 2 * (300 - (STATS_REASONS - 1)));
	for (size_t i = 0; i < s.nrow; i++)
		all += s.row[i].count;
	ck_assert_uint_eq(all, 600);
	ck_assert_uint_eq(count_of(&s, 550, E511, "reason-0"), 2);
	ck_assert_uint_eq(s.reply[550], 600);
	stats_sum_free(&s);
	stats_slot_unmap(a);
}
END_TEST

START_TEST(failed_handshakes_by_reason)
{
	struct stats_slot *a = stats_slot_map(fd, 1, 1), *b = stats_slot_map(fd, 2, 1);
	struct stats_sum s;
	char why[32];

	stats_tls_failed(a, "no shared cipher");
	stats_tls_failed(b, "no shared cipher");
	stats_tls_failed(b, "Connection reset by peer");
	stats_tls_failed(b, "");
	look(&s);
	ck_assert_uint_eq(s.nrow, 0);
	ck_assert_uint_eq(s.ntls_why, 3);
	ck_assert_str_eq(s.tls_why[0].reason, "connection-reset-by-peer");
	ck_assert_str_eq(s.tls_why[1].reason, "no-shared-cipher");
	ck_assert_uint_eq(s.tls_why[1].count, 2);
	ck_assert_str_eq(s.tls_why[2].reason, "unknown");
	ck_assert_uint_eq(s.counter[STATS_TLS_FAILED], 4);
	stats_sum_free(&s);
	/* A client that picks reasons fills its own table alone. */
	for (int i = 0; i < 100; i++) {
		snprintf(why, sizeof(why), "reason %d", i);
		stats_tls_failed(a, why);
	}
	stats_reply(a, 550, E511, "fine");
	look(&s);
	ck_assert_uint_eq(s.ntls_why, STATS_TLS_WHYS + 2);
	ck_assert_uint_eq(count_of(&s, 550, E511, "fine"), 1);
	stats_sum_free(&s);
	stats_slot_unmap(a);
	stats_slot_unmap(b);
}
END_TEST

static const struct {
	uint64_t us;
	unsigned bucket;
} buckets[] = {
	{ 0, 0 },
	{ 1, 1 },
	{ 2, 2 },
	{ 3, 2 },
	{ 4, 3 },
	{ 1023, 10 },
	{ 1024, 11 },
	{ UINT64_C(1) << 38, 39 },
	{ UINT64_C(1) << 50, 39 },
	{ (UINT64_C(1) << 38) - 1, 38 },
};

START_TEST(a_value_has_its_bucket)
{
	struct stats_slot *a = stats_slot_map(fd, 1, 1);
	struct stats_sum s;

	stats_observe(a, STATS_H_COMMIT, buckets[_i].us);
	look(&s);
	ck_assert_uint_eq(s.bucket[STATS_H_COMMIT][buckets[_i].bucket], 1);
	ck_assert_uint_eq(s.sum_us[STATS_H_COMMIT], buckets[_i].us);
	ck_assert_uint_eq(stats_hist_count(&s, STATS_H_COMMIT), 1);
	ck_assert_uint_eq(stats_hist_count(&s, STATS_H_LOOKUP), 0);
	stats_sum_free(&s);
	stats_slot_unmap(a);
}
END_TEST

START_TEST(quantiles)
{
	struct stats_sum s = { 0 };

	ck_assert(stats_hist_quantile(&s, STATS_H_LOOP, 0.5) <= 0);
	s.bucket[STATS_H_LOOP][4] = 50;  /* 8..16 us */
	s.bucket[STATS_H_LOOP][11] = 50; /* 1024..2048 us */
	ck_assert_double_eq_tol(stats_hist_quantile(&s, STATS_H_LOOP, 0.25), 12, 0.1);
	ck_assert_double_eq_tol(stats_hist_quantile(&s, STATS_H_LOOP, 0.5), 16, 0.1);
	ck_assert_double_eq_tol(stats_hist_quantile(&s, STATS_H_LOOP, 0.75), 1536, 0.1);
	ck_assert_double_eq_tol(stats_hist_quantile(&s, STATS_H_LOOP, 1), 2048, 0.1);
}
END_TEST

START_TEST(gauges_over_workers)
{
	struct stats_slot *m = stats_slot_map(fd, 0, 1), *a = stats_slot_map(fd, 1, 3), *b = stats_slot_map(fd, 9, 4);
	struct stats_sum s;

	stats_gauge(a, STATS_SESSIONS_OPEN, 5);
	stats_gauge(b, STATS_SESSIONS_OPEN, 6);
	stats_gauge(a, STATS_SANDBOX_LEVEL, 7);
	stats_gauge(b, STATS_SANDBOX_LEVEL, 5);
	stats_gauge(a, STATS_DIRECTORY_MADE, 100);
	stats_gauge(b, STATS_DIRECTORY_MADE, 200);
	stats_beat(b, 1234);
	look(&s);
	ck_assert_uint_eq(s.gauge[STATS_SESSIONS_OPEN], 11);
	ck_assert_uint_eq(s.gauge[STATS_SANDBOX_LEVEL], 5);
	ck_assert_uint_eq(s.gauge[STATS_DIRECTORY_MADE], 100);
	ck_assert_uint_eq(s.nworker, 3);
	ck_assert_uint_eq(s.worker[0].slot, 0);
	ck_assert_uint_eq(s.worker[2].slot, 9);
	ck_assert_uint_eq(s.worker[2].generation, 4);
	ck_assert_uint_eq(s.worker[2].beat, 1234);
	ck_assert_uint_eq(s.worker[2].sessions_open, 6);
	ck_assert_uint_eq(s.worker[2].pid, (uint64_t)getpid());
	stats_sum_free(&s);
	stats_slot_unmap(m);
	stats_slot_unmap(a);
	stats_slot_unmap(b);
}
END_TEST

/* A worker: counts ${rounds} times (0: until it is killed) in slot ${i}. */
static pid_t
start_counting(unsigned i, uint64_t rounds, int ready)
{
	pid_t pid = fork();
	struct stats_slot *s;

	if (pid != 0)
		return pid;
	s = stats_slot_map(fd, i, i);
	stats_gauge(s, STATS_SESSIONS_OPEN, 3);
	for (uint64_t n = 0; rounds == 0 || n < rounds; n++) {
		stats_add(s, STATS_MESSAGES, 1);
		stats_reply(s, 250, 2u << 20, "queued");
		stats_observe(s, STATS_H_COMMIT, n % 1000);
		if (n == 100 && write(ready, "x", 1) != 1)
			_exit(1);
	}
	_exit(0);
}

static void
wait_ready(int from)
{
	char c;

	ck_assert_int_eq(read(from, &c, 1), 1);
}

START_TEST(a_new_worker_goes_on_counting)
{
	struct stats_slot *s;
	struct stats_sum was, is;
	int status, ready[2];
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = start_counting(5, 0, ready[1]);
	wait_ready(ready[0]);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	look(&was);
	ck_assert_uint_gt(was.counter[STATS_MESSAGES], 100);
	ck_assert_uint_eq(was.gauge[STATS_SESSIONS_OPEN], 3);
	ck_assert_uint_eq(was.worker[0].pid, (uint64_t)pid);
	ck_assert_int_eq(stats_slot_clear(fd, 5), 0);
	look(&is);
	ck_assert_uint_eq(is.nworker, 0);
	ck_assert_uint_eq(is.gauge[STATS_SESSIONS_OPEN], 0);
	ck_assert_uint_eq(is.counter[STATS_MESSAGES], was.counter[STATS_MESSAGES]);
	stats_sum_free(&is);

	s = stats_slot_map(fd, 5, 76);
	stats_gauge(s, STATS_SESSIONS_OPEN, 4);
	stats_slot_unmap(s); /* this one dies and nobody clears the slot */
	s = stats_slot_map(fd, 5, 77);
	stats_add(s, STATS_MESSAGES, 1);
	stats_reply(s, 250, 2u << 20, "queued");
	look(&is);
	ck_assert_uint_eq(is.counter[STATS_MESSAGES], was.counter[STATS_MESSAGES] + 1);
	ck_assert_uint_eq(is.reply[250], was.reply[250] + 1);
	ck_assert_uint_eq(is.nrow, 1);
	/* Killed between the two stores of one stats_reply(), the code is one ahead; no more is lost. */
	ck_assert_uint_le(is.reply[250] - is.row[0].count, 1);
	ck_assert_uint_eq(is.gauge[STATS_SESSIONS_OPEN], 0); /* the dead one's sessions are gone */
	ck_assert_uint_eq(is.worker[0].generation, 77);
	ck_assert_uint_eq(is.worker[0].pid, (uint64_t)getpid());
	stats_sum_free(&was);
	stats_sum_free(&is);
	stats_slot_unmap(s);
}
END_TEST

START_TEST(sums_only_grow_and_are_right)
{
	enum { ROUNDS = 3000000 };
	struct stats_sum s;
	uint64_t last[3] = { 0 };
	int ready[2], status, left = 2, looks = 0;

	ck_assert_int_eq(pipe(ready), 0);
	start_counting(1, ROUNDS, ready[1]);
	start_counting(2, ROUNDS, ready[1]);
	wait_ready(ready[0]);
	while (left > 0) {
		uint64_t now[3];

		look(&s);
		now[0] = s.counter[STATS_MESSAGES];
		now[1] = s.reply[250];
		now[2] = count_of(&s, 250, 2u << 20, "queued");
		for (int i = 0; i < 3; i++) {
			ck_assert_uint_ge(now[i], last[i]);
			last[i] = now[i];
		}
		looks++;
		stats_sum_free(&s);
		if (waitpid(-1, &status, WNOHANG) > 0) {
			ck_assert_int_eq(status, 0);
			left--;
		}
	}
	ck_assert_int_gt(looks, 2);
	look(&s);
	ck_assert_uint_eq(s.counter[STATS_MESSAGES], 2 * ROUNDS);
	ck_assert_uint_eq(count_of(&s, 250, 2u << 20, "queued"), 2 * ROUNDS);
	ck_assert_uint_eq(stats_hist_count(&s, STATS_H_COMMIT), 2 * ROUNDS);
	stats_sum_free(&s);
}
END_TEST

static const struct {
	const char *what;
	off_t at, size; /* size -1: as it is */
	uint32_t put;
	int err;
} damages[] = {
	{ "empty", -1, 0, 0, EBADMSG },
	{ "an octet", -1, 1, 0, EBADMSG },
	{ "a head alone", -1, STATS_HEAD, 0, EBADMSG },
	{ "an octet short", -1, STATS_HEAD + STATS_SLOTS *(off_t)sizeof(struct stats_slot) - 1, 0, EBADMSG },
	{ "another magic", 0, -1, 1, EBADMSG },
	{ "a layout that says nothing of itself", 4, -1, 3u << 24, EPROTONOSUPPORT },
	{ "more slots", 8, -1, STATS_SLOTS + 1, EBADMSG },
	{ "no slots", 8, -1, 0, EBADMSG },
	{ "greater slots", 12, -1, 1u << 31, EBADMSG },
};

START_TEST(refuses_a_damaged_file)
{
	struct stats_map *m;

	if (damages[_i].at >= 0)
		ck_assert_int_eq(pwrite(fd, &damages[_i].put, 4, damages[_i].at), 4);
	if (damages[_i].size >= 0)
		ck_assert_int_eq(ftruncate(fd, damages[_i].size), 0);
	errno = 0;
	ck_assert_msg(
	    stats_open(path, &m) == -1 && errno == damages[_i].err, "%s: %s", damages[_i].what, strerror(errno));
}
END_TEST

START_TEST(refuses_what_is_no_file)
{
	char fifo[96];
	struct stats_map *m;

	ck_assert_int_eq(stats_open("/nonexistent/stats", &m), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(stats_open(dir, &m), -1);
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_int_eq(stats_open("/dev/zero", &m), -1);
	ck_assert_int_eq(errno, EBADMSG);
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	alarm(5);
	ck_assert_int_eq(stats_open(fifo, &m), -1);
	ck_assert_int_eq(errno, EBADMSG);
	alarm(0);
	unlink(fifo);
}
END_TEST

START_TEST(a_file_that_shrinks)
{
	struct stats_map *m;
	struct stats_sum s;

	ck_assert_int_eq(stats_open(path, &m), 0);
	ck_assert_int_eq(ftruncate(fd, 100000), 0);
	ck_assert_int_eq(stats_read(m, &s), -1);
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_ptr_null(s.row);
	stats_close(m);
}
END_TEST

static const struct {
	const char *what;
	char reason[34]; /* exactly 34 octets: no NUL */
	uint32_t enh;
	uint16_t code;
	bool good;
} rows[] = {
	{ "a good one", "fine", E511, 550, true },
	{ "the longest", "012345678901234567890123456789012", E511, 550, true },
	{ "no NUL", "0123456789012345678901234567890123", E511, 550, false },
	{ "an escape sequence", "a\033[2J", E511, 550, false },
	{ "a quote", "a\"", E511, 550, false },
	{ "a line end", "a\nb", E511, 550, false },
	{ "upper case", "Fine", E511, 550, false },
	{ "no word", "", E511, 550, false },
	{ "a code too high", "fine", E511, STATS_CODES, false },
	{ "a class too high", "fine", 10u << 20, 550, false },
};

START_TEST(rows_that_no_writer_made)
{
	struct stats_slot *a = stats_slot_map(fd, 1, 1);
	struct stats_sum s;

	a->reason[7].count = 5;
	a->reason[7].code = rows[_i].code;
	a->reason[7].enh = rows[_i].enh;
	memcpy(a->reason[7].reason, rows[_i].reason, sizeof(rows[_i].reason));
	look(&s);
	ck_assert_msg(s.nrow == rows[_i].good, "%s", rows[_i].what);
	stats_sum_free(&s);
	stats_slot_unmap(a);
}
END_TEST

START_TEST(a_version_that_no_writer_made)
{
	static const char evil[32] = "1\"}\n\033[2J\\ABCDEFGHIJKLMNOPQRSTUVW"; /* no NUL */
	struct stats_sum s;

	ck_assert_int_eq(pwrite(fd, evil, 32, offsetof(struct stats_head, version)), 32);
	look(&s);
	ck_assert_str_eq(s.version, "1?????2J?ABCDEFGHIJKLMNOPQRSTUVW");
	stats_sum_free(&s);
}
END_TEST

START_TEST(counts_stop_at_the_top)
{
	struct stats_slot *a = stats_slot_map(fd, 1, 1), *b = stats_slot_map(fd, 2, 1);
	struct stats_sum s;

	a->counter[STATS_OCTETS] = b->counter[STATS_OCTETS] = UINT64_MAX - 1;
	a->reply[250] = a->reply[550] = UINT64_MAX;
	for (unsigned i = 0; i < STATS_BUCKETS; i++)
		a->hist[0].bucket[i] = b->hist[0].bucket[i] = UINT64_MAX;
	look(&s);
	ck_assert_uint_eq(s.counter[STATS_OCTETS], UINT64_MAX);
	ck_assert_uint_eq(sample_replies(&s), UINT64_MAX);
	ck_assert_uint_lt(stats_hist_count(&s, 0), INT64_MAX);
	stats_sum_free(&s);
	stats_slot_unmap(a);
	stats_slot_unmap(b);
}
END_TEST

static uint64_t
xorshift(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Some words, or a whole slot, become garbage; what is likely to hurt is likely. */
static void
damage(uint64_t *x)
{
	static const uint64_t nasty[] = { 0, 1, UINT64_MAX, INT64_MAX, UINT64_C(1) << 63, 1u << 22, 0x2d2d2d2d2d2d2d2d,
		0x0061616161616161, 0x1b5b324a1b5b324a };
	uint64_t slot[sizeof(struct stats_slot) / 8];
	off_t at = STATS_HEAD + (off_t)(xorshift(x) % STATS_SLOTS) * (off_t)sizeof(slot);
	bool whole = xorshift(x) % 4 == 0;

	if (pread(fd, slot, sizeof(slot), at) != (ssize_t)sizeof(slot))
		return;
	for (size_t i = 0; i < sizeof(slot) / 8; i++)
		if (whole || xorshift(x) % 16 == 0)
			slot[i] = xorshift(x) % 2 == 0 ? xorshift(x) : nasty[xorshift(x) % 9];
	ck_assert_int_eq(pwrite(fd, slot, sizeof(slot), at), sizeof(slot));
	for (size_t i = 16; i < 56 && xorshift(x) % 8 == 0; i += 8)
		ck_assert_int_eq(pwrite(fd, &nasty[xorshift(x) % 9], 8, (off_t)i), 8);
}

/* No octet that a terminal or Prometheus would act on.  One assertion for all: Check makes a system call of each. */
static void
check_text(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n && (p[i] == '\n' || (p[i] >= ' ' && p[i] < 0x7f && p[i] != '\\')))
		i++;
	ck_assert_msg(i == n, "octet %zu: %d", i, i < n ? p[i] : 0);
}

static void
show_all(const struct sample *s)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	table_print(f, s, s, false);
	prometheus_print(f, s);
	fflush(f);
	check_text(text, n);
	ck_assert_int_eq(json_print(f, s, true), 0);
	fclose(f);
	free(text);
}

START_TEST(damage_is_no_danger)
{
	const char *env = getenv("STATS_ROUNDS");
	long rounds = env != NULL ? strtol(env, NULL, 10) : 1500;
	off_t size = STATS_HEAD + STATS_SLOTS * (off_t)sizeof(struct stats_slot);
	char error[SHOW_ERROR_MAX];
	struct sample s;
	uint64_t x = 88172645463325252u;
	long refused = 0;

	for (long i = 0; i < rounds; i++) {
		bool cut = xorshift(&x) % 16 == 0;

		damage(&x);
		if (cut)
			ck_assert_int_eq(ftruncate(fd, (off_t)(xorshift(&x) % (uint64_t)size)), 0);
		if (sample_take(dir, &s, error) == 0) {
			ck_assert(!cut);
			show_all(&s);
			sample_free(&s);
		} else {
			ck_assert(cut);
			check_text(error, strlen(error));
			refused++;
			close(fd);
			fd = stats_create(dir, "1.2.3");
		}
	}
	ck_assert(rounds < 100 || (refused > 0 && refused < rounds / 4));
}
END_TEST

/* Answers are told for rows of one size, and then the rows are others: what lies behind the slot is nobody's. */
START_TEST(a_form_that_takes_itself_back)
{
	enum { SLOT = STATS_PAGE };
	static const struct stats_head h = { .magic = STATS_MAGIC,
		.layout = 4u << 24 | 1,
		.nslots = 1,
		.slot_size = SLOT,
		.head = STATS_HEAD,
		.settled = 1 };
	static const char form[] = "word pid 0\nreplies - 8 1\nhandlers - 0 1 4096 8 0 1\n"
				   "answer next 4088\nrunning - 4088\nhandlers - 4072 1 24 8 8 0\n";
	struct stats_form f;

	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(ftruncate(fd, STATS_HEAD + SLOT), 0);
	ck_assert_int_eq(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	ck_assert_int_eq(pwrite(fd, form, sizeof(form), STATS_FORM), sizeof(form));
	ck_assert_int_eq(stats_form_read(fd, &f), 0);
	ck_assert_uint_eq(f.handler.at, 4072);
	ck_assert_uint_eq(f.handler.running, STATS_FORM_NONE);
	for (size_t i = 0; i < STATS_NANSWERS; i++)
		ck_assert(f.handler.answer[i] == STATS_FORM_NONE || f.handler.answer[i] + 8 <= f.handler.size);
}
END_TEST

static int
make_segment(const char *where, unsigned seconds)
{
	struct stats_slot *m, *w;

	if ((fd = stats_create(where, "1.2.3")) == -1 || (m = stats_slot_map(fd, 0, 1)) == NULL ||
	    (w = stats_slot_map(fd, 1, 1)) == NULL)
		return 1;
	stats_gauge(w, STATS_SESSIONS_OPEN, 2);
	stats_gauge(w, STATS_SANDBOX_LEVEL, 7);
	stats_gauge(w, STATS_DIRECTORY_MADE, 1700000000);
	stats_gauge(w, STATS_DIRECTORY_ENTRIES, 1234567);
	stats_add(w, STATS_MESSAGES, 1234);
	stats_add(w, STATS_OCTETS, UINT64_C(3) << 30);
	stats_add(w, STATS_SESSIONS_TOTAL, 40);
	stats_add(w, STATS_TLS_1_3, 7);
	stats_add(w, STATS_TIMEOUTS, 3);
	for (unsigned i = 0; i < 20; i++) {
		stats_reply(w, 250, 2u << 20, "queued");
		stats_observe(w, STATS_H_COMMIT, 1000 * i);
	}
	for (unsigned i = 0; i < 5; i++)
		stats_reply(w, 550, E511, "no-such-mailbox");
	stats_reply(w, 354, 0, "");
	puts("made");
	fflush(stdout);
	for (unsigned i = 0; i < 10 * seconds; i++) {
		stats_add(w, STATS_MESSAGES, 10);
		usleep(100000);
	}
	return 0;
}

static Suite *
suite(void)
{
	Suite *s = suite_create("stats");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 0); /* tests/run has one */
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_fresh_segment);
	tcase_add_test(t, made_anew_over_the_old_one);
	tcase_add_test(t, maps_its_own_slot_alone);
	tcase_add_test(t, refuses_what_is_no_slot);
	tcase_add_test(t, counts_replies_by_code_and_reason);
	tcase_add_test(t, a_full_table_of_reasons);
	tcase_add_test(t, failed_handshakes_by_reason);
	tcase_add_loop_test(t, a_value_has_its_bucket, 0, sizeof(buckets) / sizeof(buckets[0]));
	tcase_add_test(t, quantiles);
	tcase_add_test(t, gauges_over_workers);
	tcase_add_test(t, a_new_worker_goes_on_counting);
	tcase_add_test(t, sums_only_grow_and_are_right);
	tcase_add_loop_test(t, refuses_a_damaged_file, 0, sizeof(damages) / sizeof(damages[0]));
	tcase_add_test(t, refuses_what_is_no_file);
	tcase_add_test(t, a_file_that_shrinks);
	tcase_add_loop_test(t, rows_that_no_writer_made, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(t, a_version_that_no_writer_made);
	tcase_add_test(t, counts_stop_at_the_top);
	tcase_add_test(t, damage_is_no_danger);
	tcase_add_test(t, a_form_that_takes_itself_back);
	suite_add_tcase(s, t);
	return s;
}

int
main(int argc, char *argv[])
{
	if (argc >= 3 && strcmp(argv[1], "segment") == 0)
		return make_segment(argv[2], argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0);
	return suite_run(suite());
}
