/*
 * smtp: the engine's contract towards the session: questions, shutdown,
 * memory that runs out, bounds, what is looked up.  Protocol is in
 * tests/dialog.
 */
#include "tests/unit/suite.h"

#include <signal.h>

#include "tests/dialog/stage.h"
#include "worker/smtp/engine.h"

static const struct smtp_conf usual = {
	.hostname = "mx.example.org", .size_max = 1000, .flood_max = 1000, .rcpt_max = 10, .errors_max = 20
};

static void
start(struct stage *st, const struct smtp_conf *cf)
{
	stage_init(st, cf);
	stage_feed(st, "", 0);
}

static void
feed(struct stage *st, const char *s)
{
	text_clear(&st->replies);
	text_add(&st->replies, "", 0);
	stage_feed(st, s, strlen(s));
	ck_assert_msg(st->why[0] == '\0', "%s", st->why);
}

static void
expect(const struct stage *st, const char *begins)
{
	ck_assert_msg(strncmp(st->replies.p, begins, strlen(begins)) == 0, "%s is not %s", st->replies.p, begins);
}

static enum smtp_ev
next(struct stage *st, const char *s, struct smtp_event *ev, size_t *left)
{
	struct span in = span_str(s);
	enum smtp_ev e = smtp_next(st->s, &in, &st->out, ev);

	if (left != NULL)
		*left = in.n;
	return e;
}

static struct smtp_sent
yes(struct stage *st)
{
	return smtp_answer(st->s, NULL, &st->out);
}

START_TEST(t_connect_is_first)
{
	struct smtp_event ev;
	struct smtp_sent sent;
	struct stage st;

	stage_init(&st, &usual);
	ck_assert(smtp_busy(st.s) == false);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(next(&st, "", &ev, NULL), SMTP_EV_CONNECT);
	ck_assert(smtp_busy(st.s));
	sent = yes(&st);
	ck_assert_uint_eq(sent.code, 220);
	ck_assert_uint_eq(sent.enh, 0);
	ck_assert_int_eq(next(&st, "", &ev, NULL), SMTP_EV_MORE);
	ck_assert(smtp_busy(st.s) == false);
	ck_assert_str_eq(smtp_with(st.s), "SMTP");
	ck_assert_uint_eq(smtp_helo(st.s).n, 0);
	stage_fini(&st);
}
END_TEST

START_TEST(t_early_talker)
{
	struct smtp_event ev;
	struct smtp_sent sent;
	struct stage st;
	size_t left;

	stage_init(&st, &usual);
	ck_assert_int_eq(next(&st, "", &ev, NULL), SMTP_EV_CONNECT);
	ck_assert_int_eq(next(&st, "QUIT\r\n", &ev, &left), SMTP_EV_CONNECT);
	ck_assert_uint_eq(left, 6);
	sent = yes(&st);
	ck_assert_uint_eq(sent.code, 554);
	ck_assert_str_eq(sent.reason, "early-talker");
	ck_assert_int_eq(next(&st, "QUIT\r\n", &ev, &left), SMTP_EV_CLOSE);
	ck_assert_int_eq(next(&st, "QUIT\r\n", &ev, &left), SMTP_EV_CLOSE);
	ck_assert_uint_eq(left, 6);
	stage_fini(&st);
}
END_TEST

/* A question's event is the same however often it is fetched, and nothing is consumed. */
START_TEST(t_question_repeats)
{
	struct smtp_event a, b;
	struct stage st;
	size_t left;

	start(&st, &usual);
	ck_assert_int_eq(next(&st, "EHLO name.example\r\nNOOP\r\n", &a, &left), SMTP_EV_HELO);
	ck_assert_uint_eq(left, 6);
	ck_assert_int_eq(next(&st, "NOOP\r\n", &b, &left), SMTP_EV_HELO);
	ck_assert_uint_eq(left, 6);
	ck_assert(span_eq(a.span, b.span) && span_eq(a.span, SPAN("name.example")));
	/* Who is asked sees the name; it is not accepted yet. */
	ck_assert(span_eq(smtp_helo(st.s), SPAN("name.example")));
	ck_assert_str_eq(smtp_with(st.s), "ESMTP");
	yes(&st);
	ck_assert(span_eq(smtp_helo(st.s), SPAN("name.example")));
	ck_assert_str_eq(smtp_with(st.s), "ESMTP");
	stage_fini(&st);
}
END_TEST

