/*
 * tls_context: what a listener's handshakes share: versions, ciphers, curves,
 * certificates, which of them a name gets (SNI), the stapled OCSP response.
 * The one place that says what kind of TLS is spoken.
 */
#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/bundle.h"
#include "common/log.h"
#include "common/pem.h"
#include "worker/net/tls_priv.h"

#ifdef TLS_KEY_INSIDE
#include <openssl/pem.h>
#include <stdio.h>
enum { TLS_ASYNC = 0 };
#else
enum { TLS_ASYNC = SSL_MODE_ASYNC };
#endif

/* A certificate with what belongs to it. */
struct tls_section {
	X509 *leaf;
	STACK_OF(X509) * chain;
	EVP_PKEY *key;    /* the key process's */
	struct span ocsp; /* malloc()ed; empty: none */
};

/* Which section a name gets.  "*.": one label in its place. */
struct tls_name {
	const char *name;
	unsigned section;
};

static struct {
	struct tls_section section[CONF_LISTENERS_MAX];
	size_t nsection, main; /* main: for who asks for no name of ours */
	struct tls_name name[TLS_NAMES_MAX];
	size_t nname;
	struct tls_port *port[CONF_LISTENERS_MAX];
	int64_t expires;
} tls;

/* --- names --- */

static bool
tls_name_is(const char *pattern, struct span asked)
{
	struct span p = span_str(pattern);
	size_t label = 0;

	if (p.n < 2 || p.p[0] != '*')
		return span_caseeq(p, asked);
	while (label < asked.n && asked.p[label] != '.')
		label++;
	return label > 0 && span_caseeq(span_skip(p, 1), span_skip(asked, label));
}

/* The section of a name: an exact one wins over a wildcard, the first over the next; -1: none. */
static int
tls_section_of(struct span asked)
{
	int wild = -1;

	if (asked.n > 0 && asked.p[asked.n - 1] == '.')
		asked.n--;
	for (size_t i = 0; i < tls.nname; i++) {
		if (!tls_name_is(tls.name[i].name, asked))
			continue;
		if (tls.name[i].name[0] != '*')
			return (int)tls.name[i].section;
		if (wild == -1)
			wild = (int)tls.name[i].section;
	}
	return wild;
}

/* An unknown name is no reason for an alert (RFC 6066 3 lets us go on): mail is delivered by MX, whatever the name. */
static int
tls_sni(SSL *s, int *alert, void *arg)
{
	const char *asked = SSL_get_servername(s, TLSEXT_NAMETYPE_host_name);
	struct tls_port *p = arg;
	int section;

	(void)alert;
	if (asked == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	section = tls_section_of(span_str(asked));
	if (section == -1)
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_set_SSL_CTX(s, p->ctx[1 + section]) != NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static int
tls_add_name(const char *name, unsigned section)
{
	char *copy = strdup(name);

	if (copy == NULL || tls.nname == TLS_NAMES_MAX) {
		free(copy);
		return -1;
	}
	tls.name[tls.nname].name = copy;
	tls.name[tls.nname++].section = section;
	return 0;
}

/* The names that a certificate is for: DNS names of its subjectAltName alone, as all clients do (RFC 6125 6.4.4). */
static int
tls_names_of(X509 *leaf, unsigned section)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	int rc = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(all) && rc == 0; i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(all, i);
		const char *text;
		int len;

		if (n->type != GEN_DNS)
			continue;
		text = (const char *)ASN1_STRING_get0_data(n->d.dNSName);
		len = ASN1_STRING_length(n->d.dNSName);
		if (len > 0 && strnlen(text, (size_t)len) == (size_t)len)
			rc = tls_add_name(text, section);
	}
	GENERAL_NAMES_free(all);
	return rc;
}

/* --- OCSP --- */

