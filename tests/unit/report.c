/*
 * report: records of the spool, whole and damaged; the messages made of them.
 */
#include "common/report.h"
#include "reports/compose.h"
#include "tests/unit/suite.h"

#define HEADERS "Subject: x\r\nFrom: a@b.example\r\n\r\n"

static struct buf record;

static void
make(const char *from, const char *envid, const char *headers, const char *to, const char *orcpt)
{
	struct report r = { .id = SPAN("id1"),
		.from = span_str(from),
		.envid = span_str(envid),
		.headers = span_str(headers),
		.arrived = 1700000000,
		.requiretls = true };
	struct report_rcpt rc = { span_str(to), span_str(orcpt) };

	buf_free(&record);
	buf_init(&record, 1 << 20);
	ck_assert_int_eq(report_put(&record, &r), 0);
	ck_assert_int_eq(report_put_rcpt(&record, &rc), 0);
	ck_assert_int_eq(report_put_rcpt(&record, &rc), 0);
	ck_assert_int_eq(report_put_end(&record), 0);
}

static int
read_record(struct span s, struct report *r)
{
	return report_read(guarded(s.p, s.n), r);
}

START_TEST(what_is_put_is_read)
{
	struct report r;
	struct report_rcpt rc;
	unsigned n = 0;

	make("a@b.example", "e1", HEADERS, "c@d.example", "rfc822;x");
	ck_assert_int_eq(read_record(buf_view(&record), &r), 0);
	ck_assert(span_eq(r.from, SPAN("a@b.example")) && span_eq(r.envid, SPAN("e1")) && span_eq(r.id, SPAN("id1")));
	ck_assert(span_eq(r.headers, SPAN(HEADERS)));
	ck_assert_int_eq(r.arrived, 1700000000);
	ck_assert(r.requiretls && !r.smtputf8 && !r.cut);
	for (struct span left = r.rcpts; report_rcpt(&left, &rc); n++)
		ck_assert(span_eq(rc.address, SPAN("c@d.example")) && span_eq(rc.orcpt, SPAN("rfc822;x")));
	ck_assert_uint_eq(n, 2);
}
END_TEST

START_TEST(what_is_not_whole_is_refused)
{
	struct span all;
	struct report r;

	make("a@b.example", "e1", HEADERS, "c@d.example", "rfc822;x");
	all = buf_view(&record);
	for (size_t n = 0; n < all.n; n++)
		ck_assert_msg(read_record(span_head(all, n), &r) == -1, "%zu octets of %zu", n, all.n);
	ck_assert_int_eq(buf_put(&record, "x", 1), 0);
	ck_assert_int_eq(read_record(buf_view(&record), &r), -1);
}
END_TEST

/* Whatever a bit does, nothing is read outside, and no line can end where none may. */
START_TEST(damaged)
{
	struct span all;
	uint8_t copy[4096];

	make("a@b.example", "e1", HEADERS, "c@d.example", "rfc822;x");
	all = buf_view(&record);
	for (size_t bit = 0; bit < all.n * 8; bit++) {
		struct report r;
		struct report_rcpt rc;

		memcpy(copy, all.p, all.n);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (read_record(span_of(copy, all.n), &r) != 0)
			continue;
		for (struct span left = r.rcpts; report_rcpt(&left, &rc);)
			for (size_t i = 0; i < rc.address.n; i++)
				ck_assert_uint_ge(rc.address.p[i], ' ');
		for (size_t i = 0; i < r.from.n; i++)
			ck_assert_uint_ge(r.from.p[i], ' ');
	}
}
END_TEST

static const struct {
	const char *from, *envid, *to, *orcpt;
} lines[] = {
	{ "a@b\r\nX: y", "", "c@d", "" },
	{ "", "", "c@d", "" },
	{ "a@b", "x\ny", "c@d", "" },
	{ "a@b", "", "c@d\nFinal-Recipient: x", "" },
	{ "a@b", "", "", "" },
	{ "a@b", "", "c@d", "rfc822;x\ny" },
	{ "a@b", "", "c@d", "without a type" },
	{ "a@b", "", "c@d", "rfc822;a b" },
	{ "a@b\x7f", "", "c@d", "" },
};

START_TEST(what_could_end_a_line_is_refused)
{
	struct report r;

	make(lines[_i].from, lines[_i].envid, HEADERS, lines[_i].to, lines[_i].orcpt);
	ck_assert_int_eq(read_record(buf_view(&record), &r), -1);
}
END_TEST

static char *
composed(const char *from, const char *headers, const char *to, const char *orcpt)
{
	struct report r;
	char *text;
	size_t n;

	make(from, "e1", headers, to, orcpt);
	ck_assert_int_eq(read_record(buf_view(&record), &r), 0);
	text = compose(&r, "mx.example", 1700000000, -5400, &n);
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(strlen(text), n);
	return text;
}

