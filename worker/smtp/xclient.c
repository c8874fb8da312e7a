/*
 * xclient: a table of words, each with the one way to read its value.  PURE.
 */
#include "worker/smtp/xclient.h"

#include "common/addr.h"
#include "common/ip.h"
#include "common/scan.h"
#include "common/xtext.h"

/* A value, decoded, and where it may go. */
struct value {
	struct span text;
	struct xclient *out;
};

static bool
read_port(struct span s, uint16_t *out)
{
	unsigned n = 0;

	if (s.n == 0 || s.n > 5)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		n = n * 10 + (s.p[i] - (unsigned)'0');
	}
	*out = (uint16_t)n;
	return n <= UINT16_MAX;
}

static bool
take_name(const struct value *v)
{
	v->out->name = v->text;
	return addr_domain_ok(v->text, false);
}

static bool
take_addr(const struct value *v)
{
	return ip_parse_tagged(v->text, v->out->addr);
}

static bool
take_port(const struct value *v)
{
	return read_port(v->text, &v->out->port);
}

static bool
take_proto(const struct value *v)
{
	return span_caseeq(v->text, SPAN("SMTP")) || span_caseeq(v->text, SPAN("ESMTP"));
}

static bool
take_helo(const struct value *v)
{
	return v->text.n > 0; /* hostile, and not used */
}

static bool
take_login(const struct value *v)
{
	v->out->login = v->text;
	return v->text.n > 0;
}

static bool
take_destaddr(const struct value *v)
{
	return ip_parse_tagged(v->text, v->out->destaddr);
}

static bool
take_destport(const struct value *v)
{
	return read_port(v->text, &v->out->destport);
}

static const struct word {
	const char *name;
	unsigned bit;
	bool (*take)(const struct value *v);
} words[] = {
	{ "NAME", XCLIENT_NAME, take_name },
	{ "ADDR", XCLIENT_ADDR, take_addr },
	{ "PORT", XCLIENT_PORT, take_port },
	{ "PROTO", XCLIENT_PROTO, take_proto },
	{ "HELO", XCLIENT_HELO, take_helo },
	{ "LOGIN", XCLIENT_LOGIN, take_login },
	{ "DESTADDR", XCLIENT_DESTADDR, take_destaddr },
	{ "DESTPORT", XCLIENT_DESTPORT, take_destport },
};

static const struct word *
find(struct span name)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_caseeq(name, span_str(words[i].name)))
			return &words[i];
	return NULL;
}

/* One NAME=value. */
static int
read_word(struct span s, struct arena *a, struct xclient *out)
{
	const uint8_t *eq = s.n > 0 ? memchr(s.p, '=', s.n) : NULL;
	struct value v = { .out = out };
	const struct word *w;
	struct span raw;
	uint8_t *room;
	ssize_t n;

	if (eq == NULL)
		return XCLIENT_EINVAL;
	w = find(span_head(s, (size_t)(eq - s.p)));
	raw = span_skip(s, (size_t)(eq - s.p) + 1);
	if (w == NULL || (out->given & w->bit) != 0 || raw.n > 3 * (size_t)XCLIENT_TEXT_MAX)
		return XCLIENT_EINVAL;
	out->given |= w->bit;
	if (span_caseeq(raw, SPAN("[UNAVAILABLE]")) || span_caseeq(raw, SPAN("[TEMPUNAVAIL]")))
		return w->bit == XCLIENT_PROTO ? XCLIENT_EINVAL : 0;
	room = arena_alloc(a, raw.n + 1);
	if (room == NULL)
		return XCLIENT_ENOMEM;
	n = xtext_decode(raw, room, raw.n);
	if (n < 0 || n > XCLIENT_TEXT_MAX)
		return XCLIENT_EINVAL;
	v.text = span_of(room, (size_t)n);
	out->known |= w->bit;
	return scan_printable(v.text.p, v.text.n) == v.text.n && w->take(&v) ? 0 : XCLIENT_EINVAL;
}

int
xclient_parse(struct span arg, struct arena *a, struct xclient *out)
{
	struct xclient x = { .given = 0 };

	do {
		const uint8_t *space = arg.n > 0 ? memchr(arg.p, ' ', arg.n) : NULL;
		size_t n = space != NULL ? (size_t)(space - arg.p) : arg.n;
		int error = read_word(span_head(arg, n), a, &x);

		if (error != 0)
			return error;
		arg = span_skip(arg, n);
		while (arg.n > 0 && arg.p[0] == ' ')
			arg = span_skip(arg, 1);
	} while (arg.n > 0);
	*out = x;
	return 0;
}
