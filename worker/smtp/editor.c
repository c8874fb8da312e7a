/*
 * editor: the header as a list of fields, and what becomes of it.  PURE.
 */
#include "worker/smtp/editor.h"

#include <errno.h>

#include "common/field.h"

void
editor_init(struct editor *ed, const struct edits *e)
{
	*ed = (struct editor){ .edits = e, .chunk = e->body };
	arena_init(&ed->arena, 4096, EDITOR_ARENA_MAX);
	buf_init(&ed->header, EDITOR_HEADER_MAX);
}

void
editor_fini(struct editor *ed)
{
	arena_reset(&ed->arena);
	buf_free(&ed->header);
}

void
editor_end(struct editor *ed)
{
	ed->ended = true;
}

/* --- the names that edits are about --- */

/* The number of ${name}; 0: it is none of them. */
static uint32_t
name_number(const struct editor *ed, struct span name)
{
	const struct editor_name *n = ed->names;

	while (n != NULL && !span_caseeq(n->name, name))
		n = n->next;
	return n != NULL ? n->number : 0;
}

/*
 * A field's name is compared once, with each of these, and not with each edit:
 * a client may have thousands of fields that are called almost as what a
 * filter takes away.
 */
static int
names_read(struct editor *ed)
{
	for (const struct edit *e = ed->edits->first; e != NULL; e = e->next) {
		struct editor_name *n;

		if (e->name.n == 0 || name_number(ed, e->name) != 0)
			continue;
		n = arena_alloc(&ed->arena, sizeof(*n));
		if (n == NULL)
			return -1;
		n->name = e->name;
		n->number = ed->names != NULL ? ed->names->number + 1 : 1;
		n->next = ed->names;
		ed->names = n;
	}
	return 0;
}

/* --- the list of fields --- */

static struct editor_field *
field_new(struct editor *ed, struct span name, struct span text)
{
	struct editor_field *f;

	if (ed->nfields == EDITOR_FIELDS_MAX) {
		errno = EMSGSIZE;
		return NULL;
	}
	f = arena_alloc(&ed->arena, sizeof(*f));
	if (f == NULL)
		return NULL;
	f->text = text;
	f->number = name_number(ed, name);
	ed->nfields++;
	return f;
}

/* Octets of the first line, with its LF if it has one. */
static size_t
line_length(struct span s)
{
	const uint8_t *lf = memchr(s.p, '\n', s.n);

	return lf != NULL ? (size_t)(lf - s.p) + 1 : s.n;
}

/* The name of the field that begins in ${line}. */
static struct span
name_of(struct span line)
{
	size_t n;

	(void)field_colon(line, &n);
	return span_head(line, n);
}

/* All of ${header} is fields.  The first of the list stands for our trace, which is not in it: what is inserted at 0 comes before that. */
static int
fields_read(struct editor *ed, struct span header)
{
	struct editor_field **tail = &ed->trace.next, *last = NULL;

	ed->fields = &ed->trace;

	while (header.p != NULL && header.n > 0) {
		size_t n = line_length(header);

		if (last != NULL && field_blank(header.p[0])) {
			last->text.n += n;
		} else {
			last = field_new(ed, name_of(span_head(header, n)), span_head(header, n));
			if (last == NULL)
				return -1;
			*tail = last;
			tail = &last->next;
		}
		header = span_skip(header, n);
	}
	return 0;
}

/* "NAME:VALUE" and LF. */
static int
field_write(struct editor *ed, const struct edit *e, struct span *out)
{
	size_t n = e->name.n + 1 + e->value.n + 1;
	uint8_t *p = arena_alloc(&ed->arena, n);

	if (p == NULL)
		return -1;
	memcpy(p, e->name.p, e->name.n);
	p[e->name.n] = ':';
	if (e->value.n > 0)
		memcpy(p + e->name.n + 1, e->value.p, e->value.n);
	p[n - 1] = '\n';
	*out = span_of(p, n);
	return 0;
}

/* Put a new field where ${at} points to. */
static int
field_put(struct editor *ed, const struct edit *e, struct editor_field **at)
{
	struct span text;
	struct editor_field *f;

	if (field_write(ed, e, &text) != 0 || (f = field_new(ed, e->name, text)) == NULL)
		return -1;
	f->next = *at;
	*at = f;
	return 0;
}

static struct editor_field **
fields_end(struct editor *ed)
{
	struct editor_field **at = &ed->fields;

	while (*at != NULL)
		at = &(*at)->next;
	return at;
}

/* Number ${n} of all, counted from 1; 0 is our trace; the end if there are fewer. */
static struct editor_field **
fields_at(struct editor *ed, uint32_t n)
{
	struct editor_field **at = &ed->fields;

	for (uint32_t i = 0; i < n && *at != NULL; i++)
		at = &(*at)->next;
	return at;
}

/* Number ${n} of that name; the end if there are fewer. */
static struct editor_field **
fields_named(struct editor *ed, struct span name, uint32_t n)
{
	struct editor_field **at = &ed->fields;
	uint32_t number = name_number(ed, name);

	for (uint32_t i = 0; *at != NULL; at = &(*at)->next)
		if ((*at)->number == number && ++i == n)
			break;
	return at;
}