START_TEST(t_answer_without_question)
{
	struct stage st;

	start(&st, &usual);
	yes(&st);
}
END_TEST

/* The transaction lives through SMTP_EV_RESET and no longer; the reason there outlives the caller's reply. */
START_TEST(t_reset)
{
	struct smtp_event ev;
	struct stage st;
	struct reply r;

	start(&st, &usual);
	feed(&st, "EHLO a.example\r\n");
	ck_assert_int_eq(next(&st, "MAIL FROM:<a@b.example>\r\n", &ev, NULL), SMTP_EV_MAIL);
	reply_set(&r, 550, ENH(5, 7, 1), "policy", "no");
	smtp_answer(st.s, &r, &st.out);
	memset(&r, 'x', sizeof(r));
	ck_assert_ptr_nonnull(smtp_txn(st.s));
	ck_assert_int_eq(next(&st, "", &ev, NULL), SMTP_EV_RESET);
	ck_assert_uint_eq(ev.sent.code, 550);
	ck_assert_str_eq(ev.sent.reason, "policy");
	ck_assert_ptr_nonnull(smtp_txn(st.s));
	ck_assert(span_eq(smtp_txn(st.s)->from.local, SPAN("a")));
	ck_assert_int_eq(next(&st, "", &ev, NULL), SMTP_EV_MORE);
	ck_assert_ptr_null(smtp_txn(st.s));
	ck_assert_uint_eq(st.transaction.held, 0);
	stage_fini(&st);
}
END_TEST

