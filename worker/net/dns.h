/*
 * dns: questions to the domain name system, in the loop.
 * The only user of c-ares.  What it answers is remembered for as long as it
 * may be; what does not answer costs its asker the time that the config gives,
 * and nobody else anything.
 */
#ifndef WORKER_NET_DNS_H_
#define WORKER_NET_DNS_H_

#include <sys/socket.h>

#include "common/span.h"
#include "worker/net/loop.h"

enum {
	DNS_NAME_MAX    = 256,  /* octets of a name with its NUL: more than RFC 1035 2.3.4 allows */
	DNS_ADDRS_MAX   = 16,   /* addresses of one answer that are kept */
	DNS_TEXT_MAX    = 256,  /* octets of a TXT record that are kept, with a NUL */
	DNS_PENDING_MAX = 4096, /* questions under way in one worker; more fail at once */
	DNS_CACHE_MAX   = 4096, /* answers remembered by one worker, below 600 octets each */
	DNS_TTL_MAX_S   = 3600, /* seconds an answer is remembered at the most */
	DNS_TTL_NONE_S  = 60,   /* ... that there is nothing: no list stays wrong about a client for long */
	DNS_SOCKETS_MAX = 64    /* c-ares has one or two a server */
};

enum dns_type { DNS_A, DNS_AAAA, DNS_PTR, DNS_TXT, DNS_MX };

enum dns_status {
	DNS_FOUND,
	DNS_NOTHING, /* there is no such name, or nothing of that type */
	DNS_FAILED   /* not known: no answer in time, or none that makes sense */
};

struct dns_answer {
	enum dns_status status;
	const char     *why;     /* DNS_FAILED: a static text */
	uint32_t        ttl_s;   /* seconds */
	unsigned        n;       /* DNS_A, DNS_AAAA: addresses kept; DNS_MX: records */
	bool            null_mx; /* RFC 7505 */
	union {
		uint8_t addr[DNS_ADDRS_MAX][16]; /* network order, IPv4 mapped */
		char name[DNS_NAME_MAX]; /* DNS_PTR: the first one, of letters, digits, hyphens, underscores and dots */
		char text[DNS_TEXT_MAX]; /* DNS_TXT: the first one, hostile */
	};
};

struct dns;
struct dns_pending;

/* A question under way; embedded in whoever asks.  Zeroed: none is. */
struct dns_query {
	struct dns_pending *pending; /* private */
	/* Called once, not from within dns_ask().  The answer is good for the call. */
	void (*done)(struct dns_query *q, const struct dns_answer *a);
};

/**
 * dns_open(l, servers, timeout_ms):
 * ${servers} is "192.0.2.1:53,[2001:db8::1]:53"; NULL: those of /etc/resolv.conf,
 * which is read now and never again, so that it works inside a sandbox.  A
 * question is given up after ${timeout_ms}, all servers and tries together.
 * NULL with errno, EINVAL for servers that are none.  Owner: the caller.
 */
struct dns *dns_open(struct loop *l, const char *servers, uint32_t timeout_ms);
void        dns_close(struct dns *d); /* nobody asks any more; NULL is a no-op */

/* Told every server that is asked: by datagrams, and over TCP for answers that are too long for one. */
void dns_servers(const struct dns *d, void (*server)(void *arg, const struct sockaddr *ss), void *arg);

/**
 * dns_ask(d, q, type, name):
 * Ask for ${type} of ${name}; q->done is set.  The answer, good until the next
 * call, if it is known now (remembered, or there is no way to ask); else NULL,
 * and q->done() will be called.
 */
const struct dns_answer *dns_ask(struct dns *d, struct dns_query *q, enum dns_type type, const char *name);

/* Nobody waits for ${q} any more: done() will not be called.  Not under way: a no-op. */
void dns_cancel(struct dns_query *q);

/**
 * dns_reverse(addr, suffix, out):
 * The name to ask for what ${suffix} knows of an address: "1.2.0.192.SUFFIX",
 * or 32 nibbles for IPv6 (RFC 5782 2).  ${suffix} NULL: in-addr.arpa, ip6.arpa.
 * ${out} has DNS_NAME_MAX octets.  0, or -1 when it does not fit.
 */
int dns_reverse(const uint8_t addr[16], const char *suffix, char *out);
#endif
