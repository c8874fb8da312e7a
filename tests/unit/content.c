/*
 * content: what is kept of a header, a row a case, and that it is the same
 * octets for every way to cut the message in pieces.
 */
#include "worker/smtp/content.h"

#include "tests/unit/suite.h"

enum { OUT_MAX = 200000 };

struct result {
	size_t n;
	unsigned received;
	bool delivered; /* to alice@example.org */
	uint8_t out[OUT_MAX];
};

/* Feed the ${n} pieces; piece i ends at offset end[i] of ${in}.  Empty pieces are fed too. */
static void
run(struct span in, const size_t *end, size_t n, struct result *r)
{
	struct arena arena;
	struct content *c;
	struct span out;
	size_t at = 0;

	arena_init(&arena, 2048, 1 << 20);
	c = content_new(&arena, "mx.example.org");
	if (c == NULL)
		ck_abort_msg("no memory");
	r->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct span piece = span_head(span_skip(in, at), end[i] - at);

		at = end[i];
		while (content_next(c, &piece, &out)) {
			/* No ck_assert here: each writes to a pipe, and this runs a million times. */
			if (out.n == 0 || r->n + out.n > in.n + CONTENT_ADDED_MAX)
				ck_abort_msg("%zu octets after %zu of %zu", out.n, r->n, in.n);
			memcpy(r->out + r->n, out.p, out.n);
			r->n += out.n;
		}
		if (piece.n != 0 || out.n != 0)
			ck_abort_msg("content_next() stopped early");
	}
	if (content_end(c, &out)) {
		memcpy(r->out + r->n, out.p, out.n);
		r->n += out.n;
	}
	r->received = content_received(c);
	r->delivered = content_delivered_to(c, SPAN("alice@example.org"));
	arena_reset(&arena);
}

static bool
same(const struct result *a, const struct result *b)
{
	return a->n == b->n && memcmp(a->out, b->out, a->n) == 0 && a->received == b->received &&
	    a->delivered == b->delivered;
}

/* Whole into *r; then cut once at each offset, in three at all pairs of a short one, and octet by octet. */
static void
run_all_splits(struct span in, struct result *r)
{
	static struct result s;
	size_t *each = malloc((in.n + 1) * sizeof(*each));

	run(in, &in.n, 1, r);
	for (size_t i = 0; i <= in.n; i++) {
		run(in, (size_t[]){ i, in.n }, 2, &s);
		if (!same(r, &s))
			ck_abort_msg("cut at %zu: %.*s", i, (int)s.n, (const char *)s.out);
		for (size_t k = i; in.n < 90 && k <= in.n; k++) {
			run(in, (size_t[]){ i, k, in.n }, 3, &s);
			if (!same(r, &s))
				ck_abort_msg("cut at %zu and %zu: %.*s", i, k, (int)s.n, (const char *)s.out);
		}
		each[i] = i + 1;
	}
	run(in, each, in.n, &s);
	if (!same(r, &s))
		ck_abort_msg("octet by octet: %.*s", (int)s.n, (const char *)s.out);
	free(each);
}

#define AR   "Authentication-Results:"
#define BODY "\r\nbody\r\n" AR " mx.example.org; none\r\nReturn-Path: <x>\r\nReceived: y\r\n"

