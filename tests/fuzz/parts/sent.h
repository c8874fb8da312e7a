/*
 * sent: what the client sent as content, told from its octets alone.  The
 * session is built here with a witness before its engine: it keeps the octets
 * that the engine takes, between the question of DATA and that of the end.
 * They are all at hand then, so that they can be read once more in the
 * plainest way: no states, nothing that is cut.  What comes of it must stand in
 * the store, whatever the packets were, who had to wait, and for whom.
 *
 * Why not what the engine said by SMTP_EV_BODY: that would hold to account what
 * is behind the engine alone, and neither dots nor chunks.  The filter and the
 * editor are asked once more, over the whole in one piece, as what they do is
 * held to account in targets of their own.
 */
#ifndef TESTS_FUZZ_PARTS_SENT_H_
#define TESTS_FUZZ_PARTS_SENT_H_

#include "tests/fuzz/parts/login.h"
#include "worker/smtp/content.h"
#include "worker/smtp/editor.h"
#include "worker/smtp/smtp.h"

enum { SENT_MAX = 1 << 18 };

static struct {
	uint8_t raw[SENT_MAX];                       /* by this session */
	size_t  n, from, to;                         /* of it the last command that opened content, and its end */
	uint8_t shown[SENT_MAX + CONTENT_ADDED_MAX]; /* of this content, to a module that sees no edits */
	size_t  nshown;
	bool    lines; /* it is of DATA, and not over */
} sent;

/* Octets, of which there are never more than were said to be. */
struct sent_text {
	uint8_t *p;
	size_t   n, max;
};

static struct sent_text
sent_text(size_t max)
{
	struct sent_text t = { malloc(max + 1), 0, max };

	if (t.p == NULL)
		abort();
	return t;
}

static void
sent_add(struct sent_text *t, struct span s)
{
	if (s.n > t->max - t->n)
		breach("content grows");
	if (s.n > 0)
		memcpy(t->p + t->n, s.p, s.n);
	t->n += s.n;
}

/* Octets from ${at} on were taken as content, and more is to come: no end was among them. */
static void UNTRACED
sent_check_open(size_t at)
{
	size_t since = at > sent.from + 4 ? at - 4 : sent.from;

	if (memmem(sent.raw + since, sent.n - since, "\r\n.\r\n", 5) != NULL)
		breach("DATA does not end at its end");
}

/* All that there is to know of the question whether content may come. */
static void UNTRACED
sent_begin(void)
{
	const uint8_t *lf = sent.n > 0 ? memrchr(sent.raw, '\n', sent.n - 1) : NULL;

	sent.from   = lf != NULL ? (size_t)(lf + 1 - sent.raw) : 0;
	sent.lines  = sent.n - sent.from > 4 && span_caseeq(span_of(sent.raw + sent.from, 4), SPAN("DATA"));
	sent.nshown = 0;
}

static enum smtp_ev UNTRACED
sent_next(struct smtp *s, struct span *in, struct buf *out, struct smtp_event *ev)
{
	bool         content = smtp_phase(s) == SMTP_PHASE_DATA;
	struct span  had     = *in;
	enum smtp_ev what    = smtp_next(s, in, out, ev);
	size_t       n = had.n - in->n, at = sent.n;

	if (what == SMTP_EV_CONNECT)
		sent.n = at = 0;
	if (n > SENT_MAX - sent.n)
		breach("more is taken than a client said");
	if (n > 0)
		memcpy(sent.raw + sent.n, had.p, n);
	sent.n += n;
	if (what == SMTP_EV_CONNECT || what == SMTP_EV_RESET || what == SMTP_EV_EOM)
		sent.lines = false;
	if (sent.lines && content && smtp_phase(s) == SMTP_PHASE_DATA)
		sent_check_open(at);
	if (what == SMTP_EV_DATA)
		sent_begin();
	if (what == SMTP_EV_EOM)
		sent.to = sent.n;
	login_took(s, span_of(sent.raw, sent.n), at, content, what, ev);
	return what;
}

static struct smtp_sent
sent_answer(struct smtp *s, const struct reply *r, struct buf *out)
{
	struct smtp_sent how = smtp_answer(s, r, out);

	login_answered(how.code);
	return how;
}

#define smtp_next(s, in, out, ev) sent_next(s, in, out, ev)
#define smtp_answer(s, r, out)    sent_answer(s, r, out)
#include "worker/session.c"     /* NOLINT(bugprone-suspicious-include) */
#include "worker/session_ask.c" /* NOLINT(bugprone-suspicious-include) */
#undef smtp_answer
#undef smtp_next

/* --- what it was --- */

/* A line with its LF, of *s. */
static struct span
sent_line(struct span *s)
{
	const uint8_t *lf   = memchr(s->p, '\n', s->n);
	struct span    line = span_head(*s, lf != NULL ? (size_t)(lf + 1 - s->p) : s->n);

	*s = span_skip(*s, line.n);
	return line;
}

