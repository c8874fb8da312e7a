/*
 * compose: writing a delivery report.
 * What came from outside was checked by report_read(): it has no line ends.
 * The header that is given back is the exception; it is quoted-printable
 * wherever it is more than plain lines of ASCII.
 */
#include "reports/compose.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/date.h"
#include "common/xtext.h"

enum {
	COMPOSE_LINE_MAX = 998, /* octets, RFC 5322 2.1.1 */
	COMPOSE_QP_MAX = 72,    /* octets of a quoted-printable line, before a soft break (RFC 2045 6.7: 76) */
	COMPOSE_ORCPT_MAX = 512
};

struct message {
	FILE *f;
	const struct report *r;
	const char *hostname;
	char boundary[64];
	bool utf8;
};

static bool
is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] > 0x7e)
			return false;
	return true;
}

bool
compose_is_utf8(const struct report *r)
{
	return !is_ascii(r->from);
}

static void
put(const struct message *m, struct span s)
{
	if (s.n > 0)
		fwrite(s.p, 1, s.n, m->f);
}

/* --- addresses of the status part (RFC 6533 3) --- */

/* The code point at the start of ${s}, and its octets; a lone octet that is no UTF-8 counts as itself. */
static uint32_t
point(struct span s, size_t *n)
{
	size_t k = xtext_utf8(s);
	uint32_t cp = s.p[0];

	*n = k > 1 ? k : 1;
	if (k > 1)
		cp &= 0x7fU >> k;
	for (size_t i = 1; i < k; i++)
		cp = cp << 6 | (s.p[i] & 0x3f);
	return cp;
}

/* utf-8-addr-xtext: all that is no plain ASCII as \x{HEX}. */
static void
put_xtext(const struct message *m, struct span s)
{
	while (s.n > 0) {
		size_t n;
		uint32_t cp = point(s, &n);

		if (cp > ' ' && cp < 0x7f && cp != '+' && cp != '=' && cp != '\\')
			fputc((int)cp, m->f);
		else
			fprintf(m->f, "\\x{%02" PRIX32 "}", cp);
		s = span_skip(s, n);
	}
}

/* An address in the message's own form. */
static void
put_address(const struct message *m, struct span a)
{
	if (is_ascii(a)) {
		fputs("rfc822;", m->f);
		put(m, a);
	} else {
		fputs("utf-8;", m->f);
		if (m->utf8)
			put(m, a);
		else
			put_xtext(m, a);
	}
	fputc('\n', m->f);
}

/*
 * ORCPT as it was meant (RFC 3464 2.3.1): xtext of an rfc822 address decoded.
 * A utf-8 one has the form that RFC 6533 gives it; a message of ASCII gets raw UTF-8 in it as \x{HEX}, backslashes stand.
 */
static void
put_orcpt(const struct message *m, struct span orcpt)
{
	const uint8_t *semicolon = memchr(orcpt.p, ';', orcpt.n);
	struct span type = span_head(orcpt, (size_t)(semicolon - orcpt.p)), a = span_skip(orcpt, type.n + 1);
	uint8_t text[COMPOSE_ORCPT_MAX];
	ssize_t n;

	fputs("Original-Recipient: ", m->f);
	put(m, type);
	fputc(';', m->f);
	if (span_caseeq(type, SPAN("rfc822")) && (n = xtext_decode(a, text, sizeof(text))) > 0)
		a = span_of(text, (size_t)n);
	while (a.n > 0) {
		size_t k;
		uint32_t cp = point(a, &k);

		if (k == 1 && cp >= ' ' && cp < 0x7f)
			fputc((int)cp, m->f);
		else if (m->utf8 && k > 1)
			put(m, span_head(a, k));
		else
			fprintf(m->f, "\\x{%02" PRIX32 "}", cp);
		a = span_skip(a, k);
	}
	fputc('\n', m->f);
}

/* --- the parts --- */

static void
put_header(const struct message *m, int64_t now, int32_t gmtoff)
{
	char text[DATE_MAIL_MAX];

	date_mail(now, gmtoff, text);
	fprintf(m->f, "From: Mail Delivery System <MAILER-DAEMON@%s>\nTo: <", m->hostname);
	put(m, m->r->from);
	fprintf(m->f, ">\nSubject: Your message was delivered\nDate: %s\nMessage-ID: <report.", text);
	put(m, m->r->id);
	fprintf(m->f,
	    "@%s>\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n"
	    "Content-Type: multipart/report; report-type=%sdelivery-status;\n\tboundary=\"%s\"\n",
	    m->hostname, m->utf8 ? "global-" : "", m->boundary);
	if (m->utf8)
		fputs("Content-Transfer-Encoding: 8bit\n", m->f);
	fputs("\nThis is a delivery report in MIME format.\n\n", m->f);
}

