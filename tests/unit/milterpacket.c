/*
 * milterpacket: rows of packets, good and bad, on guard pages and at every
 * split; reply codes; and that what is written is what the protocol says.
 */
#include "worker/milter/packet.h"

#include <errno.h>

#include "tests/unit/suite.h"

#define ROW(lit) \
	{ \
		(const uint8_t *)("" lit), sizeof(lit) - 1 \
	}

static void
is(struct span got, const char *want)
{
	ck_assert_msg(span_eq(got, span_str(want)), "\"%.*s\" is not \"%s\"", (int)got.n, (const char *)got.p, want);
}

/* --- frames --- */

static const struct {
	struct span in;
	ssize_t want;
	uint8_t cmd;
	size_t n;
} frames[] = {
	{ ROW("\0\0\0\1c"), 5, 'c', 0 },
	{ ROW("\0\0\0\3qab"), 7, 'q', 2 },
	{ ROW("\0\0\0\3qabc"), 7, 'q', 2 },
	{ ROW("\0\0\0\0c"), MILTER_FRAME_BAD, 0, 0 },
	{ ROW("\0\0\0\0"), MILTER_FRAME_BAD, 0, 0 },
	{ ROW("\xff\xff\xff\xff"), MILTER_FRAME_BAD, 0, 0 },
	{ ROW("\xff\xff\xff\xff\xff\xff\xff"), MILTER_FRAME_BAD, 0, 0 },
	{ ROW("\x80\0\0\0"), MILTER_FRAME_BAD, 0, 0 },
	{ ROW("\0\1\0\1"), MILTER_FRAME_BAD, 0, 0 }, /* 65,536 octets of data */
	{ ROW("\0\1\0\0"), MILTER_FRAME_MORE, 0, 0 },
	{ ROW("HTTP/1.1 400"), MILTER_FRAME_BAD, 0, 0 },
	{ ROW(""), MILTER_FRAME_MORE, 0, 0 },
	{ ROW("\0\0\0"), MILTER_FRAME_MORE, 0, 0 },
	{ ROW("\0\0\0\2c"), MILTER_FRAME_MORE, 0, 0 },
};

START_TEST(frame)
{
	struct span in = guarded(frames[_i].in.p, frames[_i].in.n), data;
	uint8_t cmd = 0;
	ssize_t got = milter_frame(in, MILTER_CHUNK, &cmd, &data);

	ck_assert_int_eq(got, frames[_i].want);
	if (got > 0) {
		ck_assert_uint_eq(cmd, frames[_i].cmd);
		ck_assert_uint_eq(data.n, frames[_i].n);
	}
	for (ssize_t n = 0; got > 0 && n < got; n++)
		ck_assert_int_eq(milter_frame(guarded(in.p, (size_t)n), MILTER_CHUNK, &cmd, &data), MILTER_FRAME_MORE);
}
END_TEST

/* --- options --- */

#define OPT(v, a, s) "\0\0\0" v a s

