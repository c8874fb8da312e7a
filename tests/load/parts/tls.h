/*
 * tls: the TLS end of the null server, with the private key in the process.
 * What one would write first: OpenSSL on the socket, in the loop, no cache.
 */
#ifndef TESTS_LOAD_PARTS_TLS_H_
#define TESTS_LOAD_PARTS_TLS_H_

#include <sys/types.h>

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

/* Certificate and key, files in PEM.  Without ${tickets} no session is resumed.  Exits when they cannot be used. */
void tls_init(const char *cert, const char *key, bool tickets);
bool tls_is_on(void);

/* A connection whose client was told to go ahead.  Exits without memory; the owner frees it with SSL_free. */
SSL *tls_begin(int fd);

/* As recv(2) and send(2) on a non-blocking socket; a handshake goes on in tls_receive.  -1 with EAGAIN, or EPROTO. */
ssize_t tls_receive(SSL *s, void *buf, size_t n);
ssize_t tls_send(SSL *s, const void *buf, size_t n);
#endif
