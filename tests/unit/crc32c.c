/*
 * The suite of crc32c: both ways, the values that RFC 3720 gives, every cut,
 * every alignment.
 */
#include "common/crc32c.h"

#include "tests/unit/suite.h"

typedef uint32_t crc_fn(uint32_t crc, const void *data, size_t n);

static crc_fn *const ways[] = { crc32c, crc32c_by_table };

/* RFC 3720 appendix B.4 gives these. */
START_TEST(known)
{
	crc_fn *f = ways[_i];
	uint8_t p[32];

	memset(p, 0, sizeof(p));
	ck_assert_uint_eq(f(0, p, 32), 0x8a9136aa);
	memset(p, 0xff, sizeof(p));
	ck_assert_uint_eq(f(0, p, 32), 0x62a8ab43);
	for (unsigned i = 0; i < 32; i++)
		p[i] = (uint8_t)i;
	ck_assert_uint_eq(f(0, p, 32), 0x46dd794e);
	for (size_t cut = 0; cut <= 32; cut++)
		ck_assert_uint_eq(f(f(0, p, cut), p + cut, 32 - cut), 0x46dd794e);
	ck_assert_uint_eq(f(7, p, 0), 7);
}
END_TEST

/* A bit at a time, as the RFC describes it: each octet of each table is met. */
static uint32_t
slowly(const uint8_t *p, size_t n)
{
	uint32_t crc = UINT32_MAX;

	for (; n > 0; n--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
	}
	return ~crc;
}

START_TEST(all_octets)
{
	crc_fn *f = ways[_i];
	uint8_t mem[4096 + 8];

	for (size_t i = 0; i < sizeof(mem); i++)
		mem[i] = (uint8_t)(i * 167 + i / 256 * 31 + 5);
	for (size_t n = 0; n < 600; n += n < 40 ? 1 : 61)
		for (size_t at = 0; at < 8; at++) {
			struct span s = guarded(mem + at, n);

			ck_assert_uint_eq(f(0, s.p, n), slowly(s.p, n));
		}
	for (unsigned v = 0; v < 256; v++)
		for (size_t at = 0; at < 8; at++) {
			memset(mem, 0, 8);
			mem[at] = (uint8_t)v;
			ck_assert_uint_eq(f(0, mem, 8), slowly(mem, 8));
		}
	ck_assert_uint_eq(f(0, mem, sizeof(mem)), slowly(mem, sizeof(mem)));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("crc32c");
	TCase *t = tcase_create("both ways");

	tcase_add_loop_test(t, known, 0, 2);
	tcase_add_loop_test(t, all_octets, 0, 2);
	suite_add_tcase(s, t);
	return suite_run(s);
}
