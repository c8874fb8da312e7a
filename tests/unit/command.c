/*
 * command: what a command line is answered with.
 * Tables: every verb in every state, lines as they should not be, parameters.
 * The dialogues prove sequences; here is breadth.
 */
#include "tests/unit/suite.h"

#include "tests/dialog/stage.h"

enum { ALL_EXT = SMTP_EXT_CHUNKING | SMTP_EXT_SMTPUTF8 | SMTP_EXT_DSN | SMTP_EXT_STARTTLS };

static void
start(struct stage *st, unsigned ext, bool lmtp)
{
	struct smtp_conf cf = {
		.hostname = "mx.example.org", .size_max = 1000, .rcpt_max = 10, .ext = ext, .lmtp = lmtp
	};

	stage_init(st, &cf);
	stage_feed(st, "", 0);
}

/* The first 9 octets ("250 2.1.0", or fewer) of the last reply line to ${n} octets. */
static const char *
say_octets(struct stage *st, const char *s, size_t n)
{
	static char last[16];
	const char *p, *line;

	text_clear(&st->replies);
	stage_feed(st, s, n);
	last[0] = '\0';
	for (line = p = st->replies.p; p != NULL && p < st->replies.p + st->replies.n; p = strchr(p, '\n') + 1)
		line = p;
	if (line != NULL && st->replies.n > 0)
		snprintf(last, line[4] >= '2' && line[4] <= '5' && line[5] == '.' ? 10 : 4, "%s", line);
	ck_assert_msg(st->why[0] == '\0', "%s", st->why);
	return last;
}

static const char *
say(struct stage *st, const char *line)
{
	char s[1024];

	return say_octets(st, s, (size_t)snprintf(s, sizeof(s), "%s\r\n", line));
}

enum state { FRESH, NAMED, SENDER, RECIPIENT, CHUNKED, NSTATES };

static void
reach(struct stage *st, enum state state)
{
	static const char *const steps[] = { "EHLO a.example", "MAIL FROM:<a@b.example>", "RCPT TO:<a@b.example>",
		"BDAT 1\r\nx" };

	for (int i = 0; i < (int)state; i++) {
		char s[100];
		int n = snprintf(s, sizeof(s), "%s%s", steps[i], i == 3 ? "" : "\r\n");

		ck_assert_msg(say_octets(st, s, (size_t)n)[0] == '2', "state %d is out of reach", i + 1);
	}
}

static const struct {
	const char *line;
	const char *want[NSTATES];
} verbs[] = {
	{ "EHLO x.example", { "250", "250", "250", "250", "250" } },
	{ "HELO x.example", { "250", "250", "250", "250", "250" } },
	{ "LHLO x.example", { "500 5.5.1", "500 5.5.1", "500 5.5.1", "500 5.5.1", "500 5.5.1" } },
	{ "MAIL FROM:<>", { "503 5.5.1", "250 2.1.0", "503 5.5.1", "503 5.5.1", "503 5.5.1" } },
	{ "RCPT TO:<x@y.example>", { "503 5.5.1", "503 5.5.1", "250 2.1.5", "250 2.1.5", "503 5.5.1" } },
	{ "DATA", { "503 5.5.1", "503 5.5.1", "503 5.5.1", "354", "503 5.5.1" } },
	{ "BDAT 0", { "503 5.5.1", "503 5.5.1", "503 5.5.1", "250 2.0.0", "250 2.0.0" } },
	{ "BDAT 0 LAST", { "503 5.5.1", "503 5.5.1", "503 5.5.1", "250 2.0.0", "250 2.0.0" } },
	{ "BDAT", { "501 5.5.4", "501 5.5.4", "501 5.5.4", "501 5.5.4", "501 5.5.4" } },
	{ "RSET", { "250 2.0.0", "250 2.0.0", "250 2.0.0", "250 2.0.0", "250 2.0.0" } },
	{ "NOOP", { "250 2.0.0", "250 2.0.0", "250 2.0.0", "250 2.0.0", "250 2.0.0" } },
	{ "QUIT", { "221 2.0.0", "221 2.0.0", "221 2.0.0", "221 2.0.0", "221 2.0.0" } },
	{ "HELP", { "214 2.0.0", "214 2.0.0", "214 2.0.0", "214 2.0.0", "214 2.0.0" } },
	{ "VRFY a", { "252 2.0.0", "252 2.0.0", "252 2.0.0", "252 2.0.0", "252 2.0.0" } },
	{ "EXPN a", { "502 5.5.1", "502 5.5.1", "502 5.5.1", "502 5.5.1", "502 5.5.1" } },
	{ "ETRN a", { "502 5.5.1", "502 5.5.1", "502 5.5.1", "502 5.5.1", "502 5.5.1" } },
	{ "TURN", { "502 5.5.1", "502 5.5.1", "502 5.5.1", "502 5.5.1", "502 5.5.1" } },
	{ "AUTH PLAIN", { "503 5.5.1", "503 5.5.1", "503 5.5.1", "503 5.5.1", "503 5.5.1" } },
	{ "STARTTLS", { "220 2.0.0", "220 2.0.0", "220 2.0.0", "220 2.0.0", "220 2.0.0" } },
	{ "STARTTLS x", { "501 5.5.4", "501 5.5.4", "501 5.5.4", "501 5.5.4", "501 5.5.4" } },
	{ "XYZZY", { "500 5.5.2", "500 5.5.2", "500 5.5.2", "500 5.5.2", "500 5.5.2" } },
};

