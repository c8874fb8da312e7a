/*
 * data: see data.h.
 * Only CRLF.CRLF, or .CRLF at the very start, ends DATA (CVE-2023-51764..6).
 * The common case is a block of octets at a time, not one; the
 * four states of enum data_at carry over what a packet's end may cut.
 */
#include "worker/smtp/data.h"

#include "common/scan.h"
#include "worker/smtp/smtp.h"

void
data_none(struct data *d)
{
	*d = (struct data){ .mode = DATA_MODE_NONE };
}

void
data_text(struct data *d)
{
	*d = (struct data){ .mode = DATA_MODE_TEXT, .at = DATA_AT_START };
}

void
data_chunk(struct data *d, uint64_t n, bool last)
{
	d->mode = DATA_MODE_CHUNK;
	d->left = n;
	d->last = last;
}

/* ${n} more octets of the current line; ${ended}: its LF is among them. */
static void
count_line(struct data *d, size_t n, bool ended)
{
	/* d->line saturates just above the limit, so the sum can't wrap. */
	size_t line = d->line + n;

	if (line < n || line > SMTP_TEXT_LINE_MAX) {
		d->line_long = true;
		line = SMTP_TEXT_LINE_MAX + 1;
	}
	d->line = ended ? 0 : line;
}

/*
 * The first octet behind a CR at the end of the input before: an LF makes the
 * line's end of both.  Return how many octets that settles.
 */
static size_t
after_cr(struct data *d, struct span in)
{
	if (in.p[0] != '\n') {
		d->bare = true;
		d->at = DATA_AT_MIDDLE;
		return 0;
	}
	count_line(d, 1, true);
	d->at = DATA_AT_START;
	return 1;
}

/*
 * One line, or what there is of it, from the middle of a line on.  Return its
 * octets; d->at is where the octet behind them stands.
 */
static size_t
scan_line(struct data *d, struct span in)
{
	size_t n = 0;

	d->at = DATA_AT_MIDDLE;
	while ((n += scan_plain(in.p + n, in.n - n)) < in.n) {
		switch (in.p[n++]) {
		case '\r':
			/* Its LF may be yet to come; any other one is alone. */
			if (n == in.n) {
				d->at = DATA_AT_CR;
			} else if (in.p[n] == '\n') {
				d->at = DATA_AT_START;
				count_line(d, ++n, true);
				return n;
			} else {
				d->bare = true;
			}
			break;
		case '\n':
			d->bare = true;
			count_line(d, n, true);
			return n;
		default:
			d->nul = true;
			break;
		}
	}
	count_line(d, n, false);
	return n;
}

/* Content up to a dot at the start of a line, or all of ${in}.  Not called where such a dot is next. */
static size_t
scan_text(struct data *d, struct span in)
{
	size_t n = 0;

	while (n < in.n) {
		struct span rest = span_skip(in, n);

		if (d->at == DATA_AT_START && rest.p[0] == '.')
			break;
		n += d->at == DATA_AT_CR ? after_cr(d, rest) : scan_line(d, rest);
	}
	return n;
}

static enum data_got
next_text(struct data *d, struct span *in, struct span *out)
{
	size_t n;

	if (in->n == 0)
		return DATA_GOT_MORE;
	if (d->at == DATA_AT_START && in->p[0] == '.') {
		*in = span_skip(*in, 1);
		d->at = DATA_AT_DOT;
	}
	if (d->at == DATA_AT_DOT) {
		if (in->n == 0 || (in->n == 1 && in->p[0] == '\r'))
			return DATA_GOT_MORE;
		if (in->p[0] == '\r' && in->p[1] == '\n') {
			*in = span_skip(*in, 2);
			d->mode = DATA_MODE_NONE;
			return DATA_GOT_END;
		}
		d->at = DATA_AT_MIDDLE; /* the dot was stuffing (RFC 5321 4.5.2) */
	}
	n = scan_text(d, *in);
	*out = span_head(*in, n);
	*in = span_skip(*in, n);
	return DATA_GOT_SPAN;
}

static enum data_got
next_chunk(struct data *d, struct span *in, struct span *out)
{
	size_t n = d->left < in->n ? (size_t)d->left : in->n;

	if (d->left == 0) {
		d->mode = DATA_MODE_NONE;
		return DATA_GOT_END;
	}
	if (n == 0)
		return DATA_GOT_MORE;
	*out = span_head(*in, n);
	*in = span_skip(*in, n);
	d->left -= n;
	if (!d->nul && memchr(out->p, '\0', n) != NULL)
		d->nul = true;
	return DATA_GOT_SPAN;
}

enum data_got
data_next(struct data *d, struct span *in, struct span *out)
{
	enum data_got got = DATA_GOT_END;

	switch (d->mode) {
	case DATA_MODE_TEXT:
		got = next_text(d, in, out);
		break;
	case DATA_MODE_CHUNK:
		got = next_chunk(d, in, out);
		break;
	case DATA_MODE_NONE:
		break;
	}
	return got;
}
