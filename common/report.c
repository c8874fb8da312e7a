/*
 * report: fields of a tag, a length and octets.
 */
#include "common/report.h"

#include <endian.h>

enum { HEAD = 1 + 4 }; /* octets before a field's value */

#define MAGIC SPAN("letterplate report 1")

/* One octet each; in a record they stand in this order, those from TO on once a recipient. */
enum tag {
	TAG_MAGIC = 'M',
	TAG_ID = 'I',
	TAG_FROM = 'F',
	TAG_ENVID = 'E',
	TAG_ARRIVED = 'A',
	TAG_FLAGS = 'X',
	TAG_HEADERS = 'H',
	TAG_TO = 'T',
	TAG_ORCPT = 'O',
	TAG_END = 'Z'
};

enum { FLAG_SMTPUTF8 = 1, FLAG_REQUIRETLS = 2, FLAG_CUT = 4 };

static int
put(struct buf *b, enum tag tag, struct span v)
{
	uint32_t n = htobe32((uint32_t)v.n);
	uint8_t head[HEAD] = { (uint8_t)tag };

	memcpy(head + 1, &n, sizeof(n));
	if (buf_put(b, head, sizeof(head)) != 0)
		return -1;
	return v.n > 0 ? buf_put(b, v.p, v.n) : 0;
}

int
report_put(struct buf *b, const struct report *r)
{
	uint64_t arrived = htobe64((uint64_t)r->arrived);
	uint8_t flags = (uint8_t)((r->smtputf8 ? FLAG_SMTPUTF8 : 0) | (r->requiretls ? FLAG_REQUIRETLS : 0) |
	    (r->cut ? FLAG_CUT : 0));

	if (put(b, TAG_MAGIC, MAGIC) != 0 || put(b, TAG_ID, r->id) != 0 || put(b, TAG_FROM, r->from) != 0 ||
	    put(b, TAG_ENVID, r->envid) != 0 || put(b, TAG_ARRIVED, span_of(&arrived, sizeof(arrived))) != 0 ||
	    put(b, TAG_FLAGS, span_of(&flags, 1)) != 0)
		return -1;
	return put(b, TAG_HEADERS, r->headers);
}

int
report_put_rcpt(struct buf *b, const struct report_rcpt *rc)
{
	return put(b, TAG_TO, rc->address) == 0 ? put(b, TAG_ORCPT, rc->orcpt) : -1;
}

int
report_put_end(struct buf *b)
{
	return put(b, TAG_END, SPAN(""));
}

/* Take a field with ${tag} from the front of *s. */
static bool
take(struct span *s, enum tag tag, struct span *v)
{
	uint32_t n;

	if (s->n < HEAD || s->p[0] != (uint8_t)tag)
		return false;
	memcpy(&n, s->p + 1, sizeof(n));
	n = be32toh(n);
	if (n > s->n - HEAD)
		return false;
	*v = span_head(span_skip(*s, HEAD), n);
	*s = span_skip(*s, HEAD + n);
	return true;
}

/* Not empty, and nothing in it that could end a line or begin a command. */
static bool
one_line(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return s.n > 0;
}

/* Printable ASCII, from ${least} on. */
static bool
printable(struct span s, uint8_t least)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < least || s.p[i] > '~')
			return false;
	return s.n > 0;
}

/* An ORCPT as the engine let it pass: TYPE;ADDRESS. */
static bool
orcpt_ok(struct span s)
{
	const uint8_t *semicolon = s.n > 0 ? memchr(s.p, ';', s.n) : NULL;

	return semicolon != NULL && printable(span_head(s, (size_t)(semicolon - s.p)), '!') && one_line(s) &&
	    memchr(s.p, ' ', s.n) == NULL;
}

bool
report_rcpt(struct span *rcpts, struct report_rcpt *out)
{
	return take(rcpts, TAG_TO, &out->address) && take(rcpts, TAG_ORCPT, &out->orcpt);
}

static bool
rcpts_ok(struct span s)
{
	struct report_rcpt rc;
	struct span end;
	unsigned n = 0;

	while (report_rcpt(&s, &rc)) {
		if (!one_line(rc.address) || (rc.orcpt.n > 0 && !orcpt_ok(rc.orcpt)))
			return false;
		n++;
	}
	return n > 0 && take(&s, TAG_END, &end) && end.n == 0 && s.n == 0;
}

int
report_read(struct span record, struct report *out)
{
	struct span magic, arrived, flags, s = record;
	uint64_t seconds;

	if (!take(&s, TAG_MAGIC, &magic) || !span_eq(magic, MAGIC) || !take(&s, TAG_ID, &out->id) ||
	    !take(&s, TAG_FROM, &out->from) || !take(&s, TAG_ENVID, &out->envid) || !take(&s, TAG_ARRIVED, &arrived) ||
	    arrived.n != sizeof(seconds) || !take(&s, TAG_FLAGS, &flags) || flags.n != 1 ||
	    !take(&s, TAG_HEADERS, &out->headers))
		return -1;
	memcpy(&seconds, arrived.p, sizeof(seconds));
	seconds = be64toh(seconds);
	if (seconds > INT64_MAX || !printable(out->id, '!') || !one_line(out->from) ||
	    (out->envid.n > 0 && !printable(out->envid, ' ')) || out->headers.n > REPORT_HEADERS_MAX || !rcpts_ok(s))
		return -1;
	out->arrived = (int64_t)seconds;
	out->smtputf8 = (flags.p[0] & FLAG_SMTPUTF8) != 0;
	out->requiretls = (flags.p[0] & FLAG_REQUIRETLS) != 0;
	out->cut = (flags.p[0] & FLAG_CUT) != 0;
	out->rcpts = s;
	return 0;
}