START_TEST(options)
{
	static const struct {
		struct span in;
		const char *why;
	} row[] = {
		{ ROW(OPT("\6", "\0\0\1\xff", "\x30\x1f\xff\xff")), NULL },
		{ ROW(OPT("\2", "\0\0\0\x3f", "\0\0\0\x7f")), NULL },
		{ ROW(OPT("\6", "\0\0\1\0", "\0\0\0\0") "\0\0\0\0j i\0\0\0\0\3{rcpt_addr}\0"), NULL },
		{ ROW(OPT("\6", "\0\0\1\0", "\0\0\0\0") "\0\0\0\0\0"), NULL }, /* none at all */
		{ ROW(""), "options-too-short" },
		{ ROW(OPT("\6", "\0\0\0\0", "\0\0\0")), "options-too-short" },
		{ ROW(OPT("\1", "\0\0\0\0", "\0\0\0\0")), "another-version" },
		{ ROW(OPT("\7", "\0\0\0\0", "\0\0\0\0")), "another-version" },
		{ ROW("\xff\0\0\6\0\0\0\0\0\0\0\0"), "another-version" },
		{ ROW(OPT("\6", "\0\0\2\0", "\0\0\0\0")), "more-than-offered" },
		{ ROW(OPT("\6", "\0\0\0\0", "\0\x20\0\0")), "more-than-offered" },
		{ ROW(OPT("\6", "\0\0\0\0", "\x40\0\0\0")), "more-than-offered" },
		{ ROW(OPT("\6", "\0\0\0\0", "\x80\0\0\0")), "more-than-offered" },
		{ ROW(OPT("\6", "\0\0\0\0", "\0\0\0\0") "\0\0\0\0j\0"), "symbols-without-flag" },
		{ ROW(OPT("\6", "\0\0\1\0", "\0\0\0\0") "\0\0\0\0j"), "symbols-cut" },
		{ ROW(OPT("\6", "\0\0\1\0", "\0\0\0\0") "\0\0\0"), "symbols-cut" },
		{ ROW(OPT("\6", "\0\0\1\0", "\0\0\0\0") "\0\0\0\7j\0"), "symbols-malformed" },
		{ ROW(OPT("\6", "\0\0\1\0", "\0\0\0\0") "\xff\xff\xff\xffj\0"), "symbols-malformed" },
		{ ROW(OPT("\6", "\0\0\1\0", "\0\0\0\0") "\0\0\0\1j\n\0"), "symbols-malformed" },
	};
	struct milter_options o;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const char *why = "none";
		int rc = milter_options_parse(guarded(row[i].in.p, row[i].in.n), &o, &why);

		ck_assert_msg(rc == (row[i].why == NULL ? 0 : -1), "row %zu: %s", i, why);
		if (row[i].why != NULL)
			ck_assert_str_eq(why, row[i].why);
		if (i == 0) {
			ck_assert_uint_eq(o.actions, MILTER_F_ALL);
			ck_assert_uint_eq(o.steps, MILTER_P_ALL);
			ck_assert_ptr_null(o.symbols[MILTER_M_CONNECT].p);
		}
		if (i == 2) {
			is(o.symbols[MILTER_M_CONNECT], "j i");
			is(o.symbols[MILTER_M_RCPT], "{rcpt_addr}");
			ck_assert_ptr_null(o.symbols[MILTER_M_MAIL].p);
		}
		if (i == 3)
			ck_assert_ptr_nonnull(o.symbols[MILTER_M_CONNECT].p);
	}
}
END_TEST

/* --- answers --- */

static const struct {
	char cmd;
	struct span in;
	uint32_t index;
	const char *name, *value, *why; /* why NULL: good */
} answers[] = {
	{ 'c', ROW(""), 0, "", "", NULL },
	{ 'a', ROW(""), 0, "", "", NULL },
	{ 'p', ROW(""), 0, "", "", NULL },
	{ 's', ROW(""), 0, "", "", NULL },
	{ '4', ROW(""), 0, "", "", NULL },
	{ 'f', ROW(""), 0, "", "", NULL },
	{ 'c', ROW("\0"), 0, "", "", "answer-with-data" },
	{ 'r', ROW("no"), 0, "", "", "answer-with-data" },
	{ 'h', ROW("X-A\0b\0"), 0, "X-A", "b", NULL },
	{ 'h', ROW("X-A\0\0"), 0, "X-A", "", NULL },
	{ 'h', ROW("X-A\0one\n\ttwo\r\n three\0"), 0, "X-A", "one\n\ttwo\r\n three", NULL },
	{ 'h', ROW("X-A\0gr\xc3\xbc\xc3\x9f\xff\0"), 0, "X-A", "gr\xc3\xbc\xc3\x9f\xff", NULL },
	{ 'h', ROW("X-A\0b"), 0, "", "", "header-without-end" },
	{ 'h', ROW("X-A"), 0, "", "", "header-without-end" },
	{ 'h', ROW(""), 0, "", "", "header-without-end" },
	{ 'h', ROW("X-A\0b\0c"), 0, "", "", "header-with-more" },
	{ 'h', ROW("\0b\0"), 0, "", "", "header-name" },
	{ 'h', ROW("X A\0b\0"), 0, "", "", "header-name" },
	{ 'h', ROW("X:A\0b\0"), 0, "", "", "header-name" },
	{ 'h', ROW("X\r\nA\0b\0"), 0, "", "", "header-name" },
	{ 'h', ROW("X\xff\0b\0"), 0, "", "", "header-name" },
	/* The editor folds it. */
	{ 'h', ROW("X-A\0b\r\nBcc: c\0"), 0, "X-A", "b\r\nBcc: c", NULL },
	{ 'h', ROW("X-A\0b\n\nbody\r\0"), 0, "X-A", "b\n\nbody\r", NULL },
	{ 'h', ROW("X-A\0\1b\x1b[2J\x7f\0"), 0, "X-A", "\1b\x1b[2J\x7f", NULL },
	{ 'i', ROW("\0\0\0\1X-A\0b\0"), 1, "X-A", "b", NULL },
	{ 'i', ROW("\0\x10\0\0X-A\0b\0"), MILTER_HEADERS_MAX, "X-A", "b", NULL },
	{ 'i', ROW("\0\0\1"), 0, "", "", "header-without-index" },
	{ 'i', ROW("\xff\xff\xff\xffX-A\0b\0"), 0, "", "", "header-index" },
	{ 'i', ROW("\x80\0\0\0X-A\0b\0"), 0, "", "", "header-index" },
	{ 'm', ROW("\0\0\0\2Subject\0\0"), 2, "Subject", "", NULL },
	{ 'm', ROW("\0\0\0\2Subject\0"), 0, "", "", "header-without-end" },
	{ '+', ROW("<a@example.org>\0"), 0, "<a@example.org>", "", NULL },
	{ '+', ROW("<a@example.org>"), 0, "", "", "address-without-end" },
	{ '+', ROW("<a@example.org>\0NOTIFY=NEVER\0"), 0, "", "", "address-with-more" },
	{ '+', ROW("\0"), 0, "", "", "address-malformed" },
	{ '+', ROW("<a@b>\r\nRCPT TO:<c@d>\0"), 0, "", "", "address-malformed" },
	{ '-', ROW("a@example.org\0"), 0, "a@example.org", "", NULL },
	{ '2', ROW("<a@b>\0NOTIFY=NEVER\0"), 0, "<a@b>", "NOTIFY=NEVER", NULL },
	{ '2', ROW("<a@b>\0"), 0, "<a@b>", "", NULL },
	{ '2', ROW("<a@b>\0NOTIFY=NEVER"), 0, "", "", "parameters-without-end" },
	{ '2', ROW("<a@b>\0A=B\n\0"), 0, "", "", "address-malformed" },
	{ 'e', ROW("<>\0"), 0, "<>", "", NULL },
	{ 'e', ROW("<a@b>\0SIZE=1\0"), 0, "<a@b>", "SIZE=1", NULL },
	{ 'b', ROW(""), 0, "", "", NULL },
	{ 'b', ROW("any\n"), 0, "", "any\n", NULL },
	{ 'q', ROW("spam\0"), 0, "", "spam", NULL },
	{ 'q', ROW("spam"), 0, "", "spam", NULL },
	{ 'q', ROW(""), 0, "", "", NULL },
	{ 'q', ROW("a\0b\0"), 0, "", "", "text-with-nul" },
	{ 'y', ROW("550 no\0"), 0, "", "550 no", NULL },
	{ 'l', ROW("\0\0\0\0j\0"), 0, "", "", "unknown-answer" },
	{ 'O', ROW(OPT("\6", "\0\0\0\0", "\0\0\0\0")), 0, "", "", "unknown-answer" },
	{ 0, ROW(""), 0, "", "", "unknown-answer" },
	{ (char)0xff, ROW(""), 0, "", "", "unknown-answer" },
};

