/*
 * headerend: the header ends in one place for all who look for it: the filter
 * of content, what a milter is told, and the editor.  All messages of up to
 * LINES lines of those that matter.
 */
#include <stdlib.h>

#include "common/field.h"
#include "tests/unit/suite.h"
#include "worker/milter/fields.h"
#include "worker/smtp/content.h"
#include "worker/smtp/editor.h"

enum { LINES = 4, ROOM = 512 };

static const char *const line[] = { "A: b\n", " c\n", "odd\n", "\n", "A \t: x\n", ":x\n", "\xff: y\n", " \n",
	"Return-Path: q\n", "Received: r\n", "Received r\n", "Authentication-Results: mx.example.org\n", "\r\n", "Z" };
enum { KINDS = sizeof(line) / sizeof(line[0]) };

struct text {
	size_t n;
	char p[ROOM];
};

static void
add(struct text *t, const void *p, size_t n)
{
	if (n > ROOM - t->n)
		abort();
	if (n > 0)
		memcpy(t->p + t->n, p, n);
	t->n += n;
}

/* With CRLF as on the wire, or as the store has it. */
static struct text
wire(const struct text *t)
{
	struct text out = { .n = 0 };

	for (size_t i = 0; i < t->n; i++)
		add(&out, t->p[i] == '\n' ? "\r\n" : &t->p[i], t->p[i] == '\n' ? 2 : 1);
	return out;
}

static struct text
stored(const struct text *t)
{
	struct text out = { .n = 0 };

	for (size_t i = 0; i < t->n; i++)
		if (t->p[i] != '\r' || i + 1 == t->n || t->p[i + 1] != '\n')
			add(&out, &t->p[i], 1);
	return out;
}

static struct text
filtered(const struct text *t, unsigned *received)
{
	struct span in = span_of(t->p, t->n), out;
	struct text kept = { .n = 0 };
	struct arena arena;
	struct content *c;

	arena_init(&arena, 4096, 1 << 20);
	c = content_new(&arena, "mx.example.org");
	while (content_next(c, &in, &out))
		add(&kept, out.p, out.n);
	if (content_end(c, &out))
		add(&kept, out.p, out.n);
	*received = content_received(c);
	arena_reset(&arena);
	return kept;
}

/* The body that a milter hears, and how many fields called Received. */
static struct text
told(const struct text *t, unsigned *received)
{
	struct span in = span_of(t->p, t->n), name, value;
	struct text body = { .n = 0 };
	enum fields_event ev;
	struct fields f;

	*received = 0;
	fields_init(&f);
	while ((ev = fields_next(&f, &in, &name, &value)) != FIELDS_MORE ||
	    (ev = fields_last(&f, &name, &value)) != FIELDS_MORE) {
		if (ev == FIELDS_FIELD && span_caseeq(name, SPAN("received")))
			(*received)++;
		if (ev == FIELDS_BODY)
			add(&body, value.p, value.n);
	}
	fields_fini(&f);
	return body;
}

static struct text
edited(const struct text *t)
{
	struct span in = span_of(t->p, t->n), out;
	struct text got = { .n = 0 };
	struct editor ed;
	struct edits e;

	edits_init(&e, 100);
	if (edit_add_header(&e, SPAN("X"), SPAN("1")) != 0)
		abort();
	editor_init(&ed, &e);
	while (editor_next(&ed, &in, &out) > 0)
		add(&got, out.p, out.n);
	editor_end(&ed);
	while (editor_next(&ed, &in, &out) > 0)
		add(&got, out.p, out.n);
	editor_fini(&ed);
	edits_fini(&e);
	return got;
}

/* Header of ${all} with the new field, an empty line if anything is behind it, ${body}. */
static struct text
wanted(const struct text *all, const struct text *body)
{
	size_t n = all->n - body->n;
	bool blank = n > 0 && all->p[n - 1] == '\n' && (n == 1 || all->p[n - 2] == '\n');
	struct text out = { .n = 0 };

	add(&out, all->p, n - blank);
	if (out.n > 0 && out.p[out.n - 1] != '\n')
		add(&out, "\n", 1);
	add(&out, "X: 1\n", 5);
	if (blank || body->n > 0)
		add(&out, "\n", 1);
	add(&out, body->p, body->n);
	return out;
}

static void
agree(const struct text *sent)
{
	unsigned counted, heard;
	struct text in = wire(sent), kept = filtered(&in, &counted), body = told(&kept, &heard);
	struct text got, want;

	kept = stored(&kept);
	body = stored(&body);
	got = edited(&kept);
	want = wanted(&kept, &body);
	if (counted != heard)
		ck_abort_msg("%u Received counted, %u told: \"%.*s\"", counted, heard, (int)sent->n, sent->p);
	if (got.n != want.n || memcmp(got.p, want.p, got.n) != 0)
		ck_abort_msg("\"%.*s\" is edited to \"%.*s\"", (int)sent->n, sent->p, (int)got.n, got.p);
	/* Behind our trace lines. */
	if (kept.n > 0 && field_blank((uint8_t)kept.p[0]))
		ck_abort_msg("\"%.*s\" goes on with our Received", (int)sent->n, sent->p);
}

START_TEST(all_agree)
{
	for (unsigned long i = 0; i < (unsigned long)KINDS * KINDS * KINDS * KINDS; i++) {
		struct text sent = { .n = 0 };
		unsigned long rest = i;

		for (unsigned k = 0; k < LINES; k++, rest /= KINDS)
			add(&sent, line[rest % KINDS], strlen(line[rest % KINDS]));
		agree(&sent);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("headerend");
	TCase *t = tcase_create("headerend");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, all_agree);
	suite_add_tcase(s, t);
	return suite_run(s);
}
