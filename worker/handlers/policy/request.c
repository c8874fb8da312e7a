/*
 * request: the attributes of smtpd_check.c as of Postfix 3.8, in its order.
 */
#include "worker/handlers/policy/request.h"

#include <stdio.h>

#include "common/version.h"
#include "common/xtext.h"

struct request {
	char *out;
	size_t n;
};

/* Octets at the start of ${s} that may stand as they are, 0: the first may not. */
static size_t
request_clean(struct span s)
{
	if (s.p[0] >= 0x20 && s.p[0] <= 0x7e)
		return 1;
	return s.p[0] >= 0x80 && !xtext_c1(s) ? xtext_utf8(s) : 0;
}

static void
request_span(struct request *rq, const char *name, struct span v)
{
	size_t len = strlen(name), used = 0;

	memcpy(rq->out + rq->n, name, len);
	rq->n += len;
	rq->out[rq->n++] = '=';
	while (v.n > 0 && used < POLICY_VALUE_MAX) {
		size_t n = request_clean(v);

		if (used + n > POLICY_VALUE_MAX)
			break;
		if (n == 0)
			rq->out[rq->n++] = '?';
		else
			memcpy(rq->out + rq->n, v.p, n);
		rq->n += n;
		used += n > 0 ? n : 1;
		v = span_skip(v, n > 0 ? n : 1);
	}
	rq->out[rq->n++] = '\n';
}

static void
request_str(struct request *rq, const char *name, const char *v)
{
	request_span(rq, name, span_str(v));
}

static void
request_number(struct request *rq, const char *name, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%ju", (uintmax_t)v);
	request_str(rq, name, text);
}

static void
request_addr(struct request *rq, const char *name, const struct addr *a)
{
	char text[ADDR_TEXT_MAX];
	ssize_t n = a != NULL ? addr_format(a, text, sizeof(text)) : 0;

	request_span(rq, name, span_of(text, n > 0 ? (size_t)n : 0));
}

/* "IPv6:2001:db8::1" is our way to write it; Postfix has the bare address, and "unknown" for what has none. */
static void
request_host(struct request *rq, const char *name, const char *host)
{
	if (strncmp(host, "IPv6:", 5) == 0)
		host += 5;
	request_str(rq, name, strcmp(host, "unix") == 0 ? "unknown" : host);
}

/* The transmission type without what TLS, AUTH and UTF-8 add to it (RFC 3848). */
static const char *
request_protocol(const struct session_view *s)
{
	const char *with = s->with != NULL ? s->with : "";

	if (strstr(with, "LMTP") != NULL)
		return "LMTP";
	return strcmp(with, "SMTP") == 0 || with[0] == '\0' ? "SMTP" : "ESMTP";
}

static const char *
request_state(const struct policy_facts *f)
{
	const char *protocol = request_protocol(f->view);

	switch (f->stage) {
	case POLICY_CONNECT:
		return "CONNECT";
	case POLICY_HELO:
		return protocol[0] == 'L' ? "LHLO" : protocol[0] == 'E' ? "EHLO" : "HELO";
	case POLICY_MAIL:
		return "MAIL";
	case POLICY_RCPT:
		return "RCPT";
	case POLICY_DATA:
		return "DATA";
	case POLICY_AUTH:
		return "AUTH";
	case POLICY_END:
		break;
	}
	return "END-OF-MESSAGE";
}

/* The strength is part of a cipher suite's name. */
static unsigned
request_keysize(const char *cipher)
{
	if (cipher == NULL)
		return 0;
	if (strstr(cipher, "AES128") != NULL || strstr(cipher, "AES_128") != NULL)
		return 128;
	return strstr(cipher, "256") != NULL || strstr(cipher, "CHACHA20") != NULL ? 256 : 0;
}

static void
request_session(struct request *rq, const char *what, const struct policy_facts *f)
{
	const struct session_view *s = f->view;

	request_str(rq, "request", what);
	request_str(rq, "protocol_state", request_state(f));
	request_str(rq, "protocol_name", request_protocol(s));
	request_host(rq, "client_address", s->remote);
	request_str(rq, "client_name", s->client_name != NULL ? s->client_name : "unknown");
	request_number(rq, "client_port", s->remote_port);
	request_str(rq, "reverse_client_name",
	    f->reverse_name != NULL      ? f->reverse_name
		: s->client_name != NULL ? s->client_name
					 : "unknown");
	request_host(rq, "server_address", s->local);
	request_number(rq, "server_port", s->local_port);
	request_span(rq, "helo_name", s->helo);
}

static void
request_tls(struct request *rq, const struct session_view *s)
{
	request_str(rq, "encryption_protocol", s->tls_version);
	request_str(rq, "encryption_cipher", s->tls_cipher);
	request_number(rq, "encryption_keysize", request_keysize(s->tls_cipher));
}

/* As Postfix: a recipient at RCPT, or the only one afterwards; a count when it is final; the size as declared until it is known. */
static void
request_envelope(struct request *rq, const struct policy_facts *f)
{
	const struct txn *t = f->txn;
	bool final = f->stage == POLICY_DATA || f->stage == POLICY_END;
	const struct rcpt *rc = f->rcpt;

	if (rc == NULL && final && t != NULL && t->nrcpt == 1)
		rc = t->rcpts;
	request_addr(rq, "sender", t != NULL ? &t->from : NULL);
	request_addr(rq, "recipient", rc != NULL ? &rc->addr : NULL);
	request_number(rq, "recipient_count", final && t != NULL ? t->nrcpt : 0);
	request_str(rq, "queue_id", t != NULL ? t->id : "");
	/* The same for all questions about one message, of another for none. */
	request_span(rq, "instance", t != NULL ? span_str(t->id) : f->view->id);
	request_number(rq, "size", t == NULL ? 0 : f->stage == POLICY_END ? t->size : t->size_decl);
}

size_t
policy_request(const struct policy_facts *f, char *out)
{
	const struct session_view *s = f->view;
	struct request rq = { out, 0 };

	request_session(&rq, "smtpd_access_policy", f);
	request_envelope(&rq, f);
	request_str(&rq, "etrn_domain", "");
	request_str(&rq, "stress", "");
	request_str(&rq, "sasl_method", s->user != NULL ? s->auth_method : NULL);
	request_str(&rq, "sasl_username", s->user);
	request_str(&rq, "sasl_sender", "");
	request_str(&rq, "ccert_subject", "");
	request_str(&rq, "ccert_issuer", "");
	request_str(&rq, "ccert_fingerprint", "");
	request_str(&rq, "ccert_pubkey_fingerprint", "");
	request_tls(&rq, s);
	request_str(&rq, "policy_context", "");
	request_str(&rq, "compatibility_level", "");
	request_str(&rq, "mail_version", "letterplate " LETTERPLATE_VERSION);
	rq.out[rq.n++] = '\n';
	return rq.n;
}

size_t
policy_request_token(const struct policy_facts *f, const struct auth_try *t, char *out)
{
	static const char name[] = "token=";
	struct request rq = { out, 0 };

	request_session(&rq, "oauth_token", f);
	request_span(&rq, "instance", f->view->id);
	request_str(&rq, "sasl_method", t->method);
	request_span(&rq, "sasl_username", t->user);
	request_tls(&rq, f->view);
	memcpy(rq.out + rq.n, name, sizeof(name) - 1);
	rq.n += sizeof(name) - 1;
	memcpy(rq.out + rq.n, t->password.p, t->password.n);
	rq.n += t->password.n;
	rq.out[rq.n++] = '\n';
	rq.out[rq.n++] = '\n';
	return rq.n;
}
