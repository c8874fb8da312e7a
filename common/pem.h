/*
 * pem: certificates, keys and OCSP responses as they stand in files.
 * What master (in a child that checks), key process and workers do alike with
 * libcrypto.  It opens no file and makes no connection.
 */
#ifndef COMMON_PEM_H_
#define COMMON_PEM_H_

#include <openssl/x509.h>

#include "common/span.h"

enum {
	PEM_WHY_MAX   = 256,
	PEM_WARN_DAYS = 14 /* fewer days to expiry are warned of */
};

/* libcrypto without openssl.cnf: what it does is decided here alone.  Before any other use.  0, or -1. */
int pem_init(void);

/* The first certificate of ${text} and, in *chain, those that follow.  NULL with *why; owner of both: the caller. */
X509 *pem_certificates(struct span text, STACK_OF(X509) * *chain, const char **why);

/* A private key without a passphrase.  NULL with *why; owner: the caller. */
EVP_PKEY *pem_key(struct span text, const char **why);

/* What OpenSSL says of the last failure; static, good until the next call.  Its queue is empty afterwards. */
const char *pem_reason(void);

/* Whether the certificate is for the host ${name}: by subjectAltName, or the common name where that has no DNS names. */
bool pem_is_for(X509 *leaf, const char *name);

/* The same of the first certificate of ${text}: 1, 0, or -1 where none can be read. */
int pem_is_of(struct span text, const char *name);

/* The kinds of keys that are served: RSA from 2,048 to 8,192 bits, EC on P-256, P-384 or P-521, Ed25519. */
bool pem_key_kind_ok(const EVP_PKEY *key);

/* Seconds from ${now} to the first end of validity in the chain; negative: over. */
int64_t pem_expires_in(const X509 *leaf, const STACK_OF(X509) * chain, int64_t now);

/**
 * pem_check(certificate, key, ocsp, now, why, cap):
 * Whether they can be served together; ${ocsp} may be empty.  0; 1 with a
 * warning in ${why} (it expires soon, or has); -1 with what is wrong there.
 */
int pem_check(struct span certificate, struct span key, struct span ocsp, int64_t now, char *why, size_t cap);
#endif