static void
put_words(const struct message *m)
{
	struct span left = m->r->rcpts;
	struct report_rcpt rc;

	fprintf(m->f, "--%s\nContent-Type: text/plain; charset=%s\n%s\n", m->boundary, m->utf8 ? "utf-8" : "us-ascii",
	    m->utf8 ? "Content-Transfer-Encoding: 8bit\n" : "");
	fprintf(m->f, "You asked to be told: at %s your message was put into the mailbox of\n\n", m->hostname);
	while (report_rcpt(&left, &rc)) {
		fputs("    <", m->f);
		if (is_ascii(rc.address) || m->utf8)
			put(m, rc.address);
		else
			put_xtext(m, rc.address);
		fputs(">\n", m->f);
	}
	fputs("\nThis says nothing about whether it was read.\n\n", m->f);
}

static void
put_status(const struct message *m, int32_t gmtoff)
{
	struct span left = m->r->rcpts;
	struct report_rcpt rc;
	char text[DATE_MAIL_MAX];

	date_mail(m->r->arrived, gmtoff, text);
	fprintf(m->f, "--%s\nContent-Type: message/%sdelivery-status\n%s\nReporting-MTA: dns;%s\n", m->boundary,
	    m->utf8 ? "global-" : "", m->utf8 ? "Content-Transfer-Encoding: 8bit\n" : "", m->hostname);
	if (m->r->envid.n > 0) {
		fputs("Original-Envelope-Id: ", m->f);
		put(m, m->r->envid);
		fputc('\n', m->f);
	}
	fprintf(m->f, "Arrival-Date: %s\n", text);
	while (report_rcpt(&left, &rc)) {
		fputc('\n', m->f);
		if (rc.orcpt.n > 0)
			put_orcpt(m, rc.orcpt);
		fputs("Final-Recipient: ", m->f);
		put_address(m, rc.address);
		fputs("Action: delivered\nStatus: 2.0.0\n", m->f);
		fputs("Final-Log-ID: ", m->f);
		put(m, m->r->id);
		fputc('\n', m->f);
	}
	fputc('\n', m->f);
}

/* Lines of printable ASCII that are not too long: as they are. */
static bool
is_plain(struct span s)
{
	size_t column = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c == '\r' && i + 1 < s.n && s.p[i + 1] == '\n')
			continue;
		if ((c < ' ' && c != '\t' && c != '\n') || c > 0x7e || (c != '\n' && ++column > COMPOSE_LINE_MAX))
			return false;
		if (c == '\n')
			column = 0;
	}
	return true;
}

/* RFC 2045 6.7. */
static void
put_quoted(const struct message *m, struct span s)
{
	size_t column = 0;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		bool ends = c == '\n' || (c == '\r' && i + 1 < s.n && s.p[i + 1] == '\n');

		if (ends) {
			i += c == '\r';
			fputc('\n', m->f);
			column = 0;
			continue;
		}
		if (column >= COMPOSE_QP_MAX) {
			fputs("=\n", m->f);
			column = 0;
		}
		if (c >= '!' && c <= '~' && c != '=') {
			fputc(c, m->f);
			column++;
		} else {
			fprintf(m->f, "=%02X", c);
			column += 3;
		}
	}
}

static void
put_returned(const struct message *m)
{
	bool plain = is_plain(m->r->headers);
	struct span h = m->r->headers;

	fprintf(m->f, "--%s\nContent-Type: %s%s\n", m->boundary,
	    m->utf8 ? "message/global-headers" : "text/rfc822-headers",
	    m->utf8 || is_ascii(h) ? "" : "; charset=utf-8");
	if (m->r->cut)
		fputs("Content-Description: the beginning of a very long header\n", m->f);
	if (!plain)
		fputs("Content-Transfer-Encoding: quoted-printable\n", m->f);
	fputc('\n', m->f);
	if (!plain) {
		put_quoted(m, h);
	} else {
		for (size_t i = 0; i < h.n; i++)
			if (h.p[i] != '\r')
				fputc(h.p[i], m->f);
	}
	fprintf(m->f, "\n--%s--\n", m->boundary);
}

size_t
compose_received(const struct report *r, const char *hostname, int64_t now, int32_t gmtoff, char *out, size_t cap)
{
	char text[DATE_MAIL_MAX];
	int n;

	date_mail(now, gmtoff, text);
	n = snprintf(out, cap, "Received: by %s (letterplate-reports) id report.%.*s;\n\t%s\n", hostname,
	    (int)(r->id.n < 40 ? r->id.n : 40), (const char *)r->id.p, text);
	return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

char *
compose(const struct report *r, const char *hostname, int64_t now, int32_t gmtoff, size_t *n)
{
	struct message m = { .r = r, .hostname = hostname, .utf8 = compose_is_utf8(r) };
	char *text = NULL;

	m.f = open_memstream(&text, n);
	if (m.f == NULL)
		return NULL;
	/* Of no text that comes back: an id of ours, and '=' and '_' of which quoted-printable never has the two. */
	snprintf(m.boundary, sizeof(m.boundary), "=_%.*s", (int)(r->id.n < 40 ? r->id.n : 40), (const char *)r->id.p);
	put_header(&m, now, gmtoff);
	put_words(&m);
	put_status(&m, gmtoff);
	put_returned(&m);
	if (fclose(m.f) == 0)
		return text;
	free(text);
	return NULL;
}