START_TEST(answer)
{
	struct milter_reply r;
	const char *why = "none";
	int rc = milter_reply_parse((uint8_t)answers[_i].cmd, guarded(answers[_i].in.p, answers[_i].in.n), &r, &why);

	if (answers[_i].why != NULL) {
		ck_assert_int_eq(rc, -1);
		ck_assert_str_eq(why, answers[_i].why);
		return;
	}
	ck_assert_msg(rc == 0, "%s", why);
	ck_assert_uint_eq(r.index, answers[_i].index);
	is(r.name, answers[_i].name);
	is(r.value, answers[_i].value);
}
END_TEST

START_TEST(long_name)
{
	char data[MILTER_NAME_MAX + 4];
	struct milter_reply r;
	const char *why = NULL;

	memset(data, 'x', sizeof(data));
	data[MILTER_NAME_MAX] = '\0';
	data[MILTER_NAME_MAX + 1] = '\0';
	ck_assert_int_eq(milter_reply_parse('h', guarded(data, MILTER_NAME_MAX + 2), &r, &why), 0);
	data[MILTER_NAME_MAX] = 'x';
	data[MILTER_NAME_MAX + 1] = data[MILTER_NAME_MAX + 2] = '\0';
	ck_assert_int_eq(milter_reply_parse('h', guarded(data, MILTER_NAME_MAX + 3), &r, &why), -1);
	ck_assert_str_eq(why, "header-name");
}
END_TEST

