/*
 * pem: reading and judging, nothing else.
 */
#include "common/pem.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <time.h>

enum { DAY = 86400 };

int
pem_init(void)
{
	return OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1 ? 0 : -1;
}

const char *
pem_reason(void)
{
	static char text[PEM_WHY_MAX];
	unsigned long e = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(e);

	if (e == 0)
		return "no reason given";
	if (reason != NULL)
		snprintf(text, sizeof text, "%s", reason);
	else
		snprintf(text, sizeof text, "error %lx", e);
	ERR_clear_error();
	return text;
}

/* A key file asks for no passphrase: nobody is there to type it. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static BIO *
text_bio(struct span text)
{
	return text.n > 0 && text.n <= INT32_MAX ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
}

X509 *
pem_certificates(struct span text, STACK_OF(X509) * *chain, const char **why)
{
	BIO *b = text_bio(text);
	X509 *leaf = NULL, *next;

	*chain = sk_X509_new_null();
	*why = "the file is empty";
	if (b == NULL || *chain == NULL)
		goto fail;
	*why = "no certificate in PEM form stands in it";
	leaf = PEM_read_bio_X509(b, NULL, no_passphrase, NULL);
	if (leaf == NULL)
		goto fail;
	*why = "out of memory";
	while ((next = PEM_read_bio_X509(b, NULL, no_passphrase, NULL)) != NULL)
		if (sk_X509_push(*chain, next) <= 0) {
			X509_free(next);
			goto fail;
		}
	*why = "a certificate behind the first one is damaged";
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		goto fail;
	ERR_clear_error();
	BIO_free(b);
	return leaf;
fail:
	ERR_clear_error();
	BIO_free(b);
	X509_free(leaf);
	sk_X509_pop_free(*chain, X509_free);
	*chain = NULL;
	return NULL;
}

EVP_PKEY *
pem_key(struct span text, const char **why)
{
	BIO *b = text_bio(text);
	EVP_PKEY *key = b != NULL ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;

	BIO_free(b);
	if (key == NULL)
		*why = b == NULL ? "the file is empty" : "no private key without a passphrase stands in it in PEM form";
	ERR_clear_error();
	return key;
}

bool
pem_is_for(X509 *leaf, const char *name)
{
	return X509_check_host(leaf, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

int
pem_is_of(struct span text, const char *name)
{
	STACK_OF(X509) *chain = NULL;
	const char *bad;
	X509 *leaf = pem_certificates(text, &chain, &bad);
	int is = leaf == NULL ? -1 : pem_is_for(leaf, name);

	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return is;
}

bool
pem_key_kind_ok(const EVP_PKEY *key)
{
	char group[32];
	size_t n;

	if (EVP_PKEY_is_a(key, "RSA"))
		return EVP_PKEY_get_bits(key) >= 2048 && EVP_PKEY_get_bits(key) <= 8192;
	if (EVP_PKEY_is_a(key, "ED25519"))
		return true;
	return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1 &&
	    (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0 || strcmp(group, "secp384r1") == 0 ||
		strcmp(group, "P-384") == 0 || strcmp(group, "secp521r1") == 0 || strcmp(group, "P-521") == 0);
}

/* Seconds of the epoch, or INT64_MAX for a time that cannot be read. */
static int64_t
seconds_of(const ASN1_TIME *t)
{
	struct tm tm;

	return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : INT64_MAX;
}

int64_t
pem_expires_in(const X509 *leaf, const STACK_OF(X509) * chain, int64_t now)
{
	int64_t first = seconds_of(X509_get0_notAfter(leaf));

	for (int i = 0; i < sk_X509_num(chain); i++) {
		int64_t end = seconds_of(X509_get0_notAfter(sk_X509_value(chain, i)));

		if (end < first)
			first = end;
	}
	return first - now;
}

static const char *
check_ocsp(struct span text)
{
	const unsigned char *p = text.p;
	OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &p, (long)text.n);
	int status = r != NULL ? OCSP_response_status(r) : -1;

	OCSP_RESPONSE_free(r);
	ERR_clear_error();
	if (status == -1 || p != text.p + text.n)
		return "the OCSP response is not one in DER form";
	return status == OCSP_RESPONSE_STATUS_SUCCESSFUL ? NULL : "the OCSP response says that the responder failed";
}

static int
check_dates(const X509 *leaf, const STACK_OF(X509) * chain, int64_t now, char *why, size_t cap)
{
	int64_t left = pem_expires_in(leaf, chain, now);

	if (seconds_of(X509_get0_notBefore(leaf)) > now)
		snprintf(why, cap, "the certificate is not valid yet");
	else if (left < 0)
		snprintf(why, cap, "the certificate, or one of its chain, has expired");
	else if (left < (int64_t)PEM_WARN_DAYS * DAY)
		snprintf(
		    why, cap, "the certificate, or one of its chain, expires in %lld days", (long long)(left / DAY));
	else
		return 0;
	return 1;
}

int
pem_check(struct span certificate, struct span key, struct span ocsp, int64_t now, char *why, size_t cap)
{
	STACK_OF(X509) *chain = NULL;
	const char *bad = NULL;
	EVP_PKEY *k = NULL;
	X509 *leaf = pem_certificates(certificate, &chain, &bad);
	int rc = -1;

	if (leaf == NULL) {
		snprintf(why, cap, "certificate: %s", bad);
		return -1;
	}
	k = pem_key(key, &bad);
	if (k == NULL)
		snprintf(why, cap, "key: %s", bad);
	else if (X509_check_private_key(leaf, k) != 1)
		snprintf(why, cap, "the key does not belong to the certificate (the first one in its file)");
	else if (!pem_key_kind_ok(k))
		snprintf(why, cap,
		    "the key is of a kind that is not served: RSA of 2048 to 8192 bits, EC on P-256, "
		    "P-384 or P-521, and Ed25519 are");
	else if (ocsp.n > 0 && (bad = check_ocsp(ocsp)) != NULL)
		snprintf(why, cap, "%s", bad);
	else
		rc = check_dates(leaf, chain, now, why, cap);
	ERR_clear_error();
	EVP_PKEY_free(k);
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return rc;
}