/* Of whom it is about, in ASCII and in UTF-8 (RFC 6533 3). */
static const struct {
	const char *from, *to, *orcpt, *line;
} forms[] = {
	{ "a@b", "c@d", "rfc822;x+2By", "\nOriginal-Recipient: rfc822;x+y\nFinal-Recipient: rfc822;c@d\n" },
	{ "a@b", "c@d", "", "\n\nFinal-Recipient: rfc822;c@d\n" },
	{ "a@b", "\xc3\xbc@d", "", "\nFinal-Recipient: utf-8;\\x{FC}@d\n" },
	{ "a@b", "\xc3\xbc+=\\@d", "", "\nFinal-Recipient: utf-8;\\x{FC}\\x{2B}\\x{3D}\\x{5C}@d\n" },
	{ "a@b", "\xf0\x9f\x93\xac@d", "", "\nFinal-Recipient: utf-8;\\x{1F4EC}@d\n" },
	{ "\xc3\xa4@b", "\xc3\xbc@d", "", "\nFinal-Recipient: utf-8;\xc3\xbc@d\n" },
	{ "\xc3\xa4@b", "c@d", "utf-8;\xc3\xbc@d", "\nOriginal-Recipient: utf-8;\xc3\xbc@d\n" },
	/* What a worker that was taken over may write: xtext of a line end. */
	{ "\xc3\xa4@b", "c@d", "rfc822;x+0Ay", "\nOriginal-Recipient: rfc822;x\\x{0A}y\nFinal" },
	{ "a@b", "c@d", "rfc822;x+0Ay", "\nOriginal-Recipient: rfc822;x\\x{0A}y\nFinal" },
	/* ... behind what begins as UTF-8 does, and of which nothing follows. */
	{ "\xc3\xa4@b", "c@d", "rfc822;+E0+0D+0Ax", "\nOriginal-Recipient: rfc822;\\x{E0}\\x{0D}\\x{0A}x\nFinal" },
	{ "a@b", "c@d", "rfc822;+E0+0D+0Ax", "\nOriginal-Recipient: rfc822;\\x{E0}\\x{0D}\\x{0A}x\nFinal" },
	{ "\xc3\xa4@b", "c@d", "rfc822;+C3+0Ax", "\nOriginal-Recipient: rfc822;\\x{C3}\\x{0A}x\nFinal" },
	{ "\xc3\xa4@b", "c@d", "rfc822;+F0+9F+0A+0Ax",
	    "\nOriginal-Recipient: rfc822;\\x{F0}\\x{9F}\\x{0A}\\x{0A}x\nFinal" },
	{ "a@b", "c@d", "rfc822;+F0+9F", "\nOriginal-Recipient: rfc822;\\x{F0}\\x{9F}\nFinal" },
	{ "a@b",
	    "\xe0"
	    "cd@e",
	    "", "\nFinal-Recipient: utf-8;\\x{E0}cd@e\n" },
	{ "a@b", "c@d", "utf-8;\xc3\xbc@d", "\nOriginal-Recipient: utf-8;\\x{FC}@d\n" },
	{ "a@b", "c@d", "utf-8;\\x{FC}@d", "\nOriginal-Recipient: utf-8;\\x{FC}@d\n" },
};

START_TEST(form)
{
	char *text = composed(forms[_i].from, HEADERS, forms[_i].to, forms[_i].orcpt);

	ck_assert_msg(strstr(text, forms[_i].line) != NULL, "no %s in %s", forms[_i].line, text);
	free(text);
}
END_TEST

/* The header that comes back. */
static const struct {
	const char *headers, *want;
} returned[] = {
	{ HEADERS, "Content-Type: text/rfc822-headers\n\nSubject: x\nFrom: a@b.example\n\n\n--=_id1--\n" },
	{ "A: \xc3\xbc=\r\n\r\n",
	    "Content-Type: text/rfc822-headers; charset=utf-8\nContent-Transfer-Encoding: "
	    "quoted-printable\n\nA:=20=C3=BC=3D\n\n\n--=_id1--" },
	{ "A: b\rc\r\n\r\n", "quoted-printable\n\nA:=20b=0Dc\n\n\n--=_id1--" },
	{ "", "Content-Type: text/rfc822-headers\n\n\n--=_id1--\n" },
	{ "\r\n", "Content-Type: text/rfc822-headers\n\n\n\n--=_id1--\n" },
	{ "no end", "\n\nno end\n--=_id1--\n" },
};

START_TEST(header)
{
	char *text = composed("a@b", returned[_i].headers, "c@d", "");

	ck_assert_msg(strstr(text, returned[_i].want) != NULL, "no %s in %s", returned[_i].want, text);
	ck_assert_ptr_nonnull(strstr(text, "\nDate: Tue, 14 Nov 2023 20:43:20 -0130\n"));
	free(text);
}
END_TEST

/* A line that never ends is broken softly, and stays below what SMTP can carry. */
START_TEST(long_line)
{
	static char headers[8000];
	size_t column = 0;
	char *text;

	memset(headers, 'x', sizeof(headers) - 1);
	text = composed("a@b", headers, "c@d", "");
	for (const char *p = text; *p != '\0'; p++) {
		column = *p == '\n' ? 0 : column + 1;
		ck_assert_uint_le(column, 998);
	}
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("report");
	TCase *t = tcase_create("record");

	tcase_add_test(t, what_is_put_is_read);
	tcase_add_test(t, what_is_not_whole_is_refused);
	tcase_add_test(t, damaged);
	tcase_add_loop_test(t, what_could_end_a_line_is_refused, 0, sizeof(lines) / sizeof(lines[0]));
	suite_add_tcase(s, t);
	t = tcase_create("message");
	tcase_add_loop_test(t, form, 0, sizeof(forms) / sizeof(forms[0]));
	tcase_add_loop_test(t, header, 0, sizeof(returned) / sizeof(returned[0]));
	tcase_add_test(t, long_line);
	suite_add_tcase(s, t);
	return suite_run(s);
}
