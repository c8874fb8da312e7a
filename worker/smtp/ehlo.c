/*
 * ehlo: what the engine says about itself: the greeting, the EHLO list, HELP.
 * None of them has an enhanced code but HELP (RFC 2034 4).  Nothing is listed
 * that does not work.  PURE.
 */
#include <string.h>

#include "common/decimal.h"
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

/* A line: ${code} with what follows it, ${word}, and ${more}. */
static void
list_add(struct list *l, const char *code, const char *word, const char *more)
{
	const struct span parts[] = { span_str(code), span_str(word), span_str(more), SPAN("\r\n") };
	size_t n = parts[0].n + parts[1].n + parts[2].n + parts[3].n;

	if (n > sizeof(l->text) - l->n)
		return; /* cannot be: hostname is a domain name, all else is short */
	l->last = l->n;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		memcpy(l->text + l->n, parts[i].p, parts[i].n);
		l->n += parts[i].n;
	}
}

static void
list_word(struct list *l, const char *word)
{
	list_add(l, "250-", word, "");
}

static void
list_number(struct list *l, const char *word, uint64_t v)
{
	char digits[DECIMAL_MAX + 1];

	digits[decimal(digits, v, 1)] = '\0';
	list_add(l, "250-", word, digits);
}

struct smtp_sent
ehlo_greet(struct smtp *s, struct buf *out)
{
	struct list l = { .n = 0 };

	list_add(&l, "220 ", s->cf->hostname, s->cf->lmtp ? " LMTP Letterplate" : " ESMTP Letterplate");
	return smtp_send_raw(s, l.text, l.n, 220, out);
}

static void
list_extensions(const struct smtp *s, struct list *l)
{
	unsigned ext = s->cf->ext;

	list_word(l, "PIPELINING");
	if (s->cf->size_max > 0)
		list_number(l, "SIZE ", s->cf->size_max);
	else
		list_word(l, "SIZE");
	if (ext & SMTP_EXT_CHUNKING) {
		list_word(l, "CHUNKING");
		list_word(l, "BINARYMIME");
	}
	if (ext & SMTP_EXT_SMTPUTF8)
		list_word(l, "SMTPUTF8");
	if (ext & SMTP_EXT_DSN)
		list_word(l, "DSN");
	if ((ext & SMTP_EXT_STARTTLS) && !s->tls)
		list_word(l, "STARTTLS");
	if (s->tls) /* RFC 8689: a receiver that relays nothing keeps its promise by being reached inside TLS */
		list_word(l, "REQUIRETLS");
	if (auth_offered(s))
		list_add(l, "250-AUTH", ext & SMTP_EXT_AUTH ? " SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" : "",
		    ext & SMTP_EXT_TOKENS ? " OAUTHBEARER XOAUTH2" : "");
	if (s->xclient_ok)
		list_word(l, "XCLIENT " XCLIENT_WORDS);
	if (s->cf->rcpt_max > 0)
		list_number(l, "LIMITS RCPTMAX=", s->cf->rcpt_max);
	list_word(l, "8BITMIME");
	list_word(l, "ENHANCEDSTATUSCODES");
}

struct smtp_sent
ehlo_list(struct smtp *s, struct buf *out)
{
	struct list l = { .n = 0 };

	list_word(&l, s->cf->hostname);
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
