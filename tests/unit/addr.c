/*
 * addr: the grammar of RFC 5321 4.1.2 and RFC 6531, a row a case; and that
 * what is accepted reads the same after it was written.
 */
#include "common/addr.h"

#include "tests/unit/suite.h"

enum { F = 0, R = ADDR_REVERSE, U = ADDR_UTF8, P = ADDR_POSTMASTER };

static struct arena arena;

static void
setup(void)
{
	arena_init(&arena, 1024, 1 << 20);
}

static void
teardown(void)
{
	arena_reset(&arena);
}

static const struct {
	const char *in;
	unsigned flags;
	int rc;                            /* octets consumed, or an error; 0: all of it */
	const char *local, *domain, *text; /* text NULL: local@domain */
} path_row[] = {
	{ "<alice@example.org>", F, 0, "alice", "example.org", NULL },
	{ "<alice@example.org> SIZE=1", F, 19, "alice", "example.org", NULL },
	{ "<Alice.B@EXAMPLE.Org>", F, 0, "Alice.B", "example.org", NULL },
	{ "<!#$%&'*+-/=?^_`{|}~@a>", F, 0, "!#$%&'*+-/=?^_`{|}~", "a", NULL },
	{ "<a@b-c.d--e.f1>", F, 0, "a", "b-c.d--e.f1", NULL },
	{ "<a@my_host.example>", F, 0, "a", "my_host.example", NULL },
	{ "<a@1.2.3.4>", F, 0, "a", "1.2.3.4", NULL },
	{ "<>", R, 0, "", "", "" },
	{ "<> SIZE=1", R, 2, "", "", "" },
	{ "<>", F, ADDR_EINVAL, NULL, NULL, NULL },
	/* quoted strings */
	{ "<\"a b\"@d>", F, 0, "a b", "d", "\"a b\"@d" },
	{ "<\"a@b\"@d>", F, 0, "a@b", "d", "\"a@b\"@d" },
	{ "<\"a\\\"b\"@d>", F, 0, "a\"b", "d", "\"a\\\"b\"@d" },
	{ "<\"a\\\\b\"@d>", F, 0, "a\\b", "d", "\"a\\\\b\"@d" },
	{ "<\"alice\"@d>", F, 0, "alice", "d", NULL },
	{ "<\"a\\l\\i.ce\"@d>", F, 0, "ali.ce", "d", NULL },
	{ "<\".a\"@d>", F, 0, ".a", "d", "\".a\"@d" },
	{ "<\"a.\"@d>", F, 0, "a.", "d", "\"a.\"@d" },
	{ "<\"a..b\"@d>", F, 0, "a..b", "d", "\"a..b\"@d" },
	{ "<\">\"@d>", F, 0, ">", "d", "\">\"@d" },
	{ "<\" \"@d>", F, 0, " ", "d", "\" \"@d" },
	{ "<\"\\ \"@d>", F, 0, " ", "d", "\" \"@d" },
	{ "<\"\"@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<\"a@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<\"a\\\"@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<\"a\\", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<\"a\tb\"@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<\"a\\\tb\"@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<\"a\nb\"@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<\"a\x7f\"@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<\"a\"b@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a\"b\"@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<\"a\".b@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	/* not a path */
	{ "", R | P | U, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<", R | P | U, ADDR_EINVAL, NULL, NULL, NULL },
	{ "alice@example.org", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<alice@example.org", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<alice@example.org.>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<alice@.example.org>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<alice@example..org>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<alice@-a.org>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<alice@a-.org>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<alice@a.org->", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<alice@>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<@example.org>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<alice>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@b@c>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<.a@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a.@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a..b@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a b@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "< a@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@d >", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<<a@d>>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a(c)@d>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@d;rm>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<;rm@>", F, ADDR_EINVAL, NULL, NULL, NULL },
	/* source routes */
	{ "<@a,@b:user@dom>", F, 0, "user", "dom", NULL },
	{ "<@a.b:user@dom>", F, 0, "user", "dom", NULL },
	{ "<@a,@b,@c:\"x y\"@dom>", F, 0, "x y", "dom", "\"x y\"@dom" },
	{ "<@a,b:user@dom>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<@a,:user@dom>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<@a user@dom>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<@:user@dom>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<@[192.0.2.1]:user@dom>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<@a:>", R, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<@a:postmaster>", P, ADDR_EINVAL, NULL, NULL, NULL },
	/* Postmaster */
	{ "<Postmaster>", P, 0, "Postmaster", "", "Postmaster" },
	{ "<POSTMASTER> x", P, 12, "POSTMASTER", "", "POSTMASTER" },
	{ "<postmaster@Example.org>", P, 0, "postmaster", "example.org", NULL },
	{ "<Postmaster>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<Postmasters>", P, ADDR_EINVAL, NULL, NULL, NULL },
	/* literals */
	{ "<a@[192.0.2.1]>", F, 0, "a", "[192.0.2.1]", NULL },
	{ "<a@[IPv6:2001:DB8::1]>", F, 0, "a", "[ipv6:2001:db8::1]", NULL },
	{ "<a@[ipV6:::ffff:192.0.2.1]>", F, 0, "a", "[ipv6:::ffff:192.0.2.1]", NULL },
	{ "<a@[x-tag:some>thing!]>", F, 0, "a", "[x-tag:some>thing!]", NULL },
	{ "<a@[192.0.2]>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@[192.0.2.256]>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@[192.0.02.1]>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@[IPv6:2001:db8::g]>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@[IPv6:]>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@[2001:db8::1]>", F, 0, "a", "[2001:db8::1]",
	    NULL }, /* by the letter: a General-address-literal with tag 2001 */
	{ "<a@[x-:y]>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@[x:]>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@[:y]>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@[x:a b]>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@[]>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@[192.0.2.1>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@[192.0.2.1].org>", F, ADDR_EINVAL, NULL, NULL, NULL },
	/* UTF-8 */
	{ "<m\xc3\xbcller@example.org>", U, 0, "m\xc3\xbcller", "example.org", NULL },
	{ "<a@B\xc3\x9c"
	  "CHER.example>",
	    U, 0, "a",
	    "b\xc3\x9c"
	    "cher.example",
	    NULL },
	{ "<\"\xe2\x82\xac \xf0\x9f\x93\xae\"@d>", U, 0, "\xe2\x82\xac \xf0\x9f\x93\xae", "d",
	    "\"\xe2\x82\xac \xf0\x9f\x93\xae\"@d" },
	{ "<@b\xc3\xbc:a@d>", U, 0, "a", "d", NULL },
	{ "<m\xc3\xbcller@example.org>", F, ADDR_EUTF8, NULL, NULL, NULL },
	{ "<a@b\xc3\xbc"
	  "cher.example>",
	    R | P, ADDR_EUTF8, NULL, NULL, NULL },
	{ "<@b\xc3\xbc:a@d>", F, ADDR_EUTF8, NULL, NULL, NULL },
	{ "<m\xc3\xbcller@>", F, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<\"a\\\xc3\xbc\"@d>", U, ADDR_EINVAL, NULL, NULL, NULL },
	{ "<a@[x:\xc3\xbc]>", U, ADDR_EINVAL, NULL, NULL, NULL },
};

static void
check_text(const struct addr *a, const char *want)
{
	char text[ADDR_TEXT_MAX];
	ssize_t n = addr_format(a, text, sizeof(text));
	struct addr again;

	ck_assert_int_eq(n, (ssize_t)strlen(want));
	ck_assert_mem_eq(text, want, (size_t)n);
	for (size_t cap = 0; cap < (size_t)n; cap++)
		ck_assert_int_eq(addr_format(a, text, cap), -1);
	ck_assert_int_eq(addr_format(a, text, (size_t)n), n);
	ck_assert_int_eq(addr_parse_bare(guarded(text, (size_t)n), R | U | P, &arena, &again), 0);
	ck_assert(span_eq(again.local, a->local));
	ck_assert(span_eq(again.domain, a->domain));
	ck_assert(again.utf8 == a->utf8 && again.is_null == a->is_null && again.literal == a->literal);
}

START_TEST(paths)
{
	struct addr a, untouched;
	char text[200];
	ssize_t rc;

	memset(&a, 0x5a, sizeof(a));
	memset(&untouched, 0x5a, sizeof(untouched));
	rc = addr_parse(guarded_str(path_row[_i].in), path_row[_i].flags, &arena, &a);
	if (path_row[_i].rc < 0) {
		ck_assert_int_eq(rc, path_row[_i].rc);
		ck_assert_mem_eq(&a, &untouched, sizeof(a));
		return;
	}
	ck_assert_int_eq(rc, path_row[_i].rc > 0 ? path_row[_i].rc : (ssize_t)strlen(path_row[_i].in));
	ck_assert(span_eq(a.local, span_str(path_row[_i].local)));
	ck_assert(span_eq(a.domain, span_str(path_row[_i].domain)));
	ck_assert_int_eq(a.is_null, a.local.n == 0);
	ck_assert_int_eq(a.literal, a.domain.n > 0 && a.domain.p[0] == '[');
	snprintf(text, sizeof(text), "%s@%s", path_row[_i].local, path_row[_i].domain);
	check_text(&a, path_row[_i].text != NULL ? path_row[_i].text : text);
}
END_TEST

static const struct {
	const char *in;
	unsigned flags;
	int rc;
} bare_row[] = {
	{ "alice@example.org", F, 0 },
	{ "\"a b\"@d", F, 0 },
	{ "a@[192.0.2.1]", F, 0 },
	{ "postmaster", P, 0 },
	{ "", R, 0 },
	{ "", F, ADDR_EINVAL },
	{ "<>", R, ADDR_EINVAL },
	{ "postmaster", F, ADDR_EINVAL },
	{ "<a@d>", F, ADDR_EINVAL },
	{ "a@d>", F, ADDR_EINVAL },
	{ "a@d ", F, ADDR_EINVAL },
	{ "a@d,b@d", F, ADDR_EINVAL },
	{ "@a:b@d", F, ADDR_EINVAL },
	{ "@d", F, ADDR_EINVAL },
	{ "\xc3\xbc@d", F, ADDR_EUTF8 },
	{ "\xc3\xbc@d", U, 0 },
};

static const struct {
	const char *in;
	bool ascii, utf8; /* a Mailbox without UTF-8, with it */
} mailbox_row[] = {
	{ "a@b.example", true, true },
	{ "\"a b\"@b.example", true, true },
	{ "a@[192.0.2.1]", true, true },
	{ "\xc3\xa4@b.example", false, true },
	{ "a@\xc3\xa4.example", false, true },
	{ "", false, false },
	{ "a", false, false },
	{ "postmaster", false, false },
	{ "@b.example", false, false },
	{ "a@", false, false },
	{ "a@b.example ", false, false },
	{ "<a@b.example>", false, false },
	{ "a b@b.example", false, false },
	{ "a@b@c.example", false, false },
	{ "\xc2\x85@b.example", false, false },
};

START_TEST(mailboxes)
{
	ck_assert(addr_mailbox_ok(guarded_str(mailbox_row[_i].in), false) == mailbox_row[_i].ascii);
	ck_assert(addr_mailbox_ok(guarded_str(mailbox_row[_i].in), true) == mailbox_row[_i].utf8);
}
END_TEST

START_TEST(bare)
{
	struct addr a;

	ck_assert_int_eq(
	    addr_parse_bare(guarded_str(bare_row[_i].in), bare_row[_i].flags, &arena, &a), bare_row[_i].rc);
}
END_TEST

/* Each octet in each place: only what the grammar names is taken. */
START_TEST(every_octet)
{
	for (int c = 0; c < 256; c++) {
		bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool atext = alnum || (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
		char local[] = "<a?b@d>", quoted[] = "<\"a?b\"@d>", pair[] = "<\"a\\?b\"@d>", dom[] = "<a@b?c>";
		struct addr a;

		local[2] = quoted[3] = pair[4] = dom[4] = (char)c;
		ck_assert_int_eq(addr_parse(guarded(local, 7), U, &arena, &a) == 7, atext || c == '.');
		ck_assert_int_eq(addr_parse(guarded(quoted, 9), U, &arena, &a) == 9,
		    c >= ' ' && c <= '~' && c != '"'); /* a backslash quotes the b */
		ck_assert_int_eq(addr_parse(guarded(pair, 10), U, &arena, &a) == 10, c >= ' ' && c <= '~');
		ck_assert_int_eq(
		    addr_parse(guarded(dom, 7), U, &arena, &a) == 7, alnum || c == '.' || c == '-' || c == '_');
		arena_reset(&arena);
	}
}
END_TEST

/* All code points, in a local part and in a domain, and around the edges of each length what is not well-formed. */
START_TEST(utf8_code_points)
{
	size_t wrong = 0;

	for (uint32_t u = 0x80; u < 0x110000; u += u < 0x3000 ? 1 : 61) {
		char in[] = "<____@__>";
		struct addr a;
		size_t n = 1;
		bool want = u >= 0xa0 && (u < 0xd800 || u > 0xdfff);

		if (u >= 0x10000) {
			in[n++] = (char)(0xf0 | u >> 18);
			in[n++] = (char)(0x80 | (u >> 12 & 0x3f));
		} else if (u >= 0x800) {
			in[n++] = (char)(0xe0 | u >> 12);
		}
		in[n++] = (char)(u >= 0x800 ? 0x80 | (u >> 6 & 0x3f) : 0xc0 | u >> 6);
		in[n++] = (char)(0x80 | (u & 0x3f));
		memcpy(in + n, "@d>", 3);
		wrong += (addr_parse(span_of(in, n + 3), U, &arena, &a) == (ssize_t)n + 3) != want;
		wrong += addr_parse(span_of(in, n + 3), F, &arena, &a) != (want ? ADDR_EUTF8 : ADDR_EINVAL);
		wrong += addr_domain_ok(span_of(in + 1, n - 1), true) != want;
		wrong += addr_domain_ok(span_of(in + 1, n - 1), false);
		arena_reset(&arena);
	}
	ck_assert_uint_eq(wrong, 0);
}
END_TEST

static const char *const bad_utf8[] = {
	"\x80",
	"\xbf",
	"\xc0\x80",
	"\xc1\xbf",
	"\xc2",
	"\xc2\x7f",
	"\xc2\xc0",
	"\xc2\x80",
	"\xc2\x9f",
	"\xe0\x80\x80",
	"\xe0\x9f\xbf",
	"\xe2\x82",
	"\xe2\x82\x7f",
	"\xe2\x28\xa1",
	"\xed\xa0\x80",
	"\xed\xbf\xbf",
	"\xf0\x80\x80\x80",
	"\xf0\x8f\xbf\xbf",
	"\xf0\x9f\x93",
	"\xf4\x90\x80\x80",
	"\xf5\x80\x80\x80",
	"\xf8\x88\x80\x80\x80",
	"\xfe",
	"\xff",
};

START_TEST(malformed_utf8)
{
	char in[32];
	struct addr a;

	snprintf(in, sizeof(in), "<a%sb@d>", bad_utf8[_i]);
	ck_assert_int_eq(addr_parse(guarded_str(in), U, &arena, &a), ADDR_EINVAL);
	snprintf(in, sizeof(in), "<\"a%s\"@d>", bad_utf8[_i]);
	ck_assert_int_eq(addr_parse(guarded_str(in), U, &arena, &a), ADDR_EINVAL);
	snprintf(in, sizeof(in), "<a@b%s>", bad_utf8[_i]);
	ck_assert_int_eq(addr_parse(guarded_str(in), U, &arena, &a), ADDR_EINVAL);
	ck_assert(!addr_domain_ok(guarded_str(bad_utf8[_i]), true));
}
END_TEST

/* A path of ${nlocal} octets before the at sign, each behind a backslash if ${pairs}, and a domain of ${ndomain}. */
static ssize_t
parse_long(size_t nlocal, size_t ndomain, bool pairs)
{
	char in[4096];
	size_t n = 0;
	struct addr a;
	ssize_t rc;

	in[n++] = '<';
	if (pairs)
		in[n++] = '"';
	for (size_t i = 0; i < nlocal; i++) {
		if (pairs)
			in[n++] = '\\';
		in[n++] = pairs ? '"' : 'l';
	}
	if (pairs)
		in[n++] = '"';
	in[n++] = '@';
	for (size_t i = 0; i < ndomain; i++)
		in[n++] = i % 64 == 63 ? '.' : 'd';
	in[n++] = '>';
	rc = addr_parse(guarded(in, n), F, &arena, &a);
	if (rc >= 0) {
		char text[ADDR_TEXT_MAX];

		ck_assert_int_eq(rc, (ssize_t)n);
		ck_assert_uint_eq(a.local.n, nlocal);
		ck_assert_uint_eq(a.domain.n, ndomain);
		ck_assert_int_gt(addr_format(&a, text, sizeof(text)), 0);
	}
	return rc;
}

START_TEST(limits)
{
	ck_assert_int_gt(parse_long(64, 189, false), 0);
	ck_assert_int_gt(parse_long(65, 10, false), 0); /* PROTOCOL 33: the table decides */
	ck_assert_int_gt(parse_long(234, 19, false), 0);
	ck_assert_int_gt(parse_long(1, 252, false), 0);
	ck_assert_int_gt(parse_long(252, 1, true), 0);
	ck_assert_int_eq(parse_long(235, 19, false), ADDR_ELONG);
	ck_assert_int_eq(parse_long(2, 252, false), ADDR_ELONG);
	ck_assert_int_eq(parse_long(253, 1, true), ADDR_ELONG);
	ck_assert_int_eq(parse_long(1, 257, false), ADDR_ELONG);
	ck_assert_int_eq(parse_long(254, 1, false), ADDR_ELONG);
	ck_assert_int_eq(parse_long(1500, 1, true), ADDR_ELONG);
	ck_assert_int_eq(parse_long(2000, 2000 - 2000 % 64 + 1, false), ADDR_ELONG);
	ck_assert_int_eq(parse_long(2000, 2000 - 2000 % 64, false), ADDR_EINVAL); /* ends in a dot */
}
END_TEST

START_TEST(labels)
{
	char in[300];

	memset(in, 'a', sizeof(in));
	ck_assert(addr_domain_ok(guarded(in, 63), false));
	ck_assert(!addr_domain_ok(guarded(in, 64), false));
	in[63] = '.';
	ck_assert(addr_domain_ok(guarded(in, 127), false));
	ck_assert(!addr_domain_ok(guarded(in, 64), false));
	ck_assert(!addr_domain_ok(guarded(in, 128), false));
	in[127] = in[191] = '.';
	ck_assert(addr_domain_ok(guarded(in, 255), false));
	in[254] = '.';
	in[255] = 'a';
	ck_assert(!addr_domain_ok(guarded(in, 256), false));
	ck_assert(!addr_domain_ok(span_of(NULL, 0), true));
	ck_assert(!addr_domain_ok(guarded_str("[192.0.2.1]"), true));
	ck_assert(!addr_domain_ok(guarded_str("a b"), true));
	/* A U-label's own length is not bounded by 63: forty e with acute are an A-label of 47 octets. */
	for (size_t i = 0; i < 40; i++)
		memcpy(in + 2 * i, "\xc3\xa9", 2);
	ck_assert(addr_domain_ok(guarded(in, 80), true));
}
END_TEST

START_TEST(full_arena)
{
	struct arena small;
	struct addr a, untouched;

	memset(&a, 0x5a, sizeof(a));
	memset(&untouched, 0x5a, sizeof(untouched));
	for (size_t limit = 0; limit < 200; limit++) {
		ssize_t rc;

		arena_init(&small, 16, limit);
		rc = addr_parse(guarded_str("<alice@example.org>"), F, &small, &a);
		ck_assert(rc == 19 || rc == ADDR_ENOMEM);
		if (rc < 0)
			ck_assert_mem_eq(&a, &untouched, sizeof(a));
		ck_assert(limit > 0 || rc == ADDR_ENOMEM);
		ck_assert(limit < 199 || rc == 19);
		memset(&a, 0x5a, sizeof(a));
		arena_reset(&small);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("addr");
	TCase *t = tcase_create("addr");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, paths, 0, sizeof(path_row) / sizeof(path_row[0]));
	tcase_add_loop_test(t, mailboxes, 0, sizeof(mailbox_row) / sizeof(mailbox_row[0]));
	tcase_add_loop_test(t, bare, 0, sizeof(bare_row) / sizeof(bare_row[0]));
	tcase_add_test(t, every_octet);
	tcase_add_test(t, utf8_code_points);
	tcase_add_loop_test(t, malformed_utf8, 0, sizeof(bad_utf8) / sizeof(bad_utf8[0]));
	tcase_add_test(t, limits);
	tcase_add_test(t, labels);
	tcase_add_test(t, full_arena);
	suite_add_tcase(s, t);
	return suite_run(s);
}