static const struct {
	const char *in;
	int code; /* 0: malformed */
	uint32_t enh;
	const char *text;
} codes[] = {
	{ "550 5.7.1 no spam here", 550, ENH(5, 7, 1), "no spam here" },
	{ "451 4.3.2 later", 451, ENH(4, 3, 2), "later" },
	{ "421 4.3.2 going down", 421, ENH(4, 3, 2), "going down" },
	{ "521 5.7.1 go away", 521, ENH(5, 7, 1), "go away" },
	{ "550 no enhanced code", 550, ENH(5, 7, 1), "no enhanced code" },
	{ "550 5.7.1", 550, ENH(5, 7, 1), "refused" },
	{ "550 5.7.25", 550, ENH(5, 7, 25), "refused" },
	{ "450", 450, ENH(4, 7, 1), "try again later" },
	{ "450 ", 450, ENH(4, 7, 1), "try again later" },
	{ "550-5.7.1 one\r\n550 5.7.1 two", 550, ENH(5, 7, 1), "one\ntwo" },
	{ "550-5.7.1 one\n550-5.7.1 two\n550 5.7.1 three", 550, ENH(5, 7, 1), "one\ntwo\nthree" },
	{ "550-5.7.1 one\r\n550 5.7.1 two\r\n", 550, ENH(5, 7, 1), "one\ntwo" },
	{ "550-\r\n550 two", 550, ENH(5, 7, 1), "two" },
	{ "550 4.7.1 classes differ", 550, ENH(5, 7, 0), "classes differ" },
	{ "550 5.7.1000 no code", 550, ENH(5, 7, 1), "5.7.1000 no code" },
	{ "550 100%% sure 5% of %s", 550, ENH(5, 7, 1), "100% sure 5 of s" },
	{ "550 ends in %", 550, ENH(5, 7, 1), "ends in " },
	{ "550 ends in %%", 550, ENH(5, 7, 1), "ends in %" },
	{ "550 tab\tand \xc3\xbc and \x1b", 550, ENH(5, 7, 1), "tab and ?? and ?" },
	{ "550 bare\rcr", 550, ENH(5, 7, 1), "bare?cr" },
	{ "", 0, 0, "" },
	{ "5", 0, 0, "" },
	{ "55", 0, 0, "" },
	{ "\r\n", 0, 0, "" },
	{ "250 2.0.0 ok", 0, 0, "" },
	{ "354 go on", 0, 0, "" },
	{ "600 what", 0, 0, "" },
	{ "399 what", 0, 0, "" },
	{ "5500 what", 0, 0, "" },
	{ "550_what", 0, 0, "" },
	{ "abc what", 0, 0, "" },
	{ "550-5.7.1 no last line", 0, 0, "" },
	{ "550-5.7.1 no last line\r\n", 0, 0, "" },
	{ "550 5.7.1 one\r\n550 5.7.1 behind the last", 0, 0, "" },
	{ "550-5.7.1 one\r\n551 5.7.1 another code", 0, 0, "" },
	{ "550-5.7.1 one\r\n250 2.0.0 queued", 0, 0, "" },
	{ "550-5.7.1 one\r\n\r\n550 two", 0, 0, "" },
	{ "550-5.7.1 one\r\ntwo", 0, 0, "" },
	{ "550-5.7.1 one\r\n55", 0, 0, "" },
};

START_TEST(code)
{
	struct reply r;
	const char *why = NULL;
	int rc = milter_code_parse(guarded_str(codes[_i].in), &r, &why);

	ck_assert_int_eq(rc, codes[_i].code != 0 ? 0 : -1);
	ck_assert_int_eq(why != NULL, rc != 0);
	if (rc != 0)
		return;
	ck_assert_int_eq(r.code, codes[_i].code);
	ck_assert_uint_eq(r.enh, codes[_i].enh);
	ck_assert_int_eq(r.close, codes[_i].code == 421 || codes[_i].code == 521);
	is(span_of(r.text, r.n), codes[_i].text);
}
END_TEST

START_TEST(long_code)
{
	char in[REPLY_TEXT_MAX * 3];
	struct reply r;
	const char *why = NULL;

	memset(in, 'x', sizeof(in));
	memcpy(in, "550 5.7.1 ", 10);
	ck_assert_int_eq(milter_code_parse(guarded(in, sizeof(in)), &r, &why), 0);
	ck_assert_uint_eq(r.n, REPLY_TEXT_MAX);
}
END_TEST

/* --- writing --- */

static void
wrote(struct buf *b, const char *want, size_t n)
{
	struct span got = buf_view(b);

	ck_assert_uint_eq(got.n, n);
	ck_assert_mem_eq(got.p, want, n);
	buf_drop(b, got.n);
}
#define WROTE(b, lit) wrote(b, lit, sizeof(lit) - 1)

