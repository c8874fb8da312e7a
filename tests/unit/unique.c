/*
 * Names for Maildir files: their form, what a host's name can do to them, and
 * that no two threads get the same one.
 */
#include <limits.h>
#include <pthread.h>

#include "common/decimal.h"
#include "tests/unit/suite.h"
#include "worker/store/unique.h"

START_TEST(host_encoding)
{
	static const struct {
		const char *host, *want;
	} row[] = { { "mx.example.org", "mx.example.org" }, { "a/b", "a\\057b" }, { "a:b", "a\\072b" },
		{ "a,b", "a\\054b" }, { "a\\b", "a\\134b" }, { "a b\n", "a\\040b\\012" }, { "\xc3\xa9", "\\303\\251" },
		{ "", "" } };
	struct unique u;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		unique_init(&u, row[i].host, 0);
		ck_assert_str_eq(u.host, row[i].want);
	}
}
END_TEST

START_TEST(numbers)
{
	static const struct {
		uint64_t v;
		size_t width;
		const char *want;
	} row[] = { { 0, 1, "0" }, { 0, 3, "000" }, { 7, 1, "7" }, { 42, 6, "000042" }, { 1234567, 6, "1234567" },
		{ UINT64_MAX, 1, "18446744073709551615" }, { 1, DECIMAL_MAX, "00000000000000000001" } };
	char out[DECIMAL_MAX + 1];

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		out[decimal(out, row[i].v, row[i].width)] = '\0';
		ck_assert_str_eq(out, row[i].want);
	}
}
END_TEST

START_TEST(form)
{
	struct unique_name n = { .sec = 1764000000, .usec = 42, .n = 7 };
	char name[UNIQUE_MAX];
	struct unique u;

	unique_init(&u, "mx.example.org", 2);
	u.pid = 99;
	/* What stood there before is no part of the name: it has an end of its own. */
	memset(name, '9', sizeof(name));
	unique_tmp(&u, &n, name);
	ck_assert_uint_lt(strnlen(name, sizeof(name)), sizeof(name));
	ck_assert_str_eq(name, "1764000000.M000042P99Q7_2.mx.example.org");
	memset(name, '9', sizeof(name));
	unique_new(&u, &n, 10240, name);
	ck_assert_uint_lt(strnlen(name, sizeof(name)), sizeof(name));
	ck_assert_str_eq(name, "1764000000.M000042P99Q7_2.mx.example.org,S=10240");
}
END_TEST

/* The longest of everything is still a file name, with its size. */
START_TEST(longest)
{
	struct unique_name n = { .sec = INT64_MAX, .usec = 999999, .n = UINT64_MAX };
	char host[1000], name[UNIQUE_MAX];
	struct unique u;

	for (int odd = 0; odd < 2; odd++) {
		memset(host, odd ? '/' : 'h', sizeof(host) - 1);
		host[sizeof(host) - 1] = '\0';
		unique_init(&u, host, UINT_MAX);
		ck_assert_uint_lt(strlen(u.host), UNIQUE_HOST_MAX);
		ck_assert_uint_eq(odd ? strlen(u.host) % 4 : 0, 0);
		u.pid = UINT_MAX;
		unique_new(&u, &n, UINT64_MAX, name);
		ck_assert_uint_le(strlen(name), NAME_MAX);
		ck_assert_ptr_nonnull(strstr(name, ",S=18446744073709551615"));
	}
}
END_TEST

START_TEST(ours)
{
	static const struct {
		const char *name;
		bool ours;
	} row[] = { { "1.M2P3Q4_5.mx.example", true }, { "1.M2P3Q4_5.mx.example,S=3", false },
		{ "1.M2P3Q4_5.mx.example.org", false }, { "1.M2P3Q4_5.other", false },
		{ "1.M2P3Q4_.mx.example", false }, { "1.M2P3.mx.example", false }, { "", false },
		{ ".M2P3Q4_5.mx.example", false }, { "1.M2P3Q4_5", false }, { "x", false },
		{ "1.M2P3Q4_5mx.example", false } };
	struct unique u;

	unique_init(&u, "mx.example", 5);
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		ck_assert_int_eq(unique_ours(&u, row[i].name), row[i].ours);
}
END_TEST

enum { THREADS = 4, EACH = 20000 };

static struct unique shared;
static uint64_t given[THREADS][EACH];

static void *
take(void *arg)
{
	uint64_t *mine = arg;
	struct unique_name n;

	for (size_t i = 0; i < EACH; i++) {
		unique_next(&shared, &n);
		mine[i] = n.n;
	}
	return NULL;
}

START_TEST(threads)
{
	static bool seen[THREADS * EACH + 1];
	pthread_t t[THREADS];

	unique_init(&shared, "h", 0);
	for (size_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, take, given[i]), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (size_t i = 0; i < THREADS; i++)
		for (size_t k = 0; k < EACH; k++) {
			ck_assert_uint_le(given[i][k], THREADS * EACH);
			ck_assert(!seen[given[i][k]]);
			seen[given[i][k]] = true;
		}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("unique");
	TCase *tc = tcase_create("unique");

	tcase_add_test(tc, host_encoding);
	tcase_add_test(tc, numbers);
	tcase_add_test(tc, form);
	tcase_add_test(tc, longest);
	tcase_add_test(tc, ours);
	tcase_add_test(tc, threads);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
