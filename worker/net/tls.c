/*
 * tls: one connection's TLS: handshake, reading, writing, the end.
 * A handshake runs as a job of OpenSSL's (ASYNC_start_job), so that it can
 * sleep in the middle of libssl while the key process signs; jobs exist
 * during the handshake alone.
 */
#include "worker/net/tls.h"

#include <openssl/async.h>
#include <openssl/err.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/net/tls_priv.h"

static struct {
	struct tls *current;
	TAILQ_HEAD(, tls) waiting; /* for a job */
	char why[256];
} handshakes = { .waiting = TAILQ_HEAD_INITIALIZER(handshakes.waiting) };

struct tls *
tls_current(void)
{
	return handshakes.current;
}

/*
 * libssl's word of each record: SSL_read_ex() goes on behind one that holds no
 * data, for as long as there are any: 8 MB of key updates are 3.7 s in which no
 * other session is served.  Empty records and warnings in a row it bounds
 * itself; key updates and, in TLS 1.2, wishes to negotiate again it does not.
 * Without a BIO to read from it fails, once its buffer is empty: 600 of them on.
 */
static void
tls_record(int sent, int version, int type, const void *p, size_t n, SSL *ssl, void *arg)
{
	struct tls *t = arg;
	const uint8_t *octets = p;

	(void)version;
	/* The header's first octet is the type; TLS 1.3 has it inside, and DATA outside. */
	if (sent || n == 0 || (type != SSL3_RT_HEADER && type != SSL3_RT_INNER_CONTENT_TYPE) ||
	    octets[0] == SSL3_RT_APPLICATION_DATA || t->flooded)
		return;
	if (++t->empty <= (t->open ? TLS_EMPTY_MAX : TLS_SHAKE_MAX))
		return;
	t->flooded = true;
	SSL_set0_rbio(ssl, NULL);
}

struct tls *
tls_new(struct tls_port *p, int fd, struct loop *l, struct loop_task *wake)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->loop = l;
	t->wake = wake;
	t->ssl = SSL_new(p->ctx[0]);
	if (t->ssl == NULL || SSL_set_fd(t->ssl, fd) != 1) {
		SSL_free(t->ssl);
		free(t);
		ERR_clear_error();
		return NULL;
	}
	SSL_set_accept_state(t->ssl);
	SSL_set_msg_callback(t->ssl, tls_record);
	SSL_set_msg_callback_arg(t->ssl, t);
	return t;
}

static void
tls_broken(struct tls *t, int error, int saved_errno)
{
	unsigned long e = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(e), *text = "the peer closed the connection";

	if (t->flooded)
		text = "too many records";
	else if (t->greedy)
		text = "message too long";
	else if (error == SSL_ERROR_SSL && reason != NULL)
		text = reason;
	else if (error == SSL_ERROR_SYSCALL && saved_errno != 0)
		text = strerror(saved_errno);
	snprintf(handshakes.why, sizeof(handshakes.why), "%s", text);
	t->why = handshakes.why;
	t->bad = true;
	ERR_clear_error();
}

/* A job came free: one of those that wait for it goes on. */
static void
tls_next(void)
{
	struct tls *t = TAILQ_FIRST(&handshakes.waiting);

	if (t == NULL)
		return;
	TAILQ_REMOVE(&handshakes.waiting, t, entry);
	t->waits = false;
	loop_later(t->loop, t->wake);
}

static enum tls_go
tls_line_up(struct tls *t)
{
	t->waits = true;
	TAILQ_INSERT_TAIL(&handshakes.waiting, t, entry);
	return TLS_WAIT;
}

/* Run libssl until it wants something.  What it wants, or SSL_ERROR_NONE. */
static int
tls_step(struct tls *t)
{
	bool slept = t->ask != NULL;
	int rc, error;

	ERR_clear_error();
	errno = 0;
	handshakes.current = t;
	rc = SSL_do_handshake(t->ssl);
	handshakes.current = NULL;
	error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(t->ssl, rc);
	if (slept && t->ask == NULL)
		tls_next();
	return error;
}

