/*
 * Addresses as octets: what is one, and what only looks like one.  Inputs end on a guard page.
 */
#include "common/ip.h"
#include "tests/unit/suite.h"

#define V4(a, b, c, d) \
	{ \
		[10] = 0xff, 0xff, a, b, c, d \
	}

static const struct {
	const char *text;
	int family; /* 0: tagged */
	bool good;
	uint8_t addr[16];
} rows[] = {
	{ "192.0.2.1", AF_INET, true, V4(192, 0, 2, 1) },
	{ "0.0.0.0", AF_INET, true, V4(0, 0, 0, 0) },
	{ "255.255.255.255", AF_INET, true, V4(255, 255, 255, 255) },
	{ "192.0.2.256", AF_INET, false, { 0 } },
	{ "192.0.2.01", AF_INET, false, { 0 } },
	{ "192.0.2", AF_INET, false, { 0 } },
	{ "192.0.2.1 ", AF_INET, false, { 0 } },
	{ "", AF_INET, false, { 0 } },
	{ "::1", AF_INET, false, { 0 } },
	{ "2001:db8::1", AF_INET6, true, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } },
	{ "::", AF_INET6, true, { 0 } },
	{ "::ffff:192.0.2.1", AF_INET6, true, V4(192, 0, 2, 1) },
	{ "1111:2222:3333:4444:5555:6666:123.123.123.123", AF_INET6, true,
	    { 0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 0x55, 0x55, 0x66, 0x66, 123, 123, 123, 123 } },
	{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa", AF_INET6, false, { 0 } },
	{ "fe80::1%eth0", AF_INET6, false, { 0 } },
	{ "192.0.2.1", AF_INET6, false, { 0 } },
	{ "", AF_INET6, false, { 0 } },
	{ "192.0.2.1", 0, true, V4(192, 0, 2, 1) },
	{ "IPv6:2001:db8::1", 0, true, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } },
	{ "ipV6:::1", 0, true, { [15] = 1 } },
	{ "2001:db8::1", 0, false, { 0 } },
	{ "IPv6:192.0.2.1", 0, false, { 0 } },
	{ "IPv6:", 0, false, { 0 } },
	{ "IPv4:192.0.2.1", 0, false, { 0 } },
	{ "", 0, false, { 0 } },
};

static bool
parse(int family, struct span s, uint8_t out[16])
{
	return family == 0 ? ip_parse_tagged(s, out) : ip_parse(family, s, out);
}

START_TEST(reads)
{
	uint8_t out[16], before[16];

	memset(out, 0xa5, sizeof(out));
	memcpy(before, out, sizeof(out));
	ck_assert(parse(rows[_i].family, guarded_str(rows[_i].text), out) == rows[_i].good);
	ck_assert_mem_eq(out, rows[_i].good ? rows[_i].addr : before, sizeof(out));
}
END_TEST

/* A NUL ends no address. */
START_TEST(nul)
{
	static const char text[] = "192.0.2.1\0.example";
	uint8_t out[16];

	ck_assert(!ip_parse(AF_INET, guarded(text, sizeof(text) - 1), out));
	ck_assert(!ip_parse(AF_INET, guarded(text, 10), out));
	ck_assert(!ip_parse_tagged(guarded(text, 10), out));
	ck_assert(ip_parse(AF_INET, guarded(text, 9), out));
}
END_TEST

START_TEST(mapped)
{
	static const uint8_t four[4] = { 192, 0, 2, 1 }, want[16] = V4(192, 0, 2, 1);
	uint8_t out[16];

	memset(out, 0xa5, sizeof(out));
	ip_of4(four, out);
	ck_assert_mem_eq(out, want, sizeof(out));
	ck_assert(ip_is4(out));
	for (unsigned i = 0; i < IP_MAPPED; i++) {
		out[i] ^= 1;
		ck_assert(!ip_is4(out));
		out[i] ^= 1;
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ip");
	TCase *c = tcase_create("ip");

	tcase_add_loop_test(c, reads, 0, sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(c, nul);
	tcase_add_test(c, mapped);
	suite_add_tcase(s, c);
	return suite_run(s);
}
