/*
 * macros: a table of names, each with the function that knows its value.
 */
#include "worker/milter/macros.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/version.h"

/* --- facts --- */

struct copy {
	char *at;
	size_t left;
	bool full;
};

static const char *
copy_span(struct copy *c, struct span s)
{
	char *p = c->at;

	if (s.n >= c->left) {
		c->full = true;
		return "";
	}
	for (size_t i = 0; i < s.n; i++)
		p[i] = s.p[i] != 0 ? (char)s.p[i] : '?';
	p[s.n] = '\0';
	c->at += s.n + 1;
	c->left -= s.n + 1;
	return p;
}

static const char *
copy_text(struct copy *c, const char *s)
{
	return s != NULL ? copy_span(c, span_str(s)) : NULL;
}

/* "IPv6:2001:db8::1" is for SMTP alone. */
static const char *
plain(const char *addr)
{
	return strncmp(addr, "IPv6:", 5) == 0 ? addr + 5 : addr;
}

static char
family_of(const char *remote)
{
	if (strcmp(remote, "unix") == 0)
		return 'L';
	if (strcmp(remote, "unknown") == 0)
		return 'U';
	return strncmp(remote, "IPv6:", 5) == 0 ? '6' : '4';
}

static size_t
size_of(const struct session_view *s)
{
	const char *const text[] = { s->hostname, s->user, s->auth_method, s->tls_version, s->tls_cipher, s->tls_sni,
		s->client_name, s->reverse_name, s->remote, s->local };
	size_t n = s->helo.n + 1 + s->id.n + 1;

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		n += text[i] != NULL ? strlen(text[i]) + 1 : 0;
	return n;
}

