/*
 * sign: what a worker says to the key process, and back.
 * One SOCK_SEQPACKET pair a worker.  The key process holds the private keys;
 * it is shown the whole of what is to be signed, never a digest, so that it
 * can see that it is a TLS handshake and nothing else.  Host byte order: both
 * ends are one build on one machine.
 */
#ifndef COMMON_SIGN_H_
#define COMMON_SIGN_H_

#include <stdint.h>

enum {
	SIGN_TEXT_MAX   = 256, /* octets that a handshake has signed; the largest is TLS 1.2 with P-521: 201 */
	SIGN_OCTETS_MAX = 1024 /* octets of a signature: RSA of 8,192 bits */
};

/* Signature schemes, by their numbers in TLS (RFC 8446 4.2.3). */
enum sign_scheme {
	SIGN_RSA_PKCS1_SHA256 = 0x0401, /* TLS 1.2 alone, as the next two */
	SIGN_RSA_PKCS1_SHA384 = 0x0501,
	SIGN_RSA_PKCS1_SHA512 = 0x0601,
	SIGN_ECDSA_SHA256     = 0x0403,
	SIGN_ECDSA_SHA384     = 0x0503,
	SIGN_ECDSA_SHA512     = 0x0603,
	SIGN_RSA_PSS_SHA256   = 0x0804,
	SIGN_RSA_PSS_SHA384   = 0x0805,
	SIGN_RSA_PSS_SHA512   = 0x0806,
	SIGN_ED25519          = 0x0807
};

/* A message is the head and as many octets as n says. */
struct sign_ask {
	uint64_t id;      /* the worker's; not 0 */
	uint16_t section; /* which tls section's key, from 0, in the order of the config */
	uint16_t scheme;  /* enum sign_scheme */
	uint32_t n;
	uint8_t  text[SIGN_TEXT_MAX];
};

/* n 0: refused.  id 0: the key process is a new one; what was asked before may be lost and is to be asked again. */
struct sign_answer {
	uint64_t id;
	uint32_t n;
	uint32_t unused;
	uint8_t  octets[SIGN_OCTETS_MAX];
};

#define SIGN_ASK_HEAD    offsetof(struct sign_ask, text)
#define SIGN_ANSWER_HEAD offsetof(struct sign_answer, octets)
#endif
