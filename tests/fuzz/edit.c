/*
 * fuzz edit: any edits of any message: what comes out does not depend on how
 * the message was cut, ends in the right body, has the field that was added
 * last, is no larger than message and edits.  Input: two octets that
 * choose pieces, then edits (kind, index, octets of name, octets of value,
 * name, value) up to one of kind 0xff, then the message.
 */
#include <errno.h>
#include <stdlib.h>

#include "tests/fuzz/parts/field.h"
#include "worker/smtp/editor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 4 << 20, BODY_MAX = 64 << 10 };

struct made {
	size_t added;     /* octets that edits may bring */
	struct span last; /* the name of the field that was added by the last edit; empty: that was another edit */
	struct span body; /* in LF already, if there is one */
	bool all_lf;      /* ... since no CR was in it */
};

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static struct span
take(struct span *in, size_t n)
{
	struct span s = span_head(*in, n < in->n ? n : in->n);

	*in = span_skip(*in, s.n);
	return s;
}

static void
make_edits(struct edits *e, struct span *in, struct made *m)
{
	struct span body = { NULL, 0 };

	while (in->n >= 4 && in->p[0] != 0xff) {
		uint8_t kind = in->p[0] % 7, index = in->p[1];
		size_t nname = in->p[2], nvalue = in->p[3];
		struct span name, value;
		int rc = -1;

		*in = span_skip(*in, 4);
		name = take(in, nname);
		value = take(in, nvalue);
		switch (kind) {
		case 0:
			rc = edit_add_header(e, name, value);
			break;
		case 1:
			rc = edit_insert_header(e, index, name, value);
			break;
		case 2:
			rc = edit_change_header(e, name, index, value);
			break;
		case 3:
			rc = edit_delete_header(e, name, index);
			break;
		case 4:
			rc = edit_body(e);
			must(rc != 0 || edit_body_more(e, value) == 0);
			if (rc == 0)
				body = value;
			break;
		case 5:
			rc = edit_as_said(e, EDIT_CHANGE_HEADER, index, name, value, index % 2 == 0);
			m->added += value.n;
			break;
		default:
			edits_mark(e);
			(void)edit_add_header(e, SPAN("X-Never"), value);
			(void)edit_body(e);
			edits_rollback(e);
			must(!edits_since_mark(e));
			continue;
		}
		must(rc == 0 || errno == EINVAL || errno == EMSGSIZE || errno == E2BIG);
		if (rc != 0)
			continue;
		m->added += name.n + value.n + 8;
		m->last = kind == 0 ? name : (struct span){ NULL, 0 };
	}
	(void)take(in, 1);
	for (const struct edit *ed = e->first; ed != NULL; ed = ed->next)
		must(ed->kind > EDIT_CHANGE_HEADER || one_field(ed->value));
	m->body = body;
	m->all_lf = body.n == 0 || memchr(body.p, '\r', body.n) == NULL;
}

/* The octets that come out, or -1: this message can't be edited. */
static ssize_t
apply(const struct edits *e, struct span in, size_t step, uint8_t *out, size_t cap)
{
	struct editor ed;
	struct span piece = { NULL, 0 }, got;
	size_t n = 0;
	bool ended = false;
	int rc;

	editor_init(&ed, e);
	for (;;) {
		if (piece.n == 0 && in.n > 0)
			piece = take(&in, step);
		rc = editor_next(&ed, &piece, &got);
		if (rc == -1)
			break;
		must(got.n <= cap - n);
		if (got.n > 0)
			memcpy(out + n, got.p, got.n);
		n += got.n;
		if (rc == 1 || piece.n > 0 || in.n > 0)
			continue;
		if (ended)
			break;
		editor_end(&ed);
		ended = true;
	}
	editor_fini(&ed);
	return rc == -1 ? -1 : (ssize_t)n;
}

/* What stands behind the first empty line. */
static struct span
body_of(struct span s)
{
	const uint8_t *p = s.p;

	if (s.n > 0 && *p == '\n')
		return span_skip(s, 1);
	p = s.n > 1 ? memmem(s.p, s.n, "\n\n", 2) : NULL;
	return p == NULL ? span_of(NULL, 0) : span_skip(s, (size_t)(p - s.p) + 2);
}

static bool
ends_in(struct span s, struct span end)
{
	return end.n == 0 || (end.n <= s.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct made m = { .all_lf = true };
	struct span in = span_of(data, size), whole;
	struct edits e;
	uint8_t *a, *b;
	ssize_t n, k;

	if (size < 2)
		return 0;
	in = span_skip(in, 2);
	edits_init(&e, BODY_MAX);
	make_edits(&e, &in, &m);
	a = malloc(OUT_MAX);
	b = malloc(OUT_MAX);
	must(a != NULL && b != NULL);
	n = apply(&e, in, in.n + 1, a, OUT_MAX);
	k = apply(&e, in, 1U + data[0], b, OUT_MAX);
	must(n == k && (n <= 0 || memcmp(a, b, (size_t)n) == 0));
	k = apply(&e, in, 1U + data[1] % 3, b, OUT_MAX);
	must(n == k && (n <= 0 || memcmp(a, b, (size_t)n) == 0));
	if (n >= 0) {
		whole = span_of(a, (size_t)n);
		must(whole.n <= in.n + m.added + 2);
		if (e.n == 0 && !e.has_body)
			must(whole.n == in.n && (in.n == 0 || memcmp(a, in.p, in.n) == 0));
		if (!e.has_body)
			must(ends_in(whole, body_of(in)));
		else if (m.all_lf)
			must(ends_in(whole, m.body));
		must(m.last.n == 0 || (whole.n > 0 && memmem(a, whole.n, m.last.p, m.last.n) != NULL));
		must(whole.n == 0 || memmem(a, whole.n, "X-Never", 7) == NULL ||
		    memmem(data, size, "X-Never", 7) != NULL);
	}
	edits_fini(&e);
	free(a);
	free(b);
	return 0;
}