struct milter_facts *
milter_facts_new(const struct session_view *s)
{
	size_t n = size_of(s);
	struct milter_facts *f;
	struct copy c;

	if (n > MILTER_FACTS_MAX) {
		errno = E2BIG;
		return NULL;
	}
	f = malloc(sizeof(*f) + n + 1);
	if (f == NULL)
		return NULL;
	c = (struct copy){ f->text, n + 1, false };
	f->hostname = copy_text(&c, s->hostname);
	f->helo = copy_span(&c, s->helo);
	f->user = copy_text(&c, s->user);
	f->method = copy_text(&c, s->auth_method);
	f->tls_version = copy_text(&c, s->tls_version);
	f->tls_cipher = copy_text(&c, s->tls_cipher);
	f->tls_sni = copy_text(&c, s->tls_sni);
	f->name = copy_text(&c, s->client_name);
	f->reverse = copy_text(&c, s->reverse_name);
	f->addr = copy_text(&c, plain(s->remote));
	f->here = copy_text(&c, plain(s->local));
	f->id = copy_span(&c, s->id);
	f->port = s->remote_port;
	f->here_port = s->local_port;
	f->family = family_of(s->remote);
	return f;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
milter_facts_same(const struct milter_facts *f, const struct session_view *s)
{
	return span_eq(span_str(f->helo), s->helo) && same_text(f->user, s->user) &&
	    same_text(f->tls_version, s->tls_version) && same_text(f->name, s->client_name) &&
	    same_text(f->reverse, s->reverse_name);
}

/* --- values: an empty span is one that is not known --- */

static struct span __attribute__((format(printf, 2, 3))) made(struct milter_about *ab, const char *fmt, ...)
{
	char *at = ab->scratch + ab->used;
	size_t left = sizeof(ab->scratch) - ab->used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(at, left, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= left)
		return span_of(NULL, 0);
	ab->used += (size_t)n;
	return span_of(at, (size_t)n);
}

static struct span
address(struct milter_about *ab, const struct addr *a)
{
	char *at = ab->scratch + ab->used;
	ssize_t n = addr_format(a, at, sizeof(ab->scratch) - ab->used);

	if (n <= 0)
		return span_of(NULL, 0);
	ab->used += (size_t)n;
	return span_of(at, (size_t)n);
}

static const char *
or_unknown(const char *s)
{
	return s != NULL ? s : "unknown";
}

#define VALUE(name, expr) \
	static struct span name(struct milter_about *ab) \
	{ \
		return (expr); \
	}

VALUE(v_client, made(ab, "%s [%s]", or_unknown(ab->facts->name), ab->facts->addr))
VALUE(v_hostname, span_str(ab->facts->hostname))

static struct span
v_version(struct milter_about *ab)
{
	(void)ab;
	return span_str("Letterplate " LETTERPLATE_VERSION);
}

VALUE(v_here, span_str(ab->facts->here))
VALUE(v_here_port, made(ab, "%u", (unsigned)ab->facts->here_port))
VALUE(v_addr, span_str(ab->facts->addr))
VALUE(v_name, span_str(or_unknown(ab->facts->name)))
VALUE(v_ptr, span_str(ab->facts->name != NULL ? ab->facts->name : or_unknown(ab->facts->reverse)))
VALUE(v_port, made(ab, "%u", (unsigned)ab->facts->port))
VALUE(v_helo, span_str(ab->facts->helo))
VALUE(v_tls, span_str(ab->facts->tls_version))
VALUE(v_cipher, span_str(ab->facts->tls_cipher))
VALUE(v_sni, span_str(ab->facts->tls_sni))
VALUE(v_method, span_str(ab->facts->user != NULL ? ab->facts->method : NULL))
VALUE(v_user, span_str(ab->facts->user))

/* AUTH= of MAIL as given, unless it is "<>": nobody (RFC 4954 5).  Postfix's and Sendmail's meaning of it. */
static struct span
v_author(struct milter_about *ab)
{
	struct span s = ab->txn != NULL && ab->facts->user != NULL ? ab->txn->params : span_of(NULL, 0), word;

	while (s.n > 0) {
		size_t n = 0;

		while (n < s.n && s.p[n] != ' ')
			n++;
		word = span_head(s, n);
		s = span_skip(s, n < s.n ? n + 1 : n);
		if (word.n > 5 && span_caseeq(span_head(word, 5), SPAN("AUTH=")))
			return span_eq(span_skip(word, 5), SPAN("<>")) ? span_of(NULL, 0) : span_skip(word, 5);
	}
	return span_of(NULL, 0);
}

VALUE(v_id, ab->txn != NULL ? span_str(ab->txn->id) : span_of(NULL, 0))
VALUE(v_mail, ab->txn != NULL ? address(ab, &ab->txn->from) : span_of(NULL, 0))
VALUE(v_mail_host, ab->txn != NULL ? ab->txn->from.domain : span_of(NULL, 0))
/* Of one that was refused, as Sendmail: "error", the enhanced code, the text. */
VALUE(v_refused, span_of(ab->refused->text, ab->refused->n))
VALUE(v_refused_code,
    made(ab, "%u.%u.%u", ENH_CLASS(ab->refused->enh), ENH_SUBJECT(ab->refused->enh), ENH_DETAIL(ab->refused->enh)))
VALUE(v_rcpt, ab->refused != NULL ? v_refused(ab) : ab->rcpt != NULL ? address(ab, &ab->rcpt->addr) : span_of(NULL, 0))
VALUE(v_rcpt_host,
    ab->refused != NULL    ? v_refused_code(ab)
	: ab->rcpt != NULL ? ab->rcpt->addr.domain
			   : span_of(NULL, 0))
VALUE(v_rcpt_mailer, span_str(ab->refused != NULL ? "error" : ab->rcpt != NULL ? "local" : NULL))
VALUE(v_mail_mailer, span_str(ab->txn != NULL && !ab->txn->from.is_null ? "smtp" : NULL))
VALUE(v_nrcpts, ab->txn != NULL ? made(ab, "%u", (unsigned)ab->txn->nrcpt) : span_of(NULL, 0))
VALUE(v_nbadrcpts, ab->txn != NULL ? made(ab, "%u", (unsigned)ab->txn->nrefused) : span_of(NULL, 0))

/* Keys of TLS 1.2 and 1.3 as we offer them: what their names say. */
static struct span
v_bits(struct milter_about *ab)
{
	const char *c = ab->facts->tls_cipher;

	if (c == NULL)
		return span_of(NULL, 0);
	if (strstr(c, "256") != NULL && strstr(c, "AES_128") == NULL && strstr(c, "AES128") == NULL)
		return span_str("256");
	return span_str(strstr(c, "CHACHA20") != NULL ? "256" : "128");
}

static const struct macro {
	struct span name; /* without braces */
	struct span (*value)(struct milter_about *ab);
} table[] = {
#define M(name, fn) \
	{ \
		{ (const uint8_t *)(name), sizeof(name) - 1 }, fn \
	}
	M("i", v_id),
	M("j", v_hostname),
	M("v", v_version),
	M("_", v_client),
	M("s", v_helo),
	/* Postfix's default; rspamd takes it for the name of its Authentication-Results, and only hostname's are kept clean. */
	M("daemon_name", v_hostname),
	M("daemon_addr", v_here),
	M("daemon_port", v_here_port),
	M("if_addr", v_here),
	M("if_name", v_hostname),
	M("client_addr", v_addr),
	M("client_name", v_name),
	M("client_ptr", v_ptr),
	M("client_resolve", v_ptr),
	M("client_port", v_port),
	M("tls_version", v_tls),
	M("cipher", v_cipher),
	M("cipher_bits", v_bits),
	M("tls_sni", v_sni),
	M("auth_type", v_method),
	M("auth_authen", v_user),
	M("auth_author", v_author),
	M("mail_addr", v_mail),
	M("mail_host", v_mail_host),
	M("mail_mailer", v_mail_mailer),
	M("rcpt_addr", v_rcpt),
	M("rcpt_host", v_rcpt_host),
	M("rcpt_mailer", v_rcpt_mailer),
	M("nrcpts", v_nrcpts),
	M("nbadrcpts", v_nbadrcpts),
#undef M
};

/* Postfix's (milter_connect_macros and so on), with what it calls "always", as far as we know the values. */
static const char *const lists[MILTER_M_N] = {
	[MILTER_M_CONNECT] =
	    ("j {daemon_name} {daemon_addr} {daemon_port} v _ {client_addr} {client_name} {client_port} "
	     "{client_ptr} {if_addr} {if_name}"),
	[MILTER_M_HELO] = "{tls_version} {cipher} {cipher_bits} {tls_sni}",
	[MILTER_M_MAIL] = "i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}",
	[MILTER_M_RCPT] = "i {rcpt_addr} {rcpt_host} {rcpt_mailer}",
	[MILTER_M_DATA] = "i",
	[MILTER_M_EOM] = "i",
	[MILTER_M_EOH] = "i",
};

static struct span
value_of(struct milter_about *ab, struct span name)
{
	if (name.n > 2 && name.p[0] == '{' && name.p[name.n - 1] == '}')
		name = span_of(name.p + 1, name.n - 2);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (span_eq(table[i].name, name))
			return table[i].value(ab);
	return span_of(NULL, 0);
}

size_t
milter_macros(struct milter_about *ab, enum milter_stage stage, struct span symbols, struct span *out)
{
	struct span s = symbols.p != NULL ? symbols : span_str(lists[stage]);
	size_t n = 0;

	while (s.n > 0 && n < (size_t)2 * MILTER_MACROS_MAX) {
		size_t len = 0;
		struct span value;

		while (len < s.n && s.p[len] != ' ' && s.p[len] != ',')
			len++;
		value = len > 0 ? value_of(ab, span_head(s, len)) : span_of(NULL, 0);
		if (value.n > 0) {
			out[n++] = span_head(s, len);
			out[n++] = value;
		}
		s = span_skip(s, len < s.n ? len + 1 : len);
	}
	return n;
}
