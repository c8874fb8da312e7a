/*
 * tls_priv: what the files of TLS share; nobody else includes it.
 */
#ifndef WORKER_NET_TLS_PRIV_H_
#define WORKER_NET_TLS_PRIV_H_

#include <bsd/sys/queue.h>

#include <openssl/ssl.h>

#include "common/sign.h"
#include "common/tickets.h"
#include "worker/net/tls.h"

enum {
	TLS_SHAKE_MAX = 1024,     /* records of a handshake: a ClientHello cut into octets has fewer */
	TLS_PIECE_MAX = 64 << 10, /* octets that libssl gets in one piece in a handshake: a message of 48 KiB */
	TLS_FIXED     = 64 << 10, /* of a session beside its message and the transcript: records, keys, its state */
	TLS_EMPTY_MAX = 32        /* records behind it that hold no data: key updates, alerts, new handshakes */
};

/* A question to the key process.  It lives on the stack of the handshake's job, which sleeps until it is done. */
struct tls_ask {
	TAILQ_ENTRY(tls_ask) entry;
	struct tls *tls;
	struct span text; /* what is to be signed; libssl's */
	uint64_t    id;
	uint16_t    section, scheme;
	bool        sent, done;
	uint32_t    n; /* octets of the signature, 0: there is none */
	uint8_t     octets[SIGN_OCTETS_MAX];
};

struct tls {
	SSL              *ssl;
	struct loop      *loop;
	struct loop_task *wake;
	struct tls_ask   *ask;  /* what its job sleeps for, or NULL */
	TAILQ_ENTRY(tls) entry; /* of those that wait for a job */
	const char *why;        /* in tls.c's one buffer */
	uint32_t    empty;      /* records that held no data, before or behind the handshake's end */
	bool        waits;      /* for a job */
	bool        open, bad;  /* the handshake is done; nothing can be sent any more */
	bool        flooded;    /* there were too many such records */
	bool        greedy;     /* a message claimed more memory than one may have */
};

/* A listener's ticket keys, derived from the secrets as of ${serial}. */
struct tls_ticket_key {
	uint8_t name[16], seal[32], mac[32];
};

struct tls_port {
	const char           *name;                        /* the listener's */
	SSL_CTX              *ctx[1 + CONF_LISTENERS_MAX]; /* [0]: at first; then one a tls section */
	bool                  secrets;                     /* AUTH is offered */
	const struct tickets *tickets;
	uint64_t              serial;
	bool                  derived;
	struct tls_ticket_key key[TICKETS_KEPT];
};

/* tls.c: the connection whose handshake runs now. */
struct tls *tls_current(void);

/* tls_memory.c: from now on what a handshake may have is bounded; before anything else of libcrypto.  0, or -1: too late. */
int tls_memory_bound(void);
/* We send a certificate's chain of ${n} octets: so much it has to have. */
void tls_memory_chain(size_t n);

/* tls_keys.c: ask, and forget about it (it is done then, without a signature). */
int  tls_keys_open(struct loop *l, int fd);
void tls_keys_ask(struct tls_ask *a);
void tls_keys_drop(struct tls_ask *a);

/* tls_provider.c: register with libcrypto; a key like ${pub} that the key process signs for. */
int       tls_provider_load(void);
EVP_PKEY *tls_provider_key(EVP_PKEY *pub, unsigned section);

/* tls_tickets.c: libssl's callback. */
int tls_ticket(SSL *s, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *c, EVP_MAC_CTX *m, int seal);
#endif
