/*
 * form: whether octets are what a TLS server signs in a handshake.
 * A worker that was taken over can ask for signatures; it shall get none that
 * is good for anything but a handshake with whom it talks to anyway.  PURE.
 */
#ifndef KEYS_FORM_H_
#define KEYS_FORM_H_

#include "common/sign.h"
#include "common/span.h"

enum form { FORM_NONE, FORM_TLS12, FORM_TLS13 };

/**
 * form_of(text):
 * FORM_TLS13: RFC 8446 4.4.3, the server's CertificateVerify: 64 spaces, its
 * context string, 0, a transcript hash of SHA-256 or SHA-384.
 * FORM_TLS12: RFC 8422 5.4, what ServerKeyExchange signs: two randoms and the
 * parameters of a named curve, of the very length its point has.  The server's
 * random must end in "DOWNGRD" and 1 (RFC 8446 4.1.3), as it does in all
 * handshakes of ours that end at 1.2: so no signature of ours helps to talk a
 * client of 1.3 down.
 */
enum form form_of(struct span text);

/* Whether ${scheme} may sign it: RSA's old padding is for 1.2 alone. */
bool form_allows(enum form f, uint16_t scheme);
#endif
