/*
 * edit: the list of what handlers want changed, checked entry by entry.
 * How it is carried out is editor.c's part.  PURE.
 */
#include "worker/smtp/edit.h"

#include <errno.h>

#include "common/field.h"

enum { EDIT_CHUNK = 4096 }; /* octets of a new body's piece at the least: small ones are put together */

void
edits_init(struct edits *e, uint64_t body_max)
{
	uint64_t room;

	*e = (struct edits){ .body_max = body_max };
	/* Twice the body: a second handler may put its own in the place of the first one's. */
	if (__builtin_mul_overflow(body_max, 2, &room) || __builtin_add_overflow(room, 2 * EDIT_ROOM, &room))
		room = SIZE_MAX;
	arena_init(&e->arena, EDIT_FIRST, room);
	e->tail = &e->first;
	e->body_tail = &e->body;
	edits_mark(e);
}

void
edits_fini(struct edits *e)
{
	arena_reset(&e->arena);
}

void
edits_mark(struct edits *e)
{
	e->mark = e->tail;
	e->mark_n = e->n;
	e->mark_has_body = e->has_body;
	e->mark_body = e->body;
	e->mark_body_tail = e->body_tail;
	e->mark_octets = e->body_octets;
	e->mark_cr = e->body_cr;
}

bool
edits_since_mark(const struct edits *e)
{
	return e->n != e->mark_n || e->has_body != e->mark_has_body || e->body != e->mark_body ||
	    e->body_octets != e->mark_octets;
}

void
edits_rollback(struct edits *e)
{
	e->tail = e->mark;
	*e->tail = NULL;
	e->n = e->mark_n;
	e->has_body = e->mark_has_body;
	e->body = e->mark_body;
	e->body_tail = e->body != NULL ? e->mark_body_tail : &e->body;
	*e->body_tail = NULL;
	e->body_octets = e->mark_octets;
	e->body_cr = e->mark_cr;
}

static int
refuse(int error)
{
	errno = error;
	return -1;
}

/* Room for one more with ${octets} of its own, or NULL with errno. */
static struct edit *
edit_new(struct edits *e, enum edit_kind kind, size_t octets)
{
	struct edit *new;

	if (e->n == EDIT_MAX) {
		errno = E2BIG;
		return NULL;
	}
	octets += sizeof(*new);
	if (octets > EDIT_ROOM - e->held) {
		errno = EMSGSIZE;
		return NULL;
	}
	new = arena_alloc(&e->arena, sizeof(*new));
	if (new == NULL)
		return NULL;
	e->held += octets;
	new->kind = kind;
	new->by = e->by;
	return new;
}

static int
edit_put(struct edits *e, struct edit *new)
{
	*e->tail = new;
	e->tail = &new->next;
	e->n++;
	return 0;
}

/* RFC 5322 2.2: printable and no colon. */
static int
name_check(struct span name)
{
	if (name.n == 0)
		return refuse(EINVAL);
	if (name.n > EDIT_NAME_MAX)
		return refuse(EMSGSIZE);
	for (size_t i = 0; i < name.n; i++)
		if (!field_octet(name.p[i]))
			return refuse(EINVAL);
	return 0;
}

/* Octets of the line end at v.p[i]: 1 or 2, 0: there is none, -1: a CR that stands alone. */
static int
line_end(struct span v, size_t i)
{
	if (v.p[i] == '\n')
		return 1;
	if (v.p[i] != '\r')
		return 0;
	return i + 1 < v.n && v.p[i + 1] == '\n' ? 2 : -1;
}

/* A blank, or what becomes one: to ${mend} a value, a CR that stands alone is written as a space. */
static bool
blank_at(struct span v, size_t i, bool mend)
{
	return field_blank(v.p[i]) || (mend && line_end(v, i) < 0);
}

/* How many octets from ${i} on, behind a line end, are a continuation line of blanks alone; 0: it has more. */
static size_t
blank_line(struct span v, size_t i, bool mend)
{
	size_t n = 0;

	while (i + n < v.n && blank_at(v, i + n, mend))
		n++;
	return n > 0 && (i + n == v.n || line_end(v, i + n) > 0) ? n : 0;
}

/*
 * Behind a line end, at v.p[*i]: write a LF if a continuation follows.  One of
 * blanks alone is left out: a careless reader takes it for the header's end.
 * 0; 1: what follows is no continuation.
 */
static int
value_go_on(struct span v, size_t *i, bool mend, uint8_t *out, size_t *n)
{
	if (*i == v.n || !blank_at(v, *i, mend))
		return 1;
	if (blank_line(v, *i, mend) > 0)
		*i += blank_line(v, *i, mend);
	else
		out[(*n)++] = '\n';
	return 0;
}