START_TEST(writes)
{
	struct buf b;
	struct span two[2] = { SPAN("<a@b>"), SPAN("SIZE=1") },
		    mac[4] = { SPAN("i"), SPAN("ID"), SPAN("j"), SPAN("mx") };

	buf_init(&b, 1 << 20);
	ck_assert_int_eq(milter_put_optneg(&b, MILTER_F_ALL, MILTER_P_ALL), 0);
	WROTE(&b, "\0\0\0\x0dO\0\0\0\6\0\0\1\xff\x30\x1f\xff\xff");
	ck_assert_int_eq(milter_put(&b, MILTER_C_QUIT, NULL, 0), 0);
	WROTE(&b, "\0\0\0\1Q");
	ck_assert_int_eq(milter_put(&b, MILTER_C_MAIL, two, 2), 0);
	WROTE(&b, "\0\0\0\x0eM<a@b>\0SIZE=1\0");
	ck_assert_int_eq(milter_put_macros(&b, MILTER_C_MAIL, mac, 4), 0);
	WROTE(&b,
	    "\0\0\0\x0c"
	    "DMi\0ID\0j\0mx\0");
	ck_assert_int_eq(milter_put_macros(&b, MILTER_C_EOM, NULL, 0), 0);
	WROTE(&b, "\0\0\0\2DE");
	ck_assert_int_eq(milter_put_connect(&b, SPAN("host"), '4', 1025, SPAN("192.0.2.1")), 0);
	WROTE(&b,
	    "\0\0\0\x13"
	    "Chost\0"
	    "4\4\1"
	    "192.0.2.1\0");
	ck_assert_int_eq(milter_put_connect(&b, SPAN("host"), 'U', 1, SPAN("ignored")), 0);
	WROTE(&b, "\0\0\0\7Chost\0U");
	ck_assert_int_eq(milter_put_header(&b, SPAN("A"), SPAN(" b\r\n\tc\n d\r")), 0);
	WROTE(&b, "\0\0\0\x0dLA\0 b\n\tc\n d\r\0");
	ck_assert_int_eq(milter_put_header(&b, SPAN("A"), SPAN("")), 0);
	WROTE(&b, "\0\0\0\4LA\0\0");
	ck_assert_int_eq(milter_put_body(&b, SPAN("x\0\r\n")), 0);
	WROTE(&b, "\0\0\0\5Bx\0\r\n");
	ck_assert_int_eq(milter_put_body(&b, SPAN("")), 0);
	WROTE(&b, "\0\0\0\1B");
	/* No string ends early. */
	ck_assert_int_eq(milter_put(&b, MILTER_C_HELO, &SPAN("a\0b"), 1), 0);
	WROTE(&b, "\0\0\0\5Ha?b\0");
	ck_assert_int_eq(milter_put_header(&b, SPAN("A"), SPAN("a\0b")), 0);
	WROTE(&b, "\0\0\0\7LA\0a?b\0");
	buf_free(&b);
}
END_TEST

/* Into a full buffer nothing is written, not even half. */
START_TEST(no_room)
{
	static const uint8_t big[MILTER_CHUNK_256K + 1];
	struct buf b;

	buf_init(&b, 9);
	ck_assert_int_eq(milter_put_body(&b, SPAN("12345")), -1);
	ck_assert_int_eq(errno, ENOBUFS);
	ck_assert_int_eq(milter_put_optneg(&b, 0, 0), -1);
	ck_assert_int_eq(milter_put_connect(&b, SPAN("host"), 'U', 0, SPAN("")), -1);
	ck_assert_int_eq(milter_put_header(&b, SPAN("Name"), SPAN("v")), -1);
	ck_assert_int_eq(milter_put_macros(&b, MILTER_C_MAIL, (struct span[]){ SPAN("i"), SPAN("ID") }, 2), -1);
	ck_assert_uint_eq(buf_len(&b), 0);
	ck_assert_int_eq(milter_put_body(&b, SPAN("1234")), 0);
	ck_assert_uint_eq(buf_len(&b), 9);
	buf_free(&b);
	buf_init(&b, 1 << 24);
	ck_assert_int_eq(milter_put_body(&b, span_of(big, sizeof(big))), -1);
	ck_assert_int_eq(milter_put_body(&b, span_of(big, sizeof(big) - 1)), 0);
	buf_free(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("milterpacket");
	TCase *t = tcase_create("packet");

	tcase_add_loop_test(t, frame, 0, sizeof(frames) / sizeof(frames[0]));
	tcase_add_test(t, options);
	tcase_add_loop_test(t, answer, 0, sizeof(answers) / sizeof(answers[0]));
	tcase_add_test(t, long_name);
	tcase_add_loop_test(t, code, 0, sizeof(codes) / sizeof(codes[0]));
	tcase_add_test(t, long_code);
	tcase_add_test(t, writes);
	tcase_add_test(t, no_room);
	suite_add_tcase(s, t);
	return suite_run(s);
}
