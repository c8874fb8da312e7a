/*
 * reply: no reply breaks a line, passes 512 octets, or loses its id.
 */
#include "common/reply.h"

#include "tests/unit/suite.h"

static const char *
wire(const struct reply *r, const char *id)
{
	static char out[REPLY_WIRE_MAX + 1];
	size_t n = reply_format(r, guarded_str(id), out);

	ck_assert_uint_le(n, REPLY_WIRE_MAX);
	ck_assert_uint_ge(n, 6);
	out[n] = '\0';
	ck_assert_uint_eq(strlen(out), n);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(out[i] == '\r', out[i + 1] == '\n');
	ck_assert_mem_eq(out + n - 2, "\r\n", 2);
	return out;
}

static const struct {
	uint16_t code;
	uint32_t enh;
	const char *text, *id, *wire;
} set_row[] = {
	{ 550, ENH(5, 1, 1), "no such mailbox", "ab12", "550 5.1.1 no such mailbox [ab12]\r\n" },
	{ 451, ENH(4, 3, 0), "try again", "x", "451 4.3.0 try again [x]\r\n" },
	{ 250, ENH(2, 0, 0), "queued as ID", "x", "250 2.0.0 queued as ID\r\n" },
	{ 354, ENH(2, 0, 0), "go on", "x", "354 go on\r\n" },
	{ 220, 0, "mx.example.org ESMTP", "x", "220 mx.example.org ESMTP\r\n" },
	{ 552, ENH(4, 3, 1), "classes differ", "x", "552 5.3.1 classes differ [x]\r\n" },
	{ 450, ENH(5, 2, 1), "classes differ", "x", "450 4.2.1 classes differ [x]\r\n" },
	{ 550, ENH(5, 7, 25), "no reverse name", "", "550 5.7.25 no reverse name\r\n" },
	{ 550, ENH(5, 999, 999), "big", "x", "550 5.999.999 big [x]\r\n" },
	{ 550, ENH(5, 0, 0), "a\r\n250 b\tc\x7f\xc3\xa9", "x", "550 5.0.0 a??250 b?c??? [x]\r\n" },
	{ 421, ENH(4, 3, 2), "", "x", "421 4.3.2  [x]\r\n" },
};

START_TEST(sets_and_formats)
{
	struct reply r;

	reply_set(&r, set_row[_i].code, set_row[_i].enh, "test", "%s", set_row[_i].text);
	ck_assert_str_eq(wire(&r, set_row[_i].id), set_row[_i].wire);
	ck_assert_int_eq(r.close, set_row[_i].code == 421);
}
END_TEST

static const struct {
	const char *in, *out;
} reason_row[] = {
	{ "no-such-user", "no-such-user" },
	{ "", "" },
	{ "A b\nc_d", "--b-c-d" },
	{ "abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnopqrstuvwxyz01234" },
};

START_TEST(reasons_are_words)
{
	struct reply r;

	memset(&r, 0xff, sizeof(r));
	reply_set(&r, 550, 0, reason_row[_i].in, "x");
	ck_assert_str_eq(r.reason, reason_row[_i].out);
}
END_TEST

START_TEST(long_texts_are_cut_and_ids_are_not)
{
	char text[2000], id[700];
	struct reply r;

	for (size_t n = 0; n < sizeof(text); n += 13) {
		for (size_t k = 0; k < sizeof(id); k += 7) {
			char out[REPLY_WIRE_MAX];
			size_t len;

			memset(text, 't', sizeof(text));
			text[n] = '\0';
			memset(id, 'i', sizeof(id));
			reply_set(&r, 550, ENH(5, 1, 1), "test", "%s", text);
			ck_assert_uint_eq(r.n, n < REPLY_TEXT_MAX ? n : REPLY_TEXT_MAX);
			len = reply_format(&r, span_of(id, k), out);
			ck_assert_uint_le(len, REPLY_WIRE_MAX);
			ck_assert_mem_eq(out + len - 2, "\r\n", 2);
			if (k > 0 && k <= 490) {
				ck_assert_mem_eq(out + len - 3, "]", 1);
				ck_assert_mem_eq(out + len - k - 5, " [", 2);
				ck_assert_mem_eq(out + len - k - 3, id, k);
			} else if (k > 500) {
				ck_assert_ptr_null(memchr(out, 'i', len));
			}
		}
	}
}
END_TEST

/* Lines of ${each} octets, ${n} of them behind the first. */
static size_t
many_lines(struct reply *r, size_t n, size_t each, char *out)
{
	char text[REPLY_TEXT_MAX];

	memset(text, 't', sizeof(text));
	reply_set(r, 550, ENH(5, 999, 999), "test", "first");
	for (size_t i = 0; i < n; i++)
		reply_add_line(r, span_of(text, each));
	return reply_format(r, SPAN("id"), out);
}

