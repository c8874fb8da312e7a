/*
 * Octets looked at many at a time: the same as one at a time, wherever a
 * mark stands, whatever stands behind it, and at each alignment.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "common/scan.h"
#include "tests/unit/suite.h"

enum { LONGEST = 4 * SCAN_BLOCK + 3 };

static size_t
plain_slowly(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] != '\r' && p[i] != '\n' && p[i] != '\0')
		i++;
	return i;
}

/* ${n} octets at ${p}, which ends where memory that may be read ends. */
static void
both(const uint8_t *p, size_t n)
{
	const uint8_t *cr = n > 0 ? memchr(p, '\r', n) : NULL;
	size_t want = cr != NULL ? (size_t)(cr - p) : n, got;
	uint8_t *out = malloc(n + 1); /* of that size, so that a sanitizer sees one octet too many */

	ck_assert_ptr_nonnull(out);
	out[n] = 0xa5;
	ck_assert_uint_eq(scan_plain(p, n), plain_slowly(p, n));
	got = scan_copy(p, n, out);
	ck_assert_uint_eq(got, want);
	ck_assert_int_eq(memcmp(out, p, got), 0);
	ck_assert_uint_eq(out[n], 0xa5);
	free(out);
}

START_TEST(each_mark_at_each_place)
{
	static const uint8_t marks[] = { '\r', '\n', '\0', '\t', ' ', 0x0e, 0x7f, 0x80, 0x8d, 0x8a, 0xff };

	for (size_t n = 0; n <= LONGEST; n++)
		for (size_t at = 0; at <= n; at++) {
			uint8_t *p = malloc(n + 1);

			ck_assert_ptr_nonnull(p);
			for (size_t k = 0; k < sizeof(marks); k++) {
				memset(p, 'x', n + 1);
				p[at] = marks[k];
				both(p + 1, n); /* not aligned; marks behind the end do not count */
				both(p, n);
			}
			free(p);
		}
}
END_TEST

START_TEST(at_random)
{
	unsigned seed = 1;

	for (int round = 0; round < 20000; round++) {
		uint8_t p[LONGEST];
		size_t n = (size_t)rand_r(&seed) % sizeof(p);

		for (size_t i = 0; i < n; i++)
			p[i] = (uint8_t)(rand_r(&seed) % 40 == 0 ? rand_r(&seed) % 16 : 0x20 + rand_r(&seed) % 0xe0);
		both(p, n);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("scan");
	TCase *tc = tcase_create("scan");

	tcase_add_test(tc, each_mark_at_each_place);
	tcase_add_test(tc, at_random);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
