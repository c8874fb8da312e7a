/*
 * key: the private keys, and signing with them.
 */
#ifndef KEYS_KEY_H_
#define KEYS_KEY_H_

#include "common/bundle.h"
#include "common/sign.h"

/**
 * key_load(certs, files):
 * Read the key of each tls section and see that it belongs to its certificate.
 * 0, or -1 after a logged line.
 */
int key_load(const struct bundle *certs, const struct bundle *files);

/* How many there are. */
size_t key_count(void);

/**
 * key_sign(ask, out):
 * The octets of the signature in ${out}, or 0: refused, or failed.  Of several
 * threads at once.  *why is then a static word.
 */
uint32_t key_sign(const struct sign_ask *ask, uint8_t out[SIGN_OCTETS_MAX], const char **why);
#endif
