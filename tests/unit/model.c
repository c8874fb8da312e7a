/*
 * model: the engine against a model of itself that fits on a few screens.
 * Random commands, contents and answers, cut at random; after each command the
 * questions that were asked, the replies that were sent and the content that
 * was passed on must be those of the model.  MODEL_STEPS and MODEL_SEED change
 * how long and which way.
 */
#include "tests/unit/suite.h"

#include "tests/dialog/stage.h"

enum { SIZE_MAX_ = 400, RCPT_MAX_ = 3, ERRORS_MAX_ = 7, LOG_MAX = 64 };

struct model {
	bool lmtp, chunking;
	/* what a session is */
	bool named, esmtp, open, binary, chunked;
	unsigned nrcpt, nrefused, errors;
	size_t size;
	bool over, bare;
	/* what was observed of the last command */
	struct {
		enum smtp_ev q;
		unsigned code;
	} asked[LOG_MAX];
	size_t nasked, at_asked;
	unsigned said[LOG_MAX];
	size_t nsaid, at_said;
	struct stage st;
	struct text sent; /* the last command, for a failure's report */
	bool closed;
};

static uint64_t rng;

static unsigned
rnd(unsigned n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned)(rng >> 33) % n;
}

static void
differ(const struct model *m, const char *what, unsigned want, unsigned got)
{
	fprintf(stderr, "command: %.300s\n", m->sent.p);
	ck_abort_msg("%s: model %u, engine %u; %s", what, want, got, m->st.why);
}

/* A question of the engine's is answered by chance and noted. */
static void
answer(struct stage *st, enum smtp_ev q, const struct smtp_event *ev, struct reply *r)
{
	struct model *m = st->arg;

	(void)ev;
	if (q != SMTP_EV_CONNECT && rnd(5) == 0)
		reply_set(r, rnd(2) ? 450 : 550, rnd(2) ? ENH(4, 3, 0) : ENH(5, 1, 1), "chance", "by chance");
	if (m->nasked == LOG_MAX)
		differ(m, "questions without end", 0, LOG_MAX);
	m->asked[m->nasked].q = q;
	m->asked[m->nasked++].code = r->code;
}

static void
observe(struct model *m)
{
	const char *p = m->st.replies.p, *end = p + m->st.replies.n;

	m->nsaid = m->at_said = 0;
	for (; p < end; p = strchr(p, '\n') + 1)
		if (p[3] == ' ' && m->nsaid < LOG_MAX)
			m->said[m->nsaid++] = (unsigned)strtoul(p, NULL, 10);
	m->at_asked = 0;
}

static void
reply(struct model *m, unsigned code)
{
	unsigned got = m->at_said < m->nsaid ? m->said[m->at_said++] : 0;

	if (got != code)
		differ(m, "reply", code, got);
	m->errors += code >= 500;
}

/* The engine must have asked ${q}: whether the answer was yes, otherwise its code in *code. */
static bool
question(struct model *m, enum smtp_ev q, unsigned *code)
{
	if (m->at_asked == m->nasked || m->asked[m->at_asked].q != q)
		differ(m, stage_names[q], q, m->at_asked < m->nasked ? m->asked[m->at_asked].q : 0);
	*code = m->asked[m->at_asked++].code;
	return *code == 0;
}

static void
done(struct model *m)
{
	if (m->st.why[0] != '\0')
		differ(m, "contract", 0, 0);
	if (m->at_said != m->nsaid)
		differ(m, "a reply too many", 0, m->said[m->at_said]);
	if (m->at_asked != m->nasked)
		differ(m, "a question too many", 0, m->asked[m->at_asked].q);
	if ((smtp_txn(m->st.s) != NULL) != m->open)
		differ(m, "transaction", m->open, smtp_txn(m->st.s) != NULL);
	if (m->open && (smtp_txn(m->st.s)->nrcpt != m->nrcpt || smtp_txn(m->st.s)->nrefused != m->nrefused))
		differ(m, "recipients", m->nrcpt, smtp_txn(m->st.s)->nrcpt);
	if (m->st.closed != m->closed)
		differ(m, "closed", m->closed, m->st.closed);
	text_clear(&m->st.replies);
	text_clear(&m->st.trace);
	text_clear(&m->st.bodies);
	m->nasked = 0;
}

/* Cut by chance and fed. */
static void
send_octets(struct model *m, const char *p, size_t n)
{
	text_clear(&m->sent);
	text_add(&m->sent, p, n);
	while (n > 0) {
		size_t k = rnd(3) == 0 ? n : 1 + rnd((unsigned)n);

		stage_feed(&m->st, p, k);
		p += k;
		n -= k;
	}
	observe(m);
}

static void
end_transaction(struct model *m)
{
	m->open = m->chunked = m->over = m->bare = false;
	m->size = 0;
}

