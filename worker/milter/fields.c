/*
 * fields: lines are gathered until the next one shows that a field is over.
 */
#include "worker/milter/fields.h"

enum { AT_HEADER, AT_REST, AT_BODY, AT_LOST };

void
fields_init(struct fields *f)
{
	buf_init(&f->hold, FIELDS_ONE_MAX + 1);
	f->taken = f->colon = 0;
	f->at = AT_HEADER;
}

void
fields_fini(struct fields *f)
{
	buf_free(&f->hold);
}

/* The place of the colon if ${s} begins as a field does (RFC 5322 3.6.8, with 4.5's blank before the colon); 0: it does not. */
static size_t
colon_of(struct span s, size_t *name)
{
	size_t i = 0;

	while (i < s.n && s.p[i] > 0x20 && s.p[i] < 0x7f && s.p[i] != ':')
		i++;
	*name = i;
	while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t'))
		i++;
	return *name > 0 && i < s.n && s.p[i] == ':' ? i : 0;
}

/*
 * Whether what is held begins as a field does.  It is looked at once, not with
 * each line: a long name over many lines would cost their product.
 */
static bool
is_field(struct fields *f)
{
	if (f->colon == 0)
		f->colon = colon_of(buf_view(&f->hold), &f->name);
	return f->colon != 0;
}

/* All of the field ${s} is held: give it out. */
static void
cut(const struct fields *f, struct span s, struct span *name, struct span *value)
{
	*name = span_head(s, f->name);
	*value = span_skip(s, f->colon + 1);
	if (value->n > 0 && value->p[value->n - 1] == '\n')
		value->n--;
	if (value->n > 0 && value->p[value->n - 1] == '\r')
		value->n--;
}

static bool
empty_line(struct span s)
{
	return span_eq(s, SPAN("\n")) || span_eq(s, SPAN("\r\n"));
}

/* What is held is a whole field if another line begins behind it, or a line that is none. */
static enum fields_event
judge(struct fields *f, struct span *name, struct span *value)
{
	struct span s = buf_view(&f->hold);

	if (s.n == 0)
		return FIELDS_MORE;
	if (empty_line(s)) {
		f->taken = s.n;
		f->at = AT_BODY;
		return FIELDS_END;
	}
	if (!is_field(f)) {
		f->at = AT_REST;
		return FIELDS_END;
	}
	cut(f, s, name, value);
	f->taken = s.n;
	return FIELDS_FIELD;
}

/* Take a line of *in, or what is there of it.  True: it is complete. */
static bool
take_line(struct fields *f, struct span *in)
{
	const uint8_t *lf = memchr(in->p, '\n', in->n);
	size_t n = lf != NULL ? (size_t)(lf - in->p) + 1 : in->n;

	if (buf_put(&f->hold, in->p, n) != 0) {
		f->at = AT_LOST;
		return false;
	}
	*in = span_skip(*in, n);
	return lf != NULL;
}

static bool
line_ended(const struct fields *f)
{
	struct span s = buf_view(&f->hold);

	return s.n > 0 && s.p[s.n - 1] == '\n';
}

/* In the header, with *in not empty. */
static enum fields_event
header_next(struct fields *f, struct span *in, struct span *name, struct span *value)
{
	while (in->n > 0 && f->at == AT_HEADER) {
		/* A line that is held to its end is a field's. */
		if (line_ended(f) && in->p[0] != ' ' && in->p[0] != '\t')
			return judge(f, name, value);
		if (take_line(f, in) && (empty_line(buf_view(&f->hold)) || !is_field(f)))
			return judge(f, name, value);
	}
	return f->at == AT_LOST ? FIELDS_TOO_LONG : FIELDS_MORE;
}

static void
drop_taken(struct fields *f)
{
	if (f->taken == 0)
		return;
	buf_drop(&f->hold, f->taken);
	f->taken = f->colon = 0;
	if (f->at == AT_BODY)
		buf_free(&f->hold);
}

/* A line that was held and proved to be no field. */
static enum fields_event
give_rest(struct fields *f, struct span *value)
{
	*value = buf_view(&f->hold);
	f->taken = value->n;
	f->at = AT_BODY;
	return FIELDS_BODY;
}

enum fields_event
fields_next(struct fields *f, struct span *in, struct span *name, struct span *value)
{
	drop_taken(f);
	*name = *value = (struct span){ NULL, 0 };
	if (f->at == AT_LOST)
		return FIELDS_TOO_LONG;
	if (f->at == AT_REST)
		return give_rest(f, value);
	if (in->n == 0)
		return FIELDS_MORE;
	if (f->at == AT_HEADER)
		return header_next(f, in, name, value);
	*value = *in;
	*in = span_skip(*in, in->n);
	return FIELDS_BODY;
}

enum fields_event
fields_last(struct fields *f, struct span *name, struct span *value)
{
	enum fields_event ev;

	drop_taken(f);
	*name = *value = (struct span){ NULL, 0 };
	if (f->at == AT_LOST)
		return FIELDS_TOO_LONG;
	if (f->at == AT_REST)
		return give_rest(f, value);
	if (f->at == AT_BODY)
		return FIELDS_MORE;
	ev = judge(f, name, value);
	if (ev != FIELDS_MORE)
		return ev;
	/* A message that is all header. */
	f->at = AT_BODY;
	return FIELDS_END;
}
