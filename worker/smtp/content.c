/*
 * content: the header of a message, octet by octet only where it must be.
 * At the start of a line octets are held until it is known whether the field
 * is to be dropped; the rest of a field is looked through for its line ends,
 * and the body is passed on as it comes.  Changes nothing in what it keeps.
 */
#include "worker/smtp/content.h"

#include "common/addr.h"
#include "common/field.h"
#include "worker/smtp/authserv.h"

enum { CONTENT_VALUE_MAX = ADDR_TEXT_MAX + 32 }; /* octets of a Delivered-To value that are looked at */

enum state {
	AT_NAME,        /* at the start of a line, or in a name that may be one of ours */
	AT_SPACE,       /* behind such a name and white space: a colon may follow (RFC 5322 4.5) */
	AT_ID,          /* in Authentication-Results, the authserv-id not yet read */
	AT_OTHER,       /* in a name that is none of ours */
	AT_OTHER_SPACE, /* ... and behind it */
	AT_KEPT,        /* in a field that is kept */
	AT_KEPT_EOL,    /* behind its line end: a space or tab continues it */
	AT_DROPPED,
	AT_DROPPED_EOL,
	AT_LOOSE, /* in a line behind the header's end, while no empty line has come */
	AT_LOOSE_EOL,
	AT_BODY
};

enum field { FIELD_RETURN_PATH, FIELD_AUTHRES, FIELD_RECEIVED, FIELD_DELIVERED_TO, FIELD_N };

static const struct span field_name[FIELD_N] = {
	[FIELD_RETURN_PATH] = { (const uint8_t *)"return-path", 11 },
	[FIELD_AUTHRES] = { (const uint8_t *)"authentication-results", 22 },
	[FIELD_RECEIVED] = { (const uint8_t *)"received", 8 },
	[FIELD_DELIVERED_TO] = { (const uint8_t *)"delivered-to", 12 },
};

struct delivered {
	struct delivered *next;
	struct span local, domain; /* as an address; domain empty and local all of the value if it is none */
};

struct content {
	struct arena *arena;
	struct span authserv;
	struct delivered *delivered;
	struct authserv_scan scan;
	enum state state;
	unsigned alive; /* AT_NAME: bit i: the name may be field_name[i] */
	unsigned received, ndelivered;
	bool eol;     /* AT_ID: the last octet was a LF */
	bool field;   /* a field was seen: a line that begins with a blank goes on with one */
	bool over;    /* the header ended, and not with an empty line */
	bool part;    /* an empty line goes out in front of what is held */
	bool flush;   /* hold[] was handed out and is free at the next call */
	bool collect; /* AT_KEPT: in Delivered-To, into value[] */
	size_t nhold, nvalue;
	uint8_t *hold;
	uint8_t room[CONTENT_ADDED_MAX + CONTENT_HOLD_MAX]; /* an empty line, and behind it what is held */
	uint8_t value[CONTENT_VALUE_MAX];
};

