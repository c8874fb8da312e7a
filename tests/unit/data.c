/*
 * data: the end of content, exhaustively.
 * Every string of up to 10 octets over {CR, LF, '.', NUL, 'a'} (12 million;
 * DATA_EXHAUSTIVE in the environment changes how many octets) against a
 * reference that looks at the whole string at once, and every way to cut
 * the shorter ones.  Then counts, flags and chunks.
 */
#include "tests/unit/suite.h"

#include "worker/smtp/data.h"
#include "worker/smtp/smtp.h"

enum { LONGEST = 16 };

/* What the decoder made of an input. */
struct result {
	uint8_t content[LONGEST];
	size_t n;
	bool ended;
	size_t used; /* octets consumed when it ended */
	size_t left; /* octets not consumed when it did not */
	bool bare, nul;
};

/*
 * RFC 5321 4.1.1.4 and 4.5.2 to the letter: content ends before the first dot
 * that stands between CRLF (or the start) and CRLF; a dot behind CRLF (or the
 * start) is left out.
 */
static struct result
reference(const uint8_t *s, size_t n)
{
	struct result r = { .n = 0 };

	for (size_t i = 0; i < n; i++) {
		bool start = i == 0 || (i >= 2 && s[i - 2] == '\r' && s[i - 1] == '\n');

		if (start && i + 2 < n && memcmp(s + i, ".\r\n", 3) == 0) {
			r.ended = true;
			r.used = i + 3;
			break;
		}
		if (!(start && s[i] == '.'))
			r.content[r.n++] = s[i];
	}
	for (size_t i = 0; i < r.n; i++) {
		r.nul = r.nul || r.content[i] == 0;
		if (r.content[i] == '\r' && i + 1 < r.n && r.content[i + 1] != '\n')
			r.bare = true;
		if (r.content[i] == '\n' && (i == 0 || r.content[i - 1] != '\r'))
			r.bare = true;
	}
	return r;
}

/* Feed the pieces that the bits of ${cuts} make (bit i: a cut behind octet i); the rest is carried over as the contract says. */
static struct result
decode(const uint8_t *s, size_t n, unsigned cuts)
{
	struct result r = { .n = 0 };
	struct data d;
	size_t done = 0;

	data_text(&d);
	for (size_t end = 1; end <= n && !r.ended; end++) {
		struct span in, out;
		enum data_got got;

		if (end < n && (cuts >> (end - 1) & 1) == 0)
			continue;
		in = span_of(s + done, end - done);
		while ((got = data_next(&d, &in, &out)) == DATA_GOT_SPAN) {
			memcpy(r.content + r.n, out.p, out.n);
			r.n += out.n;
		}
		done = end - in.n;
		r.ended = got == DATA_GOT_END;
		r.left = r.ended ? 0 : in.n;
		r.used = r.ended ? done : 0;
	}
	r.bare = d.bare;
	r.nul = d.nul;
	return r;
}

static bool
same(const struct result *a, const struct result *b)
{
	return a->n == b->n && memcmp(a->content, b->content, a->n) == 0 && a->ended == b->ended &&
	    a->used == b->used && a->nul == b->nul && (!a->ended || a->bare == b->bare);
}

static void
expect(const uint8_t *s, size_t n, unsigned cuts)
{
	struct result want = reference(s, n), got = decode(s, n, cuts);

	/* Only a CR behind a dot at the start of a line is not consumed: what it is shows in the next octet. */
	if (!want.ended && got.left == 1 && want.n > 0 && want.content[want.n - 1] == '\r')
		want.n--;
	if (!same(&want, &got) || got.left > 1) {
		fprintf(stderr, "octets:");
		for (size_t i = 0; i < n; i++)
			fprintf(stderr, " %02x%s", s[i], i + 1 == n ? "\n" : "");
		ck_abort_msg("cuts %x: ended %d want %d, %zu octets want %zu, bare %d want %d", cuts, got.ended,
		    want.ended, got.n, want.n, got.bare, want.bare);
	}
}

static size_t
longest(void)
{
	const char *e = getenv("DATA_EXHAUSTIVE");
	long n = e != NULL ? strtol(e, NULL, 10) : 10;

	return n > 0 && n <= 12 ? (size_t)n : 10;
}

/* Count through all strings of ${n} octets. */
static bool
next_string(uint8_t *digit, uint8_t *s, size_t n)
{
	static const uint8_t alphabet[] = { '\r', '\n', '.', 0, 'a' };
	size_t i;

	for (i = 0; i < n && ++digit[i] == sizeof(alphabet); i++)
		digit[i] = 0;
	for (size_t j = 0; j < n; j++)
		s[j] = alphabet[digit[j]];
	return i < n;
}

START_TEST(t_every_string)
{
	size_t max = longest(), count = 0;

	for (size_t n = 1; n <= max; n++) {
		uint8_t digit[LONGEST] = { 0 };
		uint8_t *p = (uint8_t *)(uintptr_t)guarded("aaaaaaaaaaaaaaaa", n).p;

		memset(p, '\r', n);
		do {
			expect(p, n, 0);
			expect(p, n, ~0U);
			count += 2;
		} while (next_string(digit, p, n));
	}
	ck_assert_uint_gt(count, 2 * 390625);
}
END_TEST