/* 421 to anything but QUIT after too many errors: true when it came. */
static bool
worn_out(struct model *m)
{
	if (m->errors < ERRORS_MAX_)
		return false;
	reply(m, 421);
	end_transaction(m);
	m->closed = true;
	return true;
}

static void
command(struct model *m, const char *line)
{
	char s[256];

	send_octets(m, s, (size_t)snprintf(s, sizeof(s), "%s\r\n", line));
}

/* A line that is no command here: ${code}, or what somebody says in its place; an error either way. */
static void
unknown(struct model *m, unsigned code)
{
	unsigned other;

	if (question(m, SMTP_EV_UNKNOWN, &other))
		other = code;
	reply(m, other);
	m->errors += other < 500;
}

static void
do_hello(struct model *m)
{
	static const struct {
		const char *line;
		bool esmtp, ok;
	} rows[] = { { "EHLO a.example", true, true }, { "ehlo [192.0.2.1]", true, true }, { "EHLO", true, false },
		{ "EHLO a b", true, false }, { "HELO a.example", false, true }, { "HELO", false, false } };
	size_t i = rnd(6);
	unsigned code;

	if (m->lmtp && rows[i].esmtp && rnd(4) != 0) {
		char s[64];

		snprintf(s, sizeof(s), "L%s", rows[i].line + 1);
		command(m, s);
	} else {
		command(m, rows[i].line);
		if (m->lmtp && !worn_out(m)) {
			unknown(m, 500);
			return;
		}
	}
	if (m->closed || worn_out(m))
		return;
	if (!rows[i].ok) {
		reply(m, 501);
	} else if (!question(m, SMTP_EV_HELO, &code)) {
		reply(m, code);
	} else {
		reply(m, 250);
		m->named = true;
		m->esmtp = rows[i].esmtp;
		end_transaction(m);
	}
}

static void
do_mail(struct model *m)
{
	/* ${late}: refused only once the command may come at all. */
	static const struct {
		const char *line;
		unsigned early, late;
		bool param, binary;
	} rows[] = { { "MAIL FROM:<a@b.example>", 0, 0, false, false }, { "mail from: <>", 0, 0, false, false },
		{ "MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME", 0, 0, true, false },
		{ "MAIL FROM:<a@b.example> SIZE=401", 0, 552, true, false },
		{ "MAIL FROM:<a@b.example> BODY", 0, 501, true, false },
		{ "MAIL FROM:<a@b.example> FOO", 0, 555, true, false },
		{ "MAIL FROM:<a b@c.example>", 0, 501, false, false },
		{ "MAIL FROM:a@b.example", 501, 0, false, false }, { "MAIL", 501, 0, false, false },
		{ "MAIL FROM:<\xc3\xa4@b.example>", 0, 553, false, false },
		{ "MAIL FROM:<a@b.example> BODY=BINARYMIME", 0, 0, true, true },
		{ "MAIL FROM:<a@b.example>", 0, 0, false, false }, { "MAIL FROM:<c@d.example>", 0, 0, false, false } };
	size_t i = rnd(13);
	unsigned code, late = rows[i].late;

	command(m, rows[i].line);
	if (worn_out(m))
		return;
	if (rows[i].binary && !m->chunking)
		late = 501;
	if (rows[i].param && !m->esmtp)
		late = 555;
	if (rows[i].early != 0) {
		reply(m, rows[i].early);
	} else if (!m->named || m->open) {
		reply(m, 503);
	} else if (late != 0) {
		reply(m, late);
	} else if (!question(m, SMTP_EV_MAIL, &code)) {
		reply(m, code);
	} else {
		reply(m, 250);
		m->open = true;
		m->binary = rows[i].binary;
		m->nrcpt = m->nrefused = 0;
	}
}

static void
do_rcpt(struct model *m)
{
	static const struct {
		const char *line;
		unsigned early, late;
	} rows[] = { { "RCPT TO:<a@b.example>", 0, 0 }, { "rcpt to:<Postmaster>", 0, 0 },
		{ "RCPT TO:<x@y.example>", 0, 0 }, { "RCPT TO:<>", 0, 501 }, { "RCPT TO:a@b.example", 501, 0 },
		{ "RCPT TO:<a@b.example> NOTIFY=NEVER", 0, 555 } };
	size_t i = rnd(6);
	unsigned code;

	command(m, rows[i].line);
	if (worn_out(m))
		return;
	if (rows[i].early != 0) {
		reply(m, rows[i].early);
	} else if (!m->open || m->chunked) {
		reply(m, 503);
	} else if (m->nrcpt == RCPT_MAX_) {
		reply(m, 452);
	} else if (rows[i].late != 0) {
		reply(m, rows[i].late);
		m->nrefused++;
	} else if (!question(m, SMTP_EV_RCPT, &code)) {
		reply(m, code);
		m->nrefused++;
	} else {
		reply(m, 250);
		m->nrcpt++;
	}
}