/* Copy ${v} with LF before each continuation. */
static int
value_fold(struct span v, uint8_t *out, size_t *n)
{
	for (size_t i = 0; i < v.n;) {
		int end = v.p[i] == '\0' ? -1 : line_end(v, i);

		if (end < 0)
			return refuse(EINVAL);
		if (end == 0) {
			out[(*n)++] = v.p[i++];
			continue;
		}
		i += (size_t)end;
		if (value_go_on(v, &i, false, out, n) != 0)
			return refuse(EINVAL);
	}
	return 0;
}

/* The same of one that somebody else wrote, who has his own idea of it: a line that is no continuation becomes one. */
static int
value_mend(struct span v, uint8_t *out, size_t *n)
{
	for (size_t i = 0; i < v.n;) {
		int end = line_end(v, i);

		if (v.p[i] == '\0')
			return refuse(EINVAL);
		if (end <= 0) {
			out[(*n)++] = end == 0 ? v.p[i] : ' ';
			i++;
			continue;
		}
		i += (size_t)end;
		if (value_go_on(v, &i, true, out, n) != 0 && i < v.n && line_end(v, i) == 0) {
			out[(*n)++] = '\n';
			out[(*n)++] = '\t';
		}
	}
	return 0;
}

/* How a value is taken. */
enum value { VALUE_CHECKED, VALUE_MENDED, VALUE_MENDED_BLANK };

static int
value_take(struct edits *e, struct span value, enum value how, struct span *out)
{
	size_t n = 0;
	uint8_t *copy;

	if (value.n > EDIT_VALUE_MAX)
		return refuse(EMSGSIZE);
	copy = arena_alloc(&e->arena, 1 + value.n + (how == VALUE_CHECKED ? 0 : value.n));
	if (copy == NULL)
		return -1;
	if (how == VALUE_CHECKED ? value.n == 0 || !field_blank(value.p[0]) : how == VALUE_MENDED_BLANK)
		copy[n++] = ' ';
	if ((how == VALUE_CHECKED ? value_fold : value_mend)(value, copy, &n) != 0)
		return -1;
	*out = span_of(copy, n);
	return 0;
}

/* With ${value} NULL there is none. */
static int
edit_header(
    struct edits *e, enum edit_kind kind, uint32_t index, struct span name, const struct span *value, enum value how)
{
	struct edit *new;

	if (name_check(name) != 0)
		return -1;
	new = edit_new(e, kind, name.n + (value != NULL && value->n <= EDIT_VALUE_MAX ? value->n : 0));
	if (new == NULL || arena_dup(&e->arena, name, &new->name) != 0)
		return -1;
	new->index = index;
	if (value != NULL && value_take(e, *value, how, &new->value) != 0)
		return -1;
	return edit_put(e, new);
}

int
edit_as_said(struct edits *e, enum edit_kind kind, uint32_t index, struct span name, struct span value, bool blank)
{
	return edit_header(e, kind, index, name, &value, blank ? VALUE_MENDED_BLANK : VALUE_MENDED);
}

int
edit_add_header(struct edits *e, struct span name, struct span value)
{
	return edit_header(e, EDIT_ADD_HEADER, 0, name, &value, VALUE_CHECKED);
}

int
edit_insert_header(struct edits *e, uint32_t at, struct span name, struct span value)
{
	return edit_header(e, EDIT_INSERT_HEADER, at, name, &value, VALUE_CHECKED);
}

int
edit_change_header(struct edits *e, struct span name, uint32_t index, struct span value)
{
	if (index == 0)
		return refuse(EINVAL);
	return value.n == 0 ? edit_delete_header(e, name, index)
			    : edit_header(e, EDIT_CHANGE_HEADER, index, name, &value, VALUE_CHECKED);
}

int
edit_delete_header(struct edits *e, struct span name, uint32_t index)
{
	return index == 0 ? refuse(EINVAL) : edit_header(e, EDIT_DELETE_HEADER, index, name, NULL, VALUE_CHECKED);
}

int
edit_body(struct edits *e)
{
	e->has_body = true;
	e->body = NULL;
	e->body_tail = &e->body;
	e->body_octets = 0;
	e->body_cr = false;
	return 0;
}

/* The last piece, if it has room and was begun after the mark: what stands before the mark must not grow. */
static struct edit_chunk *
chunk_open(const struct edits *e)
{
	struct edit_chunk *last = e->body;

	if (last == NULL || e->body_tail == e->mark_body_tail)
		return NULL;
	last = (struct edit_chunk *)((char *)e->body_tail - offsetof(struct edit_chunk, next));
	return last->data.n < last->cap ? last : NULL;
}

static struct edit_chunk *
chunk_new(struct edits *e, size_t n)
{
	struct edit_chunk *c = arena_alloc(&e->arena, sizeof(*c));
	size_t cap = n < EDIT_CHUNK ? EDIT_CHUNK : n;

	if (c == NULL)
		return NULL;
	c->base = arena_alloc(&e->arena, cap);
	if (c->base == NULL)
		return NULL;
	c->cap = cap;
	c->data = span_of(c->base, 0);
	*e->body_tail = c;
	e->body_tail = &c->next;
	return c;
}