/* Shutdown in every state: one reply, then SMTP_EV_CLOSE; an open question is withdrawn, the transaction stays. */
START_TEST(t_shutdown)
{
	static const struct {
		const char *feed, *last;
		enum smtp_ev at;
		bool open;
	} rows[] = {
		{ "", "", SMTP_EV_MORE, false },
		{ "", "EHLO a.example\r\n", SMTP_EV_HELO, false },
		{ "EHLO a.example\r\n", "MAIL FROM:<>\r\n", SMTP_EV_MAIL, true },
		{ "EHLO a.example\r\nMAIL FROM:<>\r\n", "", SMTP_EV_MORE, true },
		{ "EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\n", "DATA\r\n", SMTP_EV_DATA, true },
		{ "EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n", "text\r\n", SMTP_EV_BODY, true },
		{ "EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n", ".\r\n", SMTP_EV_EOM, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct smtp_event ev;
		struct smtp_sent sent;
		struct stage st;
		struct reply r;
		size_t before;

		start(&st, &usual);
		feed(&st, rows[i].feed);
		ck_assert_int_eq(next(&st, rows[i].last, &ev, NULL), rows[i].at);
		reply_set(&r, 421, ENH(4, 3, 2), "shutdown", "going down");
		before = buf_len(&st.out);
		sent = smtp_shutdown(st.s, &r, &st.out);
		stage_sent(&st, before, &sent);
		ck_assert_str_eq(st.why, "");
		ck_assert_uint_eq(sent.code, 421);
		ck_assert_int_eq(smtp_txn(st.s) != NULL, rows[i].open);
		ck_assert_int_eq(next(&st, "NOOP\r\n", &ev, NULL), SMTP_EV_CLOSE);
		ck_assert_int_eq(smtp_txn(st.s) != NULL, rows[i].open);
		sent = smtp_shutdown(st.s, &r, &st.out);
		ck_assert_uint_eq(sent.code, 0);
		ck_assert(!smtp_busy(st.s));
		stage_fini(&st);
	}
}
END_TEST

/* A reset that is due is said before the close, and nothing more is said before a handshake. */
START_TEST(t_shutdown_late)
{
	struct smtp_conf cf = usual;
	struct smtp_event ev;
	struct stage st;
	struct reply r;

	cf.ext = SMTP_EXT_STARTTLS;
	reply_set(&r, 421, ENH(4, 3, 2), "shutdown", "going down");
	start(&st, &cf);
	feed(&st, "EHLO a.example\r\nMAIL FROM:<>\r\n");
	ck_assert_int_eq(next(&st, "STARTTLS\r\n", &ev, NULL), SMTP_EV_STARTTLS);
	ck_assert_uint_eq(yes(&st).code, 220);
	ck_assert_uint_eq(smtp_shutdown(st.s, &r, &st.out).code, 0);
	ck_assert_int_eq(next(&st, "", &ev, NULL), SMTP_EV_RESET);
	ck_assert_int_eq(next(&st, "", &ev, NULL), SMTP_EV_CLOSE);
	stage_fini(&st);
}
END_TEST

START_TEST(t_tls)
{
	struct smtp_conf cf = usual;
	struct smtp_event ev;
	struct stage st;
	size_t left;

	cf.ext = SMTP_EXT_STARTTLS;
	start(&st, &cf);
	feed(&st, "EHLO a.example\r\n");
	ck_assert_int_eq(next(&st, "STARTTLS\r\nNOOP\r\n", &ev, &left), SMTP_EV_STARTTLS);
	yes(&st);
	ck_assert_int_eq(next(&st, "NOOP\r\n", &ev, &left), SMTP_EV_MORE);
	ck_assert_uint_eq(left, 6);
	ck_assert_int_eq(smtp_tls_started(st.s, SPAN("NOOP\r\n")), -1);
	ck_assert_int_eq(next(&st, "NOOP\r\n", &ev, &left), SMTP_EV_CLOSE);
	stage_fini(&st);

	start(&st, &cf);
	feed(&st, "EHLO a.example\r\n");
	ck_assert_int_eq(next(&st, "STARTTLS\r\n", &ev, NULL), SMTP_EV_STARTTLS);
	yes(&st);
	ck_assert_int_eq(smtp_tls_started(st.s, (struct span){ NULL, 0 }), 0);
	ck_assert_uint_eq(smtp_helo(st.s).n, 0);
	ck_assert_str_eq(smtp_with(st.s), "SMTP");
	feed(&st, "EHLO a.example\r\n");
	ck_assert_str_eq(smtp_with(st.s), "ESMTPS");
	stage_fini(&st);
}
END_TEST

/* Whatever names come, the session's arena stays where the longest two put it. */
START_TEST(t_names_are_bounded)
{
	struct stage st;
	size_t held = 0;

	start(&st, &usual);
	for (int round = 0; round < 3000; round++) {
		char s[300];
		int n = 1 + round * 37 % 250;

		snprintf(s, sizeof(s), "EHLO %0*d\r\n", n, 0);
		feed(&st, s);
		expect(&st, "250-");
		if (round == 500)
			held = st.session.held;
		if (round > 500 && st.session.held != held)
			ck_abort_msg("the arena grows: %zu, %u", held, st.session.held);
	}
	stage_fini(&st);
}
END_TEST

/* A million chunks of an octet cost no memory (Postfix 20260805). */
START_TEST(t_tiny_chunks)
{
	struct smtp_conf cf = usual;
	struct stage st;
	size_t held;

	cf.ext = SMTP_EXT_CHUNKING;
	cf.size_max = 2000000;
	start(&st, &cf);
	st.lean = true;
	feed(&st, "EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nBDAT 1\r\nx");
	held = st.transaction.held + st.session.held;
	for (int i = 0; i < 100000; i++)
		stage_feed(&st,
		    "BDAT 1\r\nxBDAT 1\r\nxBDAT 1\r\nxBDAT 1\r\nxBDAT 1\r\nx"
		    "BDAT 1\r\nxBDAT 1\r\nxBDAT 1\r\nxBDAT 1\r\nxBDAT 1\r\nx",
		    90);
	ck_assert_str_eq(st.why, "");
	ck_assert_uint_eq(st.transaction.held + st.session.held, held);
	ck_assert_uint_eq(smtp_txn(st.s)->size, 1000001);
	stage_fini(&st);
}
END_TEST

/* What is no yes in a reply that accepts is not said: the engine's own words are. */
START_TEST(t_odd_answers)
{
	static const uint16_t codes[] = { 0, 100, 334, 354 };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct reply r = { .code = codes[i], .n = 3, .text = "odd", .reason = "odd" };
		struct smtp_event ev;
		struct stage st;

		start(&st, &usual);
		feed(&st, "EHLO a.example\r\n");
		ck_assert_int_eq(next(&st, "MAIL FROM:<>\r\n", &ev, NULL), SMTP_EV_MAIL);
		ck_assert_uint_eq(smtp_answer(st.s, &r, &st.out).code, 250);
		ck_assert_int_eq(next(&st, "RCPT TO:<a@b.example>\r\n", &ev, NULL), SMTP_EV_RCPT);
		ck_assert_uint_eq(smtp_answer(st.s, &r, &st.out).code, 250);
		feed(&st, "DATA\r\n");
		expect(&st, "250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 ");
		ck_assert_int_eq(next(&st, ".\r\n", &ev, NULL), SMTP_EV_EOM);
		ck_assert_str_eq(smtp_answer(st.s, &r, &st.out).reason, "queued");
		text_clear(&st.replies);
		stage_drain(&st);
		expect(&st, "250 2.0.0 queued as ");
		stage_fini(&st);
	}
}
END_TEST