static const struct {
	const char *in, *want; /* want NULL: the same */
	unsigned received;
	bool delivered;
} row[] = {
	{ "", NULL, 0, false },
	{ "\r\n", NULL, 0, false },
	{ "\n", NULL, 0, false },
	{ "\r", NULL, 0, false },
	{ "Subject: x\r\n" BODY, NULL, 0, false },
	{ "Subject: x", NULL, 0, false },
	{ "Subject: x\r\n", NULL, 0, false },
	/* Return-Path */
	{ "Return-Path: <a@b>\r\nSubject: x\r\n" BODY, "Subject: x\r\n" BODY, 0, false },
	{ "Subject: x\r\nreturn-PATH:<a@b>\r\n" BODY, "Subject: x\r\n" BODY, 0, false },
	{ "Return-Path: <a@b>\r\n", "", 0, false },
	{ "Return-Path: <a@b>", "", 0, false },
	{ "Return-Path:", "", 0, false },
	{ "Return-Path", NULL, 0, false },
	{ "Return-Path: a\r\n b\r\n\tc\r\n \r\nTo: x\r\n" BODY, "To: x\r\n" BODY, 0, false },
	{ "Return-Path: a\n b\nReturn-Path: c\n\td\nTo: x\n\nbody", "To: x\n\nbody", 0, false },
	{ "Return-Path \t : a\r\n b\r\nTo: x\r\n\r\n", "To: x\r\n\r\n", 0, false },
	{ "To: x\r\nReturn-Path a\r\n b\r\n\r\n", NULL, 0, false },
	{ "To: x\r\nReturn-Path\r\n : b\r\n\r\n", NULL, 0, false },
	{ "To: x\r\nReturn-Path\r: b\r\n\r\n", NULL, 0, false },
	{ "Return-Paths: a\r\nReturn-Pat: a\r\nXReturn-Path: b\r\n\r\n", NULL, 0, false },
	{ "To: x\r\n Return-Path: a\r\n\tReturn-Path: b\r\n\r\n", NULL, 0, false },
	/* Received */
	{ "Received: a\r\nreceived :b\r\n c\r\nRECEIVED:d\r\nReceivedx: e\r\nX-Received: f\r\n" BODY, NULL, 3, false },
	{ "Return-Path: x\r\n Received: a\r\nReceived: b\r\n\r\n", "Received: b\r\n\r\n", 1, false },
	{ "Received", NULL, 0, false },
	{ "Received:", NULL, 1, false },
	/* no header at first sight: what claims to be ours is parted from our trace lines, up to an empty line */
	{ "body\r\nReturn-Path: x\r\nReceived: y\r\n", "body\r\n\r\nReturn-Path: x\r\nReceived: y\r\n", 0, false },
	{ "body text: x\r\nReturn-Path: x\r\n", "body text: x\r\n\r\nReturn-Path: x\r\n", 0, false },
	{ "body text\r\nmore\r\n: text\r\n", NULL, 0, false },
	{ ": x\r\nReturn-Path : x\r\n", ": x\r\n\r\nReturn-Path : x\r\n", 0, false },
	{ "\rReturn-Path: x\r\nReturn-Path: x\r\n", "\rReturn-Path: x\r\n\r\nReturn-Path: x\r\n", 0, false },
	{ "Return-Path\r\nReturn-Path: x\r\n", "Return-Path\r\n\r\nReturn-Path: x\r\n", 0, false },
	{ "Return-Path x\r\nReturn-Path: x\r\n", "Return-Path x\r\n\r\nReturn-Path: x\r\n", 0, false },
	{ "Return\r\nReturn-Path: x\r\n", "Return\r\n\r\nReturn-Path: x\r\n", 0, false },
	{ "caf\xc3\xa9: x\r\nReturn-Path: x\r\n", "caf\xc3\xa9: x\r\n\r\nReturn-Path: x\r\n", 0, false },
	{ "From a@b Tue Nov 24\r\nReturn-Path: x\r\n", "From a@b Tue Nov 24\r\n\r\nReturn-Path: x\r\n", 0, false },
	{ "text\r\n" AR " mx.example.org; spf=pass\r\nmore\r\n" BODY,
	    "text\r\n\r\n" AR " mx.example.org; spf=pass\r\nmore\r\n" BODY, 0, false },
	{ "text\r\n" AR "\r\n mx.example.org; spf=pass\r\n\r\n",
	    "text\r\n\r\n" AR "\r\n mx.example.org; spf=pass\r\n\r\n", 0, false },
	{ "text\r\n" AR "\r\nmore\r\n", "text\r\n\r\n" AR "\r\nmore\r\n", 0, false },
	{ "text\r\n" AR " mx.example.org", "text\r\n\r\n" AR " mx.example.org", 0, false },
	{ "text\r\n" AR " other.example; spf=pass\r\n x\r\n" AR " mx.exa\r\n" AR " other\r\n\r\n" BODY, NULL, 0,
	    false },
	{ "text\n" AR " other\n \n" AR " mx.example.org\n", "text\n" AR " other\n \n\r\n" AR " mx.example.org\n", 0,
	    false },
	{ "\r\nReturn-Path: x\r\n", NULL, 0, false },
	{ "From a@b\r\n\r\nReturn-Path: x\r\n", NULL, 0, false },
	/* a first line that would go on with our Received */
	{ " Subject: x\r\nReturn-Path: x\r\n", "\r\n Subject: x\r\nReturn-Path: x\r\n", 0, false },
	{ "\tx: y\r\nReceived: x\r\n", "\r\n\tx: y\r\nReceived: x\r\n", 0, false },
	{ " ", "\r\n ", 0, false },
	{ " \r\nReceived: x\r\n", "\r\n \r\nReceived: x\r\n", 0, false },
	{ "Return-Path: x\r\ny\r\n z\r\n", "y\r\n z\r\n", 0, false },
	/* the header ends before a line that is no field */
	{ "X: y\r\nno field\r\nReceived: x\r\nDelivered-To: alice@example.org\r\n\r\n", NULL, 0, false },
	{ "Received: y\r\n\xff\r\nReceived: x\r\n\r\n", NULL, 1, false },
	{ "Received: y\r\nReceived x\r\nReceived: x\r\n\r\n", NULL, 1, false },
	{ "X: y\r\nno field\r\nReturn-Path: x\r\n z\r\nmore\r\n\r\n",
	    "X: y\r\nno field\r\n\r\nReturn-Path: x\r\n z\r\nmore\r\n\r\n", 0, false },
	{ "X: y\r\n\rZ\r\nReturn-Path: x\r\n\r\n", "X: y\r\n\rZ\r\n\r\nReturn-Path: x\r\n\r\n", 0, false },
	/* header all the same */
	{ "Subject :x\r\nReturn-Path: x\r\n\r\n", "Subject :x\r\n\r\n", 0, false },
	{ "!\t \t:x\r\nReturn-Path: x\r\n\r\n", "!\t \t:x\r\n\r\n", 0, false },
	{ "X: \r\r\nReturn-Path: x\r\n\r\n", "X: \r\r\n\r\n", 0, false },
	{ "X: y\r\n \r\nReturn-Path: x\r\n\r\n", "X: y\r\n \r\n\r\n", 0, false }, /* blank, not empty */
	{ "Return-Path: x\r\n\r\nReturn-Path: y\r\n", "\r\nReturn-Path: y\r\n", 0, false },
	{ "Return-Path: x\n\nReturn-Path: y\n", "\nReturn-Path: y\n", 0, false },
	/* Authentication-Results: ours */
	{ AR " mx.example.org; spf=pass\r\n\tdkim=pass\r\nTo: x\r\n" BODY, "To: x\r\n" BODY, 0, false },
	{ AR "mx.example.org;none\r\n\r\n", "\r\n", 0, false },
	{ "authentication-RESULTS :\r\n MX.Example.ORG\r\n ; none\r\n\r\n", "\r\n", 0, false },
	{ AR " mx.example.org\r\n\r\n", "\r\n", 0, false },
	{ AR " mx.example.org", "", 0, false },
	{ AR " mx.example.org 1; none\r\n\r\n", "\r\n", 0, false },
	{ AR " mx.example.org/1; none\r\n\r\n", "\r\n", 0, false },
	{ AR " mx.example.org.; none\r\n\r\n", "\r\n", 0, false },
	{ AR " mx.example.org(c); none\r\n\r\n", "\r\n", 0, false },
	{ AR " (a (b\\)) c) mx.example.org; none\r\n\r\n", "\r\n", 0, false },
	{ AR " (c)\r\n (\r\n d) mx.example.org; none\r\n\r\n", "\r\n", 0, false },
	{ AR " \"mx.example.org\"; none\r\n\r\n", "\r\n", 0, false },
	{ AR " \"mx.exa\\mple.org\"; none\r\n\r\n", "\r\n", 0, false },
	{ AR "\r\n\t\"mx.example\r\n .org\"; none\r\nTo: y\r\n\r\n",
	    AR "\r\n\t\"mx.example\r\n .org\"; none\r\nTo: y\r\n\r\n", 0, false },
	{ AR " mx.example.org\r; none\r\n\r\n", "\r\n", 0, false },
	{ AR "\x01mx.example.org\x01; none\r\n\r\n", "\r\n", 0, false },
	/* might be taken for ours */
	{ AR "\r\nTo: x\r\n\r\n", "To: x\r\n\r\n", 0, false },
	{ AR "\r\n", "", 0, false },
	{ AR, "", 0, false },
	{ AR " ; none\r\n\r\n", "\r\n", 0, false },
	{ AR " (mx.example.org; none\r\nTo: x\r\n\r\n", "To: x\r\n\r\n", 0, false },
	{ AR " \"mx.example.org\r\nTo: x\r\n\r\n", "To: x\r\n\r\n", 0, false },
	{ AR " \"\"; none\r\n\r\n", "\r\n", 0, false },
	/* another's */
	{ AR " other.example; spf=pass\r\n\tdkim=pass\r\nTo: x\r\n" BODY, NULL, 0, false },
	{ AR " mx.example.or; none\r\n\r\n", NULL, 0, false },
	{ AR " mx.example.org.evil; none\r\n\r\n", NULL, 0, false },
	{ AR " mx.example.org..; none\r\n\r\n", NULL, 0, false },
	{ AR " xmx.example.org; none\r\n\r\n", NULL, 0, false },
	{ AR " mx.example.orgx; none\r\n\r\n", NULL, 0, false },
	{ AR " mx.exa\r\n mple.org; none\r\n\r\n", NULL, 0, false },
	{ AR " mx.exa", NULL, 0, false },
	{ AR " mx.exa\r\n", NULL, 0, false },
	{ AR " \"mx.exam\"; none\r\n\r\n", NULL, 0, false },
	{ AR " (mx.example.org) other.example; none\r\n\r\n", NULL, 0, false },
	{ AR "\r\n\r\n", "\r\n", 0, false },
	{ "X-" AR " mx.example.org; none\r\nARC-" AR " i=1; mx.example.org; none\r\n\r\n", NULL, 0, false },
	{ "Authentication-Results\r\n : mx.example.org; none\r\n\r\n", NULL, 0, false },
	/* Delivered-To */
	{ "Delivered-To: alice@example.org\r\n" BODY, NULL, 0, true },
	{ "Delivered-To: alice@example.org", NULL, 0, true },
	{ "delivered-to :\r\n ALICE@example.ORG \r\nTo: x\r\n\r\n", NULL, 0, true },
	{ "Delivered-To: <alice@example.org>\r\n\r\n", NULL, 0, true },
	{ "Delivered-To: \"alice\"@example.org\r\n\r\n", NULL, 0, true },
	{ "Delivered-To: bob@example.org\r\nDelivered-To: alice@example.org\r\n\r\n", NULL, 0, true },
	{ "Delivered-To: bob@example.org\r\n\r\nDelivered-To: alice@example.org\r\n", NULL, 0, false },
	{ "Delivered-To: alice@example.orgx\r\nDelivered-To: lice@example.org\r\n\r\n", NULL, 0, false },
	{ "Delivered-To: alice\r\nDelivered-To:\r\nDelivered-To: alice@example.org, b@d\r\n\r\n", NULL, 0, false },
	{ "X-Delivered-To: alice@example.org\r\nDelivered-Tox: alice@example.org\r\n\r\n", NULL, 0, false },
	{ "Return-Path: x\r\n Delivered-To: alice@example.org\r\n\r\n", "\r\n", 0, false },
	{ "Delivered-To: not an address\r\n\r\n", NULL, 0, false },
};