/* All cuts of all strings of 7 octets: 78,125 strings, 64 ways each. */
START_TEST(t_every_cut)
{
	uint8_t digit[LONGEST] = { 0 }, s[LONGEST];

	memset(s, '\r', 7);
	do {
		for (unsigned cuts = 0; cuts < 64; cuts++)
			expect(s, 7, cuts);
	} while (next_string(digit, s, 7));
}
END_TEST

/* The scanner list of PROTOCOL 47: none of these ends content. */
START_TEST(t_no_end)
{
	static const struct span rows[] = { SPAN("a\n.\nb"), SPAN("a\n.\r\nb"), SPAN("a\r\n.\nb"), SPAN("a\r.\rb"),
		SPAN("a\r.\nb"), SPAN("a\n.\rb"), SPAN("a\r.\r\nb"), SPAN("a\r\n.\rb"), SPAN("a\r\r\n.\r\r\nb"),
		SPAN("a\r\n\0.\r\nb"), SPAN("a\r\n.\0\r\nb"), SPAN("a\r\n..\r\nb"), SPAN("a\r\n. \r\nb") };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span in = guarded(rows[i].p, rows[i].n), out;
		struct data d;
		enum data_got got;

		data_text(&d);
		while ((got = data_next(&d, &in, &out)) == DATA_GOT_SPAN)
			;
		ck_assert_msg(got == DATA_GOT_MORE, "row %zu ends content", i);
		ck_assert_msg(d.bare == (i < 9), "row %zu: bare %d", i, d.bare);
	}
}
END_TEST

/* One span for what holds no stuffed dot, up to the final dot. */
START_TEST(t_spans_are_large)
{
	static const char text[] = "Subject: x\r\n\r\nline one\r\nline .two.\r\n.\r\nMAIL";
	struct span in = guarded(text, sizeof(text) - 1), out;
	struct data d;

	data_text(&d);
	ck_assert_int_eq(data_next(&d, &in, &out), DATA_GOT_SPAN);
	ck_assert_uint_eq(out.n, sizeof(text) - 1 - 7);
	ck_assert_int_eq(data_next(&d, &in, &out), DATA_GOT_END);
	ck_assert_uint_eq(in.n, 4);
	ck_assert(!d.bare && !d.nul && !d.line_long);
}
END_TEST

/* Feed ${n} octets 'x' in pieces of ${piece}. */
static void
feed_x(struct data *d, size_t n, size_t piece)
{
	static uint8_t x[70000];

	memset(x, 'x', sizeof(x));
	while (n > 0) {
		size_t m = n < piece ? n : piece;
		struct span in = span_of(x, m), out;

		if (data_next(d, &in, &out) != DATA_GOT_SPAN || out.n != m) /* an assertion an octet is slow */
			ck_abort_msg("x is not content");
		n -= m;
	}
}

START_TEST(t_line_limit)
{
	static const size_t pieces[] = { 1, 7, 4096, 70000 };
	static const struct {
		size_t n;
		const char *end;
		bool too_long;
	} rows[] = { { SMTP_TEXT_LINE_MAX - 2, "\r\n", false }, { SMTP_TEXT_LINE_MAX - 1, "\r\n", true },
		{ SMTP_TEXT_LINE_MAX, "x", true }, { SMTP_TEXT_LINE_MAX - 3, "x\r\n", false },
		{ SMTP_TEXT_LINE_MAX - 1, "\n", false }, { 10, "\r\n", false } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t p = 0; p < 4; p++) {
			struct span in, out;
			struct data d;

			data_text(&d);
			feed_x(&d, rows[i].n, pieces[p]);
			in = span_str(rows[i].end);
			ck_assert_int_eq(data_next(&d, &in, &out), DATA_GOT_SPAN);
			ck_assert_int_eq(d.line_long, rows[i].too_long);
			in = SPAN("short\r\n");
			ck_assert_int_eq(data_next(&d, &in, &out), DATA_GOT_SPAN);
			ck_assert_int_eq(d.line_long, rows[i].too_long);
		}
	}
}
END_TEST

START_TEST(t_chunk)
{
	struct span in = guarded(".\r\n\0abcNOOP", 11), out;
	struct data d;

	data_none(&d);
	data_chunk(&d, 7, true);
	ck_assert_int_eq(data_next(&d, &in, &out), DATA_GOT_SPAN);
	ck_assert_uint_eq(out.n, 7);
	ck_assert_int_eq(data_next(&d, &in, &out), DATA_GOT_END);
	ck_assert(span_eq(in, SPAN("NOOP")));
	ck_assert(d.nul && !d.bare && d.last);
	data_chunk(&d, 0, false);
	ck_assert_int_eq(data_next(&d, &in, &out), DATA_GOT_END);
	ck_assert(d.nul && !d.last);
	data_chunk(&d, UINT64_MAX, false);
	ck_assert_int_eq(data_next(&d, &in, &out), DATA_GOT_SPAN);
	ck_assert_int_eq(data_next(&d, &in, &out), DATA_GOT_MORE);
	ck_assert(d.left == UINT64_MAX - 4);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("data");
	TCase *tc = tcase_create("data");

	tcase_set_timeout(tc, 600);
	tcase_add_test(tc, t_every_string);
	tcase_add_test(tc, t_every_cut);
	tcase_add_test(tc, t_no_end);
	tcase_add_test(tc, t_spans_are_large);
	tcase_add_test(tc, t_line_limit);
	tcase_add_test(tc, t_chunk);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