struct content *
content_new(struct arena *a, const char *authserv)
{
	struct content *c = arena_alloc(a, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->arena = a;
	c->authserv = span_str(authserv);
	c->alive = (1U << FIELD_N) - 1;
	memcpy(c->room, "\r\n", CONTENT_ADDED_MAX);
	c->hold = c->room + CONTENT_ADDED_MAX;
	return c;
}

/* Behind the header's end nothing counts that is not the receiver's own. */
static void
line_start(struct content *c)
{
	c->state = AT_NAME;
	c->alive = c->over ? 1U << FIELD_RETURN_PATH | 1U << FIELD_AUTHRES : (1U << FIELD_N) - 1;
}

/* The line is no field: the header ended before it. */
static void
header_over(struct content *c)
{
	c->over = true;
	c->state = AT_LOOSE;
}

/* --- Delivered-To --- */

static void
collect(struct content *c, struct span s)
{
	for (size_t i = 0; i < s.n && c->nvalue < sizeof(c->value); i++)
		if (s.p[i] != '\r' && s.p[i] != '\n')
			c->value[c->nvalue++] = s.p[i];
}

/* Its field is complete.  A value that fills all the room was cut or is no address: not noted. */
static void
note_delivered(struct content *c)
{
	struct span v = span_of(c->value, c->nvalue);
	const unsigned flags = ADDR_UTF8;
	struct delivered *d;
	struct addr a;

	c->collect = false;
	while (v.n > 0 && field_blank(v.p[0]))
		v = span_skip(v, 1);
	while (v.n > 0 && field_blank(v.p[v.n - 1]))
		v.n--;
	if (v.n == 0 || c->nvalue == sizeof(c->value) || c->ndelivered == CONTENT_DELIVERED_MAX)
		return;
	d = arena_alloc(c->arena, sizeof(*d));
	if (d == NULL)
		return;
	if (addr_parse_bare(v, flags, c->arena, &a) == 0 || addr_parse(v, flags, c->arena, &a) == (ssize_t)v.n) {
		d->local = a.local;
		d->domain = a.domain;
	} else if (arena_dup(c->arena, v, &d->local) != 0) {
		return;
	}
	d->next = c->delivered;
	c->delivered = d;
	c->ndelivered++;
}

/* --- the start of a line: each function takes an octet (it is held then), or leaves it to the state it went to --- */

/* What is held is kept, and so is the rest of the field. */
static void
keep(struct content *c)
{
	if (c->over)
		c->state = c->eol ? AT_LOOSE_EOL : AT_LOOSE;
	else
		c->state = c->eol ? AT_KEPT_EOL : AT_KEPT;
	c->eol = false;
}

/* Nothing of a body is dropped: an empty line makes it one for every reader. */
static void
drop(struct content *c)
{
	if (c->over) {
		c->state = AT_BODY;
		c->part = true;
		return;
	}
	c->state = c->eol ? AT_DROPPED_EOL : AT_DROPPED;
	c->eol = false;
	c->nhold = 0;
}

/* The colon behind a name of ours. */
static bool
take_colon(struct content *c, enum field f)
{
	c->field = true;
	switch (f) {
	case FIELD_RETURN_PATH:
		drop(c);
		return false;
	case FIELD_AUTHRES:
		authserv_init(&c->scan, c->authserv);
		c->state = AT_ID;
		break;
	case FIELD_RECEIVED:
		if (c->received < CONTENT_RECEIVED_MAX)
			c->received++;
		keep(c);
		break;
	case FIELD_DELIVERED_TO:
		c->collect = true;
		c->nvalue = 0;
		keep(c);
		break;
	case FIELD_N:
		break;
	}
	return true;
}

/* The field whose whole name is held, or FIELD_N. */
static enum field
whole_name(const struct content *c)
{
	for (enum field f = 0; f < FIELD_N; f++)
		if ((c->alive >> f & 1) != 0 && field_name[f].n == c->nhold)
			return f;
	return FIELD_N;
}

/* A line's first octet, when it decides.  True: it does. */
static bool
judge_first(struct content *c, uint8_t ch)
{
	if (field_blank(ch) && !c->over && !c->field) {
		/* Behind our trace lines it would go on with the last of them. */
		c->state = AT_BODY;
		c->part = true;
		return true;
	}
	if (!field_octet(ch) && ch != '\r' && ch != '\n') {
		header_over(c);
		return true;
	}
	return false;
}

static bool
take_name(struct content *c, uint8_t ch)
{
	size_t n = c->nhold;
	bool cr = n == 1 && c->hold[0] == '\r';
	enum field f = whole_name(c);

	if (n == 0 && judge_first(c, ch))
		return false;
	if (ch == '\n' && (n == 0 || cr)) {
		c->state = AT_BODY;
		return true;
	}
	if (cr) {
		header_over(c);
		return false;
	}
	if (ch == '\r' && n == 0)
		return true;
	if (f != FIELD_N && ch == ':')
		return take_colon(c, f);
	if (f != FIELD_N && field_blank(ch)) {
		c->alive = 1U << f;
		c->state = AT_SPACE;
		return true;
	}
	for (f = 0; f < FIELD_N; f++)
		if (n >= field_name[f].n || field_name[f].p[n] != ascii_lower(ch))
			c->alive &= ~(1U << f);
	if (c->alive == 0)
		c->state = c->over ? AT_LOOSE : AT_OTHER;
	return c->alive != 0;
}

static bool
take_space(struct content *c, uint8_t ch)
{
	enum field f = 0;

	while (c->alive != 1U << f)
		f++;
	if (ch == ':')
		return take_colon(c, f);
	if (!field_blank(ch)) {
		header_over(c);
		return false;
	}
	if (c->nhold < CONTENT_HOLD_MAX)
		return true;
	if (f == FIELD_RETURN_PATH || f == FIELD_AUTHRES) {
		c->field = true;
		drop(c);
	} else {
		c->state = AT_OTHER_SPACE;
	}
	return false;
}

static bool
take_id(struct content *c, uint8_t ch)
{
	enum authserv is = c->eol && !field_blank(ch) ? authserv_end(&c->scan) : authserv_feed(&c->scan, ch);

	if (is == AUTHSERV_MORE && c->nhold < CONTENT_HOLD_MAX) {
		c->eol = ch == '\n';
		return true;
	}
	if (is == AUTHSERV_OTHER)
		keep(c);
	else
		drop(c);
	return false;
}

static bool
holding(const struct content *c)
{
	return c->state == AT_NAME || c->state == AT_SPACE || c->state == AT_ID;
}

static void
hold(struct content *c, struct span *in)
{
	while (in->n > 0 && holding(c)) {
		uint8_t ch = in->p[0];
		bool taken = c->state == AT_NAME ? take_name(c, ch)
		    : c->state == AT_SPACE       ? take_space(c, ch)
						 : take_id(c, ch);

		if (taken) {
			c->hold[c->nhold++] = ch;
			*in = span_skip(*in, 1);
		}
	}
}

/* --- the rest of a field --- */

/* Octets of ${s} up to its first LF, which counts, or all. */
static size_t
to_eol(struct span s)
{
	const uint8_t *lf = memchr(s.p, '\n', s.n);

	return lf != NULL ? (size_t)(lf - s.p) + 1 : s.n;
}

/* Octets of ${s} that belong to a name which is none of ours, or to the blanks behind it. */
static size_t
pass_name(struct content *c, struct span s)
{
	size_t i = 0;

	while (c->state == AT_OTHER && i < s.n && field_octet(s.p[i]))
		i++;
	if (i == s.n)
		return i;
	c->state = AT_OTHER_SPACE;
	while (i < s.n && field_blank(s.p[i]))
		i++;
	if (i == s.n)
		return i;
	if (s.p[i] == ':') {
		c->field = true;
		c->state = AT_KEPT;
	} else {
		header_over(c);
	}
	return i;
}

/* Octets of ${s} to the end of a line, where the state becomes ${eol}. */
static size_t
pass_line(struct content *c, struct span s, enum state eol)
{
	size_t n = to_eol(s);

	if (c->collect)
		collect(c, span_head(s, n));
	if (s.p[n - 1] == '\n')
		c->state = eol;
	return n;
}

/* Behind the line end of a field: whether it goes on. */
static void
pass_eol(struct content *c, uint8_t ch)
{
	if (field_blank(ch)) {
		c->state = AT_KEPT;
		return;
	}
	if (c->collect)
		note_delivered(c);
	line_start(c);
}

/* Octets of ${s} that are kept before octets must be held, or the body begins. */
static size_t
pass(struct content *c, struct span s)
{
	size_t i = 0;

	while (i < s.n) {
		struct span rest = span_skip(s, i);

		if (c->state == AT_KEPT)
			i += pass_line(c, rest, AT_KEPT_EOL);
		else if (c->state == AT_KEPT_EOL)
			pass_eol(c, s.p[i]);
		else if (c->state == AT_OTHER || c->state == AT_OTHER_SPACE)
			i += pass_name(c, rest);
		else if (c->state == AT_LOOSE)
			i += pass_line(c, rest, AT_LOOSE_EOL);
		else if (c->state == AT_LOOSE_EOL)
			line_start(c);
		else
			break;
	}
	return i;
}

static void
skip_dropped(struct content *c, struct span *in)
{
	size_t n;

	if (c->state == AT_DROPPED_EOL) {
		if (field_blank(in->p[0]))
			c->state = AT_DROPPED;
		else
			line_start(c);
		return;
	}
	n = to_eol(*in);
	if (in->p[n - 1] == '\n')
		c->state = AT_DROPPED_EOL;
	*in = span_skip(*in, n);
}

/* What was held goes out, behind the empty line if there is to be one. */
static struct span
give_held(struct content *c)
{
	size_t more = c->part ? CONTENT_ADDED_MAX : 0;

	c->part = false;
	c->flush = true;
	return span_of(c->hold - more, c->nhold + more);
}

bool
content_next(struct content *c, struct span *in, struct span *out)
{
	size_t n;

	*out = (struct span){ NULL, 0 };
	if (c->flush) {
		c->nhold = 0;
		c->flush = false;
	}
	while (in->n > 0 && out->n == 0) {
		if (holding(c)) {
			hold(c, in);
			if (!holding(c) && (c->nhold > 0 || c->part))
				*out = give_held(c);
		} else if (c->state == AT_DROPPED || c->state == AT_DROPPED_EOL) {
			skip_dropped(c, in);
		} else {
			n = c->state == AT_BODY ? in->n : pass(c, *in);
			*out = span_head(*in, n);
			*in = span_skip(*in, n);
		}
	}
	return out->n > 0;
}

bool
content_end(struct content *c, struct span *out)
{
	if (c->flush)
		c->nhold = 0;
	else if (c->state == AT_ID && authserv_end(&c->scan) == AUTHSERV_OURS)
		drop(c);
	if (c->collect)
		note_delivered(c);
	*out = give_held(c);
	c->state = AT_BODY;
	return out->n > 0;
}

unsigned
content_received(const struct content *c)
{
	return c->received;
}

bool
content_delivered_to(const struct content *c, struct span key)
{
	for (const struct delivered *d = c->delivered; d != NULL; d = d->next) {
		struct span rest;

		if (key.n < d->local.n || !span_caseeq(span_head(key, d->local.n), d->local))
			continue;
		rest = span_skip(key, d->local.n);
		if (d->domain.n == 0 && rest.n == 0)
			return true;
		if (d->domain.n > 0 && rest.n > 0 && rest.p[0] == '@' && span_caseeq(span_skip(rest, 1), d->domain))
			return true;
	}
	return false;
}
