/*
 * fields: lines are gathered until the next one shows that a field is over.
 */
#include "worker/milter/fields.h"

#include "common/field.h"

enum { AT_HEADER, AT_REST, AT_BODY, AT_LOST };

void
fields_init(struct fields *f)
{
	buf_init(&f->hold, FIELDS_HOLD_MAX);
	f->taken = f->colon = 0;
	f->eol = false;
	f->at = AT_HEADER;
}

void
fields_fini(struct fields *f)
{
	buf_free(&f->hold);
}

/*
 * Whether what is held begins as a field does.  It is looked at once, not with
 * each line: a long name over many lines would cost their product.
 */
static bool
is_field(struct fields *f)
{
	if (f->colon == 0)
		f->colon = field_colon(buf_view(&f->hold), &f->name);
	return f->colon != 0;
}

/* ${s} without its last line end. */
static struct span
unended(struct span s)
{
	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

/*
 * What is shown of the field ${s}: whole lines up to FIELDS_ONE_MAX octets, a CRLF
 * counting as one, or that many octets if lines would leave more than a tenth of
 * them out.
 */
static struct span
shown(struct span s)
{
	size_t at = 0, n = 0, whole = 0;

	if (s.n <= FIELDS_ONE_MAX)
		return unended(s);
	while (at < s.n) {
		const uint8_t *lf = memchr(s.p + at, '\n', s.n - at);
		struct span line = span_of(s.p + at, lf != NULL ? (size_t)(lf - s.p) + 1 - at : s.n - at);
		struct span text = unended(line);

		if (text.n > FIELDS_ONE_MAX - n) {
			if (n < FIELDS_ONE_MAX / 10 * 9)
				whole = at + FIELDS_ONE_MAX - n;
			break;
		}
		at += line.n;
		whole = at;
		n += text.n + (lf != NULL);
		if (n > FIELDS_ONE_MAX)
			break;
	}
	return unended(span_head(s, whole));
}

/* All of the field ${s} is held, or all that is shown of it: give it out. */
static void
cut(const struct fields *f, struct span s, struct span *name, struct span *value)
{
	s = shown(s);
	*name = span_head(s, f->name < s.n ? f->name : s.n);
	*value = span_skip(s, f->colon < s.n ? f->colon + 1 : s.n);
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
	size_t n = lf != NULL ? (size_t)(lf - in->p) + 1 : in->n, kept = n;

	if (f->colon != 0 && kept > buf_left(&f->hold))
		kept = buf_left(&f->hold); /* nobody is shown the rest */
	if (buf_put(&f->hold, in->p, kept) != 0) {
		f->at = AT_LOST;
		return false;
	}
	*in = span_skip(*in, n);
	f->eol = lf != NULL;
	return lf != NULL;
}

/* In the header, with *in not empty. */
static enum fields_event
header_next(struct fields *f, struct span *in, struct span *name, struct span *value)
{
	while (in->n > 0 && f->at == AT_HEADER) {
		/* A line that is held to its end is a field's. */
		if (f->eol && buf_len(&f->hold) > 0 && !field_blank(in->p[0]))
			return judge(f, name, value);
		if (take_line(f, in) && (empty_line(buf_view(&f->hold)) || !is_field(f)))
			return judge(f, name, value);
	}
	return f->at == AT_LOST ? FIELDS_LOST : FIELDS_MORE;
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
		return FIELDS_LOST;
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
		return FIELDS_LOST;
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
