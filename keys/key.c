/*
 * key: one key a tls section, read once; nothing is ever given out but
 * signatures over what form.h knows.
 */
#include "keys/key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <time.h>

#include "common/conf.h"
#include "common/log.h"
#include "common/pem.h"
#include "keys/form.h"

/* What a scheme means to libcrypto: kind of key, hash, padding. */
static const struct scheme {
	uint16_t number;
	bool pss;
	const char *kind, *hash;
} schemes[] = {
	{ SIGN_RSA_PKCS1_SHA256, false, "RSA", "SHA256" },
	{ SIGN_RSA_PKCS1_SHA384, false, "RSA", "SHA384" },
	{ SIGN_RSA_PKCS1_SHA512, false, "RSA", "SHA512" },
	{ SIGN_ECDSA_SHA256, false, "EC", "SHA256" },
	{ SIGN_ECDSA_SHA384, false, "EC", "SHA384" },
	{ SIGN_ECDSA_SHA512, false, "EC", "SHA512" },
	{ SIGN_RSA_PSS_SHA256, true, "RSA", "SHA256" },
	{ SIGN_RSA_PSS_SHA384, true, "RSA", "SHA384" },
	{ SIGN_RSA_PSS_SHA512, true, "RSA", "SHA512" },
	{ SIGN_ED25519, false, "ED25519", NULL },
};

enum { SCHEMES = sizeof(schemes) / sizeof(schemes[0]) };

static struct {
	/* Made ready once and copied for each signature, which looks nothing up; NULL: not for this kind of key. */
	EVP_MD_CTX *ready[CONF_LISTENERS_MAX][SCHEMES];
	size_t n;
} keys;

/* A context that signs with ${key} by a scheme.  NULL: it cannot be had. */
static EVP_MD_CTX *
make_ready(EVP_PKEY *key, const struct scheme *sc)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx = NULL;

	if (md != NULL && EVP_DigestSignInit_ex(md, &ctx, sc->hash, NULL, NULL, key, NULL) == 1 &&
	    (!sc->pss ||
		(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
		    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0)))
		return md;
	EVP_MD_CTX_free(md);
	return NULL;
}

/* 0, or -1. */
static int
add_key(EVP_PKEY *key)
{
	for (size_t i = 0; i < SCHEMES; i++) {
		if (!EVP_PKEY_is_a(key, schemes[i].kind))
			continue;
		keys.ready[keys.n][i] = make_ready(key, &schemes[i]);
		if (keys.ready[keys.n][i] == NULL)
			return -1;
	}
	keys.n++;
	return 0;
}

int
key_load(const struct bundle *certs, const struct bundle *files)
{
	char why[PEM_WHY_MAX];
	const char *bad;
	EVP_PKEY *key;

	for (size_t i = 0; i < files->n && i < CONF_LISTENERS_MAX; i++) {
		struct span text = bundle_file(files, i);

		if (pem_check(bundle_file(certs, 2 * i), text, bundle_file(certs, 2 * i + 1), time(NULL), why,
			sizeof why) < 0) {
			log_msg(LOG_L_ERROR, "start", "tls section %zu: %s", i + 1, why);
			return -1;
		}
		key = pem_key(text, &bad);
		if (key == NULL || add_key(key) != 0) {
			log_msg(
			    LOG_L_ERROR, "start", "tls section %zu: the key cannot be used: %s", i + 1, pem_reason());
			return -1;
		}
		EVP_PKEY_free(key); /* the contexts hold it */
	}
	return 0;
}

size_t
key_count(void)
{
	return keys.n;
}

/* What signs with a section's key by a scheme, or NULL. */
static const EVP_MD_CTX *
find_ready(unsigned section, uint16_t number)
{
	for (size_t i = 0; i < SCHEMES && section < keys.n; i++)
		if (schemes[i].number == number)
			return keys.ready[section][i];
	return NULL;
}

static size_t
sign(const EVP_MD_CTX *ready, struct span text, uint8_t out[SIGN_OCTETS_MAX])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t n = SIGN_OCTETS_MAX;

	if (md == NULL || EVP_MD_CTX_copy_ex(md, ready) != 1 || EVP_DigestSign(md, out, &n, text.p, text.n) != 1)
		n = 0;
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return n;
}

uint32_t
key_sign(const struct sign_ask *ask, uint8_t out[SIGN_OCTETS_MAX], const char **why)
{
	const EVP_MD_CTX *ready = find_ready(ask->section, ask->scheme);
	struct span text = span_of(ask->text, ask->n);

	*why = "not-a-handshake";
	if (!form_allows(form_of(text), ask->scheme))
		return 0;
	*why = "no-such-key";
	if (ready == NULL)
		return 0;
	*why = "failed";
	return (uint32_t)sign(ready, text, out);
}
