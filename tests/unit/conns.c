/*
 * conns: the suite of common/conns.c and siphash.c, with several processes on
 * the same tables.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "common/conns.h"
#include "common/siphash.h"
#include "tests/unit/suite.h"

static void
ipv4(uint32_t a, uint8_t out[16])
{
	memset(out, 0, 16);
	out[10] = out[11] = 0xff;
	for (int i = 0; i < 4; i++)
		out[12 + i] = (uint8_t)(a >> (24 - 8 * i));
}

/* Of the paper's appendix A and its reference vectors: key 00..0f, message 00..(n-1). */
static const struct {
	size_t n;
	uint64_t hash;
} vectors[] = { { 0, 0x726fdb47dd0e0e31 }, { 1, 0x74f839c593dc67fd }, { 8, 0x93f5f5799a932462 },
	{ 15, 0xa129ca6149be45e5 } };

START_TEST(siphash_vectors)
{
	uint8_t key[16], m[16];

	for (uint8_t i = 0; i < 16; i++)
		key[i] = m[i] = i;
	ck_assert_uint_eq(siphash(key, guarded(m, vectors[_i].n)), vectors[_i].hash);
}
END_TEST

START_TEST(counts_over_slots)
{
	int fd = conns_create();
	struct conns *a = conns_map(fd, 1), *b = conns_map(fd, CONNS_SLOTS - 1);
	uint8_t x[16], y[16];

	ck_assert(a != NULL && b != NULL);
	ipv4(0x7f000001, x);
	ipv4(0x7f000002, y);
	ck_assert_uint_eq(conns_total(a), 0);
	ck_assert_uint_eq(conns_enter(a, x), 1);
	ck_assert_uint_eq(conns_enter(a, x), 2);
	ck_assert_uint_eq(conns_enter(b, x), 3);
	ck_assert_uint_eq(conns_enter(b, y), 1);
	ck_assert_uint_eq(conns_total(a), 4);
	ck_assert_uint_eq(conns_total(b), 4);
	conns_leave(a, x);
	conns_leave(a, x);
	ck_assert_uint_eq(conns_total(b), 2);
	ck_assert_uint_eq(conns_enter(a, x), 2);
	/* More leaves than enters are a bug of the caller's, but nothing wraps. */
	conns_leave(a, x);
	conns_leave(a, x);
	conns_leave(a, x);
	ck_assert_uint_eq(conns_enter(a, x), 2);
	ck_assert_uint_eq(conns_total(a), 3);
	ck_assert_int_eq(conns_clear(fd, CONNS_SLOTS - 1), 0);
	ck_assert_uint_eq(conns_total(a), 1);
	ck_assert_uint_eq(conns_enter(a, x), 2);
	ck_assert_uint_eq(conns_enter(b, y), 1);
	conns_unmap(a);
	conns_unmap(b);
	conns_unmap(NULL);
	close(fd);
}
END_TEST

START_TEST(the_mean_of_those_who_take_connections)
{
	int fd = conns_create();
	struct conns *a = conns_map(fd, 1), *b = conns_map(fd, 2), *c = conns_map(fd, CONNS_SLOTS - 1);
	uint64_t others = 77;

	ck_assert_uint_eq(conns_mean(a, &others), UINT32_MAX);
	ck_assert_uint_eq(others, 0);
	conns_share(a, 0);
	ck_assert_uint_eq(conns_mean(a, &others), UINT32_MAX); /* alone */
	conns_share(b, 5);
	ck_assert_uint_eq(conns_mean(a, &others), 3);
	ck_assert_uint_eq(others, 5);
	ck_assert_uint_eq(conns_mean(b, &others), 3);
	ck_assert_uint_eq(others, 0);
	conns_share(c, 100);
	conns_share(a, 0);
	ck_assert_uint_eq(conns_mean(a, &others), 35);
	ck_assert_uint_eq(others, 105);
	conns_share_none(c); /* it retires: its sessions are no measure any more */
	ck_assert_uint_eq(conns_mean(a, &others), 3);
	ck_assert_int_eq(conns_clear(fd, 2), 0); /* it died */
	ck_assert_uint_eq(conns_mean(a, &others), UINT32_MAX);
	conns_unmap(a);
	conns_unmap(b);
	conns_unmap(c);
	close(fd);
}
END_TEST

