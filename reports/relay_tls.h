/*
 * relay_tls: TLS with the relay, for relay.c alone.
 * Opportunistic (RFC 7435): it keeps who only listens out, and nobody else,
 * since no certificate is checked; that is said in letterplate.conf(5).
 */
#ifndef REPORTS_RELAY_TLS_H_
#define REPORTS_RELAY_TLS_H_

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct relay_tls;

enum {
	RELAY_TLS_EMPTY_MAX = 32,  /* records without data, of a connection: tickets, key updates, alerts */
	RELAY_TLS_SHAKE_MAX = 1024 /* records of any kind, of a handshake */
};

enum relay_tls_go { RELAY_TLS_DONE, RELAY_TLS_WAIT, RELAY_TLS_BROKEN };

/* libssl made ready, once, before the sandbox closes.  0, or -1 with its reason in ${*why}, static. */
int relay_tls_init(const char **why);

/* A client's side over ${fd}, which stays the caller's.  ${name}: what is asked for by SNI, NULL for none.  NULL: no memory. */
struct relay_tls *relay_tls_new(int fd, const char *name);

/* Go on with the handshake (RFC 3207 4).  WAIT: poll, for writing too if relay_tls_writes(). */
enum relay_tls_go relay_tls_shake(struct relay_tls *t);
bool              relay_tls_writes(const struct relay_tls *t);

/* Why it is broken; static, good until the next call. */
const char *relay_tls_why(void);

/* As recv(2) and send(2): octets, 0 at its end, -1 with errno; EAGAIN: poll. */
ssize_t relay_tls_recv(struct relay_tls *t, void *p, size_t n);
ssize_t relay_tls_send(struct relay_tls *t, const void *p, size_t n);

/* Whether there is more to be had without polling. */
bool relay_tls_pending(const struct relay_tls *t);

/* "TLSv1.3" and its cipher's name; static words. */
const char *relay_tls_version(const struct relay_tls *t);
const char *relay_tls_cipher(const struct relay_tls *t);

/* The end; NULL is nothing.  Says close_notify if all went well. */
void relay_tls_free(struct relay_tls *t);
#endif