/* Behind DATA: lines, which end with CRLF and nothing else, up to one of a dot. */
static void
sent_lines(struct span s, struct sent_text *t)
{
	while (s.n > 0) {
		const uint8_t *crlf = memmem(s.p, s.n, "\r\n", 2);
		struct span    line = span_head(s, crlf != NULL ? (size_t)(crlf + 2 - s.p) : s.n);

		s = span_skip(s, line.n);
		if (span_eq(line, SPAN(".\r\n"))) {
			if (s.n > 0)
				breach("DATA goes on behind its end");
			return;
		}
		sent_add(t, line.p[0] == '.' ? span_skip(line, 1) : line);
	}
	breach("DATA ends before its end");
}

/* BDAT, its octets, and more of them, perhaps with commands between them that are none. */
static void
sent_chunks(struct span s, struct sent_text *t)
{
	while (s.n > 0) {
		struct span line = sent_line(&s);
		size_t      n    = 0, i;

		if (line.n < 5 || !span_caseeq(span_head(line, 5), SPAN("BDAT ")))
			continue;
		for (i = 5; i < line.n && line.p[i] == ' '; i++)
			continue;
		for (; i < line.n && line.p[i] >= '0' && line.p[i] <= '9'; i++)
			n = 10 * n + (size_t)(line.p[i] - '0');
		if (n > s.n)
			breach("a chunk ends before its end");
		sent_add(t, span_head(s, n));
		s = span_skip(s, n);
	}
}

/* Without what we drop: header fields alone (docs/decisions/060-header-end.md). */
static struct sent_text
sent_filter(struct span in)
{
	struct sent_text t = sent_text(in.n + CONTENT_ADDED_MAX);
	struct arena     a;
	struct content  *c;
	struct span      out;

	arena_init(&a, 2048, 1 << 20);
	c = content_new(&a, "mx.example.org");
	if (c == NULL)
		abort();
	while (content_next(c, &in, &out))
		sent_add(&t, out);
	if (content_end(c, &out))
		sent_add(&t, out);
	arena_reset(&a);
	return t;
}

/* As on the wire: what must be written into the store of the message that is complete. */
static struct sent_text
sent_content(void)
{
	struct span      s = span_of(sent.raw + sent.from, sent.to - sent.from), line;
	struct sent_text t = sent_text(s.n), kept;

	line = span_head(s, s.n < 5 ? s.n : 5);
	if (span_caseeq(line, SPAN("BDAT "))) {
		sent_chunks(s, &t);
	} else {
		(void)sent_line(&s);
		sent_lines(s, &t);
	}
	kept = sent_filter(span_of(t.p, t.n));
	free(t.p);
	return kept;
}

/* CRLF is LF; in place. */
static void
sent_fold(struct sent_text *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		if (t->p[i] != '\r' || i + 1 == t->n || t->p[i + 1] != '\n')
			t->p[n++] = t->p[i];
	t->n = n;
}

/* Whether ${e} leave the content as it is. */
static bool
sent_as_it_was(const struct edits *e)
{
	for (const struct edit *x = e != NULL ? e->first : NULL; x != NULL; x = x->next)
		if (x->kind <= EDIT_BODY)
			return false;
	return e == NULL || !e->has_body;
}

/* ${in}, folded, as edited by ${e}. */
static struct sent_text
sent_edited(struct span in, const struct edits *e)
{
	struct sent_text t = sent_text(in.n + (2 * EDIT_ROOM) + (size_t)e->body_octets);
	struct editor    ed;
	struct span      out;

	editor_init(&ed, e);
	while (editor_next(&ed, &in, &out) > 0)
		sent_add(&t, out);
	editor_end(&ed);
	in.n = 0;
	while (editor_next(&ed, &in, &out) > 0)
		sent_add(&t, out);
	editor_fini(&ed);
	return t;
}

/* A module is shown ${s}. */
static void UNTRACED
sent_show(struct span s)
{
	if (s.n > sizeof(sent.shown) - sent.nshown)
		breach("a module is shown more than a client said");
	memcpy(sent.shown + sent.nshown, s.p, s.n);
	sent.nshown += s.n;
}

/* Of ${s} the module was shown what it wanted to see, in its order and once. */
static void UNTRACED
sent_check_shown(struct span s)
{
	size_t k = 0;

	for (size_t i = 0; i < s.n && k < sent.nshown; i++)
		k += s.p[i] == sent.shown[k];
	if (k < sent.nshown)
		breach("a module is shown other content than was sent");
}

/* What is about to be stored of ${t} is ${got}; ${folded}: and folded; ${edits}: those of ${t} were carried out. */
static void
sent_check(const struct txn *t, struct span got, bool folded, bool edits)
{
	struct sent_text want = sent_content(), edited;

	sent_check_shown(span_of(want.p, want.n));
	if (folded)
		sent_fold(&want);
	if (!sent_as_it_was(t->edits)) {
		if (!edits)
			breach("%s is stored without its edits", t->id);
		edited = sent_edited(span_of(want.p, want.n), t->edits);
		free(want.p);
		want = edited;
	}
	if (!span_eq(got, span_of(want.p, want.n)))
		breach("%s is stored otherwise than it was sent: %zu octets, %zu were to be", t->id, got.n, want.n);
	free(want.p);
}
#endif