START_TEST(ipv6_counts_by_its_64)
{
	int fd = conns_create();
	struct conns *c = conns_map(fd, 0);
	uint8_t a[16] = { 0x20, 1, 0xd, 0xb8, [7] = 1, [15] = 1 }, b[16] = { 0x20, 1, 0xd, 0xb8, [7] = 1, [8] = 9 };
	uint8_t d[16] = { 0x20, 1, 0xd, 0xb8, [7] = 2, [15] = 1 };

	ck_assert_uint_eq(conns_enter(c, a), 1);
	ck_assert_uint_eq(conns_enter(c, b), 2);
	ck_assert_uint_eq(conns_enter(c, d), 1);
	conns_leave(c, a);
	ck_assert_uint_eq(conns_enter(c, a), 2);
	conns_unmap(c);
	close(fd);
}
END_TEST

/* Many addresses come and go in one table: rows are used again and every count stays right. */
START_TEST(rows_are_used_again)
{
	enum { N = 20000 };
	int fd = conns_create();
	struct conns *c = conns_map(fd, 3);
	unsigned wrong = 0;
	uint8_t a[16];

	for (int round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < N; i++) {
			ipv4(i * 7 + (uint32_t)round * 1000003, a);
			wrong += conns_enter(c, a) != 1;
		}
		for (uint32_t i = 0; i < N; i++) {
			ipv4(i * 7 + (uint32_t)round * 1000003, a);
			conns_leave(c, a);
		}
	}
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(conns_total(c), 0);
	conns_unmap(c);
	close(fd);
}
END_TEST

/*
 * A row that falls empty in the middle of a window must not hide those behind it.
 * No more addresses than all find a row: of 30,000, one table in 60 leaves somebody uncounted.
 */
START_TEST(an_empty_row_hides_nobody)
{
	enum { N = 15000 };
	int fd = conns_create();
	struct conns *c = conns_map(fd, 3), *other = conns_map(fd, 4);
	unsigned wrong = 0;
	uint8_t a[16];

	for (uint32_t i = 0; i < N; i++) {
		ipv4(i, a);
		conns_enter(c, a);
	}
	for (uint32_t i = 0; i < N; i += 2) {
		ipv4(i, a);
		conns_leave(c, a);
	}
	for (uint32_t i = 0; i < N; i++) {
		ipv4(i, a);
		wrong += conns_enter(c, a) != (i % 2 == 0 ? 1 : 2);
		wrong += conns_enter(other, a) != (i % 2 == 0 ? 2 : 3);
	}
	ck_assert_uint_eq(wrong, 0);
	conns_unmap(c);
	conns_unmap(other);
	close(fd);
}
END_TEST

/* More addresses than rows: the total is right all the same, and the table recovers. */
START_TEST(a_crowd)
{
	enum { N = 2 * CONNS_ROWS };
	int fd = conns_create();
	struct conns *c = conns_map(fd, 3);
	uint8_t a[16];

	for (uint32_t i = 0; i < N; i++) {
		ipv4(i, a);
		conns_enter(c, a);
	}
	ck_assert_uint_eq(conns_total(c), N);
	for (uint32_t i = 0; i < N; i++) {
		ipv4(i, a);
		conns_leave(c, a);
	}
	ck_assert_uint_eq(conns_total(c), 0);
	ipv4(5, a);
	ck_assert_uint_eq(conns_enter(c, a), 1);
	ck_assert_uint_eq(conns_enter(c, a), 2);
	conns_unmap(c);
	close(fd);
}
END_TEST