START_TEST(t_every_verb_in_every_state)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		for (int state = FRESH; state < NSTATES; state++) {
			struct stage st;
			const char *got;

			start(&st, ALL_EXT, false);
			reach(&st, (enum state)state);
			got = say(&st, verbs[i].line);
			ck_assert_msg(strcmp(got, verbs[i].want[state]) == 0, "%s in state %d: %s, not %s",
			    verbs[i].line, state, got, verbs[i].want[state]);
			stage_fini(&st);
		}
	}
}
END_TEST

/* Verbs and keywords in every mix of case (PROTOCOL 3). */
START_TEST(t_case)
{
	for (unsigned bits = 0; bits < 1U << 8; bits++) {
		char line[] = "mailfrom:<a@b.example>", s[64];
		struct stage st;

		start(&st, 0, false);
		reach(&st, NAMED);
		for (unsigned i = 0; i < 8; i++)
			if (bits & 1U << i)
				line[i] = (char)(line[i] - 32);
		snprintf(s, sizeof(s), "%.4s %s", line, line + 4);
		ck_assert_str_eq(say(&st, s), "250 2.1.0");
		stage_fini(&st);
	}
}
END_TEST

/* Every octet in a command (PROTOCOL 40): controls and lone 8-bit octets are 500, all others are no harm. */
START_TEST(t_every_octet)
{
	for (int c = 0; c < 256; c++) {
		char s[] = "NOOP a?b\r\n";
		bool bad = c < ' ' || c >= 0x7f;
		struct stage st;
		const char *got;

		if (c == '\n')
			continue;
		s[6] = (char)c;
		start(&st, 0, false);
		got = say_octets(&st, s, sizeof(s) - 1);
		ck_assert_msg(strcmp(got, bad ? "500 5.5.2" : "250 2.0.0") == 0, "octet %02x: %s", c, got);
		stage_fini(&st);
	}
}
END_TEST

static const struct {
	const char *octets;
	const char *want;
} utf8[] = {
	{ "\xc3\xa4", "501 5.5.2" },
	{ "\xe2\x82\xac", "501 5.5.2" },
	{ "\xf0\x9f\x93\xa7", "501 5.5.2" },
	{ "\xed\x9f\xbf", "501 5.5.2" },
	{ "\xf4\x8f\xbf\xbf", "501 5.5.2" },
	{ "\xc0\x80", "500 5.5.2" },
	{ "\xc1\xbf", "500 5.5.2" },
	{ "\xe0\x9f\xbf", "500 5.5.2" },
	{ "\xed\xa0\x80", "500 5.5.2" },
	{ "\xf0\x8f\xbf\xbf", "500 5.5.2" },
	{ "\xf4\x90\x80\x80", "500 5.5.2" },
	{ "\xf5\x80\x80\x80", "500 5.5.2" },
	{ "\xc3", "500 5.5.2" },
	{ "\xe2\x82", "500 5.5.2" },
	{ "\xe2\x28\xa1", "500 5.5.2" },
	{ "\x80", "500 5.5.2" },
	{ "\xff", "500 5.5.2" },
};

