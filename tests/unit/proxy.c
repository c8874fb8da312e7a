/*
 * proxy: rows of headers, good and bad, each at every split; the checksum; and
 * that nothing behind the header is looked at.
 */
#include "worker/smtp/proxy.h"

#include "tests/unit/suite.h"

#define SIG  "\r\n\r\n\0\r\nQUIT\n"
#define V4   "\xc0\x00\x02\x01\xc6\x33\x64\x02\x04\x00\x00\x19" /* 192.0.2.1:1024 to 198.51.100.2:25 */
#define V6   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xff\xff\x00\x19"
#define Z8   "\0\0\0\0\0\0\0\0"
#define Z216 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8 Z8

#define ROW(lit) \
	{ \
		(const uint8_t *)(lit), sizeof(lit) - 1 \
	}

static const uint8_t v4[16] = { [10] = 0xff, 0xff, 192, 0, 2, 1 };
static const uint8_t v4dst[16] = { [10] = 0xff, 0xff, 198, 51, 100, 2 };
static const uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
static const uint8_t v6dst[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 2 };

static const struct {
	struct span in;
	const uint8_t *src, *dst; /* NULL: nothing is claimed */
	unsigned src_port, dst_port;
} good[] = {
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 1024 25\r\n"), v4, v4dst, 1024, 25 },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 0 65535\r\n"), v4, v4dst, 0, 65535 },
	{ ROW("PROXY TCP6 2001:db8::1 2001:db8::2 65535 25\r\n"), v6, v6dst, 65535, 25 },
	{ ROW("PROXY TCP6 2001:DB8::1 2001:db8:0:0:0:0:0:2 1 25\r\n"), v6, v6dst, 1, 25 },
	{ ROW("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1024 25\r\n"), v4, v4dst, 1024, 25 },
	{ ROW("PROXY UNKNOWN\r\n"), NULL, NULL, 0, 0 },
	{ ROW("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), NULL, NULL, 0, 0 },
	/* the longest line that may be: 107 octets */
	{ ROW("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
	      "65535\r\n"),
	    NULL, NULL, 0, 0 },
	{ ROW(SIG "\x21\x11\x00\x0c" V4), v4, v4dst, 1024, 25 },
	{ ROW(SIG "\x21\x21\x00\x24" V6), v6, v6dst, 65535, 25 },
	{ ROW(SIG "\x21\x31\x00\xd8" Z216), NULL, NULL, 0, 0 },
	{ ROW(SIG "\x21\x00\x00\x00"), NULL, NULL, 0, 0 },
	{ ROW(SIG "\x21\x00\x00\x05"
		  "abcde"),
	    NULL, NULL, 0, 0 },
	{ ROW(SIG "\x20\x00\x00\x00"), NULL, NULL, 0, 0 },
	{ ROW(SIG "\x20\x11\x00\x0c" V4), NULL, NULL, 0, 0 },
	{ ROW(SIG "\x20\xff\x00\x03"
		  "abc"),
	    NULL, NULL, 0, 0 }, /* LOCAL: the family is not looked at */
	/* TLVs: an empty one, an unknown one, one that fills the header */
	{ ROW(SIG "\x21\x11\x00\x16" V4 "\x04\x00\x00\xea\x00\x04host"), v4, v4dst, 1024, 25 },
};

static const struct {
	struct span in;
	const char *why;
} wrong[] = {
	{ ROW("EHLO a\r\n"), "proxy-missing" },
	{ ROW("\r\nPROXY"), "proxy-missing" },
	{ ROW("proxy TCP4 192.0.2.1 198.51.100.2 1 25\r\n"), "proxy-missing" },
	{ ROW("PROXY\r\n"), "proxy-missing" },
	{ ROW("\x16\x03\x01"), "proxy-missing" },
	{ ROW("GET / HTTP/1.1\r\n"), "proxy-missing" },
	{ ROW("PROXY \r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4\r\n"), "proxy-syntax" },
	{ ROW("PROXY tcp4 192.0.2.1 198.51.100.2 1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP5 192.0.2.1 198.51.100.2 1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY UDP4 192.0.2.1 198.51.100.2 1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY UNKNOWNX\r\n"), "proxy-syntax" },
	{ ROW("PROXY  TCP4 192.0.2.1 198.51.100.2 1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4  192.0.2.1 198.51.100.2 1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 1 25 \r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 1 25 26\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 99999 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 -1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 +1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 01 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 0x1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.01 198.51.100.2 1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2 198.51.100.2 1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.256 198.51.100.2 1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1\0 198.51.100.2 1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP6 192.0.2.1 198.51.100.2 1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP6 fe80::1%eth0 2001:db8::2 1 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 1 25\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 1 25\r \n"), "proxy-syntax" },
	{ ROW("PROXY \n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 1: 25\r\n"), "proxy-syntax" },
	{ ROW("PROXY TCP4 192.0.2.1 198.51.100.2 1 /5\r\n"), "proxy-syntax" },
	/* 108 octets */
	{ ROW("PROXY UNKNOWN xffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
	      "65535\r\n"),
	    "proxy-too-long" },
	{ ROW(SIG "\x11\x11\x00\x0c" V4), "proxy-syntax" }, /* version 1 in the binary form */
	{ ROW(SIG "\x31\x11\x00\x0c" V4), "proxy-syntax" },
	{ ROW(SIG "\x22\x11\x00\x0c" V4), "proxy-syntax" }, /* a third command */
	{ ROW(SIG "\x21\x12\x00\x0c" V4), "proxy-syntax" }, /* UDP */
	{ ROW(SIG "\x21\x10\x00\x0c" V4), "proxy-syntax" },
	{ ROW(SIG "\x21\x41\x00\x0c" V4), "proxy-syntax" },
	{ ROW(SIG "\x21\x11\x00\x0b\xc0\x00\x02\x01\xc6\x33\x64\x02\x04\x00\x00"), "proxy-syntax" }, /* too short */
	{ ROW(SIG "\x21\x21\x00\x0c" V4), "proxy-syntax" },
	{ ROW(SIG "\x21\x31\x00\x0c" V4), "proxy-syntax" },
	{ ROW(SIG "\x21\x11\x0f\xf1"), "proxy-too-long" }, /* 4,097 octets */
	{ ROW(SIG "\x20\x00\xff\xff"), "proxy-too-long" },
	{ ROW(SIG "\x21\x11\x00\x0d" V4 "\x04"), "proxy-syntax" }, /* a TLV without its length */
	{ ROW(SIG "\x21\x11\x00\x0e" V4 "\x04\x00"), "proxy-syntax" },
	{ ROW(SIG "\x21\x11\x00\x0f" V4 "\x04\x00\x01"), "proxy-syntax" }, /* one octet past the end */
	{ ROW(SIG "\x21\x11\x00\x12" V4 "\x04\xff\xff"
		  "abc"),
	    "proxy-syntax" },
	{ ROW(SIG "\x21\x11\x00\x13" V4 "\x03\x00\x04\x00\x00\x00\x00"), "proxy-checksum" },
	{ ROW(SIG "\x21\x11\x00\x12" V4 "\x03\x00\x03\x00\x00\x00"), "proxy-syntax" },
};

/* At every split: more, more, ... and then what the whole says; never a different word earlier. */
static ssize_t
fed(struct span all, struct proxy *out, const char **why)
{
	for (size_t n = 0; n <= all.n; n++) {
		ssize_t got = proxy_parse(guarded(all.p, n), out, why);

		if (got != PROXY_MORE)
			return got;
	}
	return PROXY_MORE;
}

static void
claims(const struct proxy *p, const uint8_t *src, const uint8_t *dst)
{
	static const uint8_t none[16];

	ck_assert_int_eq(p->real, src == NULL);
	ck_assert_mem_eq(p->src, src != NULL ? src : none, 16);
	ck_assert_mem_eq(p->dst, dst != NULL ? dst : none, 16);
}

START_TEST(takes)
{
	struct proxy p = { .real = false };
	const char *why = NULL;
	uint8_t behind[512];
	size_t n = good[_i].in.n;

	ck_assert_int_eq(fed(good[_i].in, &p, &why), (ssize_t)n);
	claims(&p, good[_i].src, good[_i].dst);
	ck_assert_uint_eq(p.src_port, good[_i].src_port);
	ck_assert_uint_eq(p.dst_port, good[_i].dst_port);
	ck_assert_ptr_null(why);
	memcpy(behind, good[_i].in.p, n);
	memset(behind + n, '\n', sizeof(behind) - n);
	ck_assert_int_eq(proxy_parse(guarded(behind, sizeof(behind)), &p, &why), (ssize_t)n);
}
END_TEST

START_TEST(refuses)
{
	struct proxy p = { .real = false }, before = p;
	const char *why = NULL, *whole = NULL;

	ck_assert_int_eq(fed(wrong[_i].in, &p, &why), PROXY_BAD);
	ck_assert_str_eq(why, wrong[_i].why);
	ck_assert_int_eq(proxy_parse(guarded(wrong[_i].in.p, wrong[_i].in.n), &p, &whole), PROXY_BAD);
	ck_assert_str_eq(whole, wrong[_i].why);
	ck_assert_mem_eq(&p, &before, sizeof(p));
}
END_TEST

/* Every good header cut short says "more", whatever the cut. */
START_TEST(waits)
{
	struct proxy p;
	const char *why;

	for (size_t n = 0; n < good[_i].in.n; n++)
		ck_assert_int_eq(proxy_parse(guarded(good[_i].in.p, n), &p, &why), PROXY_MORE);
}
END_TEST

/* A checksum computed by another program, and each octet of the header spoilt. */
START_TEST(checksum)
{
	static const uint8_t head[] = SIG "\x21\x11\x00\x1a" V4 "\x03\x00\x04\x55\x3a\xdc\x9b\x04\x00\x04"
					  "noop";
	uint8_t h[sizeof(head) - 1];
	struct proxy p;
	const char *why;

	memcpy(h, head, sizeof(h));
	ck_assert_int_eq(proxy_parse(guarded(h, sizeof(h)), &p, &why), (ssize_t)sizeof(h));
	claims(&p, v4, v4dst);
	for (size_t i = 16; i < sizeof(h); i++) {
		if (i == 28) /* the type: without it there is no checksum */
			continue;
		h[i] ^= 0x10;
		ck_assert_int_eq(proxy_parse(guarded(h, sizeof(h)), &p, &why), PROXY_BAD);
		h[i] ^= 0x10;
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy");
	TCase *t = tcase_create("proxy");

	tcase_add_loop_test(t, takes, 0, (int)(sizeof(good) / sizeof(good[0])));
	tcase_add_loop_test(t, refuses, 0, (int)(sizeof(wrong) / sizeof(wrong[0])));
	tcase_add_loop_test(t, waits, 0, (int)(sizeof(good) / sizeof(good[0])));
	tcase_add_test(t, checksum);
	suite_add_tcase(s, t);
	return suite_run(s);
}
