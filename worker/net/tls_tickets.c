/*
 * tls_tickets: session tickets (RFC 5077, RFC 8446 4.6.1), sealed with keys
 * that all workers derive alike from the master's secrets and the listener's
 * name: a ticket is good at any worker of any generation and at no other
 * listener (Postfix 20260805 had them valid across services).
 */
#include <openssl/core_names.h>
#include <openssl/rand.h>

#include <stdio.h>

#include "worker/net/tls_priv.h"

static int
tls_derive(const uint8_t *secret, const char *what, const char *listener, uint8_t *out, size_t n)
{
	uint8_t full[32];
	char label[128];
	int len = snprintf(label, sizeof(label), "letterplate ticket %s %s", what, listener);
	size_t got;

	if (len < 0 || (size_t)len >= sizeof(label) ||
	    EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, secret, TICKETS_SECRET, (const uint8_t *)label, (size_t)len,
		full, sizeof(full), &got) == NULL)
		return -1;
	memcpy(out, full, n);
	OPENSSL_cleanse(full, sizeof(full));
	return 0;
}

static int
tls_derive_all(struct tls_port *p, uint64_t serial)
{
	uint8_t secret[TICKETS_SECRET];
	int rc = 0;

	for (unsigned i = 0; i < TICKETS_KEPT && rc == 0; i++) {
		struct tls_ticket_key *k = &p->key[i];

		if (tickets_secret(p->tickets, serial, i, secret) != 0 ||
		    tls_derive(secret, "name", p->name, k->name, sizeof(k->name)) != 0 ||
		    tls_derive(secret, "seal", p->name, k->seal, sizeof(k->seal)) != 0 ||
		    tls_derive(secret, "mac", p->name, k->mac, sizeof(k->mac)) != 0)
			rc = -1;
	}
	OPENSSL_cleanse(secret, sizeof(secret));
	p->derived = rc == 0;
	p->serial = serial;
	return rc;
}

static int
tls_ticket_init(const struct tls_ticket_key *k, const uint8_t *iv, EVP_CIPHER_CTX *c, EVP_MAC_CTX *m, int seal)
{
	OSSL_PARAM params[3];
	char hash[] = "SHA256";
	uint8_t mac[sizeof(k->mac)];

	memcpy(mac, k->mac, sizeof(mac));
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac, sizeof(mac));
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, hash, 0);
	params[2] = OSSL_PARAM_construct_end();
	return EVP_MAC_CTX_set_params(m, params) == 1 &&
		EVP_CipherInit_ex(c, EVP_aes_256_cbc(), NULL, k->seal, iv, seal) == 1
	    ? 0
	    : -1;
}

/* libssl's contract: -1 failed, 0 no ticket (or not ours), 1 ok, 2 ok but make a new one. */
int
tls_ticket(SSL *s, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *c, EVP_MAC_CTX *m, int seal)
{
	struct tls_port *p = SSL_CTX_get_app_data(SSL_get_SSL_CTX(s));
	uint64_t serial = tickets_serial(p->tickets);

	if ((!p->derived || p->serial != serial) && tls_derive_all(p, serial) != 0)
		return 0; /* being turned at this moment: a full handshake does no harm */
	if (seal) {
		memcpy(name, p->key[0].name, sizeof(p->key[0].name));
		if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
			return -1;
		return tls_ticket_init(&p->key[0], iv, c, m, 1) == 0 ? 1 : -1;
	}
	for (unsigned i = 0; i < TICKETS_KEPT; i++)
		if (memcmp(name, p->key[i].name, sizeof(p->key[i].name)) == 0)
			return tls_ticket_init(&p->key[i], iv, c, m, 0) != 0 ? -1 : i == 0 ? 1 : 2;
	return 0;
}