START_TEST(rows)
{
	static struct result r;
	struct span in = guarded_str(row[_i].in);
	struct span want = span_str(row[_i].want != NULL ? row[_i].want : row[_i].in);

	run_all_splits(in, &r);
	if (!span_eq(span_of(r.out, r.n), want))
		ck_abort_msg("kept: %.*s", (int)r.n, (const char *)r.out);
	ck_assert_uint_eq(r.received, row[_i].received);
	ck_assert_int_eq(r.delivered, row[_i].delivered);
}
END_TEST

/* A comment, or space, around CONTENT_HOLD_MAX octets before the id: never another's octets lost, never ours kept. */
START_TEST(held_no_longer_than_its_limit)
{
	static struct result r;
	static char text[CONTENT_HOLD_MAX + 200];

	for (size_t pad = CONTENT_HOLD_MAX - 60; pad < CONTENT_HOLD_MAX + 20; pad++) {
		for (int kind = 0; kind < 4; kind++) {
			const char *id = kind & 1 ? "mx.example.org" : "other.example";
			size_t n;
			bool kept;

			n = (size_t)snprintf(text, sizeof(text), AR "%c%*s%c%s; none\r\nTo: x\r\n\r\n",
			    kind & 2 ? '(' : ' ', (int)pad, "", kind & 2 ? ')' : ' ', id);
			run_all_splits(guarded(text, n), &r);
			kept = r.n == n && memcmp(r.out, text, n) == 0;
			if (!kept)
				ck_assert(span_eq(span_of(r.out, r.n), SPAN("To: x\r\n\r\n")));
			ck_assert(!(kept && (kind & 1)));
			/* what fits is told apart: 23 octets of name and colon, two around the pad, and the "o" that is not "m" comes after */
			ck_assert_int_eq(kept, !(kind & 1) && pad + 25 <= CONTENT_HOLD_MAX);
		}
	}
}
END_TEST

