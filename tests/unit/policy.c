/*
 * policy: requests have Postfix's attributes and no value breaks a line;
 * answers are read at every split, and nonsense is neither yes nor no.
 */
#include "worker/handlers/policy/answer.h"
#include "worker/handlers/policy/request.h"

#include "tests/unit/suite.h"

static struct addr
path(const char *local, const char *domain)
{
	return (struct addr){ .local = span_str(local), .domain = span_str(domain) };
}

static struct session_view
view(void)
{
	return (struct session_view){
		.id = span_str("session1"),
		.listener = "mx",
		.remote = "IPv6:2001:db8::1",
		.local = "192.0.2.25",
		.remote_port = 40000,
		.local_port = 25,
		.helo = span_str("client.example"),
		.with = "ESMTPS",
		.client_name = "client.example",
		.tls_version = "TLSv1.3",
		.tls_cipher = "TLS_AES_256_GCM_SHA384",
	};
}

static char out[POLICY_REQUEST_MAX + 1];

static void
must_have(const char *line)
{
	char want[256];

	snprintf(want, sizeof(want), "\n%s\n", line);
	ck_assert_msg(strstr(out, want) != NULL, "no line %s in:\n%s", line, out);
}

static void
ask(const struct policy_facts *f)
{
	size_t n = policy_request(f, out + 1);

	out[0] = '\n';
	out[n + 1] = '\0';
	ck_assert_uint_lt(n, POLICY_REQUEST_MAX);
	ck_assert_uint_eq(strlen(out), n + 1);
	/* The one empty line is the last. */
	ck_assert_ptr_eq(strstr(out, "\n\n"), out + n - 1);
}

START_TEST(asks_as_postfix)
{
	struct session_view s = view();
	struct rcpt rc = { .addr = path("bob", "example.org") };
	struct txn t = { .id = "ID1", .from = path("a b", "example.net"), .size_decl = 1234, .size = 99 };
	struct policy_facts f = { POLICY_RCPT, &s, &t, &rc, "other.example" };

	ask(&f);
	ck_assert_int_eq(
	    strncmp(out, "\nrequest=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n", 69), 0);
	must_have("sasl_method=");
	must_have("sasl_username=");
	must_have("client_address=2001:db8::1");
	must_have("client_name=client.example");
	must_have("client_port=40000");
	must_have("reverse_client_name=other.example");
	must_have("server_address=192.0.2.25");
	must_have("server_port=25");
	must_have("helo_name=client.example");
	must_have("sender=\"a b\"@example.net");
	must_have("recipient=bob@example.org");
	must_have("recipient_count=0");
	must_have("queue_id=ID1");
	must_have("instance=ID1");
	must_have("size=1234");
	must_have("encryption_protocol=TLSv1.3");
	must_have("encryption_keysize=256");
	must_have("sasl_username=");
	must_have("policy_context=");
	s.user = "anna";
	s.auth_method = "PLAIN";
	ask(&f);
	must_have("sasl_method=PLAIN");
	must_have("sasl_username=anna");
}
END_TEST

START_TEST(asks_what_a_stage_knows)
{
	struct session_view s = view();
	struct rcpt rc = { .addr = path("bob", "example.org") };
	struct txn t = {
		.id = "ID1", .from = { .is_null = true }, .size_decl = 1234, .size = 99, .rcpts = &rc, .nrcpt = 1
	};
	struct policy_facts f = { .stage = POLICY_END, .view = &s, .txn = &t };

	s.with = "LMTP";
	s.client_name = s.tls_cipher = s.tls_version = NULL;
	s.remote = "unix";
	ask(&f);
	must_have("protocol_state=END-OF-MESSAGE");
	must_have("protocol_name=LMTP");
	must_have("sender=");
	must_have("recipient=bob@example.org");
	must_have("recipient_count=1");
	must_have("size=99");
	must_have("client_address=unknown");
	must_have("client_name=unknown");
	must_have("reverse_client_name=unknown");
	must_have("encryption_keysize=0");
	t.nrcpt = 2;
	f.stage = POLICY_DATA;
	ask(&f);
	must_have("protocol_state=DATA");
	must_have("recipient=");
	must_have("recipient_count=2");
	must_have("size=1234");
	f = (struct policy_facts){ .stage = POLICY_HELO, .view = &s };
	s.with = "SMTP";
	ask(&f);
	must_have("protocol_state=HELO");
	must_have("protocol_name=SMTP");
	must_have("queue_id=");
	must_have("instance=session1");
}
END_TEST

