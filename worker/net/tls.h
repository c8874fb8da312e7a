/*
 * tls: TLS below a connection; the only user of libssl.
 * tls.c is one connection's, tls_context.c a listener's, tls_tickets.c seals
 * session tickets, tls_memory.c says how much one may have, tls_provider.c and
 * tls_keys.c let another process sign: no private key is in a worker
 * (docs/decisions/).  It knows nothing of SMTP.
 */
#ifndef WORKER_NET_TLS_H_
#define WORKER_NET_TLS_H_

#include <sys/types.h>

#include "common/conf.h"
#include "common/span.h"
#include "worker/net/loop.h"

enum {
	TLS_JOBS_MAX  = 256, /* handshakes that wait for a signature at a time: a stack of 32 KiB each */
	TLS_NAMES_MAX = 1024 /* names of all certificates together */
};

struct tls;      /* a connection's */
struct tls_port; /* a listener's: immutable but for its ticket keys */

/**
 * tls_open(l, cf, sign_fd, certs_fd, tickets_fd):
 * Read the certificates and make what the listeners need; the last two
 * descriptors are closed.  Nothing of it opens a file, but libcrypto's first
 * steps do: before the sandbox.  0, or -1 after a logged line.
 */
int tls_open(struct loop *l, const struct conf *cf, int sign_fd, int certs_fd, int tickets_fd);

/* Octets that a session's TLS may take at the most, by a named bound. */
size_t tls_memory(void);

/* Of listener ${i} of the config; NULL: it offers no TLS. */
struct tls_port *tls_port(size_t i);

/* Unix time when the first of all certificates expires; 0: none is there. */
int64_t tls_expires(void);

/**
 * tls_new(p, fd, l, wake):
 * TLS for ${fd}, which stays the caller's.  When a handshake that waited for a
 * signature can go on, ${wake} is queued in ${l}.  NULL: out of memory.
 */
struct tls *tls_new(struct tls_port *p, int fd, struct loop *l, struct loop_task *wake);

/* Give it back; after a handshake and with ${bye} the peer is told (close_notify). */
void tls_free(struct tls *t, bool bye);

enum tls_go { TLS_DONE, TLS_WAIT, TLS_BROKEN };

/* One step of the handshake: done; wait for the descriptor or the wake; broken, and tls_facts() says why. */
enum tls_go tls_handshake(struct tls *t);

/* As recv(2) and send(2) on a non-blocking socket: 0 is the end, EAGAIN: wait for the descriptor, in either direction. */
ssize_t tls_recv(struct tls *t, void *p, size_t n);
ssize_t tls_send(struct tls *t, const void *p, size_t n);

/* Whether tls_recv() failed because the peer sent record after record without data. */
bool tls_flooded(const struct tls *t);

/* Tell the peer that we will say no more. */
void tls_bye(struct tls *t);

/* What is known of it; good until the next call for any connection. */
struct tls_facts {
	const char *version, *cipher; /* "TLSv1.3"; NULL where none was agreed on */
	struct span sni;              /* as asked for, hostile; empty: none */
	const char *why;              /* of TLS_BROKEN, OpenSSL's word */
	bool        resumed;
};
struct tls_facts tls_facts(const struct tls *t);

/**
 * tls_binding(t, type, out, cap):
 * Channel binding data of ${type}: "tls-exporter" (RFC 9266, TLS 1.3 alone) or
 * "tls-server-end-point" (RFC 5929 4).  Octets, 0: there is none.
 */
size_t tls_binding(const struct tls *t, const char *type, uint8_t *out, size_t cap);
#endif