enum tls_go
tls_handshake(struct tls *t)
{
	int error;

	if (t->waits || (t->ask != NULL && !t->ask->done))
		return TLS_WAIT;
	error = tls_step(t);
	switch (error) {
	case SSL_ERROR_NONE:
		/* Reading and writing need no job. */
		SSL_clear_mode(t->ssl, SSL_MODE_ASYNC);
		t->open = true;
		t->empty = 0;
		return TLS_DONE;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
	case SSL_ERROR_WANT_ASYNC:
		return TLS_WAIT;
	case SSL_ERROR_WANT_ASYNC_JOB:
		return tls_line_up(t);
	}
	tls_broken(t, error, errno);
	return TLS_BROKEN;
}

/* What a call returned that moved nothing, in recv's and send's words. */
static ssize_t
tls_refused(struct tls *t, int rc)
{
	int saved = errno, error = SSL_get_error(t->ssl, rc);

	switch (error) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	}
	t->bad = true;
	ERR_clear_error();
	errno = error == SSL_ERROR_SYSCALL && saved != 0 ? saved : EPROTO;
	return -1;
}

ssize_t
tls_recv(struct tls *t, void *p, size_t n)
{
	size_t got;
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_read_ex(t->ssl, p, n, &got);
	return rc == 1 ? (ssize_t)got : tls_refused(t, rc);
}

ssize_t
tls_send(struct tls *t, const void *p, size_t n)
{
	size_t sent;
	ssize_t r;
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_write_ex(t->ssl, p, n, &sent);
	if (rc == 1)
		return (ssize_t)sent;
	r = tls_refused(t, rc);
	if (r == 0)
		errno = EPIPE;
	return -1;
}

bool
tls_flooded(const struct tls *t)
{
	return t->open && t->flooded;
}

void
tls_bye(struct tls *t)
{
	if (!t->open || t->bad)
		return;
	ERR_clear_error();
	SSL_shutdown(t->ssl);
	ERR_clear_error();
	t->bad = true;
}

void
tls_free(struct tls *t, bool bye)
{
	if (t->waits)
		TAILQ_REMOVE(&handshakes.waiting, t, entry);
	/* A job can't be taken off libssl's stack, so it is let run to its end: without a signature the handshake fails. */
	if (t->ask != NULL) {
		tls_keys_drop(t->ask);
		tls_step(t);
	}
	if (bye)
		tls_bye(t);
	SSL_free(t->ssl);
	free(t);
	ERR_clear_error();
}

struct tls_facts
tls_facts(const struct tls *t)
{
	struct tls_facts f = { .why = t->why, .resumed = t->open && SSL_session_reused(t->ssl) == 1 };
	const SSL_CIPHER *c = SSL_get_current_cipher(t->ssl);

	f.sni = span_str(SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name));
	if (c == NULL)
		c = SSL_get_pending_cipher(t->ssl);
	if (c != NULL) {
		f.version = SSL_get_version(t->ssl);
		f.cipher = SSL_CIPHER_get_name(c);
	}
	return f;
}

/* A hash of our certificate, by the hash it is signed with; MD5 and SHA-1 become SHA-256 (RFC 5929 4.1). */
static size_t
tls_end_point(const struct tls *t, uint8_t *out, size_t cap)
{
	X509 *x = SSL_get_certificate(t->ssl);
	const EVP_MD *md = NULL;
	unsigned n = 0;
	int hash;

	if (x == NULL || X509_get_signature_info(x, &hash, NULL, NULL, NULL) != 1)
		return 0;
	md = hash == NID_md5 || hash == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(hash);
	if (md == NULL || (size_t)EVP_MD_get_size(md) > cap || X509_digest(x, md, out, &n) != 1)
		n = 0;
	ERR_clear_error();
	return n;
}

size_t
tls_binding(const struct tls *t, const char *type, uint8_t *out, size_t cap)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	enum { LENGTH = 32 };

	if (strcmp(type, "tls-server-end-point") == 0)
		return tls_end_point(t, out, cap);
	if (strcmp(type, "tls-exporter") != 0 || SSL_version(t->ssl) < TLS1_3_VERSION || cap < LENGTH)
		return 0;
	return SSL_export_keying_material(t->ssl, out, LENGTH, label, sizeof(label) - 1, NULL, 0, 0) == 1 ? LENGTH : 0;
}
