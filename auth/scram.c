/*
 * scram: see scram.h.
 */
#include "auth/scram.h"

#include <bsd/stdlib.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

enum { NONCE = 18 };

/* Who has no row, or none for SCRAM, has salt and settings all the same; its keys are those of no password. */
static const struct credential *
known(const struct credentials *l, struct span user, struct credential *fake)
{
	const struct credential *c = credential_list_find(l, user);

	/* In both cases, for the time it takes. */
	credential_nobody(l, user, fake);
	return c != NULL && c->iterations > 0 ? c : fake;
}

size_t
scram_first(const struct credentials *l, struct span user, struct span first, uint8_t *out, size_t cap)
{
	struct credential fake;
	const struct credential *c = known(l, user, &fake);
	uint8_t nonce[NONCE];
	unsigned char ours[NONCE / 3 * 4 + 1], salt[(CREDENTIAL_SALT + 2) / 3 * 4 + 1];
	size_t at = 0, end;
	int n;

	/* "n=NAME,r=NONCE[,...]": the worker saw that it is. */
	while (at + 3 < first.n && memcmp(first.p + at, ",r=", 3) != 0)
		at++;
	at += 3;
	for (end = at; end < first.n && first.p[end] != ',';)
		end++;
	if (at >= end)
		return 0;
	arc4random_buf(nonce, sizeof nonce);
	EVP_EncodeBlock(ours, nonce, sizeof nonce);
	EVP_EncodeBlock(salt, c->scram_salt, sizeof c->scram_salt);
	n = snprintf((char *)out, cap, "r=%.*s%s,s=%s,i=%u", (int)(end - at), (const char *)first.p + at, ours, salt,
	    c->iterations);
	return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

bool
scram_final(const struct credentials *l, struct span user, struct span message, struct span proof, uint8_t *out,
    size_t cap, size_t *n)
{
	struct credential fake;
	const struct credential *c = known(l, user, &fake);
	uint8_t key[CREDENTIAL_HASH], stored[CREDENTIAL_HASH], server[CREDENTIAL_HASH];
	unsigned char text[(CREDENTIAL_HASH + 2) / 3 * 4 + 1];
	bool ok;
	int len;

	if (proof.n != CREDENTIAL_HASH)
		return false;
	credential_hmac(c->stored, message, key);
	for (size_t i = 0; i < sizeof key; i++)
		key[i] ^= proof.p[i];
	SHA256(key, sizeof key, stored);
	ok = CRYPTO_memcmp(stored, c->stored, sizeof stored) == 0 && c != &fake;
	credential_hmac(c->server, message, server);
	EVP_EncodeBlock(text, server, sizeof server);
	len = snprintf((char *)out, cap, "v=%s", text);
	explicit_bzero(key, sizeof key);
	*n = ok && len > 0 && (size_t)len < cap ? (size_t)len : 0;
	return *n > 0;
}