static int
chunk_put(struct edits *e, struct span s)
{
	while (s.n > 0) {
		struct edit_chunk *c = chunk_open(e);
		size_t n;

		if (c == NULL && (c = chunk_new(e, s.n)) == NULL)
			return -1;
		n = c->cap - c->data.n < s.n ? c->cap - c->data.n : s.n;
		memcpy(c->base + c->data.n, s.p, n);
		c->data.n += n;
		e->body_octets += n;
		s = span_skip(s, n);
	}
	return 0;
}

int
edit_body_more(struct edits *e, struct span octets)
{
	static const struct span cr = SPAN("\r");

	if (!e->has_body)
		return refuse(EINVAL);
	if (octets.n > e->body_max - e->body_octets)
		return refuse(EMSGSIZE);
	while (octets.n > 0) {
		const uint8_t *at = memchr(octets.p, '\r', octets.n);
		size_t run = at != NULL ? (size_t)(at - octets.p) : octets.n;

		if (e->body_cr && octets.p[0] != '\n' && chunk_put(e, cr) != 0)
			return -1;
		e->body_cr = at != NULL;
		if (chunk_put(e, span_head(octets, run)) != 0)
			return -1;
		octets = span_skip(octets, run + (at != NULL));
	}
	return 0;
}

/* "<a@b>", "a@b", and for the sender also "<>" and "". */
static int
address_take(struct edits *e, struct span text, unsigned flags, struct addr *out)
{
	ssize_t n;

	if (text.n == 0 && (flags & ADDR_REVERSE) != 0) {
		*out = (struct addr){ .is_null = true };
		return 0;
	}
	if (text.n > 0 && text.p[0] == '<') {
		n = addr_parse(text, flags, &e->arena, out);
		if (n >= 0)
			return (size_t)n == text.n ? 0 : refuse(EINVAL);
	} else {
		n = addr_parse_bare(text, flags, &e->arena, out);
		if (n == 0)
			return 0;
	}
	return refuse(n == ADDR_ENOMEM ? ENOMEM : n == ADDR_ELONG ? EMSGSIZE : EINVAL);
}

static int
edit_address(struct edits *e, enum edit_kind kind, struct span address, unsigned flags)
{
	struct edit *new = edit_new(e, kind, address.n <= 2 * ADDR_MAX ? address.n : 0);

	if (new == NULL || address_take(e, address, flags, &new->addr) != 0)
		return -1;
	return edit_put(e, new);
}

int
edit_add_rcpt(struct edits *e, struct span address)
{
	return edit_address(e, EDIT_ADD_RCPT, address, ADDR_UTF8 | ADDR_POSTMASTER);
}

int
edit_delete_rcpt(struct edits *e, struct span address)
{
	return edit_address(e, EDIT_DELETE_RCPT, address, ADDR_UTF8 | ADDR_POSTMASTER);
}

int
edit_sender(struct edits *e, struct span address)
{
	return edit_address(e, EDIT_SENDER, address, ADDR_UTF8 | ADDR_REVERSE);
}

/* What is a folder in every Maildir++ reader and no way out of the mailbox. */
static bool
folder_ok(struct span f)
{
	for (size_t i = 0; i < f.n; i++) {
		uint8_t c = f.p[i];
		bool word =
		    (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';

		if (!word && !(c == '.' && i > 0 && i + 1 < f.n && f.p[i - 1] != '.'))
			return false;
	}
	return true;
}

int
edit_folder(struct edits *e, struct span folder)
{
	return edit_folder_why(e, folder, (struct span){ NULL, 0 });
}

int
edit_folder_why(struct edits *e, struct span folder, struct span why)
{
	struct edit *new;

	if (folder.n > EDIT_FOLDER_MAX)
		return refuse(EMSGSIZE);
	if (!folder_ok(folder))
		return refuse(EINVAL);
	why = span_head(why, why.n < EDIT_WHY_MAX ? why.n : EDIT_WHY_MAX);
	new = edit_new(e, EDIT_FOLDER, folder.n + why.n);
	if (new == NULL || arena_dup(&e->arena, folder, &new->value) != 0 || arena_dup(&e->arena, why, &new->name) != 0)
		return -1;
	return edit_put(e, new);
}

int
edit_aside(struct edits *e, const struct addr *rcpt, const struct reply *reply)
{
	struct edit *new;

	if (reply != NULL && reply->code < 400)
		return refuse(EINVAL);
	new = edit_new(e, EDIT_ASIDE, rcpt->local.n + rcpt->domain.n + (reply != NULL ? sizeof(*reply) : 0));
	if (new == NULL)
		return -1;
	new->addr = *rcpt;
	if (arena_dup(&e->arena, rcpt->local, &new->addr.local) != 0 ||
	    arena_dup(&e->arena, rcpt->domain, &new->addr.domain) != 0)
		return -1;
	if (reply != NULL) {
		new->reply = arena_alloc(&e->arena, sizeof(*reply));
		if (new->reply == NULL)
			return -1;
		*new->reply = *reply;
	}
	return edit_put(e, new);
}