/* The message is complete: the engine's own verdict, or one question for all or for each. */
static void
end_of_message(struct model *m)
{
	unsigned n = m->lmtp ? m->nrcpt : 1, code;
	unsigned own = m->over ? 552 : m->bare ? 550 : 0;

	while (n-- > 0) {
		if (own != 0) {
			reply(m, own);
		} else if (!question(m, SMTP_EV_EOM, &code)) {
			reply(m, code);
		} else {
			m->errors = 0;
			reply(m, 250);
		}
	}
	end_transaction(m);
}

/* Lines of content by chance; what the receiver is to see of them in *plain. */
static void
content(struct model *m, struct text *wire, struct text *plain)
{
	static const char *const lines[] = { "a line of text\r\n", "..two\r\n", ".one\r\n", "\r\n", "..\r\n",
		"QUIT\r\n", "MAIL FROM:<x@y.example>\r\n", "0123456789012345678901234567890123456789\r\n" };
	static const char *const odd[] = { "lf\n.\n", "cr\r.\rx", ".\n", ".\rx" };

	text_clear(wire);
	text_clear(plain);
	for (unsigned n = rnd(20); n > 0; n--) {
		bool strange = rnd(60) == 0;
		const char *l = strange ? odd[rnd(4)] : lines[rnd(8)];
		bool start = wire->n == 0 || (wire->n >= 2 && memcmp(wire->p + wire->n - 2, "\r\n", 2) == 0);

		m->bare = m->bare || strange;
		text_add(wire, l, strlen(l));
		text_add(plain, l + (start && l[0] == '.'), strlen(l) - (start && l[0] == '.'));
	}
	if (wire->n >= 2 && memcmp(wire->p + wire->n - 2, "\r\n", 2) != 0) {
		text_add(wire, "\r\n", 2);
		text_add(plain, "\r\n", 2);
	}
	text_add(wire, ".\r\n", 3);
}

static void
same_content(struct model *m, const struct text *plain, size_t from)
{
	size_t n = plain->n < SIZE_MAX_ - from ? plain->n : SIZE_MAX_ - from;

	if (m->st.content.n != from + n || (n > 0 && memcmp(m->st.content.p + from, plain->p, n) != 0))
		differ(m, "octets of content", (unsigned)(from + n), (unsigned)m->st.content.n);
}

static void
do_content(struct model *m)
{
	struct text wire = { .p = NULL }, plain = { .p = NULL };

	text_add(&plain, "", 0);
	content(m, &wire, &plain);
	m->over = plain.n > SIZE_MAX_;
	done(m);
	send_octets(m, wire.p, wire.n);
	same_content(m, &plain, 0);
	if (plain.n > 2 * SIZE_MAX_) {
		reply(m, 552);
		m->closed = true;
		end_transaction(m);
	} else {
		end_of_message(m);
	}
	free(wire.p);
	free(plain.p);
}

static void
do_data(struct model *m)
{
	bool argument = rnd(8) == 0;
	unsigned code;

	command(m, argument ? "DATA x" : "DATA");
	if (worn_out(m))
		return;
	if (argument) {
		reply(m, 501);
	} else if (!m->open || m->chunked || (m->binary && m->nrcpt > 0)) {
		reply(m, 503);
	} else if (m->nrcpt == 0) {
		reply(m, m->nrefused > 0 && !m->lmtp ? 554 : 503);
		if (m->nrefused > 0)
			end_transaction(m);
	} else if (!question(m, SMTP_EV_DATA, &code)) {
		reply(m, code);
		end_transaction(m);
	} else {
		reply(m, 354);
		do_content(m);
	}
}

/* What BDAT is refused with whatever follows it; 0: nothing. */
static unsigned
chunk_refused(struct model *m)
{
	unsigned code;

	if (!m->open)
		return 503;
	if (m->nrcpt == 0)
		return m->nrefused > 0 && !m->lmtp ? 554 : 503;
	if (!m->chunked && !question(m, SMTP_EV_DATA, &code))
		return code;
	m->chunked = true;
	return 0;
}