static int
header_edit(struct editor *ed, const struct edit *e)
{
	struct editor_field **at;

	switch (e->kind) {
	case EDIT_ADD_HEADER:
		return field_put(ed, e, fields_end(ed));
	case EDIT_INSERT_HEADER:
		return field_put(ed, e, fields_at(ed, e->index));
	case EDIT_CHANGE_HEADER:
		at = fields_named(ed, e->name, e->index);
		if (*at == NULL)
			return field_put(ed, e, at);
		return field_write(ed, e, &(*at)->text);
	case EDIT_DELETE_HEADER:
		at = fields_named(ed, e->name, e->index);
		if (*at != NULL)
			*at = (*at)->next;
		return 0;
	case EDIT_BODY:
	case EDIT_ADD_RCPT:
	case EDIT_DELETE_RCPT:
	case EDIT_SENDER:
	case EDIT_FOLDER:
	case EDIT_ASIDE:
		break;
	}
	return 0;
}

/* A field that ends without LF gets one when something comes behind it. */
static int
fields_end_lines(struct editor *ed)
{
	for (struct editor_field *f = ed->fields; f != NULL; f = f->next) {
		bool more = f->next != NULL || ed->blank || (ed->edits->has_body && ed->edits->body_octets > 0);
		uint8_t *p;

		if (!more || f->text.n == 0 || f->text.p[f->text.n - 1] == '\n')
			continue;
		p = arena_alloc(&ed->arena, f->text.n + 1);
		if (p == NULL)
			return -1;
		memcpy(p, f->text.p, f->text.n);
		p[f->text.n] = '\n';
		f->text = span_of(p, f->text.n + 1);
	}
	return 0;
}

/* The first ${n} octets that are kept are the header. */
static int
header_whole(struct editor *ed, size_t n)
{
	struct span kept = buf_view(&ed->header);

	ed->odd = span_skip(kept, n);
	if (names_read(ed) != 0 || fields_read(ed, span_head(kept, n)) != 0)
		return -1;
	for (const struct edit *e = ed->edits->first; e != NULL; e = e->next)
		if (header_edit(ed, e) != 0)
			return -1;
	if (fields_end_lines(ed) != 0)
		return -1;
	ed->at = ed->fields;
	ed->step = EDITOR_FIELDS;
	return 0;
}

/* --- content in --- */

/* The line that is kept last is complete.  True: the header ended before it. */
static bool
line_odd(struct editor *ed)
{
	struct span line = span_skip(buf_view(&ed->header), ed->line);
	size_t name;

	if (line.p == NULL || line.n == 0)
		return false;
	if (field_blank(line.p[0]) ? ed->line == 0 : field_colon(line, &name) == 0)
		return true;
	ed->line += line.n;
	return false;
}

static int
header_put(struct editor *ed, struct span s)
{
	if (buf_put(&ed->header, s.p, s.n) == 0)
		return 0;
	errno = errno == ENOBUFS ? EMSGSIZE : errno;
	return -1;
}

/* Take lines of the header.  The empty line is not kept: it is written anew. */
static int
header_take(struct editor *ed, struct span *in)
{
	while (in->n > 0) {
		size_t n = line_length(*in);
		bool starts = ed->line == buf_len(&ed->header), whole = in->p[n - 1] == '\n';

		if (starts && in->p[0] == '\n') {
			*in = span_skip(*in, 1);
			ed->blank = true;
			return header_whole(ed, ed->line);
		}
		if (header_put(ed, span_head(*in, n)) != 0)
			return -1;
		*in = span_skip(*in, n);
		if (whole && line_odd(ed))
			return header_whole(ed, ed->line);
	}
	if (!ed->ended)
		return 0;
	(void)line_odd(ed);
	return header_whole(ed, ed->line);
}

/* --- content out --- */

static bool
body_replaced(const struct editor *ed)
{
	return ed->edits->has_body;
}

/* Whether an empty line is written.  Where there was none, there is one if somebody edited what it parts, as Postfix has it. */
static bool
empty_line(const struct editor *ed)
{
	if (ed->blank)
		return true;
	if (body_replaced(ed))
		return ed->edits->body_octets > 0 || ed->edits->body_cr;
	return ed->names != NULL && ed->odd.n > 0;
}

/* One piece, or none. */
static void
give(struct editor *ed, struct span *in, struct span *out)
{
	switch (ed->step) {
	case EDITOR_FIELDS:
		if (ed->at == NULL) {
			ed->step = EDITOR_BLANK;
			break;
		}
		*out = ed->at->text;
		ed->at = ed->at->next;
		break;
	case EDITOR_BLANK:
		if (empty_line(ed))
			*out = SPAN("\n");
		ed->step = body_replaced(ed) ? EDITOR_NEW_BODY : EDITOR_ODD;
		break;
	case EDITOR_ODD:
		*out = ed->odd;
		ed->step = EDITOR_BODY;
		break;
	case EDITOR_BODY:
		*out = *in;
		*in = span_skip(*in, in->n);
		break;
	case EDITOR_NEW_BODY:
		if (ed->chunk != NULL) {
			*out = ed->chunk->data;
			ed->chunk = ed->chunk->next;
		} else {
			if (ed->edits->body_cr)
				*out = SPAN("\r");
			ed->step = EDITOR_REST;
		}
		break;
	case EDITOR_REST:
		*in = span_skip(*in, in->n);
		break;
	case EDITOR_HEADER:
		break;
	}
}

int
editor_next(struct editor *ed, struct span *in, struct span *out)
{
	*out = (struct span){ NULL, 0 };
	if (ed->step == EDITOR_HEADER && header_take(ed, in) != 0)
		return -1;
	while (ed->step != EDITOR_HEADER) {
		bool last = ed->step == EDITOR_BODY || ed->step == EDITOR_REST;

		give(ed, in, out);
		if (out->n > 0)
			return 1;
		if (last)
			break;
	}
	return 0;
}