START_TEST(t_utf8)
{
	for (size_t i = 0; i < sizeof(utf8) / sizeof(utf8[0]); i++) {
		struct stage st;
		char s[32];

		start(&st, SMTP_EXT_SMTPUTF8, false);
		snprintf(s, sizeof(s), "NOOP %s", utf8[i].octets);
		ck_assert_msg(strcmp(say(&st, s), utf8[i].want) == 0, "row %zu", i);
		stage_fini(&st);
	}
}
END_TEST

static const struct {
	const char *params; /* behind MAIL FROM:<a@b.example> */
	const char *all;    /* with all extensions, in clear */
	const char *none;   /* with none */
} mail[] = {
	{ "", "250 2.1.0", "250 2.1.0" },
	{ " SIZE=1", "250 2.1.0", "250 2.1.0" },
	{ " SIZE=1000", "250 2.1.0", "250 2.1.0" },
	{ " SIZE=1001", "552 5.3.4", "552 5.3.4" },
	{ " SIZE", "501 5.5.4", "501 5.5.4" },
	{ " SIZE=", "501 5.5.4", "501 5.5.4" },
	{ " SIZE=+1", "501 5.5.4", "501 5.5.4" },
	{ " SIZE= 1", "501 5.5.4", "501 5.5.4" },
	{ " SIZE=0x1", "501 5.5.4", "501 5.5.4" },
	{ " SIZE==1", "501 5.5.4", "501 5.5.4" },
	{ " SIZE=18446744073709551615", "552 5.3.4", "552 5.3.4" },
	{ " SIZE=18446744073709551617", "552 5.3.4", "552 5.3.4" },
	{ " SIZE=184467440737095516150", "501 5.5.4", "501 5.5.4" },
	{ " SIZE=1 SIZE=2", "501 5.5.4", "501 5.5.4" },
	{ " BODY=7BIT", "250 2.1.0", "250 2.1.0" },
	{ " BODY=7bit SIZE=3", "250 2.1.0", "250 2.1.0" },
	{ " BODY=8BITMIME", "250 2.1.0", "250 2.1.0" },
	{ " BODY=BINARYMIME", "250 2.1.0", "501 5.5.4" },
	{ " BODY", "501 5.5.4", "501 5.5.4" },
	{ " BODY=", "501 5.5.4", "501 5.5.4" },
	{ " BODY=7BIT BODY=7BIT", "501 5.5.4", "501 5.5.4" },
	{ " SMTPUTF8", "250 2.1.0", "555 5.5.4" },
	{ " SMTPUTF8=", "501 5.5.4", "555 5.5.4" },
	{ " SMTPUTF8=x", "501 5.5.4", "555 5.5.4" },
	{ " SMTPUTF8 SMTPUTF8", "501 5.5.4", "555 5.5.4" },
	{ " REQUIRETLS", "530 5.7.0", "530 5.7.0" },
	{ " REQUIRETLS=1", "501 5.5.4", "501 5.5.4" },
	{ " RET=FULL", "250 2.1.0", "555 5.5.4" },
	{ " RET=hdrs", "250 2.1.0", "555 5.5.4" },
	{ " RET", "501 5.5.4", "555 5.5.4" },
	{ " RET=ALL", "501 5.5.4", "555 5.5.4" },
	{ " RET=FULL RET=HDRS", "501 5.5.4", "555 5.5.4" },
	{ " ENVID=x", "250 2.1.0", "555 5.5.4" },
	{ " ENVID", "501 5.5.4", "555 5.5.4" },
	{ " ENVID=+00", "501 5.5.4", "555 5.5.4" },
	{ " ENVID=+", "501 5.5.4", "555 5.5.4" },
	{ " AUTH=<>", "555 5.5.4", "555 5.5.4" },
	{ " AUTH", "555 5.5.4", "555 5.5.4" },
	{ " NOTIFY=NEVER", "555 5.5.4", "555 5.5.4" },
	{ " FOO", "555 5.5.4", "555 5.5.4" },
	{ " FOO=", "555 5.5.4", "555 5.5.4" },
	{ " SIZE=1 FOO=1", "555 5.5.4", "555 5.5.4" },
	{ " FOO.BAR=1", "501 5.5.4", "501 5.5.4" },
	{ " =", "501 5.5.4", "501 5.5.4" },
	{ "SIZE=1", "501 5.1.7", "501 5.1.7" },
	{ "x", "501 5.1.7", "501 5.1.7" },
	{ "   ", "250 2.1.0", "250 2.1.0" },
	{ "   SIZE=1   BODY=7BIT   ", "250 2.1.0", "250 2.1.0" },
};