static void
do_bdat(struct model *m)
{
	struct text wire = { .p = NULL }, plain = { .p = NULL };
	size_t n = rnd(6) == 0 ? 0 : rnd(150), before = m->size;
	bool last = rnd(3) == 0;
	unsigned refused;

	text_add(&plain, "", 0);
	for (size_t i = 0; i < n; i++)
		text_add(&plain, &"\r\n.Q\nx"[rnd(6)], 1);
	text_printf(&wire, "BDAT %zu%s\r\n", n, last ? " LAST" : "");
	if (m->chunking && m->errors < ERRORS_MAX_)
		text_add(&wire, plain.p, n);
	send_octets(m, wire.p, wire.n);
	if (!m->chunking && m->errors < ERRORS_MAX_) {
		unknown(m, 502);
	} else if (!worn_out(m)) {
		refused = chunk_refused(m);
		if (refused == 0) {
			m->size += n;
			m->over = m->size > SIZE_MAX_;
			same_content(m, &plain, before);
		}
		if (refused != 0 || (m->over && !last)) {
			reply(m, refused != 0 ? refused : 552);
			end_transaction(m);
		} else if (last) {
			end_of_message(m);
		} else {
			reply(m, 250);
		}
	}
	free(wire.p);
	free(plain.p);
}

/* Commands that change nothing, or nothing but the transaction. */
static void
do_simple(struct model *m)
{
	static const struct {
		const char *line;
		unsigned code;
		bool ends, unknown;
	} rows[] = { { "NOOP", 250, false, false }, { "noop x", 250, false, false }, { "VRFY a", 252, false, false },
		{ "VRFY", 501, false, false }, { "HELP", 214, false, false }, { "EXPN a", 502, false, true },
		{ "TURN", 502, false, true }, { "AUTH PLAIN", 503, false, false }, { "RSET", 250, true, false },
		{ "RSET x", 501, false, false }, { "FOO", 500, false, true }, { "", 500, false, true },
		{ "NOOP \x01", 500, false, false }, { "NOOP \xff", 500, false, false },
		{ "STARTTLS", 502, false, true }, { "QUIT x", 501, false, false } };
	size_t i = rnd(16);

	command(m, rows[i].line);
	if (worn_out(m))
		return;
	if (rows[i].unknown)
		unknown(m, rows[i].code);
	else
		reply(m, rows[i].code);
	if (rows[i].ends)
		end_transaction(m);
}

static void
do_long(struct model *m)
{
	char s[6000];
	size_t n = 4090 + rnd(12);

	send_octets(m, s, (size_t)snprintf(s, sizeof(s), "NOOP %0*d\r\n", (int)n - 7, 0));
	if (!worn_out(m))
		reply(m, n > SMTP_LINE_MAX ? 500 : 250);
}

static void
do_quit(struct model *m)
{
	command(m, "QUIT");
	reply(m, 221);
	m->closed = true;
	end_transaction(m);
}

static void
begin(struct model *m)
{
	struct smtp_conf cf = { .hostname = "mx.example.org",
		.size_max = SIZE_MAX_,
		.flood_max = SIZE_MAX_,
		.rcpt_max = RCPT_MAX_,
		.errors_max = ERRORS_MAX_ };
	struct text sent = m->sent;

	memset(m, 0, sizeof(*m));
	m->sent = sent;
	m->lmtp = cf.lmtp = rnd(3) == 0;
	m->chunking = rnd(3) != 0;
	cf.ext = m->chunking ? SMTP_EXT_CHUNKING : 0;
	stage_init(&m->st, &cf);
	m->st.answer = answer;
	m->st.arg = m;
	stage_feed(&m->st, "", 0);
	observe(m);
	m->at_asked = m->nasked;
	reply(m, 220);
	done(m);
}

/* Weighted so that transactions come about. */
static void
step(struct model *m)
{
	unsigned k = rnd(100);

	if (!m->named || k < 4)
		do_hello(m);
	else if (!m->open ? k < 60 : k < 8)
		do_mail(m);
	else if (k < 45)
		do_rcpt(m);
	else if (k < 65)
		do_data(m);
	else if (k < 86)
		do_bdat(m);
	else if (k < 97)
		do_simple(m);
	else if (k < 99)
		do_long(m);
	else
		do_quit(m);
	done(m);
}

static unsigned long
setting(const char *name, unsigned long usual)
{
	const char *e = getenv(name);

	return e != NULL ? strtoul(e, NULL, 10) : usual;
}

START_TEST(t_model)
{
	unsigned long steps = setting("MODEL_STEPS", 200000), sessions = 0;
	unsigned long long messages = 0;
	struct model m = { .closed = false };

	rng = 0x9e3779b97f4a7c15U ^ setting("MODEL_SEED", 1) << 20;
	begin(&m);
	for (unsigned long i = 0; i < steps; i++) {
		step(&m);
		if (m.closed || rnd(500) == 0) {
			messages += m.st.messages;
			sessions++;
			stage_fini(&m.st);
			begin(&m);
		}
	}
	stage_fini(&m.st);
	free(m.sent.p);
	/* A test that never gets anywhere proves nothing. */
	ck_assert_uint_gt(sessions, steps / 1000);
	ck_assert_uint_gt(messages, steps / 50);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("model");
	TCase *tc = tcase_create("model");

	tcase_set_timeout(tc, 3600);
	tcase_add_test(tc, t_model);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
