/*
 * authserv: reads over comments and white space to the authserv-id, a token or
 * a quoted string (RFC 2045 5.1), and compares it without case.  When in doubt
 * it is ours: a forged result that a reader trusts does more harm than a
 * malformed one that is lost.  PURE.
 */
#include "worker/smtp/authserv.h"

enum { AT_GAP, AT_TOKEN, AT_DOT, AT_QUOTED };

void
authserv_init(struct authserv_scan *a, struct span id)
{
	*a = (struct authserv_scan){ .id = id, .state = AT_GAP };
}

/* tspecials of RFC 2045, white space and control characters end a token; a lone CR or NUL too, as for lenient readers. */
static bool
ends_token(uint8_t c)
{
	static const char special[15] = "()<>@,;:\\\"/[]?=";

	return c <= ' ' || c == 0x7f || memchr(special, c, sizeof(special)) != NULL;
}

/* An octet of the id: whether it can still be ours.  "mx.example.org." is a way to write ours. */
static enum authserv
match(struct authserv_scan *a, uint8_t c)
{
	if (a->pos < a->id.n && ascii_lower(a->id.p[a->pos]) == ascii_lower(c)) {
		a->pos++;
		return AUTHSERV_MORE;
	}
	if (a->pos == a->id.n && c == '.' && a->state == AT_TOKEN) {
		a->state = AT_DOT;
		return AUTHSERV_MORE;
	}
	return AUTHSERV_OTHER;
}

static enum authserv
comment(struct authserv_scan *a, uint8_t c)
{
	if (a->escaped)
		a->escaped = false;
	else if (c == '\\')
		a->escaped = true;
	else if (c == '(')
		a->depth++;
	else if (c == ')')
		a->depth--;
	return AUTHSERV_MORE;
}

static enum authserv
quoted(struct authserv_scan *a, uint8_t c)
{
	if (c == '\r' || c == '\n') /* folded: the line end is no part of the string */
		return AUTHSERV_MORE;
	if (!a->escaped && c == '\\') {
		a->escaped = true;
		return AUTHSERV_MORE;
	}
	if (!a->escaped && c == '"')
		return a->pos == a->id.n || a->pos == 0 ? AUTHSERV_OURS : AUTHSERV_OTHER;
	a->escaped = false;
	return match(a, c);
}

enum authserv
authserv_feed(struct authserv_scan *a, uint8_t c)
{
	if (a->depth > 0)
		return comment(a, c);
	if (a->state == AT_QUOTED)
		return quoted(a, c);
	if (a->state == AT_GAP) {
		if (c <= ' ' || c == 0x7f)
			return AUTHSERV_MORE;
		if (c == '(' || c == '"') {
			a->depth = c == '(' ? 1 : 0;
			a->state = c == '(' ? AT_GAP : AT_QUOTED;
			return AUTHSERV_MORE;
		}
		if (ends_token(c))
			return AUTHSERV_OURS; /* no id at all */
		a->state = AT_TOKEN;
		return match(a, c);
	}
	if (ends_token(c))
		return authserv_end(a);
	return match(a, c);
}

enum authserv
authserv_end(const struct authserv_scan *a)
{
	bool whole = a->state == AT_TOKEN || a->state == AT_DOT;

	return whole && a->pos < a->id.n ? AUTHSERV_OTHER : AUTHSERV_OURS;
}