START_TEST(long_space_before_the_colon)
{
	static struct result r;
	static const char *const name[] = { "Return-Path", "Authentication-Results", "Received", "Delivered-To",
		"Subject" };
	static char text[3000];

	for (size_t i = 0; i < 5; i++) {
		size_t n =
		    (size_t)snprintf(text, sizeof(text), "%s%*s: other.example\r\n x\r\n\r\n", name[i], 2000, "");

		run(guarded(text, n), &n, 1, &r);
		ck_assert_uint_eq(r.n, i < 2 ? 2 : n);
		for (size_t step = 1; step < 40; step += 13) {
			static struct result s;
			size_t end[3001], pieces = 0;

			for (size_t at = 0; at < n; pieces++)
				end[pieces] = at = at + step < n ? at + step : n;
			run(guarded(text, n), end, pieces, &s);
			ck_assert(same(&r, &s));
		}
	}
}
END_TEST

START_TEST(counts_stop_at_their_limits)
{
	static char text[20000];
	static struct result r;
	size_t n = 0;

	for (int i = 0; i < 150; i++)
		n += (size_t)snprintf(
		    text + n, sizeof(text) - n, "Received: %d\r\nDelivered-To: b%d@example.org\r\n", i, i);
	run(guarded(text, n), &n, 1, &r);
	ck_assert_uint_eq(r.received, CONTENT_RECEIVED_MAX);
	ck_assert_uint_eq(r.n, n);
	ck_assert(!r.delivered);
}
END_TEST

