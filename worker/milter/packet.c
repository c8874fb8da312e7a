/*
 * packet: octets in, values out, and back.
 * Reading takes lengths as claims: each is held against what is there before
 * it is used.  Nothing is fixed up but the '%' of reply texts.
 */
#include "worker/milter/packet.h"

#include <errno.h>

#include "common/scan.h"

/* --- reading --- */

static uint32_t
be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

ssize_t
milter_frame(struct span in, size_t max, uint8_t *cmd, struct span *data)
{
	uint32_t n;

	if (in.n < 4)
		return MILTER_FRAME_MORE;
	n = be32(in.p); /* with the octet of the command */
	if (n == 0 || n - 1 > max)
		return MILTER_FRAME_BAD;
	if (in.n - 4 < n)
		return MILTER_FRAME_MORE;
	*cmd = in.p[4];
	*data = span_of(in.p + MILTER_HEAD, n - 1);
	return (ssize_t)n + 4;
}

static bool
take_u32(struct span *s, uint32_t *v)
{
	if (s->n < 4)
		return false;
	*v = be32(s->p);
	*s = span_skip(*s, 4);
	return true;
}

static bool
take_string(struct span *s, struct span *out)
{
	const uint8_t *end = s->n > 0 ? memchr(s->p, 0, s->n) : NULL;

	if (end == NULL)
		return false;
	*out = span_of(s->p, (size_t)(end - s->p));
	*s = span_skip(*s, out->n + 1);
	return true;
}

static int
no(const char **why, const char *word)
{
	*why = word;
	return -1;
}

int
milter_options_parse(struct span data, struct milter_options *o, const char **why)
{
	*o = (struct milter_options){ .version = 0 };
	if (!take_u32(&data, &o->version) || !take_u32(&data, &o->actions) || !take_u32(&data, &o->steps))
		return no(why, "options-too-short");
	if (o->version < MILTER_VERSION_MIN || o->version > MILTER_VERSION)
		return no(why, "another-version");
	if ((o->actions & ~(uint32_t)MILTER_F_ALL) != 0 || (o->steps & ~(uint32_t)MILTER_P_ALL) != 0)
		return no(why, "more-than-offered");
	if (data.n > 0 && (o->actions & MILTER_F_SETSYMLIST) == 0)
		return no(why, "symbols-without-flag");
	while (data.n > 0) {
		uint32_t stage;
		struct span list;

		if (!take_u32(&data, &stage) || !take_string(&data, &list))
			return no(why, "symbols-cut");
		if (stage >= MILTER_M_N || list.n > MILTER_SYMBOLS_MAX || scan_printable(list.p, list.n) < list.n)
			return no(why, "symbols-malformed");
		o->symbols[stage] = list;
	}
	return 0;
}

/* A field's name (RFC 5322 2.2). */
static bool
name_ok(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || s.p[i] == ':')
			return false;
	return s.n > 0 && s.n <= MILTER_NAME_MAX;
}