static void
run_mail(unsigned ext, size_t i, const char *want)
{
	struct stage st;
	char s[256];
	const char *got;

	start(&st, ext, false);
	reach(&st, NAMED);
	snprintf(s, sizeof(s), "MAIL FROM:<a@b.example>%s", mail[i].params);
	got = say(&st, s);
	ck_assert_msg(strcmp(got, want) == 0, "%s with %x: %s, not %s", s, ext, got, want);
	ck_assert_int_eq(smtp_txn(st.s) != NULL, got[0] == '2');
	ck_assert_msg((got[0] == '2') == (st.transaction.head != NULL), "a refused MAIL left memory behind");
	stage_fini(&st);
}

START_TEST(t_mail_parameters)
{
	for (size_t i = 0; i < sizeof(mail) / sizeof(mail[0]); i++) {
		run_mail(ALL_EXT, i, mail[i].all);
		run_mail(0, i, mail[i].none);
	}
}
END_TEST

/* No command but the ones of RFC 2033 in LMTP. */
START_TEST(t_lmtp)
{
	struct stage st;

	start(&st, 0, true);
	ck_assert_str_eq(say(&st, "EHLO a.example"), "500 5.5.1");
	ck_assert_str_eq(say(&st, "HELO a.example"), "500 5.5.1");
	ck_assert_str_eq(say(&st, "HELO"), "500 5.5.1");
	ck_assert_str_eq(say(&st, "LHLO"), "501");
	ck_assert_str_eq(say(&st, "MAIL FROM:<>"), "503 5.5.1");
	ck_assert_str_eq(smtp_with(st.s), "LMTP");
	ck_assert_str_eq(say(&st, "lhlo a.example"), "250");
	ck_assert_str_eq(say(&st, "MAIL FROM:<>"), "250 2.1.0");
	stage_fini(&st);
}
END_TEST

/* What EHLO lists is what works: each extension alone. */
START_TEST(t_listed_is_offered)
{
	static const struct {
		unsigned ext;
		const char *word, *line, *with, *without;
	} rows[] = {
		{ SMTP_EXT_CHUNKING, "CHUNKING", "BDAT 0 LAST", "503 5.5.1", "502 5.5.1" },
		{ SMTP_EXT_CHUNKING, "BINARYMIME", "MAIL FROM:<> BODY=BINARYMIME", "250 2.1.0", "501 5.5.4" },
		{ SMTP_EXT_SMTPUTF8, "SMTPUTF8", "MAIL FROM:<> SMTPUTF8", "250 2.1.0", "555 5.5.4" },
		{ SMTP_EXT_DSN, "DSN", "MAIL FROM:<> RET=FULL", "250 2.1.0", "555 5.5.4" },
		{ SMTP_EXT_STARTTLS, "STARTTLS", "STARTTLS", "220 2.0.0", "502 5.5.1" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int on = 0; on < 2; on++) {
			char listed[32];
			struct stage st;

			snprintf(listed, sizeof(listed), "250-%s\r\n", rows[i].word);
			start(&st, on ? rows[i].ext : (unsigned)ALL_EXT & ~rows[i].ext, false);
			say(&st, "EHLO a.example");
			ck_assert_int_eq(strstr(st.replies.p, listed) != NULL, on);
			ck_assert_str_eq(say(&st, rows[i].line), on ? rows[i].with : rows[i].without);
			stage_fini(&st);
		}
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("command");
	TCase *tc = tcase_create("command");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, t_every_verb_in_every_state);
	tcase_add_test(tc, t_case);
	tcase_add_test(tc, t_every_octet);
	tcase_add_test(tc, t_utf8);
	tcase_add_test(tc, t_mail_parameters);
	tcase_add_test(tc, t_lmtp);
	tcase_add_test(tc, t_listed_is_offered);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
