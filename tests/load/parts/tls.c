/*
 * tls: see tls.h.
 */
#include "tests/load/parts/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <err.h>
#include <errno.h>

static SSL_CTX *ctx;

void
tls_init(const char *cert, const char *key, bool tickets)
{
	ctx = SSL_CTX_new(TLS_server_method());
	if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		ERR_print_errors_fp(stderr);
		errx(1, "%s and %s: no certificate with its key", cert, key);
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (!tickets)
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ctx, tickets ? 1 : 0);
}

bool
tls_is_on(void)
{
	return ctx != NULL;
}

SSL *
tls_begin(int fd)
{
	SSL *s = SSL_new(ctx);

	if (s == NULL || SSL_set_fd(s, fd) != 1)
		errx(1, "no memory for TLS");
	SSL_set_accept_state(s);
	return s;
}

static ssize_t
result(SSL *s, int n)
{
	int e;

	if (n > 0)
		return n;
	e = SSL_get_error(s, n);
	ERR_clear_error();
	errno = e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
	return e == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

ssize_t
tls_receive(SSL *s, void *buf, size_t n)
{
	return result(s, SSL_read(s, buf, (int)n));
}

ssize_t
tls_send(SSL *s, const void *buf, size_t n)
{
	return result(s, SSL_write(s, buf, (int)n));
}