static uint32_t
xorshift(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/* A worker: comes and goes at random, and leaves ${keep} of each of eight addresses (and takes the rest away). */
static void
work(int fd, unsigned slot, unsigned keep)
{
	struct conns *c = conns_map(fd, slot);
	unsigned have[8] = { 0 };
	uint32_t x = slot + 1;
	uint8_t a[16];

	for (int i = 0; i < 200000; i++) {
		uint32_t k = xorshift(&x) % 8;

		ipv4(k, a);
		if (xorshift(&x) % 2 == 0 || have[k] == 0) {
			if (conns_enter(c, a) < ++have[k])
				_exit(1); /* at least our own */
		} else {
			conns_leave(c, a);
			have[k]--;
		}
	}
	for (uint32_t k = 0; k < 8; k++) {
		ipv4(k, a);
		for (; have[k] > keep; have[k]--)
			conns_leave(c, a);
		for (; have[k] < keep; have[k]++)
			conns_enter(c, a);
	}
	_exit(0);
}

START_TEST(exact_over_processes)
{
	int fd = conns_create(), status;
	struct conns *c = conns_map(fd, 0);
	uint8_t a[16];

	for (unsigned s = 1; s <= 4; s++)
		if (fork() == 0) {
			conns_unmap(c);
			work(fd, s, s);
		}
	for (unsigned s = 1; s <= 4; s++) {
		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_uint_eq(conns_total(c), 8 * (1 + 2 + 3 + 4));
	for (uint32_t k = 0; k < 8; k++) {
		ipv4(k, a);
		ck_assert_uint_eq(conns_enter(c, a), 11);
		conns_leave(c, a);
	}
	/* Worker 4 is dead; its table is emptied and its slot begins at nothing. */
	ck_assert_int_eq(conns_clear(fd, 4), 0);
	ck_assert_uint_eq(conns_total(c), 8 * (1 + 2 + 3));
	ck_assert_uint_eq(conns_enter(c, a), 7);
	conns_unmap(c);
	close(fd);
}
END_TEST

/* Whether a process that writes there dies of it. */
static bool
dies_writing(uintptr_t at)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL); /* a sanitizer has a handler */
		*(volatile char *)at = 1;
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

/* The maps of this process that are the memfd and can be written, in octets; or made so by mprotect(2). */
START_TEST(the_other_tables_cannot_be_written)
{
	struct {
		uintptr_t from, to;
		char mode[8];
	} map[16];
	int fd = conns_create(), n = 0, writable = 0;
	struct conns *c = conns_map(fd, 2);
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");

	close(fd);
	ck_assert(f != NULL && c != NULL);
	while (fgets(line, sizeof(line), f) != NULL && n < 16) {
		char *end;

		if (strstr(line, "letterplate-conns") == NULL)
			continue;
		map[n].from = strtoul(line, &end, 16);
		map[n].to = strtoul(end + 1, &end, 16);
		memcpy(map[n].mode, end + 1, 4);
		n++;
	}
	fclose(f);
	ck_assert_int_ge(n, 3);
	for (int i = 0; i < n; i++) {
		if (map[i].mode[1] == 'w') {
			writable++;
			ck_assert_uint_le(map[i].to - map[i].from, CONNS_ROWS * 8);
			continue;
		}
		ck_assert_int_eq(mprotect((void *)map[i].from, 4096, PROT_READ | PROT_WRITE), -1);
		ck_assert_int_eq(errno, EACCES);
		ck_assert(dies_writing(map[i].from));
	}
	ck_assert_int_eq(writable, 3);
	conns_unmap(c);
}
END_TEST

START_TEST(rates_over_slots)
{
	int fd = conns_create();
	struct conns *a = conns_map(fd, 1), *b = conns_map(fd, CONNS_SLOTS - 1);
	uint8_t x[16], y[16], v6[16] = { 0x20, 0x01, 0x0d, 0xb8 }, same64[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 9 };

	ck_assert(a != NULL && b != NULL);
	ipv4(0x7f000001, x);
	ipv4(0x7f000002, y);
	for (uint64_t minute = 65533; minute < 65540; minute++) { /* across the end of what a row can hold */
		ck_assert_uint_eq(conns_rate(a, CONNS_SESSION, x, minute), 1);
		ck_assert_uint_eq(conns_rate(b, CONNS_SESSION, x, minute), 2);
		ck_assert_uint_eq(conns_rate(a, CONNS_SESSION, x, minute), 3);
		ck_assert_uint_eq(conns_rate(b, CONNS_SESSION, y, minute), 1);
		ck_assert_uint_eq(conns_rate(a, CONNS_SESSION, v6, minute), 1);
		ck_assert_uint_eq(conns_rate(b, CONNS_SESSION, same64, minute), 2);
	}
	/* The same address, for something else. */
	ck_assert_uint_eq(conns_rate(a, CONNS_HANDSHAKE, x, 65540), 1);
	ck_assert_uint_eq(conns_rate(b, CONNS_HANDSHAKE, x, 65540), 2);
	ck_assert_uint_eq(conns_rate(a, CONNS_SESSION, x, 65540), 1);
	ck_assert_uint_eq(conns_rate(a, CONNS_SESSION, y, 65550), 1);
	ck_assert_uint_eq(conns_rate(b, CONNS_SESSION, x, 65550), 1);
	ck_assert_uint_eq(conns_total(a), 0);
	for (unsigned i = 0; i < CONNS_RATE_MAX + 10; i++)
		conns_rate(a, CONNS_SESSION, x, 70000);
	ck_assert_uint_eq(conns_rate(a, CONNS_SESSION, x, 70000), CONNS_RATE_MAX);
	ck_assert_uint_eq(conns_rate(b, CONNS_SESSION, x, 70000), CONNS_RATE_MAX + 1);
	conns_unmap(a);
	conns_unmap(b);
	close(fd);
}
END_TEST

/* More addresses in a minute than a table has rows: none is counted higher than it is; the next minute is not spoilt. */
START_TEST(rates_in_a_crowd)
{
	int fd = conns_create();
	struct conns *c = conns_map(fd, 1);
	uint8_t x[16];

	for (uint32_t i = 0; i < 2 * CONNS_ROWS; i++) {
		ipv4(0x0a000000 + i, x);
		ck_assert_uint_eq(conns_rate(c, CONNS_SESSION, x, 7), 1);
	}
	for (uint32_t i = 0; i < 100; i++) {
		ipv4(0x0b000000 + i, x);
		ck_assert_uint_eq(conns_rate(c, CONNS_SESSION, x, 8), 1);
		ck_assert_uint_eq(conns_rate(c, CONNS_SESSION, x, 8), 2);
	}
	conns_unmap(c);
	close(fd);
}
END_TEST

START_TEST(refuses_what_is_not_its_own)
{
	int fd = conns_create(), other = memfd_create("x", MFD_ALLOW_SEALING);

	ck_assert_ptr_null(conns_map(fd, CONNS_SLOTS));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(conns_clear(fd, CONNS_SLOTS), -1);
	ck_assert_ptr_null(conns_map(other, 0));
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_ptr_null(conns_map(-1, 0));
	ck_assert_int_eq(errno, EBADF);
	ck_assert_int_eq(ftruncate(fd, 4096), -1); /* sealed: nobody's mapping loses its pages */
	ck_assert_int_eq(errno, EPERM);
	close(fd);
	close(other);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("conns");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 0);
	tcase_add_loop_test(t, siphash_vectors, 0, sizeof(vectors) / sizeof(vectors[0]));
	tcase_add_test(t, counts_over_slots);
	tcase_add_test(t, the_mean_of_those_who_take_connections);
	tcase_add_test(t, ipv6_counts_by_its_64);
	tcase_add_test(t, rows_are_used_again);
	tcase_add_test(t, an_empty_row_hides_nobody);
	tcase_add_test(t, a_crowd);
	tcase_add_test(t, exact_over_processes);
	tcase_add_test(t, the_other_tables_cannot_be_written);
	tcase_add_test(t, rates_over_slots);
	tcase_add_test(t, rates_in_a_crowd);
	tcase_add_test(t, refuses_what_is_not_its_own);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