START_TEST(a_huge_delivered_to_is_kept_and_not_noted)
{
	static char text[6000] = "Delivered-To: ";
	static struct result r;
	size_t n;

	memset(text + 14, ' ', 3000);
	n = 3014 + (size_t)snprintf(text + 3014, sizeof(text) - 3014, "alice@example.org\r\n\r\n");
	run(guarded(text, n), &n, 1, &r);
	ck_assert_uint_eq(r.n, n);
	ck_assert(!r.delivered);
}
END_TEST

/* The body is handed on from where it lies, in one piece. */
START_TEST(body_is_not_copied)
{
	struct arena arena;
	struct content *c;
	struct span out, in = guarded_str("Subject: x\r\n\r\n"),
			 body = guarded_str("Return-Path: x\r\n\r\nReceived: y\r\n");
	struct span piece = body;

	arena_init(&arena, 2048, 1 << 20);
	c = content_new(&arena, "mx.example.org");
	while (content_next(c, &in, &out))
		;
	ck_assert(content_next(c, &piece, &out));
	ck_assert_ptr_eq(out.p, body.p);
	ck_assert_uint_eq(out.n, body.n);
	ck_assert_uint_eq(piece.n, 0);
	ck_assert(!content_next(c, &piece, &out));
	ck_assert(!content_end(c, &out));
	arena_reset(&arena);
}
END_TEST

START_TEST(no_memory)
{
	struct arena arena;

	arena_init(&arena, 64, 256);
	ck_assert_ptr_null(content_new(&arena, "mx.example.org"));
	arena_reset(&arena);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("content");
	TCase *t = tcase_create("content");

	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, rows, 0, sizeof(row) / sizeof(row[0]));
	tcase_add_test(t, held_no_longer_than_its_limit);
	tcase_add_test(t, long_space_before_the_colon);
	tcase_add_test(t, counts_stop_at_their_limits);
	tcase_add_test(t, a_huge_delivered_to_is_kept_and_not_noted);
	tcase_add_test(t, body_is_not_copied);
	tcase_add_test(t, no_memory);
	suite_add_tcase(s, t);
	return suite_run(s);
}
