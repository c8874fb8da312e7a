/*
 * trace: the fields to the octet, dates against gmtime(3), and hostile HELO
 * names that must not get out of their place.
 */
#include "worker/smtp/trace.h"

#include <time.h>

#include "tests/unit/suite.h"

enum { DATE = 1795539600 }; /* Tue, 24 Nov 2026 17:00:00 +0000 */

static struct arena arena;
static struct txn *t;

static void
setup(void)
{
	arena_init(&arena, TXN_ARENA_FIRST, TXN_ARENA_MAX);
	t = txn_new(&arena);
}

static void
teardown(void)
{
	arena_reset(&arena);
}

static struct addr
address(const char *text)
{
	struct addr a;

	ck_assert_int_eq(addr_parse_bare(guarded_str(text), ADDR_REVERSE | ADDR_UTF8 | ADDR_POSTMASTER, &arena, &a), 0);
	return a;
}

/* One more recipient, in mailbox ${key} (NULL: none). */
static void
rcpt(const char *addr, const char *key)
{
	struct rcpt *r = txn_rcpt_new(t);

	r->addr = address(addr);
	if (key != NULL)
		ck_assert_int_eq(txn_deliver(t, r, guarded_str(key), SPAN("d/x"), SPAN(""), NULL), 0);
	txn_rcpt_accept(t, r);
}

static struct trace
trace(const char *helo)
{
	return (struct trace){ .helo = guarded_str(helo),
		.remote = "192.0.2.1",
		.hostname = "mx.example.org",
		.with = "ESMTP",
		.id = "4RtBq2",
		.date = DATE };
}

static const char *
received(const struct trace *tr)
{
	static char out[TRACE_RECEIVED_MAX + 1];
	ssize_t n = trace_received(tr, t, out, TRACE_RECEIVED_MAX);

	ck_assert_int_gt(n, 0);
	out[n] = '\0';
	ck_assert_uint_eq(strlen(out), (size_t)n);
	for (size_t cap = 0; cap < (size_t)n; cap += 7) {
		char small[TRACE_RECEIVED_MAX];

		ck_assert_int_eq(trace_received(tr, t, small, cap), -1);
	}
	return out;
}

START_TEST(plain)
{
	struct trace tr = trace("client.example.net");

	rcpt("Alice@example.org", NULL);
	ck_assert_str_eq(received(&tr),
	    "Received: from client.example.net ([192.0.2.1])\n"
	    "\tby mx.example.org (Letterplate) with ESMTP id 4RtBq2\n"
	    "\tfor <Alice@example.org>;\n"
	    "\tTue, 24 Nov 2026 17:00:00 +0000\n");
}
END_TEST

START_TEST(all_that_can_stand_in_it)
{
	struct trace tr = trace("[IPv6:2001:DB8::1]");

	tr.rdns = "host.example.net";
	tr.remote = "IPv6:2001:db8::1";
	tr.with = "ESMTPS";
	tr.tls = "(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384)";
	tr.gmtoff = -(3 * 3600 + 30 * 60);
	rcpt("postmaster", NULL);
	ck_assert_str_eq(received(&tr),
	    "Received: from [IPv6:2001:DB8::1] (host.example.net [IPv6:2001:db8::1])\n"
	    "\tby mx.example.org (Letterplate) with ESMTPS\n"
	    "\t(version=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384) id 4RtBq2\n"
	    "\tfor <postmaster>;\n"
	    "\tTue, 24 Nov 2026 13:30:00 -0330\n");
}
END_TEST

START_TEST(unix_socket)
{
	struct trace tr = trace("localhost");

	tr.remote = "unix";
	tr.with = "LMTP";
	rcpt("alice@example.org", NULL);
	ck_assert_ptr_nonnull(
	    strstr(received(&tr), "from localhost (unix)\n\tby mx.example.org (Letterplate) with LMTP id"));
}
END_TEST

