/*
 * tickets: the secrets that session tickets are sealed with.
 * A page that the master alone writes and all workers of all generations read:
 * so each takes the tickets of each.  It holds the secret of now and that of
 * before; what is older is overwritten, and what was recorded under it can't
 * be opened any more.  A listener's key is derived from a secret and the
 * listener's name (worker/net/tls_tickets.c), so that none crosses over.
 */
#ifndef COMMON_TICKETS_H_
#define COMMON_TICKETS_H_

#include <stdint.h>

enum {
	TICKETS_SECRET = 32,  /* octets */
	TICKETS_KEPT   = 2,   /* secrets: one seals, both open */
	TICKETS_TURN_S = 3600 /* seconds until the next one; a ticket is good for as long */
};

struct tickets;

/* A page with two fresh secrets, sealed against writing by others.  A descriptor and *t to write with, or -1 with errno. */
int tickets_create(struct tickets **t);

/* The same with the secrets of ${old}, a predecessor's page, as far as they can be read: it cannot be written to any more. */
int tickets_succeed(int old, struct tickets **t);

/* Make a new secret if ${now} (seconds, monotonic) says that it is time; the oldest one goes (master). */
void tickets_turn(struct tickets *t, int64_t now);

/* Map it to read.  NULL with errno. */
const struct tickets *tickets_map(int fd);

/* How often it was turned: what was derived from an earlier reading is stale. */
uint64_t tickets_serial(const struct tickets *t);

/* Copy secret ${i} (0: the newest) as of ${serial}.  0, or -1 if it has been turned meanwhile. */
int tickets_secret(const struct tickets *t, uint64_t serial, unsigned i, uint8_t out[TICKETS_SECRET]);
#endif