/* Every octet in every place that a client fills. */
START_TEST(no_value_breaks_a_line)
{
	char hostile[3] = { 'x', (char)_i, 'y' };
	struct session_view s = view();
	struct rcpt rc = { .addr = { .local = span_of(hostile, 3), .domain = span_of(hostile, 3) } };
	struct txn t = { .id = "ID1", .from = rc.addr };
	struct policy_facts f = { POLICY_RCPT, &s, &t, &rc, NULL };
	unsigned lines = 0;

	s.helo = span_of(hostile, 3);
	ask(&f);
	for (const char *p = out; *p != '\0'; p++)
		lines += *p == '\n';
	ck_assert_uint_eq(lines, 33);
	must_have(_i >= 0x20 && _i <= 0x7e
		? (char[]){ 'h', 'e', 'l', 'o', '_', 'n', 'a', 'm', 'e', '=', 'x', (char)_i, 'y', 0 }
		: "helo_name=x?y");
}
END_TEST

static const struct {
	const char *in, *out;
} value_row[] = {
	{ "caf\xc3\xa9", "caf\xc3\xa9" },
	{ "\xe2\x82\xac\xf0\x9f\x93\xae", "\xe2\x82\xac\xf0\x9f\x93\xae" },
	{ "\xc3", "?" },
	{ "\xc0\x8a", "??" }, /* LF, overlong */
	{ "\xe0\x80\x8a", "???" },
	{ "\xed\xa0\x80", "???" }, /* a surrogate */
	{ "\xf4\x90\x80\x80", "????" },
	{ "\xc2\x85", "??" }, /* NEL: some take it for a line end */
	{ "a\r\naction=OK\n\n", "a??action=OK??" },
};

START_TEST(values_are_utf8)
{
	struct session_view s = view();
	struct policy_facts f = { .stage = POLICY_HELO, .view = &s };
	char want[64];

	s.helo = guarded_str(value_row[_i].in);
	ask(&f);
	snprintf(want, sizeof(want), "helo_name=%s", value_row[_i].out);
	must_have(want);
}
END_TEST

START_TEST(long_values_are_cut)
{
	static char big[100000];
	struct session_view s = view();
	struct rcpt rc = { .addr = path("bob", "example.org") };
	struct txn t = { .id = "ID1", .from = rc.addr };
	struct policy_facts f = { POLICY_RCPT, &s, &t, &rc, big };

	memset(big, 'x', sizeof(big) - 1);
	s.helo = span_str(big);
	s.client_name = s.user = s.tls_version = s.tls_cipher = s.remote = s.local = big;
	ask(&f);
	ck_assert_ptr_nonnull(strstr(out, "\nsender="));
}
END_TEST