static int
tls_staple(SSL *s, void *arg)
{
	const struct tls_section *sec = arg;
	uint8_t *copy;

	if (sec->ocsp.n == 0)
		return SSL_TLSEXT_ERR_NOACK;
	copy = OPENSSL_memdup(sec->ocsp.p, sec->ocsp.n);
	if (copy == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(s, copy, (long)sec->ocsp.n);
	return SSL_TLSEXT_ERR_OK;
}

/* --- contexts --- */

/* ECDHE and AEAD only; ${secrets}: passwords are said.  What OpenSSL calls level 2 refuses keys below 112 bits, and SHA-1. */
static int
tls_policy(SSL_CTX *c, bool secrets)
{
	/* Not const: OpenSSL's macros cast that away, which clang minds. */
	char groups[] = "X25519:P-256:P-384:P-521:X448";
	char sigalgs[] = "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:"
			 "rsa_pss_rsae_sha512:RSA+SHA256:RSA+SHA384:RSA+SHA512";

	SSL_CTX_set_options(c,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
		SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_QUERY_MTU);
	/* What was read is gone from libssl's buffer, and not only free. */
	if (secrets)
		SSL_CTX_set_options(c, SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_mode(c,
	    TLS_ASYNC | SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(c, 1);
	SSL_CTX_set_security_level(c, 2);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(c, 1);
	SSL_CTX_set_timeout(c, TICKETS_TURN_S);
	return SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
		SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
		SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
		SSL_CTX_set_ciphersuites(
		    c, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256") == 1 &&
		SSL_CTX_set1_groups_list(c, groups) == 1 && SSL_CTX_set1_sigalgs_list(c, sigalgs) == 1
	    ? 0
	    : -1;
}

static SSL_CTX *
tls_context(struct tls_port *p, struct tls_section *sec)
{
	SSL_CTX *c = SSL_CTX_new(TLS_server_method());
	uint8_t id[32];
	size_t n;

	if (c == NULL || tls_policy(c, p->secrets) != 0)
		goto fail;
	/* A session is good at the listener that made it alone. */
	if (EVP_Q_digest(NULL, "SHA256", NULL, p->name, strlen(p->name), id, &n) != 1 ||
	    SSL_CTX_set_session_id_context(c, id, (unsigned)n) != 1)
		goto fail;
	if (SSL_CTX_use_certificate(c, sec->leaf) != 1 || SSL_CTX_set1_chain(c, sec->chain) != 1 ||
	    SSL_CTX_use_PrivateKey(c, sec->key) != 1)
		goto fail;
	SSL_CTX_set_app_data(c, p);
	SSL_CTX_set_tlsext_servername_callback(c, tls_sni);
	SSL_CTX_set_tlsext_servername_arg(c, p);
	SSL_CTX_set_tlsext_status_cb(c, tls_staple);
	SSL_CTX_set_tlsext_status_arg(c, sec);
	if (SSL_CTX_set_tlsext_ticket_key_evp_cb(c, tls_ticket) != 1)
		goto fail;
	return c;
fail:
	SSL_CTX_free(c);
	return NULL;
}

static struct tls_port *
tls_port_new(const struct conf_listener *l, const struct tickets *tickets)
{
	struct tls_port *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->name = l->name;
	p->secrets = l->auth != CONF_AUTH_OFF;
	p->tickets = tickets;
	/* ctx[0] is the one that each connection begins with; it has its ticket keys whatever name is asked for. */
	p->ctx[0] = tls_context(p, &tls.section[tls.main]);
	if (p->ctx[0] == NULL)
		goto fail;
	for (size_t i = 0; i < tls.nsection; i++)
		if ((p->ctx[1 + i] = tls_context(p, &tls.section[i])) == NULL)
			goto fail;
	return p;
fail: /* the worker does not start */
	for (size_t i = 0; i <= tls.nsection; i++)
		SSL_CTX_free(p->ctx[i]);
	free(p);
	return NULL;
}

/* --- the start --- */

static EVP_PKEY *
tls_key_of(const struct tls_section *sec, size_t i)
{
#ifdef TLS_KEY_INSIDE
	/* For tests/load/handshakes.sh alone: what does it cost that the key is elsewhere? */
	FILE *f = fopen(TLS_KEY_INSIDE, "r");
	EVP_PKEY *key = f != NULL ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

	log_msg(LOG_L_WARN, "tls", "section %zu: built with the key inside the worker: not for mail", i);
	if (f != NULL)
		fclose(f);
	(void)sec;
	return key;
#else
	return tls_provider_key(X509_get0_pubkey(sec->leaf), (unsigned)i);
#endif
}

/* What a handshake sends of it. */
static size_t
tls_octets(const struct tls_section *sec)
{
	size_t n = sec->ocsp.n + (size_t)i2d_X509(sec->leaf, NULL);

	for (int i = 0; i < sk_X509_num(sec->chain); i++)
		n += (size_t)i2d_X509(sk_X509_value(sec->chain, i), NULL);
	return n;
}

/* 0, or -1 with *why. */
static int
tls_read_section(const struct conf_tls_section *cs, const struct bundle *b, size_t i, const char **why)
{
	struct tls_section *sec = &tls.section[i];
	struct span ocsp = bundle_file(b, 2 * i + 1);
	int64_t now = time(NULL), left;

	sec->leaf = pem_certificates(bundle_file(b, 2 * i), &sec->chain, why);
	if (sec->leaf == NULL)
		return -1;
	*why = NULL;
	sec->key = tls_key_of(sec, i);
	if (sec->key == NULL)
		return -1;
	if (ocsp.n > 0) {
		uint8_t *copy = malloc(ocsp.n);

		if (copy == NULL)
			return -1;
		memcpy(copy, ocsp.p, ocsp.n);
		sec->ocsp = span_of(copy, ocsp.n);
	}
	tls_memory_chain(tls_octets(sec));
	left = pem_expires_in(sec->leaf, sec->chain, now);
	if (tls.expires == 0 || now + left < tls.expires)
		tls.expires = now + left;
	*why = "too many names";
	return cs->name[0] != '\0' ? tls_add_name(cs->name, (unsigned)i) : tls_names_of(sec->leaf, (unsigned)i);
}

static int
tls_read(const struct conf *cf, int certs_fd)
{
	const char *why = "the bundle cannot be read";
	struct bundle b;

	if (bundle_open(certs_fd, &b) != 0 || b.n != 2 * cf->ntls) {
		log_msg(LOG_L_ERROR, "tls", "%s", why);
		return -1;
	}
	/* The first section without a name is for whoever asks for none, or else the first one. */
	for (size_t i = cf->ntls; i-- > 0;)
		if (cf->tls[i].name[0] == '\0')
			tls.main = i;
	for (size_t i = 0; i < cf->ntls; i++)
		if (tls_read_section(&cf->tls[i], &b, i, &why) != 0) {
			log_msg(
			    LOG_L_ERROR, "tls", "\"%s\": %s", cf->tls[i].certificate, why != NULL ? why : pem_reason());
			return -1;
		}
	tls.nsection = cf->ntls;
	bundle_close(&b);
	return 0;
}

int
tls_open(struct loop *l, const struct conf *cf, int sign_fd, int certs_fd, int tickets_fd)
{
	const struct tickets *tickets = tickets_map(tickets_fd);

	if (tickets == NULL || tls_memory_bound() != 0 || pem_init() != 0 ||
	    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1 || tls_provider_load() != 0 ||
	    ASYNC_init_thread(TLS_JOBS_MAX, 0) != 1 || tls_keys_open(l, sign_fd) != 0) {
		log_msg(LOG_L_ERROR, "tls", "cannot start: %s, %s", strerror(errno), pem_reason());
		return -1;
	}
	if (tls_read(cf, certs_fd) != 0)
		return -1;
	for (size_t i = 0; i < cf->nlistener; i++) {
		if (cf->listener[i].tls == CONF_TLS_NONE)
			continue;
		tls.port[i] = tls_port_new(&cf->listener[i], tickets);
		if (tls.port[i] == NULL) {
			log_msg(LOG_L_ERROR, "tls", "listener \"%s\": %s", cf->listener[i].name, pem_reason());
			return -1;
		}
	}
	close(certs_fd);
	close(tickets_fd);
	return 0;
}

struct tls_port *
tls_port(size_t i)
{
	return i < CONF_LISTENERS_MAX ? tls.port[i] : NULL;
}

int64_t
tls_expires(void)
{
	return tls.expires;
}