START_TEST(several_lines)
{
	char out[REPLY_WIRE_MAX];
	struct reply r;

	reply_set(&r, 550, ENH(5, 7, 1), "test", "one\ntwo");
	reply_add_line(&r, SPAN("three\r\n250 ok"));
	reply_add_line(&r, SPAN(""));
	reply_add_line(&r, SPAN("last"));
	ck_assert_str_eq(
	    wire(&r, "x"), "550-5.7.1 one?two\r\n550-5.7.1 three??250 ok\r\n550-5.7.1 \r\n550 5.7.1 last [x]\r\n");
	for (size_t n = 0; n <= REPLY_TEXT_MAX + 1; n += n < 20 ? 1 : 50)
		for (size_t each = 0; each <= REPLY_TEXT_MAX; each += each < 30 ? 1 : 70) {
			size_t len = many_lines(&r, n, each, out), lines = 0;

			ck_assert_uint_le(len, REPLY_WIRE_MAX);
			for (size_t i = 0; i < len; i++)
				lines += out[i] == '\n';
			ck_assert_uint_le(lines, n < REPLY_LINES_MAX ? n + 1 : REPLY_LINES_MAX);
			ck_assert_mem_eq(out + len - 7, " [id]\r\n", 7);
		}
	/* A module's own text is believed no more. */
	memset(r.text, '\n', sizeof(r.text));
	r.n = sizeof(r.text);
	ck_assert_uint_le(reply_format(&r, SPAN("id"), out), REPLY_WIRE_MAX);
}
END_TEST

static const struct {
	const char *in, *wire; /* wire NULL: refused */
} parse_row[] = {
	{ "550 5.1.6 moved to new@example.org", "550 5.1.6 moved to new@example.org [x]\r\n" },
	{ "450 4.2.1 mailbox is being moved", "450 4.2.1 mailbox is being moved [x]\r\n" },
	{ "450 later", "450 4.0.0 later [x]\r\n" },
	{ "599 z", "599 5.0.0 z [x]\r\n" },
	{ "400 z", "400 4.0.0 z [x]\r\n" },
	{ "550  5.1.1  two spaces", "550 5.1.1 two spaces [x]\r\n" },
	{ "550 5.1 is no enhanced code", "550 5.0.0 5.1 is no enhanced code [x]\r\n" },
	{ "550 10.0.0.1 is listed", "550 5.0.0 10.0.0.1 is listed [x]\r\n" },
	{ "550 5.1.1x is text", "550 5.0.0 5.1.1x is text [x]\r\n" },
	{ "550 4.1.1 classes differ", NULL },
	{ "450 5.1.1 classes differ", NULL },
	{ "550 5.01.1 leading zero", NULL },
	{ "550 5.1.1000 four digits", NULL },
	{ "550 5.1.1", NULL },
	{ "550 5.1.1 ", NULL },
	{ "550 ", NULL },
	{ "550", NULL },
	{ "55", NULL },
	{ "", NULL },
	{ "550-5.1.1 x", NULL },
	{ "5500 x", NULL },
	{ "250 2.0.0 fine", NULL },
	{ "354 x", NULL },
	{ "600 x", NULL },
	{ "5x0 x", NULL },
	{ " 550 x", NULL },
	{ "550 5.1.1 a\nb", NULL },
	{ "550 5.1.1 a\tb", NULL },
	{ "550 5.1.1 a\x7f", NULL },
	{ "550 5.1.1 caf\xc3\xa9", NULL },
};

START_TEST(parses)
{
	struct reply r;
	int rc = reply_parse(guarded_str(parse_row[_i].in), &r);

	ck_assert_int_eq(rc, parse_row[_i].wire != NULL ? 0 : -1);
	if (rc == 0) {
		ck_assert_str_eq(wire(&r, "x"), parse_row[_i].wire);
		ck_assert_str_eq(r.reason, "listed");
	}
}
END_TEST

START_TEST(parse_takes_text_to_the_limit)
{
	char in[10 + REPLY_TEXT_MAX + 1] = "550 5.1.1 ";
	struct reply r;

	memset(in + 10, 't', REPLY_TEXT_MAX + 1);
	ck_assert_int_eq(reply_parse(guarded(in, sizeof(in) - 1), &r), 0);
	ck_assert_uint_eq(r.n, REPLY_TEXT_MAX);
	ck_assert_int_eq(reply_parse(guarded(in, sizeof(in)), &r), -1);
}
END_TEST

static const struct {
	const char *text;
	bool is;
} enhanced_row[] = { { "5.1.1 text", true }, { "5.1.1", true }, { "9.999999.01 x", true }, { "5.1.1x", false },
	{ "5.1. x", false }, { "5..1 x", false }, { "55.1.1 x", false }, { "5.1", false }, { "5.", false },
	{ "5", false }, { "", false }, { "text", false }, { " 5.1.1", false } };

START_TEST(begins_like_an_enhanced_code)
{
	ck_assert(reply_enhanced_at(guarded_str(enhanced_row[_i].text)) == enhanced_row[_i].is);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("reply");
	TCase *t = tcase_create("reply");

	tcase_add_loop_test(t, sets_and_formats, 0, sizeof(set_row) / sizeof(set_row[0]));
	tcase_add_loop_test(t, reasons_are_words, 0, sizeof(reason_row) / sizeof(reason_row[0]));
	tcase_add_test(t, long_texts_are_cut_and_ids_are_not);
	tcase_add_test(t, several_lines);
	tcase_add_loop_test(t, parses, 0, sizeof(parse_row) / sizeof(parse_row[0]));
	tcase_add_test(t, parse_takes_text_to_the_limit);
	tcase_add_loop_test(t, begins_like_an_enhanced_code, 0, sizeof(enhanced_row) / sizeof(enhanced_row[0]));
	suite_add_tcase(s, t);
	return suite_run(s);
}