/* A refusal that there is no room for is not reported as said, whatever was asked. */
START_TEST(t_no_room_for_a_refusal)
{
	struct smtp_event ev;
	struct stage st;
	struct reply r;

	reply_set(&r, 550, ENH(5, 7, 1), "policy", "no");
	for (int eom = 0; eom < 3; eom++) {
		struct smtp_sent sent;

		start(&st, &usual);
		if (eom > 0)
			feed(&st, "EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
		ck_assert_int_eq(next(&st, eom > 0 ? ".\r\n" : "EHLO a.example\r\n", &ev, NULL),
		    eom > 0 ? SMTP_EV_EOM : SMTP_EV_HELO);
		buf_drop(&st.out, buf_len(&st.out));
		st.out.max = 5;
		sent = smtp_answer(st.s, eom == 2 ? NULL : &r, &st.out);
		ck_assert_uint_eq(sent.code, 0);
		ck_assert_str_eq(sent.reason, "");
		ck_assert_uint_eq(buf_len(&st.out), 0);
		if (eom > 0)
			ck_assert_int_eq(next(&st, "", &ev, NULL), SMTP_EV_RESET);
		ck_assert_int_eq(next(&st, "", &ev, NULL), SMTP_EV_CLOSE);
		stage_fini(&st);
	}
}
END_TEST

/* A handshake that nobody waits for, and a going down without words: it ends, and nothing is said. */
START_TEST(t_ends_without_words)
{
	struct smtp_event ev;
	struct stage st;
	struct reply none = { .code = 0 };

	start(&st, &usual);
	ck_assert_int_eq(smtp_tls_started(st.s, (struct span){ NULL, 0 }), -1);
	ck_assert_int_eq(next(&st, "NOOP\r\n", &ev, NULL), SMTP_EV_CLOSE);
	stage_fini(&st);
	for (int i = 0; i < 2; i++) {
		start(&st, &usual);
		buf_drop(&st.out, buf_len(&st.out));
		ck_assert_uint_eq(smtp_shutdown(st.s, i > 0 ? &none : NULL, &st.out).code, 0);
		ck_assert_uint_eq(buf_len(&st.out), 0);
		ck_assert_int_eq(next(&st, "NOOP\r\n", &ev, NULL), SMTP_EV_CLOSE);
		stage_fini(&st);
	}
}
END_TEST

/* Errors are counted for who wants to know, and forgotten with a message. */
START_TEST(t_errors_are_told)
{
	struct stage st;

	start(&st, &usual);
	ck_assert_uint_eq(smtp_errors(st.s), 0);
	feed(&st, "NONSENSE\r\nNONSENSE\r\nEHLO a.example\r\n");
	ck_assert_uint_eq(smtp_errors(st.s), 2);
	feed(&st, "MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n.\r\n");
	ck_assert_uint_eq(smtp_errors(st.s), 0);
	stage_fini(&st);
}
END_TEST

/* Behind AUTH stands a password, for whatever reason the line is refused. */
START_TEST(t_refused_it_is_a_secret_too)
{
	static const char *const lines[] = { "AUTH PLAIN AGpvZQBwdw==\xb6\r\n", "auth plain AGpvZQBwdw==\x01\r\n",
		"AUTH PLAIN AGpvZQBwdw==\r\n" };

	for (size_t i = 0; i < 2 * sizeof(lines) / sizeof(lines[0]); i++) {
		struct smtp_conf cf = usual;
		struct smtp_event ev;
		struct stage st;

		cf.ext = SMTP_EXT_AUTH | SMTP_EXT_STARTTLS;
		cf.tls_required = i % 2 != 0;
		stage_init(&st, &cf);
		stage_feed(&st, "", 0);
		feed(&st, "EHLO a.example\r\n");
		ck_assert_int_eq(next(&st, lines[i / 2], &ev, NULL), SMTP_EV_REPLY);
		ck_assert_uint_ge(ev.sent.code, 500);
		ck_assert_msg(smtp_secret(st.s), "%zu", i);
		ck_assert_int_eq(next(&st, "NOOP\r\n", &ev, NULL), SMTP_EV_REPLY);
		ck_assert(!smtp_secret(st.s));
		stage_fini(&st);
	}
}
END_TEST

/* What the one who is asked may look up of an exchange, and no longer than he is asked. */
START_TEST(t_who_it_is)
{
	struct smtp_conf cf = usual;
	struct smtp_event ev;
	struct stage st;
	struct reply r;

	cf.ext = SMTP_EXT_AUTH | SMTP_EXT_STARTTLS;
	stage_init(&st, &cf);
	ck_assert_int_eq(smtp_tls_started(st.s, (struct span){ NULL, 0 }), 0);
	stage_feed(&st, "", 0);
	feed(&st, "EHLO a.example\r\n");
	ck_assert_ptr_null(smtp_auth_method(st.s));
	ck_assert(!smtp_secret(st.s));
	ck_assert_int_eq(next(&st, "AUTH PLAIN AGpvZQBwdw==\r\n", &ev, NULL), SMTP_EV_AUTH);
	ck_assert_ptr_nonnull(smtp_sasl(st.s));
	ck_assert(smtp_secret(st.s));
	reply_set(&r, 235, ENH(2, 7, 0), "auth", "it is you");
	ck_assert_uint_eq(smtp_answer(st.s, &r, &st.out).code, 235);
	ck_assert_ptr_null(smtp_sasl(st.s));
	ck_assert_str_eq(smtp_auth_method(st.s), "PLAIN");
	ck_assert_int_eq(next(&st, "", &ev, NULL), SMTP_EV_MORE);
	ck_assert(!smtp_secret(st.s));
	stage_fini(&st);
	/* Neither yes nor no is no. */
	for (int i = 0; i < 2; i++) {
		stage_init(&st, &cf);
		ck_assert_int_eq(smtp_tls_started(st.s, (struct span){ NULL, 0 }), 0);
		stage_feed(&st, "", 0);
		feed(&st, "EHLO a.example\r\n");
		if (i > 0)
			st.transaction.limit = st.transaction.held;
		if (next(&st, "AUTH PLAIN AGpvZQBwdw==\r\n", &ev, NULL) == SMTP_EV_AUTH) {
			ck_assert_int_eq(i, 0);
			reply_set(&r, 354, 0, "odd", "odd");
			ev.sent = smtp_answer(st.s, &r, &st.out);
		}
		ck_assert_uint_eq(ev.sent.code, 454);
		ck_assert_ptr_null(smtp_auth_method(st.s));
		stage_fini(&st);
	}
}
END_TEST

/* A count of octets that is past all numbers is a flood, and a limit that is none is no limit. */
START_TEST(t_flood_at_the_end_of_numbers)
{
	struct smtp_conf cf = usual;
	struct stage st;

	cf.size_max = UINT64_MAX - 10;
	start(&st, &cf);
	ck_assert(!smtp_floods(st.s, UINT64_MAX));
	stage_fini(&st);
	cf.size_max = 0;
	start(&st, &cf);
	ck_assert(!smtp_floods(st.s, UINT64_MAX));
	stage_fini(&st);
	start(&st, &usual);
	ck_assert(!smtp_floods(st.s, 2000));
	ck_assert(smtp_floods(st.s, 2001));
	stage_fini(&st);
}
END_TEST

/* Memory that runs out at any point is 451 or 452, or the end of the session; never a crash, never a lost RESET. */
START_TEST(t_no_memory)
{
	static const char script[] = "EHLO a.example\r\nMAIL FROM:<a@b.example> ENVID=x\r\n"
				     "RCPT TO:<a@b.example> ORCPT=rfc822;x\r\nBDAT 3\r\nabc"
				     "BDAT 0 LAST\r\nQUIT\r\n";

	for (size_t limit = 0; limit < 3000; limit += 8) {
		struct smtp_conf cf = usual;
		struct stage st;

		cf.ext = SMTP_EXT_CHUNKING | SMTP_EXT_DSN;
		start(&st, &cf);
		st.transaction.first = 64;
		st.transaction.limit = (uint32_t)limit;
		feed(&st, script);
		ck_assert(st.closed);
		ck_assert_ptr_nonnull(strstr(st.replies.p, "\r\n221 "));
		if (limit < 100)
			ck_assert_ptr_nonnull(strstr(st.replies.p, "\r\n451 4.3.0 "));
		if (limit == 2992)
			ck_assert_ptr_null(strstr(st.replies.p, "\r\n451 4.3.0 "));
		stage_fini(&st);
	}
}
END_TEST

static void
no(struct stage *st, enum smtp_ev q, const struct smtp_event *ev, struct reply *r)
{
	(void)ev;
	if (q == SMTP_EV_DATA)
		reply_set(r, 550, ENH(5, 7, 1), "policy", "not this one");
	if (q == SMTP_EV_DATA && st->arg != NULL)
		st->transaction.limit = st->transaction.held;
}

/* A refusal of BDAT is kept until the chunk is read; when there is no memory to keep it, 451 takes its place. */
START_TEST(t_no_memory_for_a_refusal)
{
	for (int full = 0; full < 2; full++) {
		struct smtp_conf cf = usual;
		struct stage st;

		cf.ext = SMTP_EXT_CHUNKING;
		start(&st, &cf);
		st.transaction.first = 64;
		st.answer = no;
		st.arg = full ? &st : NULL;
		feed(&st, "EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\n");
		feed(&st, "BDAT 6 LAST\r\nQUIT\r\n");
		expect(&st, full ? "451 4.3.0 " : "550 5.7.1 not this one ");
		ck_assert_ptr_null(smtp_txn(st.s));
		feed(&st, "NOOP\r\n");
		expect(&st, "250 2.0.0 ");
		stage_fini(&st);
	}
}
END_TEST

START_TEST(t_no_memory_for_names)
{
	struct stage st;

	start(&st, &usual);
	st.session.limit = st.session.held;
	feed(&st,
	    "EHLO "
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r"
	    "\n");
	expect(&st, "451 4.3.0 ");
	feed(&st, "QUIT\r\n");
	expect(&st, "221 ");
	stage_fini(&st);
}
END_TEST

/* No room for a reply: nothing is reported as sent, the transaction is reset, the session closes. */
START_TEST(t_no_room_for_replies)
{
	static const struct {
		const char *line;
		enum smtp_ev question;
	} rows[] = { { "NOOP\r\n", SMTP_EV_MORE }, { "RSET\r\n", SMTP_EV_MORE },
		{ "RCPT TO:<a@b.example>\r\n", SMTP_EV_RCPT }, { "EHLO a.example\r\n", SMTP_EV_HELO },
		{ "QUIT\r\n", SMTP_EV_MORE } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct smtp_event ev;
		struct stage st;
		enum smtp_ev e;

		start(&st, &usual);
		feed(&st, "EHLO a.example\r\nMAIL FROM:<>\r\n");
		st.out.max = 5;
		e = next(&st, rows[i].line, &ev, NULL);
		if (rows[i].question != SMTP_EV_MORE) {
			ck_assert_int_eq(e, rows[i].question);
			ck_assert_uint_eq(yes(&st).code, 0);
			e = next(&st, "", &ev, NULL);
		}
		ck_assert_int_eq(e, SMTP_EV_RESET);
		ck_assert_uint_eq(ev.sent.code, 0);
		ck_assert_ptr_nonnull(ev.sent.reason);
		ck_assert_int_eq(next(&st, "", &ev, NULL), SMTP_EV_CLOSE);
		ck_assert_ptr_null(smtp_txn(st.s));
		ck_assert_uint_eq(buf_len(&st.out), 0);
		stage_fini(&st);
	}
}
END_TEST

/* 64 KiB without stuffed dots is one event, without a copy. */
START_TEST(t_body_is_one_span)
{
	static char text[65536];
	struct smtp_conf cf = usual;
	struct smtp_event ev;
	struct stage st;
	struct span in;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : 'x';
	cf.size_max = 1 << 20;
	start(&st, &cf);
	feed(&st, "EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	ck_assert_int_eq(smtp_phase(st.s), SMTP_PHASE_DATA);
	in = span_of(text, sizeof(text));
	ck_assert_int_eq(smtp_next(st.s, &in, &st.out, &ev), SMTP_EV_BODY);
	ck_assert_uint_eq(ev.span.n, sizeof(text));
	ck_assert_ptr_eq(ev.span.p, text);
	ck_assert_int_eq(smtp_next(st.s, &in, &st.out, &ev), SMTP_EV_MORE);
	stage_fini(&st);
}
END_TEST

/* Exactly size_max octets reach the store of a message that is too big, however it is cut. */
START_TEST(t_oversize_is_cut)
{
	for (size_t piece = 1; piece < 1500; piece += 97) {
		char text[1500];
		struct stage st;

		memset(text, 'x', sizeof(text));
		start(&st, &usual);
		feed(&st, "EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
		for (size_t i = 0; i < sizeof(text); i += piece)
			stage_feed(&st, text + i, piece < sizeof(text) - i ? piece : sizeof(text) - i);
		ck_assert_str_eq(st.why, "");
		ck_assert_uint_eq(st.content.n, 1000);
		ck_assert_uint_eq(smtp_txn(st.s)->size, 1500);
		ck_assert(smtp_txn(st.s)->size_exceeded);
		feed(&st, "\r\n.\r\n");
		expect(&st, "552 5.3.4 ");
		stage_fini(&st);
	}
}
END_TEST

/* The longest hostname and the largest numbers: no reply is torn. */
START_TEST(t_longest_list)
{
	static char host[256];
	struct smtp_conf cf = { .hostname = host, .size_max = UINT64_MAX, .rcpt_max = UINT32_MAX, .ext = ~0U };
	struct stage st;

	memset(host, 'h', 255);
	start(&st, &cf);
	ck_assert_str_eq(st.why, "");
	feed(&st, "EHLO a.example\r\nHELP\r\nMAIL FROM:<> SIZE=18446744073709551615\r\n");
	expect(&st, "250-hhh");
	ck_assert_ptr_nonnull(strstr(st.replies.p, "250 ENHANCEDSTATUSCODES\r\n214 2.0.0 "));
	ck_assert_ptr_nonnull(strstr(st.replies.p, "250-SIZE 18446744073709551615\r\n"));
	stage_fini(&st);
}
END_TEST

/* Nothing from the wire comes back in a reply. */
/* What a tap is told of each line, and that the line is carried out behind it as ever. */
static const struct {
	const char *line, *shown;
	bool hidden;
} shown_lines[] = {
	{ "EHLO client.example", "EHLO client.example", false },
	{ "noop x", "noop x", false },
	{ "AUTH PLAIN AGJvYgBzZWNyZXQ=", "AUTH PLAIN", true },
	{ "AUTH  login c2VjcmV0", "AUTH  login", true },
	{ "AUTH PLAIN", "AUTH PLAIN", false },
	{ "AUTH", "AUTH", false },
	{ "AUTH c2VjcmV0", "AUTH", true },
	{ "auth c2VjcmV0 PLAIN", "auth", true },
	{ "AUTH\tPLAIN c2VjcmV0", "", true },
	{ " AUTH PLAIN c2VjcmV0", "", true },
	{ "AUTHPLAIN c2VjcmV0", "", true },
	{ "c2VjcmV0", "", true },
	{ "", "", false },
	{ "XCLIENT ADDR=192.0.2.1 LOGIN=secret NAME=x", "XCLIENT ADDR=192.0.2.1 ", true },
	{ "xclient login=secret", "xclient ", true },
	{ "XCLIENT NAME=x", "XCLIENT NAME=x", false },
	{ "GET /secret HTTP/1.0", "GET", true },
};

static void
expect_line(struct stage *st, const char *line, const char *shown, bool hidden)
{
	char text[256];
	struct smtp_event ev;
	size_t left;
	int n = snprintf(text, sizeof(text), "%s\r\n", line);

	ck_assert_int_eq(next(st, text, &ev, &left), SMTP_EV_LINE);
	ck_assert_uint_eq(left, (size_t)n);
	ck_assert_msg(span_eq(ev.span, span_str(shown)), "of '%s' is shown '%.*s'", line, (int)ev.span.n,
	    (const char *)ev.span.p);
	ck_assert_msg(ev.hidden == hidden, "of '%s' hidden is not %d", line, hidden);
	ck_assert_int_ne(next(st, text, &ev, &left), SMTP_EV_LINE);
	ck_assert_uint_eq(left, 0);
}

START_TEST(t_lines_are_shown)
{
	for (size_t i = 0; i < sizeof(shown_lines) / sizeof(shown_lines[0]); i++) {
		struct stage st;

		start(&st, &usual);
		smtp_allow_xclient(st.s);
		smtp_show_lines(st.s, true);
		expect_line(&st, shown_lines[i].line, shown_lines[i].shown, shown_lines[i].hidden);
		stage_fini(&st);
	}
}
END_TEST

START_TEST(t_an_exchange_is_not_shown)
{
	struct smtp_conf cf = usual;
	struct smtp_event ev;
	struct stage st;

	cf.ext |= SMTP_EXT_AUTH;
	stage_init(&st, &cf);
	ck_assert_int_eq(smtp_tls_started(st.s, SPAN("")), 0);
	stage_feed(&st, "", 0);
	stage_feed(&st, "EHLO x\r\n", 8);
	smtp_show_lines(st.s, true);
	expect_line(&st, "AUTH LOGIN", "AUTH LOGIN", false);
	expect_line(&st, "QUIT", "", true);
	smtp_show_lines(st.s, false);
	ck_assert_int_ne(next(&st, "NOOP\r\n", &ev, NULL), SMTP_EV_LINE);
	stage_fini(&st);
}
END_TEST

START_TEST(t_no_echo)
{
	static const char *const lines[] = { "EHLO zzqq.example\r\n", "EHLO zzqq zzqq\r\n", "zzqq\r\n",
		"MAIL FROM:<zzqq@zzqq.example> ZZQQ=zzqq\r\n", "MAIL FROM:<zzqq@zzqq.example>\r\n",
		"RCPT TO:<zzqq@zzqq.example>\r\n", "RCPT TO:<zzqq\r\n", "VRFY zzqq\r\n", "EXPN zzqq\r\n",
		"HELP zzqq\r\n", "NOOP zzqq\r\n" };
	struct stage st;

	start(&st, &usual);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		feed(&st, lines[i]);
		ck_assert_msg(st.replies.n > 0 && strcasestr(st.replies.p, "zzqq") == NULL, "%s", st.replies.p);
	}
	stage_fini(&st);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("smtp");
	TCase *tc = tcase_create("smtp");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, t_connect_is_first);
	tcase_add_test(tc, t_early_talker);
	tcase_add_test(tc, t_question_repeats);
	tcase_add_test_raise_signal(tc, t_answer_without_question, SIGABRT);
	tcase_add_test(tc, t_reset);
	tcase_add_test(tc, t_shutdown);
	tcase_add_test(tc, t_shutdown_late);
	tcase_add_test(tc, t_tls);
	tcase_add_test(tc, t_names_are_bounded);
	tcase_add_test(tc, t_tiny_chunks);
	tcase_add_test(tc, t_odd_answers);
	tcase_add_test(tc, t_no_room_for_a_refusal);
	tcase_add_test(tc, t_ends_without_words);
	tcase_add_test(tc, t_errors_are_told);
	tcase_add_test(tc, t_refused_it_is_a_secret_too);
	tcase_add_test(tc, t_who_it_is);
	tcase_add_test(tc, t_flood_at_the_end_of_numbers);
	tcase_add_test(tc, t_no_memory);
	tcase_add_test(tc, t_no_memory_for_a_refusal);
	tcase_add_test(tc, t_no_memory_for_names);
	tcase_add_test(tc, t_no_room_for_replies);
	tcase_add_test(tc, t_body_is_one_span);
	tcase_add_test(tc, t_oversize_is_cut);
	tcase_add_test(tc, t_longest_list);
	tcase_add_test(tc, t_no_echo);
	tcase_add_test(tc, t_lines_are_shown);
	tcase_add_test(tc, t_an_exchange_is_not_shown);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