/* RFC 5321 7.2: who else got it is nobody's business. */
START_TEST(several_recipients_are_not_named)
{
	struct trace tr = trace("c.example");

	rcpt("alice@example.org", NULL);
	rcpt("bob@example.org", NULL);
	ck_assert_str_eq(received(&tr),
	    "Received: from c.example ([192.0.2.1])\n"
	    "\tby mx.example.org (Letterplate) with ESMTP id 4RtBq2;\n"
	    "\tTue, 24 Nov 2026 17:00:00 +0000\n");
}
END_TEST

static const struct {
	const char *helo;
	bool utf8;
	const char *want;
} helo_row[] = {
	{ "a.b-c_d", false, "a.b-c_d" },
	{ "", false, "unknown" },
	{ "x)\n\tby evil (y", false, "x???by?evil??y" },
	{ "x\r\nSubject: forged\r\n\r\n", false, "x??Subject??forged????" },
	{ "x;\"<>@,\\(a", false, "x????????a" },
	{ "a\x01\x7f\x1b[2J", false, "a????2J" },
	{ "[192.0.2.7]", false, "[192.0.2.7]" },
	{ "[192.0.2.777]", false, "?192.0.2.777?" },
	{ "[x:(;]", false, "[x:??]" },
	{ "[]", false, "??" },
	{ "b\xc3\xbc"
	  "cher.example",
	    false, "b??cher.example" },
	{ "b\xc3\xbc"
	  "cher.example",
	    true,
	    "b\xc3\xbc"
	    "cher.example" },
	{ "b\xc3\xbc (x", true, "b????x" },
	{ "b\xc3", true, "b?" },
	{ "b\xff.c", true, "b?.c" },
};

START_TEST(helo_names)
{
	struct trace tr = trace(helo_row[_i].helo);
	char want[200];

	t->smtputf8 = helo_row[_i].utf8;
	rcpt("a@d", NULL);
	snprintf(want, sizeof(want), "Received: from %s ([192.0.2.1])\n\tby ", helo_row[_i].want);
	ck_assert_mem_eq(received(&tr), want, strlen(want));
}
END_TEST

