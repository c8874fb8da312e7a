/*
 * credential_hash: what libcrypto does for credentials.
 * scrypt (RFC 7914) for passwords that are said; SaltedPassword, StoredKey and
 * ServerKey (RFC 5802 3) for SCRAM, which needs PBKDF2.
 */
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "common/credential.h"

static bool
scrypt(const struct credential *c, struct span password, uint8_t out[CREDENTIAL_HASH])
{
	return EVP_PBE_scrypt((const char *)password.p, password.n, c->salt, sizeof c->salt, (uint64_t)1 << c->log_n,
		   c->r, c->p, (uint64_t)256 << 20, out, CREDENTIAL_HASH) == 1;
}

void
credential_hmac(const uint8_t key[CREDENTIAL_HASH], struct span text, uint8_t out[CREDENTIAL_HASH])
{
	HMAC(EVP_sha256(), key, CREDENTIAL_HASH, text.p, text.n, out, NULL);
}

static int
scram_set(struct credential *c, struct span password)
{
	uint8_t salted[CREDENTIAL_HASH], client[CREDENTIAL_HASH];
	int ok;

	c->iterations = CREDENTIAL_ITERATIONS;
	arc4random_buf(c->scram_salt, sizeof c->scram_salt);
	ok = PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n, c->scram_salt, sizeof c->scram_salt,
	    CREDENTIAL_ITERATIONS, EVP_sha256(), sizeof salted, salted);
	credential_hmac(salted, SPAN("Client Key"), client);
	SHA256(client, sizeof client, c->stored);
	credential_hmac(salted, SPAN("Server Key"), c->server);
	explicit_bzero(salted, sizeof salted);
	explicit_bzero(client, sizeof client);
	return ok == 1 ? 0 : -1;
}

int
credential_set(struct credential *c, struct span password, bool scram)
{
	c->log_n = CREDENTIAL_LOG_N;
	c->r = CREDENTIAL_R;
	c->p = CREDENTIAL_P;
	arc4random_buf(c->salt, sizeof c->salt);
	c->iterations = 0;
	if (!scrypt(c, password, c->hash))
		return -1;
	return scram ? scram_set(c, password) : 0;
}

/* Chosen by a hash that nobody outside can know, so that names without a row look like those with one. */
void
credential_nobody(const struct credentials *l, struct span user, struct credential *out)
{
	const struct credential *like;
	uint8_t mac[CREDENTIAL_HASH];
	uint64_t pick;

	credential_hmac(l->secret, user, mac);
	*out = (struct credential){
		.log_n = CREDENTIAL_LOG_N, .r = CREDENTIAL_R, .p = CREDENTIAL_P, .iterations = CREDENTIAL_ITERATIONS
	};
	memcpy(&pick, mac + CREDENTIAL_SALT, sizeof pick);
	if (l->n > 0) {
		like = &l->c[pick % l->n];
		out->log_n = like->log_n;
		out->r = like->r;
		out->p = like->p;
		out->iterations = like->iterations > 0 ? like->iterations : CREDENTIAL_ITERATIONS;
	}
	memcpy(out->scram_salt, mac, sizeof out->scram_salt);
}

bool
credential_check(const struct credential *c, struct span password, const struct credential *nobody)
{
	const struct credential *with = c != NULL ? c : nobody;
	uint8_t out[CREDENTIAL_HASH];
	bool same;

	if (!scrypt(with, password, out))
		return false;
	same = CRYPTO_memcmp(out, with->hash, sizeof out) == 0;
	explicit_bzero(out, sizeof out);
	return same && c != NULL;
}