static const struct {
	const char *in;
	enum policy_kind kind;
	const char *wire; /* of the reply, or the text */
} good[] = {
	{ "action=DUNNO\n\n", POLICY_DUNNO, "" },
	{ "action=dunno\n\n", POLICY_DUNNO, "" },
	{ "action=DUNNO\r\n\r\n", POLICY_DUNNO, "" },
	{ "action= DUNNO \t\n\n", POLICY_DUNNO, "" },
	{ "x=y\naction=DUNNO\nz=\n\n", POLICY_DUNNO, "" },
	{ "action=OK\n\n", POLICY_OK, "" },
	{ "action=permit\n\n", POLICY_OK, "" },
	{ "action=200\n\n", POLICY_OK, "" },
	{ "action=250 fine\n\n", POLICY_OK, "fine" },
	{ "action=12345\n\n", POLICY_OK, "" },
	{ "action=REJECT\n\n", POLICY_REFUSE, "554 5.7.1 access denied\r\n" },
	{ "action=REJECT go away\n\n", POLICY_REFUSE, "554 5.7.1 go away\r\n" },
	{ "action=REJECT 5.7.23 SPF says no\n\n", POLICY_REFUSE, "554 5.7.23 SPF says no\r\n" },
	{ "action=reject 4.7.23 SPF says no\n\n", POLICY_REFUSE, "554 5.7.23 SPF says no\r\n" },
	{ "action=DEFER\n\n", POLICY_REFUSE, "450 4.7.1 access denied, try again later\r\n" },
	{ "action=DEFER 5.2.0 wait\n\n", POLICY_REFUSE, "450 4.2.0 wait\r\n" },
	{ "action=550 5.7.23 no\n\n", POLICY_REFUSE, "550 5.7.23 no\r\n" },
	{ "action=451 4.7.24 later\n\n", POLICY_REFUSE, "451 4.7.24 later\r\n" },
	{ "action=550 just no\n\n", POLICY_REFUSE, "550 5.7.1 just no\r\n" },
	{ "action=550 5.7 percent\n\n", POLICY_REFUSE, "550 5.7.1 5.7 percent\r\n" },
	{ "action=421 4.7.1 bye\n\n", POLICY_REFUSE, "421 4.7.1 bye\r\n" },
	{ "action=550 a\xc3\xa9\n\n", POLICY_REFUSE, "550 5.7.1 a??\r\n" },
	{ "action=DEFER_IF_PERMIT Greylisted\n\n", POLICY_DEFER_IF_PERMIT, "450 4.7.1 Greylisted\r\n" },
	{ "action=defer_if_permit\n\n", POLICY_DEFER_IF_PERMIT, "450 4.7.1 try again later\r\n" },
	{ "action=DEFER_IF_REJECT 4.4.3 DNS\n\n", POLICY_DEFER_IF_REJECT, "450 4.4.3 DNS\r\n" },
	{ "action=DISCARD\n\n", POLICY_DISCARD, "" },
	{ "action=DISCARD as you like\n\n", POLICY_DISCARD, "as you like" },
	{ "action=PREPEND X-Greylist: delayed 2 seconds\n\n", POLICY_PREPEND, "X-Greylist: delayed 2 seconds" },
	{ "action=HOLD\n\n", POLICY_HOLD, "" },
	{ "action=WARN look\n\n", POLICY_WARN, "look" },
	{ "action=INFO look\n\n", POLICY_INFO, "look" },
	{ "action=450 wait a bit\n\n", POLICY_REFUSE, "450 4.7.1 wait a bit\r\n" },
	{ "action=550 go away\n\n", POLICY_REFUSE, "550 5.7.1 go away\r\n" },
	{ "action=550 5.0.0 go away\n\n", POLICY_REFUSE, "550 5.0.0 go away\r\n" },
	{ "action=FILTER smtp:[127.0.0.1]:25\n\n", POLICY_UNSUPPORTED, "smtp:[127.0.0.1]:25" },
	{ "action=redirect a@b\n\n", POLICY_UNSUPPORTED, "a@b" },
	{ "action=BCC a@b\n\n", POLICY_BCC, "a@b" },
};

START_TEST(reads_answers)
{
	struct span in = guarded_str(good[_i].in);
	struct policy_answer a;
	char wire[REPLY_WIRE_MAX];

	for (size_t n = 0; n < in.n; n++)
		ck_assert_int_eq(policy_answer(guarded(in.p, n), &a), POLICY_MORE);
	ck_assert_int_eq(policy_answer(in, &a), (ssize_t)in.n);
	ck_assert_int_eq(a.kind, good[_i].kind);
	if (a.reply.code != 0)
		a.text = span_of(wire, reply_format(&a.reply, (struct span){ NULL, 0 }, wire));
	ck_assert_uint_eq(a.text.n, strlen(good[_i].wire));
	ck_assert_mem_eq(a.text.p, good[_i].wire, a.text.n);
	ck_assert_int_eq(a.reply.close, a.reply.code == 421);
}
END_TEST

