/*
 * ehlo: what the engine says about itself: the greeting, the EHLO list, HELP.
 * None of them has an enhanced code but HELP (RFC 2034 4).  Nothing is listed
 * that does not work.  PURE.
 */
#include <inttypes.h>
#include <stdio.h>

#include "worker/smtp/engine.h"

enum { EHLO_LIST_MAX = SMTP_OUT_MIN };

const struct say say_help = { .code = 214,
	.enh = ENH(2, 0, 0),
	.reason = "help",
	.text = "commands: EHLO (LMTP: LHLO) HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT, and those that EHLO "
		"lists; see RFC 5321" };

/* The list being put together; it grows by one reply line at a time. */
struct list {
	char text[EHLO_LIST_MAX];
	size_t n;
	size_t last; /* where the last line begins */
};

static void list_add(struct list *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
list_add(struct list *l, const char *fmt, ...)
{
	size_t left = sizeof(l->text) - l->n;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->text + l->n, left, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= left)
		return; /* cannot be: hostname is a domain name, all else is short */
	l->last = l->n;
	l->n += (size_t)n;
}

struct smtp_sent
ehlo_greet(struct smtp *s, struct buf *out)
{
	struct list l = { .n = 0 };

	list_add(&l, "220 %.255s %s Letterplate\r\n", s->cf->hostname, s->cf->lmtp ? "LMTP" : "ESMTP");
	return smtp_send_raw(s, l.text, l.n, 220, out);
}

static void
list_extensions(const struct smtp *s, struct list *l)
{
	unsigned ext = s->cf->ext;

	list_add(l, "250-PIPELINING\r\n");
	if (s->cf->size_max > 0)
		list_add(l, "250-SIZE %" PRIu64 "\r\n", s->cf->size_max);
	else
		list_add(l, "250-SIZE\r\n");
	if (ext & SMTP_EXT_CHUNKING)
		list_add(l, "250-CHUNKING\r\n250-BINARYMIME\r\n");
	if (ext & SMTP_EXT_SMTPUTF8)
		list_add(l, "250-SMTPUTF8\r\n");
	if (ext & SMTP_EXT_DSN)
		list_add(l, "250-DSN\r\n");
	if ((ext & SMTP_EXT_STARTTLS) && !s->tls)
		list_add(l, "250-STARTTLS\r\n");
	if ((ext & SMTP_EXT_REQUIRETLS) && s->tls)
		list_add(l, "250-REQUIRETLS\r\n");
	if (auth_offered(s))
		list_add(l, "250-AUTH%s%s\r\n",
		    ext & SMTP_EXT_AUTH ? " SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" : "",
		    ext & SMTP_EXT_TOKENS ? " OAUTHBEARER XOAUTH2" : "");
	if (s->xclient_ok)
		list_add(l, "250-XCLIENT " XCLIENT_WORDS "\r\n");
	if (s->cf->rcpt_max > 0)
		list_add(l, "250-LIMITS RCPTMAX=%" PRIu32 "\r\n", s->cf->rcpt_max);
	list_add(l, "250-8BITMIME\r\n");
	list_add(l, "250-ENHANCEDSTATUSCODES\r\n");
}

struct smtp_sent
ehlo_list(struct smtp *s, struct buf *out)
{
	struct list l = { .n = 0 };

	list_add(&l, "250-%.255s\r\n", s->cf->hostname);
	if (s->esmtp)
		list_extensions(s, &l);
	l.text[l.last + 3] = ' ';
	return smtp_send_raw(s, l.text, l.n, 250, out);
}

/*
 * RFC 5321 4.1.4 asks for a domain or a literal, yet forbids to refuse mail
 * for a name that does not fit the client.  Underscores and a final dot are
 * seen too often to be refused; spaces, quotes and the like are junk.
 */
bool
ehlo_name_ok(struct span s)
{
	size_t label = 0;

	if (s.n > 0 && s.p[0] == '[')
		return addr_literal_ok(s);
	if (s.n == 0 || s.n > ADDR_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = ascii_lower(s.p[i]);

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
		} else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
			label++;
		} else {
			return false;
		}
	}
	return true;
}
