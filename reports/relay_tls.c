/*
 * relay_tls: the only user of libssl here.  The versions and ciphers are those
 * that our own listeners speak (worker/net/tls_context.c).
 */
#include "reports/relay_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pem.h"

struct relay_tls {
	SSL *ssl;
	bool writes; /* the handshake waits for room in the socket */
	bool open, bad, flooded;
	unsigned empty; /* records without data, since the handshake or in it */
};

static SSL_CTX *ctx;
static char reason[PEM_WHY_MAX];

static int
policy(SSL_CTX *c)
{
	SSL_CTX_set_verify(c, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	return SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
		SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1
	    ? 0
	    : -1;
}

int
relay_tls_init(const char **why)
{
	/* The words of its errors are read now: there are no files later. */
	if (pem_init() == 0 &&
	    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, NULL) == 1 &&
	    (ctx = SSL_CTX_new(TLS_client_method())) != NULL && policy(ctx) == 0)
		return 0;
	*why = pem_reason();
	SSL_CTX_free(ctx);
	ctx = NULL;
	return -1;
}

/*
 * libssl's word of each record: SSL_read_ex() goes on behind one without data,
 * for as long as such come (worker/net/tls.c has the same, and the measurement).
 * Without a BIO to read from it fails.
 */
static void
record(int sent, int version, int type, const void *p, size_t n, SSL *ssl, void *arg)
{
	struct relay_tls *t = arg;
	const uint8_t *octets = p;

	(void)version;
	/* The header's first octet is the type; TLS 1.3 has it inside, and DATA outside. */
	if (sent || n == 0 || (type != SSL3_RT_HEADER && type != SSL3_RT_INNER_CONTENT_TYPE) ||
	    octets[0] == SSL3_RT_APPLICATION_DATA || t->flooded)
		return;
	if (++t->empty <= (t->open ? RELAY_TLS_EMPTY_MAX : RELAY_TLS_SHAKE_MAX))
		return;
	t->flooded = true;
	SSL_set0_rbio(ssl, NULL);
}

struct relay_tls *
relay_tls_new(int fd, const char *name)
{
	struct relay_tls *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->ssl = SSL_new(ctx);
	/* SSL_set_tlsext_host_name() is a macro that casts const away in sight of the compiler. */
	if (t->ssl == NULL || SSL_set_fd(t->ssl, fd) != 1 ||
	    (name != NULL &&
		SSL_ctrl(t->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)name) !=
		    1)) {
		SSL_free(t->ssl);
		free(t);
		ERR_clear_error();
		return NULL;
	}
	SSL_set_connect_state(t->ssl);
	SSL_set_msg_callback(t->ssl, record);
	SSL_set_msg_callback_arg(t->ssl, t);
	return t;
}

/* What a call returned that moved nothing, in recv's and send's words. */
static ssize_t
refused(struct relay_tls *t, int rc)
{
	int saved = errno, error = SSL_get_error(t->ssl, rc);
	const char *words = ERR_reason_error_string(ERR_peek_last_error());

	if (t->flooded) {
		t->bad = true;
		snprintf(reason, sizeof(reason), "too many records without data");
		ERR_clear_error();
		errno = EPROTO;
		return -1;
	}
	switch (error) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		t->writes = error == SSL_ERROR_WANT_WRITE;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	}
	t->bad = true;
	if (error != SSL_ERROR_SSL || words == NULL)
		words = saved != 0 ? strerror(saved) : "it hung up";
	snprintf(reason, sizeof(reason), "%s", words);
	ERR_clear_error();
	errno = error == SSL_ERROR_SYSCALL && saved != 0 ? saved : EPROTO;
	return -1;
}

enum relay_tls_go
relay_tls_shake(struct relay_tls *t)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(t->ssl);
	if (rc == 1) {
		t->open = true;
		t->empty = 0;
		return RELAY_TLS_DONE;
	}
	if (refused(t, rc) == -1 && errno == EAGAIN)
		return RELAY_TLS_WAIT;
	if (!t->bad)
		snprintf(reason, sizeof(reason), "it hung up");
	return RELAY_TLS_BROKEN;
}

bool
relay_tls_writes(const struct relay_tls *t)
{
	return t->writes;
}

const char *
relay_tls_why(void)
{
	return reason;
}

ssize_t
relay_tls_recv(struct relay_tls *t, void *p, size_t n)
{
	size_t got;
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_read_ex(t->ssl, p, n, &got);
	return rc == 1 && !t->flooded ? (ssize_t)got : refused(t, rc);
}

ssize_t
relay_tls_send(struct relay_tls *t, const void *p, size_t n)
{
	size_t sent;
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_write_ex(t->ssl, p, n, &sent);
	if (rc == 1)
		return (ssize_t)sent;
	if (refused(t, rc) == 0)
		errno = EPIPE;
	return -1;
}

bool
relay_tls_pending(const struct relay_tls *t)
{
	return SSL_pending(t->ssl) > 0;
}

const char *
relay_tls_version(const struct relay_tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *
relay_tls_cipher(const struct relay_tls *t)
{
	return SSL_get_cipher_name(t->ssl);
}

void
relay_tls_free(struct relay_tls *t)
{
	if (t == NULL)
		return;
	ERR_clear_error();
	if (t->open && !t->bad)
		SSL_shutdown(t->ssl);
	SSL_free(t->ssl);
	free(t);
	ERR_clear_error();
}
