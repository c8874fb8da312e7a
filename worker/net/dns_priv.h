/*
 * dns_priv: what the files of dns share among themselves: reading an answer's
 * octets, and remembering answers.
 */
#ifndef WORKER_NET_DNS_PRIV_H_
#define WORKER_NET_DNS_PRIV_H_

#include "worker/net/dns.h"

/* --- dns_read.c --- */

/* Read an answer of ${type} out of a message.  out->status is DNS_FAILED when it makes no sense. */
void dns_read(enum dns_type type, struct span msg, struct dns_answer *out);

/* --- dns_cache.c --- */

struct dns_cache;

struct dns_cache *dns_cache_new(void);
void              dns_cache_free(struct dns_cache *c);

/* What is remembered, or NULL.  ${now_ms} by loop_now_ms(). */
const struct dns_answer *dns_cache_find(struct dns_cache *c, enum dns_type type, const char *name, uint64_t now_ms);

/* Remember ${a} for a->ttl_s; 0, and failures: not at all. */
void dns_cache_put(
    struct dns_cache *c, enum dns_type type, const char *name, const struct dns_answer *a, uint64_t now_ms);
#endif