/* An address or its parameters; whether it is one is for common/addr to say. */
static bool
line_ok(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

static int
parse_header(struct span data, bool indexed, struct milter_reply *r, const char **why)
{
	if (indexed && !take_u32(&data, &r->index))
		return no(why, "header-without-index");
	if (!take_string(&data, &r->name) || !take_string(&data, &r->value))
		return no(why, "header-without-end");
	if (data.n > 0)
		return no(why, "header-with-more");
	if (r->index > MILTER_HEADERS_MAX)
		return no(why, "header-index");
	if (!name_ok(r->name))
		return no(why, "header-name");
	return 0;
}

static int
parse_address(struct span data, bool params, struct milter_reply *r, const char **why)
{
	if (!take_string(&data, &r->name))
		return no(why, "address-without-end");
	if (params && data.n > 0 && !take_string(&data, &r->value))
		return no(why, "parameters-without-end");
	if (data.n > 0)
		return no(why, "address-with-more");
	if (r->name.n == 0 || !line_ok(r->name) || !line_ok(r->value))
		return no(why, "address-malformed");
	return 0;
}

/* A text whose NUL some leave out. */
static int
parse_text(struct span data, struct milter_reply *r, const char **why)
{
	if (data.n > 0 && data.p[data.n - 1] == 0)
		data.n--;
	if (data.n > 0 && memchr(data.p, 0, data.n) != NULL)
		return no(why, "text-with-nul");
	r->value = data;
	return 0;
}

int
milter_reply_parse(uint8_t cmd, struct span data, struct milter_reply *r, const char **why)
{
	*r = (struct milter_reply){ .what = (enum milter_answer)cmd };
	switch (cmd) {
	case MILTER_R_SHUTDOWN:
	case MILTER_R_ACCEPT:
	case MILTER_R_CONTINUE:
	case MILTER_R_DISCARD:
	case MILTER_R_CONN_FAIL:
	case MILTER_R_PROGRESS:
	case MILTER_R_REJECT:
	case MILTER_R_SKIP:
	case MILTER_R_TEMPFAIL:
		return data.n == 0 ? 0 : no(why, "answer-with-data");
	case MILTER_R_ADDRCPT:
	case MILTER_R_DELRCPT:
		return parse_address(data, false, r, why);
	case MILTER_R_ADDRCPT_PAR:
	case MILTER_R_CHGFROM:
		return parse_address(data, true, r, why);
	case MILTER_R_ADDHEADER:
		return parse_header(data, false, r, why);
	case MILTER_R_INSHEADER:
	case MILTER_R_CHGHEADER:
		return parse_header(data, true, r, why);
	case MILTER_R_REPLBODY:
		r->value = data;
		return 0;
	case MILTER_R_QUARANTINE:
	case MILTER_R_REPLYCODE:
		return parse_text(data, r, why);
	default:
		return no(why, "unknown-answer");
	}
}

/* --- reply codes --- */

static bool
digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* One to three digits and ${end}, or nothing. */
static bool
take_number(struct span *s, uint8_t end, uint32_t *v)
{
	size_t i = 0;

	*v = 0;
	while (i < s->n && i < 3 && digit(s->p[i]))
		*v = *v * 10 + s->p[i++] - '0';
	if (i == 0 || i == s->n || s->p[i] != end)
		return false;
	*s = span_skip(*s, i + 1);
	return true;
}

/* An enhanced code with its space, if one stands there. */
static uint32_t
take_enhanced(struct span *s)
{
	struct span t = *s;
	uint32_t c, j, d;

	if (!take_number(&t, '.', &c) || !take_number(&t, '.', &j))
		return 0;
	if (!take_number(&t, ' ', &d)) {
		/* It may be all of the line. */
		d = 0;
		for (size_t i = 0; i < t.n; i++) {
			if (!digit(t.p[i]) || i == 3)
				return 0;
			d = d * 10 + t.p[i] - '0';
		}
		if (t.n == 0)
			return 0;
		t = span_skip(t, t.n);
	}
	if (c != 4 && c != 5)
		return 0;
	*s = t;
	return ENH(c, j, d);
}

/* A line of the reply without its end; *last: it has a space (or nothing) behind its code. */
static int
take_line(struct span *s, struct span *line, uint16_t *code, bool *last)
{
	const uint8_t *lf = memchr(s->p, '\n', s->n);
	size_t n = lf != NULL ? (size_t)(lf - s->p) : s->n;

	*line = span_head(*s, n);
	*s = span_skip(*s, lf != NULL ? n + 1 : n);
	if (lf != NULL && n > 0 && line->p[n - 1] == '\r')
		line->n--;
	if (line->n < 3 || !digit(line->p[0]) || !digit(line->p[1]) || !digit(line->p[2]))
		return -1;
	if (line->n > 3 && line->p[3] != ' ' && line->p[3] != '-')
		return -1;
	*code = (uint16_t)((line->p[0] - '0') * 100 + (line->p[1] - '0') * 10 + line->p[2] - '0');
	*last = line->n == 3 || line->p[3] == ' ';
	*line = span_skip(*line, line->n == 3 ? 3 : 4);
	return 0;
}

/* Add a line's text, with its '%' as a format has it. */
static void
add_text(struct span line, char *text, size_t *n)
{
	if (*n > 0 && *n < REPLY_TEXT_MAX && line.n > 0)
		text[(*n)++] = '\n';
	for (size_t i = 0; i < line.n && *n < REPLY_TEXT_MAX; i++) {
		if (line.p[i] == '%') {
			if (i + 1 == line.n || line.p[i + 1] != '%')
				continue;
			i++;
		}
		text[(*n)++] = line.p[i] == '\t' ? ' ' : (char)line.p[i];
	}
}

/* ${text}: lines with LF between. */
static void
set_lines(struct reply *r, uint16_t code, uint32_t enh, struct span text)
{
	const uint8_t *lf = memchr(text.p, '\n', text.n);
	size_t n = lf != NULL ? (size_t)(lf - text.p) : text.n;

	reply_set(r, code, enh, "milter", "%.*s", (int)n, (const char *)text.p);
	while (n < text.n) {
		text = span_skip(text, n + 1);
		lf = memchr(text.p, '\n', text.n);
		n = lf != NULL ? (size_t)(lf - text.p) : text.n;
		reply_add_line(r, span_head(text, n));
	}
}

int
milter_code_parse(struct span value, struct reply *r, const char **why)
{
	char text[REPLY_TEXT_MAX];
	size_t n = 0;
	uint32_t enh = 0;
	uint16_t code = 0;
	bool last = false;

	if (value.n == 0)
		return no(why, "reply-empty");
	while (value.n > 0) {
		struct span line;
		uint16_t c;
		uint32_t e;

		if (last || take_line(&value, &line, &c, &last) != 0 || (code != 0 && c != code))
			return no(why, "reply-malformed");
		code = c;
		e = take_enhanced(&line);
		enh = enh == 0 ? e : enh;
		add_text(line, text, &n);
	}
	if (!last || code < 400 || code > 599)
		return no(why, "reply-malformed");
	if (enh == 0 || ENH_CLASS(enh) != code / 100u)
		enh = ENH(code / 100u, 7, enh == 0 ? 1 : 0);
	if (n == 0)
		reply_set(r, code, enh, "milter", "%s", code < 500 ? "try again later" : "refused");
	else
		set_lines(r, code, enh, span_of(text, n));
	r->close = code == 421 || code == 521; /* RFC 7504 */
	return 0;
}

/* --- writing --- */

static void
put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* Room for a packet with ${n} octets of data, its head written; NULL with errno. */
static uint8_t *
begin(struct buf *out, enum milter_command cmd, size_t n)
{
	size_t got = 0;
	uint8_t *p;

	if (n > MILTER_CHUNK_256K || buf_left(out) < n + MILTER_HEAD) {
		errno = ENOBUFS;
		return NULL;
	}
	p = buf_room(out, n + MILTER_HEAD, &got);
	if (p == NULL || got < n + MILTER_HEAD)
		return NULL;
	put_u32(p, (uint32_t)n + 1);
	p[4] = (uint8_t)cmd;
	return p + MILTER_HEAD;
}

static int
finish(struct buf *out, size_t n)
{
	buf_added(out, n + MILTER_HEAD);
	return 0;
}

int
milter_put_optneg(struct buf *out, uint32_t actions, uint32_t steps)
{
	uint8_t *p = begin(out, MILTER_C_OPTNEG, 12);

	if (p == NULL)
		return -1;
	put_u32(p, MILTER_VERSION);
	put_u32(p + 4, actions);
	put_u32(p + 8, steps);
	return finish(out, 12);
}

/* A string with its NUL; returns where the next one goes. */
static uint8_t *
put_string(uint8_t *p, struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		*p++ = s.p[i] != 0 ? s.p[i] : '?';
	*p++ = 0;
	return p;
}

static size_t
strings_size(const struct span *arg, size_t n)
{
	size_t size = n;

	for (size_t i = 0; i < n; i++)
		if (__builtin_add_overflow(size, arg[i].n, &size))
			return SIZE_MAX;
	return size;
}

int
milter_put(struct buf *out, enum milter_command cmd, const struct span *arg, size_t n)
{
	size_t size = strings_size(arg, n);
	uint8_t *p = begin(out, cmd, size);

	if (p == NULL)
		return -1;
	for (size_t i = 0; i < n; i++)
		p = put_string(p, arg[i]);
	return finish(out, size);
}

int
milter_put_macros(struct buf *out, enum milter_command cmd, const struct span *arg, size_t n)
{
	size_t size = strings_size(arg, n);
	uint8_t *p = size < SIZE_MAX ? begin(out, MILTER_C_MACRO, size + 1) : NULL;

	if (p == NULL) {
		errno = ENOBUFS;
		return -1;
	}
	*p++ = (uint8_t)cmd;
	for (size_t i = 0; i < n; i++)
		p = put_string(p, arg[i]);
	return finish(out, size + 1);
}

int
milter_put_connect(struct buf *out, struct span name, char family, uint16_t port, struct span addr)
{
	size_t more = family == 'U' ? 0 : 2 + addr.n + 1, size;
	uint8_t *p;

	size = name.n + 1 + 1 + more;
	p = begin(out, MILTER_C_CONNECT, size);
	if (p == NULL)
		return -1;
	p = put_string(p, name);
	*p++ = (uint8_t)family;
	if (more > 0) {
		*p++ = (uint8_t)(port >> 8);
		*p++ = (uint8_t)port;
		put_string(p, addr);
	}
	return finish(out, size);
}

/* Octets that CRLF-to-LF takes away. */
static size_t
crlfs(struct span s)
{
	size_t n = 0;

	for (size_t i = 0; i + 1 < s.n; i++)
		n += s.p[i] == '\r' && s.p[i + 1] == '\n';
	return n;
}

int
milter_put_header(struct buf *out, struct span name, struct span value)
{
	size_t size = name.n + 1 + value.n - crlfs(value) + 1;
	uint8_t *p = begin(out, MILTER_C_HEADER, size);

	if (p == NULL)
		return -1;
	p = put_string(p, name);
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '\r' && i + 1 < value.n && value.p[i + 1] == '\n')
			continue;
		*p++ = value.p[i] != 0 ? value.p[i] : '?';
	}
	*p = 0;
	return finish(out, size);
}

int
milter_put_body(struct buf *out, struct span chunk)
{
	uint8_t *p = begin(out, MILTER_C_BODY, chunk.n);

	if (p == NULL)
		return -1;
	if (chunk.n > 0)
		memcpy(p, chunk.p, chunk.n);
	return finish(out, chunk.n);
}