static const char *const bad[] = {
	"\n",
	"\r\n",
	"action\n\n",
	"action=\n\n",
	"Action=OK\n\n", /* attribute names have a case */
	" action=OK\n\n",
	"=x\naction=OK\n\n",
	"x=y\n\n",
	"hello\n\n",
	"action=OK\naction=REJECT\n\n",
	"action=OK\nREJECT\n\n",
	"action=reject_unauth_destination\n\n",
	"action=OKAY\n\n",
	"action=550\n\n", /* access(5) would take it for a yes */
	"action=550 5.7.0001 x\n\n",
	"action=300 x\n\n",
	"action=PREPEND\n\n",
	"action=PREPEND no field\n\n",
	"action=PREPEND : x\n\n",
	"action=PREPEND X Y: x\n\n",
	"action=PREPEND X\xc3\xa9: x\n\n",
	"action=FILTER\n\n",
	"action=REJECT a\x01z\n\n",
	"action=REJECT a\rz\n\n",
	"action=WARN a\x7fz\n\n",
	"220 mx.example.org ESMTP\r\n\n",
};

START_TEST(refuses_nonsense)
{
	struct policy_answer a;

	ck_assert_int_eq(policy_answer(guarded_str(bad[_i]), &a), POLICY_BAD);
}
END_TEST

START_TEST(waits_for_so_much_only)
{
	static char big[POLICY_ANSWER_MAX + 2];
	struct policy_answer a;

	memset(big, 'x', sizeof(big));
	memcpy(big, "action=WARN ", 12);
	ck_assert_int_eq(policy_answer(guarded(big, POLICY_ANSWER_MAX - 1), &a), POLICY_MORE);
	ck_assert_int_eq(policy_answer(guarded(big, POLICY_ANSWER_MAX), &a), POLICY_BAD);
	memcpy(big + POLICY_ANSWER_MAX, "\n\n", 2);
	ck_assert_int_eq(policy_answer(guarded(big, sizeof(big)), &a), POLICY_BAD);
	big[12 + POLICY_TEXT_MAX] = big[12 + POLICY_TEXT_MAX + 1] = '\n';
	ck_assert_int_eq(policy_answer(guarded(big, sizeof(big)), &a), 12 + POLICY_TEXT_MAX + 2);
	ck_assert_uint_eq(a.text.n, POLICY_TEXT_MAX);
}
END_TEST

START_TEST(leaves_what_stands_behind)
{
	struct policy_answer a;

	ck_assert_int_eq(policy_answer(guarded_str("action=OK\n\naction=REJECT\n\n"), &a), 11);
	ck_assert_int_eq(a.kind, POLICY_OK);
}
END_TEST

#define ROWS(t) ((int)(sizeof(t) / sizeof((t)[0])))

int
main(void)
{
	Suite *s = suite_create("policy");
	TCase *t = tcase_create("policy");

	tcase_add_test(t, asks_as_postfix);
	tcase_add_test(t, asks_what_a_stage_knows);
	tcase_add_loop_test(t, no_value_breaks_a_line, 1, 256);
	tcase_add_loop_test(t, values_are_utf8, 0, ROWS(value_row));
	tcase_add_test(t, long_values_are_cut);
	tcase_add_loop_test(t, reads_answers, 0, ROWS(good));
	tcase_add_loop_test(t, refuses_nonsense, 0, ROWS(bad));
	tcase_add_test(t, waits_for_so_much_only);
	tcase_add_test(t, leaves_what_stands_behind);
	suite_add_tcase(s, t);
	return suite_run(s);
}
