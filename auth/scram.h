/*
 * scram: the server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without state
 * between its two steps.
 */
#ifndef AUTH_SCRAM_H_
#define AUTH_SCRAM_H_

#include "common/credential.h"

/**
 * scram_first(l, user, first, out, cap):
 * server-first-message to client-first-message-bare ${first}.  A name that
 * does not exist has a salt too, and always the same.  Octets, or 0.
 */
size_t scram_first(const struct credentials *l, struct span user, struct span first, uint8_t *out, size_t cap);

/**
 * scram_final(l, user, message, proof, out, cap):
 * Whether ${proof} (CREDENTIAL_HASH octets) holds for AuthMessage ${message};
 * then *n octets of server-final-message are in ${out}.
 */
bool scram_final(const struct credentials *l, struct span user, struct span message, struct span proof, uint8_t *out,
    size_t cap, size_t *n);
#endif
