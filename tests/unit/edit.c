/*
 * edit: what is refused on its way into the list, what can be taken back, and
 * what the editor makes of a message, for content that falls in any pieces.
 */
#include <errno.h>
#include <time.h>

#include "tests/unit/suite.h"
#include "worker/smtp/editor.h"

static struct span
sp(const char *s)
{
	return span_str(s);
}

static const char *const bad_names[] = { "", "a b", "a:", "a\tb", "\x01", "\xc3\xa4", "a\r\nb" };

START_TEST(names)
{
	struct edits e;

	edits_init(&e, 100);
	errno = 0;
	ck_assert_int_eq(edit_add_header(&e, sp(bad_names[_i]), sp("v")), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_uint_eq(e.n, 0);
	edits_fini(&e);
}
END_TEST

static const struct {
	const char *in, *out; /* out NULL: refused */
} values[] = {
	{ "plain", "plain" },
	{ "", "" },
	{ "two\n\tlines", "two\n\tlines" },
	{ "two\r\n lines\n three", "two\n lines\n three" },
	{ "\n folded at once", "\n folded at once" },
	{ "\xc3\xa4", "\xc3\xa4" },
	{ "a\nb", NULL },
	{ "a\r\nb", NULL },
	{ "a\rb", NULL },
	{ "a\r", NULL },
	{ "a\n", NULL },
	{ "a\n\nb", NULL },
	{ "a\r\n\r\nEvil: 1", NULL },
	{ "a\nEvil: 1", NULL },
	/* Lines of blanks alone are the end of a header for careless readers. */
	{ "a\n \nEvil: 1", NULL },
	{ "a\n \n b", "a\n b" },
	{ "a\n\t \r\n b", "a\n b" },
	{ "a\n ", "a" },
};

START_TEST(value)
{
	struct edits e;
	struct span in = guarded_str(values[_i].in);

	edits_init(&e, 100);
	if (values[_i].out == NULL) {
		ck_assert_int_eq(edit_add_header(&e, sp("X"), in), -1);
		ck_assert_int_eq(errno, EINVAL);
		ck_assert_uint_eq(e.n, 0);
		ck_assert_ptr_null(e.first);
	} else {
		struct span got;

		ck_assert_int_eq(edit_add_header(&e, sp("X"), in), 0);
		got = e.first->value;
		ck_assert_uint_ge(got.n, 1);
		ck_assert_uint_eq(got.p[0], ' '); /* none of them begins with one */
		got = span_skip(got, 1);
		ck_assert_uint_eq(got.n, strlen(values[_i].out));
		ck_assert(span_eq(got, sp(values[_i].out)));
	}
	edits_fini(&e);
}
END_TEST

/* What a milter says: out with a blank in front, and without one. */
static const struct {
	const char *in, *out;
} said[] = {
	{ "plain", "plain" },
	{ "", "" },
	{ " led", " led" },
	{ "\tled", "\tled" },
	{ "two\r\n lines\n\tthree", "two\n lines\n\tthree" },
	{ "a\nb", "a\n\tb" },
	{ "a\r\nEvil: 1\n\nbody\n", "a\n\tEvil: 1\n\tbody" },
	{ "a\n", "a" },
	{ "a\r\n", "a" },
	{ "a\n\n\n", "a" },
	{ "\nb", "\n\tb" },
	{ "\n", "" },
	{ "a\n \nb", "a\n\tb" },
	{ "a\n \n b\n ", "a\n b" },
	{ "a\n\r\r\nb", "a\n\tb" }, /* a CR that stands alone is a blank, also where a line begins */
	{ "a\nb\n\r", "a\n\tb" },
	{ "a\n \r", "a" },
	{ "a\n\rb", "a\n b" },
	{ "a\rb\r", "a b " },
	{ "\x01\x02\x1f\x7f\xff\x0b\x0c", "\x01\x02\x1f\x7f\xff\x0b\x0c" },
};

START_TEST(as_said)
{
	struct edits e;
	struct span in = guarded_str(said[_i].in);

	edits_init(&e, 100);
	ck_assert_int_eq(edit_as_said(&e, EDIT_ADD_HEADER, 0, sp("X"), in, false), 0);
	ck_assert_msg(
	    span_eq(e.first->value, sp(said[_i].out)), "%.*s", (int)e.first->value.n, (const char *)e.first->value.p);
	ck_assert_int_eq(edit_as_said(&e, EDIT_CHANGE_HEADER, 7, sp("X"), in, true), 0);
	ck_assert_uint_eq(e.first->next->index, 7);
	ck_assert_uint_eq(e.first->next->value.p[0], ' ');
	ck_assert(span_eq(span_skip(e.first->next->value, 1), sp(said[_i].out)));
	edits_fini(&e);
}
END_TEST

/* The most that mending may add. */
START_TEST(said_at_length)
{
	static char big[EDIT_VALUE_MAX + 1];
	struct edits e;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = i % 2 == 0 ? '\n' : 'x';
	edits_init(&e, 100);
	ck_assert_int_eq(edit_as_said(&e, EDIT_ADD_HEADER, 0, sp("X"), span_of(big, EDIT_VALUE_MAX), true), 0);
	ck_assert_uint_eq(e.first->value.n, 1 + EDIT_VALUE_MAX / 2 * 3);
	ck_assert_int_eq(edit_as_said(&e, EDIT_ADD_HEADER, 0, sp("X"), span_of(big, sizeof(big)), true), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_int_eq(edit_as_said(&e, EDIT_ADD_HEADER, 0, sp("X:"), sp("v"), true), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(edit_as_said(&e, EDIT_ADD_HEADER, 0, sp("X"), span_of("a\0b", 3), true), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_uint_eq(e.n, 1);
	edits_fini(&e);
}
END_TEST

/* A NUL has no place in a C string table. */
START_TEST(value_with_nul)
{
	struct edits e;

	edits_init(&e, 100);
	ck_assert_int_eq(edit_add_header(&e, sp("X"), span_of("a\0b", 3)), -1);
	ck_assert_int_eq(errno, EINVAL);
	edits_fini(&e);
}
END_TEST

START_TEST(limits)
{
	static char big[EDIT_VALUE_MAX + 1];
	struct edits e;
	unsigned n = 0;

	memset(big, 'x', sizeof(big));
	edits_init(&e, 100);
	ck_assert_int_eq(edit_add_header(&e, sp("X"), span_of(big, sizeof(big))), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_int_eq(edit_add_header(&e, span_of(big, EDIT_NAME_MAX + 1), sp("v")), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	while (edit_add_header(&e, sp("X"), span_of(big, EDIT_VALUE_MAX)) == 0)
		n++;
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_uint_eq(n, EDIT_ROOM / EDIT_VALUE_MAX - 1);
	ck_assert_uint_eq(e.n, n);
	edits_fini(&e);

	edits_init(&e, 100);
	for (n = 0; n < EDIT_MAX; n++)
		ck_assert_int_eq(edit_delete_header(&e, sp("X"), 1), 0);
	ck_assert_int_eq(edit_delete_header(&e, sp("X"), 1), -1);
	ck_assert_int_eq(errno, E2BIG);
	ck_assert_int_eq(edit_delete_header(&e, sp("X"), 0), -1);
	ck_assert_int_eq(errno, EINVAL);
	edits_fini(&e);

	edits_init(&e, 100);
	ck_assert_int_eq(edit_body_more(&e, sp("no body yet")), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(edit_body(&e), 0);
	ck_assert_int_eq(edit_body_more(&e, span_of(big, 100)), 0);
	ck_assert_int_eq(edit_body_more(&e, span_of(big, 1)), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	edits_fini(&e);
}
END_TEST

static const struct {
	const char *folder;
	bool ok;
} folders[] = { { "Junk", true }, { "Lists.work", true }, { "a-b_9", true }, { "", true }, { ".", false },
	{ "..", false }, { "a..b", false }, { ".a", false }, { "a.", false }, { "a/b", false }, { "../cur", false },
	{ "a b", false }, { "a\n", false }, { "\xc3\xa4", false } };

START_TEST(folder)
{
	struct edits e;

	edits_init(&e, 0);
	ck_assert_msg(edit_folder(&e, sp(folders[_i].folder)) == (folders[_i].ok ? 0 : -1), "%s", folders[_i].folder);
	edits_fini(&e);
}
END_TEST

static const struct {
	const char *text;
	bool rcpt, sender;
} addresses[] = { { "a@b.example", true, true }, { "<a@b.example>", true, true }, { "<>", false, true },
	{ "", false, true }, { "<a@b.example> SIZE=1", false, false }, { "a", false, false }, { "a@b@c", false, false },
	{ "a@b.example\r\nRCPT", false, false } };

START_TEST(address)
{
	struct edits e;

	edits_init(&e, 0);
	ck_assert_int_eq(edit_add_rcpt(&e, sp(addresses[_i].text)), addresses[_i].rcpt ? 0 : -1);
	ck_assert_int_eq(edit_delete_rcpt(&e, sp(addresses[_i].text)), addresses[_i].rcpt ? 0 : -1);
	ck_assert_int_eq(edit_sender(&e, sp(addresses[_i].text)), addresses[_i].sender ? 0 : -1);
	ck_assert_uint_eq(e.n, addresses[_i].rcpt ? 3 : addresses[_i].sender);
	edits_fini(&e);
}
END_TEST

START_TEST(folder_and_why)
{
	static char long_name[EDIT_FOLDER_MAX + 1], why[EDIT_WHY_MAX + 1];
	struct edits e;

	memset(long_name, 'x', sizeof(long_name));
	memset(why, 'y', sizeof(why));
	edits_init(&e, 0);
	ck_assert_int_eq(edit_folder(&e, span_of(long_name, sizeof(long_name))), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_int_eq(edit_folder_why(&e, span_of(long_name, EDIT_FOLDER_MAX), span_of(why, sizeof(why))), 0);
	ck_assert_uint_eq(e.n, 1);
	ck_assert_uint_eq(e.first->value.n, EDIT_FOLDER_MAX);
	ck_assert_uint_eq(e.first->name.n, EDIT_WHY_MAX);
	edits_fini(&e);
}
END_TEST

/* One recipient does not get it, and hears no, or nothing of it. */
START_TEST(aside)
{
	struct addr who = { .local = SPAN("joe"), .domain = SPAN("b.example") };
	struct reply r;
	struct edits e;

	edits_init(&e, 0);
	reply_set(&r, 250, ENH(2, 0, 0), "ok", "yes");
	ck_assert_int_eq(edit_aside(&e, &who, &r), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_uint_eq(e.n, 0);
	reply_set(&r, 550, ENH(5, 7, 1), "policy", "no");
	ck_assert_int_eq(edit_aside(&e, &who, &r), 0);
	r.code = 0; /* it was copied */
	ck_assert_int_eq(edit_aside(&e, &who, NULL), 0);
	ck_assert_int_eq(e.first->kind, EDIT_ASIDE);
	ck_assert_uint_eq(e.first->reply->code, 550);
	ck_assert(span_eq(e.first->addr.local, SPAN("joe")) && e.first->addr.local.p != who.local.p);
	ck_assert(span_eq(e.first->next->addr.domain, SPAN("b.example")));
	ck_assert_ptr_null(e.first->next->reply);
	edits_fini(&e);
}
END_TEST

/* An address of any length is too long, not a reason to hold it. */
START_TEST(address_too_long)
{
	static char big[3000];
	struct edits e;

	memset(big, 'x', sizeof(big));
	memcpy(big + 1000, "@b.example", 10);
	edits_init(&e, 0);
	ck_assert_int_eq(edit_add_rcpt(&e, span_of(big, 1010)), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	ck_assert_int_eq(edit_sender(&e, span_of(big, sizeof(big))), -1);
	ck_assert_uint_eq(e.n, 0);
	edits_fini(&e);
}
END_TEST

/* Each way to add something, for memory that runs out in it. */
static int
add_one(struct edits *e, int which)
{
	struct addr who = { .local = SPAN("joe"), .domain = SPAN("b.example") };
	struct reply r;

	reply_set(&r, 550, ENH(5, 7, 1), "policy", "no");
	switch (which) {
	case 0:
		return edit_add_header(e, sp("Name"), sp("some value"));
	case 1:
		return edit_delete_header(e, sp("Name"), 1);
	case 2:
		return edit_add_rcpt(e, sp("someone@b.example"));
	case 3:
		return edit_sender(e, sp("<someone@b.example>"));
	case 4:
		return edit_folder_why(e, sp("Junk"), sp("a reason"));
	default:
		return edit_aside(e, &who, &r);
	}
}

START_TEST(no_memory_adds_nothing)
{
	unsigned refused = 0;

	for (size_t limit = 0; limit < 1200; limit += 4) {
		struct edits e;
		int rc;

		edits_init(&e, 100);
		e.arena.first = 16;
		e.arena.limit = (uint32_t)limit;
		errno = 0;
		rc = add_one(&e, _i);
		ck_assert(rc == 0 || errno == ENOMEM);
		ck_assert_uint_eq(e.n, rc == 0);
		ck_assert_int_eq(e.first != NULL, rc == 0);
		ck_assert_int_eq(edits_since_mark(&e), rc == 0);
		refused += rc != 0;
		edits_fini(&e);
	}
	ck_assert_uint_gt(refused, 10);
	ck_assert_uint_lt(refused, 290);
}
END_TEST

/* A body that finds no memory in any of its pieces is refused there. */
START_TEST(no_memory_for_a_body)
{
	unsigned refused = 0;

	for (size_t limit = 0; limit < 20000; limit += 60) {
		static char big[6000];
		struct edits e;
		int rc;

		edits_init(&e, 20000);
		e.arena.first = 16;
		e.arena.limit = (uint32_t)limit;
		edit_body(&e);
		errno = 0;
		rc = edit_body_more(&e, sp("a\r"));
		if (rc == 0)
			rc = edit_body_more(&e, span_of(big, sizeof(big)));
		ck_assert(rc == 0 || errno == ENOMEM);
		ck_assert(rc != 0 || e.body_octets == 2 + sizeof(big));
		refused += rc != 0;
		edits_fini(&e);
	}
	ck_assert_uint_gt(refused, 10);
	ck_assert_uint_lt(refused, 300);
}
END_TEST

/* Twice its size is more than there are numbers; memory has its own bound then. */
START_TEST(body_without_bound)
{
	struct edits e;

	edits_init(&e, UINT64_MAX);
	ck_assert_uint_eq(e.arena.limit, UINT32_MAX);
	ck_assert_int_eq(edit_body(&e), 0);
	ck_assert_int_eq(edit_body_more(&e, sp("body")), 0);
	ck_assert_uint_eq(e.body_octets, 4);
	edits_fini(&e);
}
END_TEST

/* --- the editor --- */

#define MAIL "A: 1\nB: 2\n more\na: 3\n\nbody\n.\n\nend"

/* A script, an edit a line: + add, ^N insert, =N change, -N delete; "name|value".  # body, as it is. */
static const struct {
	const char *in, *edits, *out;
} cases[] = {
	{ MAIL, "", MAIL },
	{ MAIL, "+X|1", "A: 1\nB: 2\n more\na: 3\nX: 1\n\nbody\n.\n\nend" },
	{ MAIL, "^0X|1", "X: 1\n" MAIL },
	{ MAIL, "^1X|1", "X: 1\n" MAIL },
	{ MAIL, "^2X|1", "A: 1\nX: 1\nB: 2\n more\na: 3\n\nbody\n.\n\nend" },
	{ MAIL, "^9X|1", "A: 1\nB: 2\n more\na: 3\nX: 1\n\nbody\n.\n\nend" },
	/* Each edit sees what those before it did. */
	{ MAIL, "^0X|1;^0Y|2", "Y: 2\nX: 1\n" MAIL },
	{ MAIL, "^0A|0;=2A|x", "A: 0\nA: x\nB: 2\n more\na: 3\n\nbody\n.\n\nend" },
	{ MAIL, "-1A|;-1A|", "B: 2\n more\n\nbody\n.\n\nend" },
	{ MAIL, "=1b|new", "A: 1\nb: new\na: 3\n\nbody\n.\n\nend" },
	{ MAIL, "=2a|new", "A: 1\nB: 2\n more\na: new\n\nbody\n.\n\nend" },
	{ MAIL, "=3a|new", "A: 1\nB: 2\n more\na: 3\na: new\n\nbody\n.\n\nend" },
	{ MAIL, "=1a|", "B: 2\n more\na: 3\n\nbody\n.\n\nend" },
	{ MAIL, "-3a|", MAIL },
	{ MAIL, "-1a|;-1a|;-1b|", "\nbody\n.\n\nend" },
	{ MAIL, "+X| led", "A: 1\nB: 2\n more\na: 3\nX: led\n\nbody\n.\n\nend" },
	{ MAIL, "#new body\n", "A: 1\nB: 2\n more\na: 3\n\nnew body\n" },
	{ MAIL, "#x\r\ny\r\r\nz\r", "A: 1\nB: 2\n more\na: 3\n\nx\ny\r\nz\r" },
	{ MAIL, "#", "A: 1\nB: 2\n more\na: 3\n\n" },
	/* No body, no header, neither. */
	{ "A: 1\n", "+X|1", "A: 1\nX: 1\n" },
	{ "A: 1", "+X|1", "A: 1\nX: 1\n" },
	{ "A: 1", "", "A: 1" },
	{ "A: 1", "-1A|", "" },
	{ "A: 1", "#b", "A: 1\n\nb" },
	{ "\nbody", "+X|1", "X: 1\n\nbody" },
	{ "", "+X|1", "X: 1\n" },
	{ "", "#b", "\nb" },
	{ "", "#\r", "\n\r" },
	{ "", "", "" },
	/* As many as stand before it, of which our trace is one. */
	{ MAIL, "^0X|1;^1Y|2;^2Z|3", "X: 1\nY: 2\nZ: 3\n" MAIL },
	{ MAIL, "^0X|1;^0Y|2;^1Z|3;^2V|4", "Y: 2\nZ: 3\nV: 4\nX: 1\n" MAIL },
	{ MAIL, "^1X|1;^0Y|2;^2Z|3", "Y: 2\nZ: 3\nX: 1\n" MAIL },
	{ MAIL, "^1X|1;^1Y|2;^3Z|3", "Y: 2\nX: 1\nZ: 3\n" MAIL },
	{ "", "^0X|1;^1Y|2;^2Z|3", "X: 1\nY: 2\nZ: 3\n" },
	/* The header ends before a line that is no field; who edits it has an empty line written there. */
	{ "odd\nA: 1\n\nb", "^1X|1;=1A|2", "X: 1\nA: 2\n\nodd\nA: 1\n\nb" },
	{ "odd\nA: 1\n\nb", "", "odd\nA: 1\n\nb" },
	{ "odd\nA: 1\n\nb", "#c", "\nc" },
	{ "odd", "+X|1", "X: 1\n\nodd" },
	{ "odd", "", "odd" },
	{ "A: 1\nodd\nB: 2\n", "", "A: 1\nodd\nB: 2\n" },
	{ "A: 1\nodd\nB: 2\n", "=1B|3", "A: 1\nB: 3\n\nodd\nB: 2\n" },
	{ "A: 1\nodd\nB: 2\n", "-1B|", "A: 1\n\nodd\nB: 2\n" },
	{ "A: 1\nodd\nB: 2\n", "-1A|", "\nodd\nB: 2\n" },
	{ "A: 1\nodd\nB: 2\n", "#c\n", "A: 1\n\nc\n" },
	{ "A: 1\n more\nodd\n", "+X|1", "A: 1\n more\nX: 1\n\nodd\n" },
	{ "A: 1\nodd", "+X|1", "A: 1\nX: 1\n\nodd" },
	{ " led\nA: 1\n\nb", "+X|1", "X: 1\n\n led\nA: 1\n\nb" },
	{ " led\nA: 1\n\nb", "", " led\nA: 1\n\nb" },
	{ ": 1\nA: 1\n", "+X|1", "X: 1\n\n: 1\nA: 1\n" },
	{ "A\xff: 1\n", "+X|1", "X: 1\n\nA\xff: 1\n" },
	{ "A : 1\n\nb", "=1A|2", "A: 2\n\nb" },
	{ "A: 1\n \nB: 2\n\nb", "+X|1", "A: 1\n \nB: 2\nX: 1\n\nb" },
	{ "A: 1\n\r\n\nb", "+X|1", "A: 1\nX: 1\n\n\r\n\nb" },
};

static void
edits_of(struct edits *e, const char *script)
{
	char copy[256], *line, *rest = copy;

	snprintf(copy, sizeof(copy), "%s", script);
	if (copy[0] == '#') {
		ck_assert_int_eq(edit_body(e), 0);
		for (size_t i = 1; copy[i] != '\0'; i++) /* an octet at a time */
			ck_assert_int_eq(edit_body_more(e, span_of(copy + i, 1)), 0);
		return;
	}
	while ((line = strsep(&rest, ";")) != NULL && *line != '\0') {
		char *name = line + 1, *v = strchr(line, '|');
		uint32_t n = *name >= '0' && *name <= '9' ? (uint32_t)(*name++ - '0') : 0;

		*v++ = '\0';
		switch (*line) {
		case '+':
			ck_assert_int_eq(edit_add_header(e, sp(name), sp(v)), 0);
			break;
		case '^':
			ck_assert_int_eq(edit_insert_header(e, n, sp(name), sp(v)), 0);
			break;
		case '=':
			ck_assert_int_eq(edit_change_header(e, sp(name), n, sp(v)), 0);
			break;
		default:
			ck_assert_int_eq(edit_delete_header(e, sp(name), n), 0);
			break;
		}
	}
}

/* Feed ${in} in pieces of ${piece} octets. */
static size_t
run(const struct edits *e, struct span in, size_t piece, char *out, size_t cap)
{
	struct editor ed;
	struct span got;
	size_t n = 0;

	editor_init(&ed, e);
	for (bool ended = false; !ended;) {
		struct span now = span_head(in, in.n < piece ? in.n : piece);

		in = span_skip(in, now.n);
		if (now.n == 0) {
			editor_end(&ed);
			ended = true;
		}
		while (editor_next(&ed, &now, &got) > 0) {
			ck_assert_uint_le(got.n, cap - n);
			memcpy(out + n, got.p, got.n);
			n += got.n;
		}
		ck_assert_uint_eq(now.n, 0);
	}
	editor_fini(&ed);
	return n;
}

START_TEST(edited)
{
	for (size_t piece = 1; piece < 40; piece++) {
		struct edits e;
		char out[512];
		size_t n;

		edits_init(&e, 1000);
		edits_of(&e, cases[_i].edits);
		n = run(&e, guarded_str(cases[_i].in), piece, out, sizeof(out) - 1);
		out[n] = '\0';
		ck_assert_str_eq(out, cases[_i].out);
		edits_fini(&e);
	}
}
END_TEST

/* What came after the mark goes, also from a body that was begun before it. */
START_TEST(taken_back)
{
	struct edits e;
	char out[512];
	size_t n;

	edits_init(&e, 1000);
	edits_of(&e, "+X|1");
	edits_of(&e, "#first");
	edits_mark(&e);
	edits_of(&e, "+Y|1");
	ck_assert_int_eq(edit_body_more(&e, sp(" more\r")), 0);
	edits_rollback(&e);
	n = run(&e, sp("A: 1\n\nb"), 3, out, sizeof(out));
	ck_assert(span_eq(span_of(out, n), sp("A: 1\nX: 1\n\nfirst")));
	edits_of(&e, "#second");
	edits_rollback(&e);
	ck_assert_int_eq(edit_body_more(&e, sp("!")), 0);
	n = run(&e, sp("A: 1\n\nb"), 3, out, sizeof(out));
	ck_assert(span_eq(span_of(out, n), sp("A: 1\nX: 1\n\nfirst!")));
	edits_fini(&e);

	edits_init(&e, 1000);
	edits_of(&e, "#first");
	edits_rollback(&e);
	ck_assert(!e.has_body);
	n = run(&e, sp("A: 1\n\nb"), 3, out, sizeof(out));
	ck_assert(span_eq(span_of(out, n), sp("A: 1\n\nb")));
	edits_fini(&e);
}
END_TEST

START_TEST(header_too_large)
{
	static char big[EDITOR_HEADER_MAX + 2];
	struct edits e;
	struct editor ed;
	struct span in = span_of(big, sizeof(big)), out;

	memset(big, 'x', sizeof(big));
	edits_init(&e, 0);
	editor_init(&ed, &e);
	ck_assert_int_eq(editor_next(&ed, &in, &out), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
	editor_fini(&ed);
	edits_fini(&e);
}
END_TEST

/* A header of as many fields as there may be takes no further one. */
START_TEST(too_many_fields)
{
	static char header[6 * (EDITOR_FIELDS_MAX + 1) + 1];
	struct edits e;

	for (int more = -1; more < 2; more++) {
		struct editor ed;
		struct span in, out;
		size_t n = 0;
		int rc;

		edits_init(&e, 0);
		ck_assert_int_eq(edit_add_header(&e, sp("Y"), sp("1")), 0);
		for (int i = 0; i < EDITOR_FIELDS_MAX + more; i++)
			n += (size_t)snprintf(header + n, sizeof(header) - n, "X: %d\n", i % 10);
		in = span_of(header, n);
		editor_init(&ed, &e);
		editor_end(&ed);
		rc = editor_next(&ed, &in, &out);
		ck_assert_int_eq(rc, more < 0 ? 1 : -1);
		ck_assert(rc == 1 || errno == EMSGSIZE);
		editor_fini(&ed);
		edits_fini(&e);
	}
}
END_TEST

/* Memory that runs out anywhere is an error before the first octet comes out. */
START_TEST(no_memory_to_edit)
{
	unsigned refused = 0;

	for (size_t limit = 0; limit < 2000; limit += 4) {
		struct span in = sp("A: 1\nB: 2"), out;
		struct editor ed;
		struct edits e;
		int rc;

		edits_init(&e, 100);
		edits_of(&e, "+X|1;=1A|new;^0Y|2;-1B|");
		editor_init(&ed, &e);
		ed.arena.first = 16;
		ed.arena.limit = (uint32_t)limit;
		editor_end(&ed);
		errno = 0;
		rc = editor_next(&ed, &in, &out);
		ck_assert(rc == 1 ? span_eq(out, sp("Y: 2\n")) : rc == -1 && errno == ENOMEM && out.n == 0);
		refused += rc != 1;
		editor_fini(&ed);
		/* The last line has no LF, and the one that is put there needs room too. */
		in = sp("A: 1\nB: 2");
		edits_of(&e, "#body");
		editor_init(&ed, &e);
		ed.arena.first = 16;
		ed.arena.limit = (uint32_t)limit;
		editor_end(&ed);
		ck_assert_int_eq(editor_next(&ed, &in, &out), rc);
		editor_fini(&ed);
		edits_fini(&e);
	}
	ck_assert_uint_gt(refused, 10);
	ck_assert_uint_lt(refused, 490);
}
END_TEST

/* Processor time of so many edits of one field, behind as many others as there may be, of ${name}. */
static double
searched(const char *name)
{
	static char header[EDITOR_HEADER_MAX];
	struct span in, out;
	struct editor ed;
	struct edits e;
	size_t n = 0;
	clock_t began;

	edits_init(&e, 0);
	for (unsigned i = 0; i < EDIT_MAX; i++)
		ck_assert_int_eq(edit_delete_header(&e, sp("Authentication-Results"), 1), 0);
	for (unsigned i = 0; i < EDITOR_FIELDS_MAX; i++)
		n += (size_t)snprintf(header + n, sizeof(header) - n, "%s: x\n", name);
	ck_assert_uint_lt(n, sizeof(header) - 1);
	header[n++] = '\n';
	in = span_of(header, n);
	editor_init(&ed, &e);
	began = clock();
	ck_assert_int_eq(editor_next(&ed, &in, &out), 1);
	began = clock() - began;
	editor_fini(&ed);
	edits_fini(&e);
	return (double)began / CLOCKS_PER_SEC;
}

/* A client that names its fields like what a filter takes away gains nothing by it: 0.6 s where each name is compared. */
START_TEST(names_alike)
{
	double unlike = searched("X-thing"), alike = searched("Authentication-Resulty");

	ck_assert_msg(alike < 4 * unlike + 0.05, "%.3f s with names alike, %.3f s with others", alike, unlike);
}
END_TEST

#define LOOP(t, f, table) tcase_add_loop_test(t, f, 0, (int)(sizeof(table) / sizeof((table)[0])))

int
main(void)
{
	Suite *s = suite_create("edit");
	TCase *t = tcase_create("edit");

	LOOP(t, names, bad_names);
	LOOP(t, value, values);
	LOOP(t, as_said, said);
	tcase_add_test(t, said_at_length);
	tcase_add_test(t, value_with_nul);
	tcase_add_test(t, limits);
	LOOP(t, folder, folders);
	LOOP(t, address, addresses);
	tcase_add_test(t, folder_and_why);
	tcase_add_test(t, aside);
	tcase_add_test(t, address_too_long);
	tcase_add_loop_test(t, no_memory_adds_nothing, 0, 6);
	tcase_add_test(t, no_memory_for_a_body);
	tcase_add_test(t, body_without_bound);
	LOOP(t, edited, cases);
	tcase_add_test(t, taken_back);
	tcase_add_test(t, header_too_large);
	tcase_add_test(t, too_many_fields);
	tcase_add_test(t, no_memory_to_edit);
	tcase_add_test(t, names_alike);
	suite_add_tcase(s, t);
	return suite_run(s);
}