/* All 256 octets, and names of any length: four or more lines, none too long, no control character but ours. */
START_TEST(hostile_names_stay_in_their_line)
{
	static char helo[1200];
	size_t wrong = 0;

	rcpt("a@d", NULL);
	for (size_t n = 0; n < sizeof(helo); n += n < 300 ? 1 : 37) {
		for (size_t i = 0; i < n; i++)
			helo[i] = (char)(i * 7 + n);
		for (int utf8 = 0; utf8 < 2; utf8++) {
			struct trace tr = trace("");
			size_t column = 0;
			const char *p;

			t->smtputf8 = utf8;
			tr.helo = span_of(helo, n);
			tr.rdns = "host.example.net";
			for (p = received(&tr); *p != '\0'; p++) {
				column = *p == '\n' ? 0 : column + 1;
				wrong += column > 300;
				wrong += (unsigned char)*p < ' ' && *p != '\n' && !(*p == '\t' && p[-1] == '\n');
				wrong += *p == '\n' && p[1] != '\t' && p[1] != '\0';
				wrong += (unsigned char)*p > '~';
			}
		}
	}
	ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(longest_fits)
{
	char helo[300], name[256], local[700];
	struct trace tr;

	memset(helo, 'h', sizeof(helo));
	memset(name, 'n', sizeof(name) - 1);
	name[255] = '\0';
	tr = trace("");
	tr.helo = guarded(helo, sizeof(helo));
	tr.rdns = tr.hostname = name;
	tr.remote = "IPv6:2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
	tr.tls = "(version=TLSv1.3 cipher=TLS_CHACHA20_POLY1305_SHA256 bits=256 verify=not)";
	tr.with = "UTF8LMTPSA";
	tr.id = "01234567890123456789012";
	local[0] = '"';
	for (size_t i = 0; i < 252; i++)
		memcpy(local + 1 + 2 * i, "\\\"", 2);
	memcpy(local + 505, "\"@d", 4);
	rcpt(local, NULL);
	ck_assert_uint_gt(strlen(received(&tr)), 1200);
}
END_TEST

/* Against gmtime(3), over 8,000 years and in all zones. */
START_TEST(dates)
{
	static const int32_t off[] = { 0, 3600, -3600, 45900, -43200, 50400, 19800, -34200, 1, -59, 90000 };
	static const char *const day[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const month[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct",
		"Nov", "Dec" };
	size_t n = 0;

	rcpt("a@d", NULL);
	for (int64_t date = 100000; date < 253402200000;
	     date += 86400 * 37 * (date < 4102444800 ? 1 : 50) + 12345, n++) {
		struct trace tr = trace("h");
		char want[80];
		struct tm tm;
		int zone;
		time_t local;

		tr.date = date;
		tr.gmtoff = off[n % (sizeof(off) / sizeof(off[0]))];
		zone = tr.gmtoff == 90000 ? 0 : tr.gmtoff / 60;
		local = (time_t)(date + zone * 60);
		gmtime_r(&local, &tm);
		snprintf(want, sizeof(want), ";\n\t%s, %02d %s %d %02d:%02d:%02d %c%02d%02d\n", day[tm.tm_wday],
		    tm.tm_mday, month[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec,
		    zone < 0 ? '-' : '+', abs(zone) / 60, abs(zone) % 60);
		ck_assert_str_eq(strchr(received(&tr), ';'), want);
	}
	ck_assert_uint_gt(n, 1000);
}
END_TEST

static const struct {
	int64_t date;
	int32_t gmtoff;
	const char *want;
} edge_row[] = {
	{ 0, 0, "Thu, 01 Jan 1970 00:00:00 +0000" },
	{ 0, -3600, "Thu, 01 Jan 1970 00:00:00 +0000" },
	{ -1, 0, "Thu, 01 Jan 1970 00:00:00 +0000" },
	{ INT64_MIN, INT32_MIN, "Thu, 01 Jan 1970 00:00:00 +0000" },
	{ 951782400, 0, "Tue, 29 Feb 2000 00:00:00 +0000" },
	{ 951868799, 0, "Tue, 29 Feb 2000 23:59:59 +0000" },
	{ 4107542400, 0, "Mon, 01 Mar 2100 00:00:00 +0000" },
	{ 253402300799, 0, "Fri, 31 Dec 9999 23:59:59 +0000" },
	{ INT64_MAX, INT32_MAX, "Fri, 31 Dec 9999 23:59:59 +0000" },
	{ 253402300799, 3600, "Fri, 31 Dec 9999 23:59:59 +0000" },
};

START_TEST(edges_of_time)
{
	struct trace tr = trace("h");

	tr.date = edge_row[_i].date;
	tr.gmtoff = edge_row[_i].gmtoff;
	rcpt("a@d", NULL);
	ck_assert_ptr_nonnull(strstr(received(&tr), edge_row[_i].want));
}
END_TEST

/* --- what stands in a mailbox's file --- */

static const char *
target(const struct target *tg, bool delivered_to)
{
	static char out[TRACE_TARGET_MAX + 1];
	ssize_t n = trace_target(t, tg, delivered_to, SPAN("Received: x\n"), out, TRACE_TARGET_MAX);

	ck_assert_int_gt(n, 0);
	out[n] = '\0';
	for (size_t cap = 0; cap < (size_t)n; cap += 3) {
		char small[TRACE_TARGET_MAX];

		ck_assert_int_eq(trace_target(t, tg, delivered_to, SPAN("Received: x\n"), small, cap), -1);
	}
	return out;
}

static const struct {
	const char *from, *rcpt, *key;
	bool delivered_to;
	const char *want;
} target_row[] = {
	{ "Bob@Example.net", "alice@example.org", "alice@example.org", true,
	    "Return-Path: <Bob@example.net>\nDelivered-To: alice@example.org\nReceived: x\n" },
	{ "", "alice@example.org", "alice@example.org", true,
	    "Return-Path: <>\nDelivered-To: alice@example.org\nReceived: x\n" },
	{ "", "alice@EXAMPLE.org", "alice@example.org", true,
	    "Return-Path: <>\nDelivered-To: alice@example.org\nReceived: x\n" },
	{ "", "Alice@example.org", "alice@example.org", true,
	    "Return-Path: <>\nDelivered-To: alice@example.org\nX-Original-To: Alice@example.org\nReceived: x\n" },
	{ "", "alice+tag@example.org", "alice@example.org", true,
	    "Return-Path: <>\nDelivered-To: alice@example.org\nX-Original-To: alice+tag@example.org\nReceived: x\n" },
	{ "", "postmaster", "alice@example.org", true,
	    "Return-Path: <>\nDelivered-To: alice@example.org\nX-Original-To: postmaster\nReceived: x\n" },
	{ "\"a b\"@d", "alice@example.org", "alice@example.org", false, "Return-Path: <\"a b\"@d>\nReceived: x\n" },
	{ "", "\"a b\"@d", "a b@d", true, "Return-Path: <>\nDelivered-To: \"a b\"@d\nReceived: x\n" },
	{ "", "\"a@b\"@d", "a@b@d", true, "Return-Path: <>\nDelivered-To: \"a@b\"@d\nReceived: x\n" },
	{ "m\xc3\xbc@d",
	    "m\xc3\xbc@b\xc3\xbc"
	    "cher.example",
	    "m\xc3\xbc@xn--bcher-kva.example", true,
	    "Return-Path: <m\xc3\xbc@d>\nDelivered-To: m\xc3\xbc@xn--bcher-kva.example\n"
	    "X-Original-To: m\xc3\xbc@b\xc3\xbc"
	    "cher.example\nReceived: x\n" },
	{ "", "a@d", "a\nSubject: x\x7f@d", true,
	    "Return-Path: <>\nDelivered-To: \"a?Subject: x?\"@d\nX-Original-To: a@d\nReceived: x\n" },
};

START_TEST(targets)
{
	t->from = address(target_row[_i].from);
	rcpt(target_row[_i].rcpt, target_row[_i].key);
	ck_assert_str_eq(target(t->targets, target_row[_i].delivered_to), target_row[_i].want);
}
END_TEST

START_TEST(a_shared_mailbox_names_the_first_recipient)
{
	t->from = address("");
	rcpt("sales@example.org", "alice@example.org");
	rcpt("alice@example.org", "alice@example.org");
	rcpt("bob@example.org", "bob@example.org");
	ck_assert_str_eq(target(t->targets, true),
	    "Return-Path: <>\nDelivered-To: alice@example.org\nX-Original-To: sales@example.org\nReceived: x\n");
	ck_assert_str_eq(
	    target(t->targets->next, true), "Return-Path: <>\nDelivered-To: bob@example.org\nReceived: x\n");
}
END_TEST

START_TEST(longest_target_fits)
{
	char local[700], key[511], head[TRACE_RECEIVED_MAX], out[TRACE_TARGET_MAX];
	ssize_t n;

	local[0] = '"';
	for (size_t i = 0; i < 252; i++)
		memcpy(local + 1 + 2 * i, "\\\"", 2);
	memcpy(local + 505, "\"@d", 4);
	memset(key, '"', sizeof(key));
	memcpy(key + sizeof(key) - 3, "@d", 3);
	memset(head, 'r', sizeof(head));
	t->from = address(local);
	rcpt(local, key);
	n = trace_target(t, t->targets, true, span_of(head, sizeof(head)), out, sizeof(out));
	ck_assert_int_gt(n, 3500);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("trace");
	TCase *c = tcase_create("trace");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, plain);
	tcase_add_test(c, all_that_can_stand_in_it);
	tcase_add_test(c, unix_socket);
	tcase_add_test(c, several_recipients_are_not_named);
	tcase_add_loop_test(c, helo_names, 0, sizeof(helo_row) / sizeof(helo_row[0]));
	tcase_add_test(c, hostile_names_stay_in_their_line);
	tcase_add_test(c, longest_fits);
	tcase_add_test(c, dates);
	tcase_add_loop_test(c, edges_of_time, 0, sizeof(edge_row) / sizeof(edge_row[0]));
	tcase_add_loop_test(c, targets, 0, sizeof(target_row) / sizeof(target_row[0]));
	tcase_add_test(c, a_shared_mailbox_names_the_first_recipient);
	tcase_add_test(c, longest_target_fits);
	suite_add_tcase(s, c);
	return suite_run(s);
}
