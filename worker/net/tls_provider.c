/*
 * tls_provider: keys whose private half is in another process, for libcrypto.
 * A provider (provider(7)) with key management for RSA, EC and Ed25519 that
 * keeps the public key alone, in an EVP_PKEY of the default provider, and a
 * signature that is asked of the key process.  libssl hands over all that is
 * to be signed at once (EVP_DigestSign), which is what the key process wants
 * to see.  Whoever asks runs in a job and sleeps until the answer is there.
 */
#include <openssl/async.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>

#include <stdlib.h>

#include "worker/net/tls_priv.h"

#define PROVIDER  "letterplate"
#define SECTION   "letterplate-section"
#define SIGNATURE "letterplate-signature"

#define FN(id, f) \
	{ \
		(id), (void (*)(void))(f) \
	}
#define FN_END \
	{ \
		0, NULL \
	}

/* --- keys --- */

struct remote {
	const char *kind;
	EVP_PKEY *pub;
	unsigned section;
};

static void *
key_new(const char *kind)
{
	struct remote *k = calloc(1, sizeof(*k));

	if (k != NULL)
		k->kind = kind;
	return k;
}

static void *
key_new_rsa(void *provctx)
{
	(void)provctx;
	return key_new("RSA");
}

static void *
key_new_ec(void *provctx)
{
	(void)provctx;
	return key_new("EC");
}

static void *
key_new_ed25519(void *provctx)
{
	(void)provctx;
	return key_new("ED25519");
}

static void
key_free(void *data)
{
	struct remote *k = data;

	if (k != NULL)
		EVP_PKEY_free(k->pub);
	free(k);
}

/* The private half too, as far as anybody can tell. */
static int
key_has(const void *data, int selection)
{
	const struct remote *k = data;

	(void)selection;
	return k != NULL && k->pub != NULL;
}

static int
key_match(const void *a, const void *b, int selection)
{
	const struct remote *x = a, *y = b;

	(void)selection;
	return x->pub != NULL && y->pub != NULL && EVP_PKEY_eq(x->pub, y->pub) == 1;
}

static int
key_import(void *data, int selection, const OSSL_PARAM params[])
{
	struct remote *k = data;
	const OSSL_PARAM *section = OSSL_PARAM_locate_const(params, SECTION);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, k->kind, "provider=default");
	int ok;

	(void)selection;
	/* The default provider's importer only reads; its prototype lacks the const. */
	ok = ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &k->pub, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)params) == 1;
	EVP_PKEY_CTX_free(ctx);
	return ok && (section == NULL || OSSL_PARAM_get_uint(section, &k->section) == 1);
}

static int
key_export(void *data, int selection, OSSL_CALLBACK *cb, void *arg)
{
	const struct remote *k = data;

	if (k->pub == NULL || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0)
		return 0;
	return EVP_PKEY_export(k->pub, selection, cb, arg);
}

static const OSSL_PARAM *
key_types(int selection)
{
	static const OSSL_PARAM any[] = { OSSL_PARAM_END };

	(void)selection;
	return any;
}

static int
key_get_params(void *data, OSSL_PARAM params[])
{
	const struct remote *k = data;

	return EVP_PKEY_get_params(k->pub, params);
}

static const OSSL_PARAM *
key_gettable(void *provctx)
{
	static const OSSL_PARAM known[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provctx;
	return known;
}

/*
 * A name that no other provider knows: libcrypto's first look-up is then the
 * right one.  Under "ECDSA" it finds the default provider's at each handshake,
 * and finds out that the key cannot go there.
 */
static const char *
key_operation(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? SIGNATURE : NULL;
}

#define KEY_FUNCTIONS(new_of_kind) \
	FN(OSSL_FUNC_KEYMGMT_NEW, new_of_kind), FN(OSSL_FUNC_KEYMGMT_FREE, key_free), \
	    FN(OSSL_FUNC_KEYMGMT_HAS, key_has), FN(OSSL_FUNC_KEYMGMT_MATCH, key_match), \
	    FN(OSSL_FUNC_KEYMGMT_IMPORT, key_import), FN(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_types), \
	    FN(OSSL_FUNC_KEYMGMT_EXPORT, key_export), FN(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_types), \
	    FN(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params), FN(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable), \
	    FN(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, key_operation)

static const OSSL_DISPATCH rsa_keys[] = { KEY_FUNCTIONS(key_new_rsa), FN_END };
static const OSSL_DISPATCH ec_keys[] = { KEY_FUNCTIONS(key_new_ec), FN_END };
static const OSSL_DISPATCH ed25519_keys[] = { KEY_FUNCTIONS(key_new_ed25519), FN_END };

/* --- signatures --- */

struct signing {
	struct remote *key;
	unsigned bits; /* of the hash; 0: the kind has its own */
	bool pss;
};

static void *
signing_new(void *provctx, const char *propq)
{
	(void)provctx;
	(void)propq;
	return calloc(1, sizeof(struct signing));
}

static void
signing_free(void *ctx)
{
	free(ctx);
}

static int
signing_set(void *ctx, const OSSL_PARAM params[])
{
	struct signing *s = ctx;
	const OSSL_PARAM *p = params != NULL ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE) : NULL;
	int number;

	if (p == NULL)
		return 1; /* the length of the salt is the hash's: TLS knows no other */
	if (p->data_type == OSSL_PARAM_UTF8_STRING)
		s->pss = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
	else if (OSSL_PARAM_get_int(p, &number) == 1)
		s->pss = number == RSA_PKCS1_PSS_PADDING;
	return 1;
}

static const OSSL_PARAM *
signing_settable(void *ctx, void *provctx)
{
	static const OSSL_PARAM known[] = {
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)ctx;
	(void)provctx;
	return known;
}

static int
signing_init(void *ctx, const char *hash, void *key, const OSSL_PARAM params[])
{
	struct signing *s = ctx;

	s->key = key;
	s->bits = 0;
	if (hash != NULL && hash[0] != '\0') {
		s->bits = strstr(hash, "256") != NULL ? 256
		    : strstr(hash, "384") != NULL     ? 384
		    : strstr(hash, "512") != NULL     ? 512
						      : 0;
		if (s->bits == 0)
			return 0;
	}
	return signing_set(ctx, params);
}

/* TLS's number for what was set up; 0: it has none. */
static uint16_t
signing_scheme(const struct signing *s)
{
	unsigned hash = s->bits == 256 ? 4 : s->bits == 384 ? 5 : 6; /* RFC 5246 7.4.1.4.1 */

	if (s->bits == 0)
		return strcmp(s->key->kind, "ED25519") == 0 ? SIGN_ED25519 : 0;
	if (strcmp(s->key->kind, "EC") == 0)
		return (uint16_t)(hash << 8 | 3);
	if (strcmp(s->key->kind, "RSA") == 0)
		return s->pss ? (uint16_t)(0x0800 | hash) : (uint16_t)(hash << 8 | 1);
	return 0;
}

static int
signing_do(void *ctx, unsigned char *out, size_t *n, size_t cap, const unsigned char *text, size_t ntext)
{
	struct signing *s = ctx;
	struct tls_ask a = { .tls = tls_current(), .text = span_of(text, ntext) };

	if (out == NULL) {
		*n = (size_t)EVP_PKEY_get_size(s->key->pub);
		return 1;
	}
	a.section = (uint16_t)s->key->section;
	a.scheme = signing_scheme(s);
	if (a.scheme == 0 || a.tls == NULL || ASYNC_get_current_job() == NULL)
		return 0;
	a.tls->ask = &a;
	tls_keys_ask(&a);
	while (!a.done && ASYNC_pause_job() == 1)
		;
	a.tls->ask = NULL;
	if (!a.done)
		tls_keys_drop(&a);
	if (a.n == 0 || a.n > cap)
		return 0;
	memcpy(out, a.octets, a.n);
	*n = a.n;
	return 1;
}

static const OSSL_DISPATCH signatures[] = { FN(OSSL_FUNC_SIGNATURE_NEWCTX, signing_new),
	FN(OSSL_FUNC_SIGNATURE_FREECTX, signing_free), FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signing_init),
	FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signing_do), FN(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signing_set),
	FN(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signing_settable), FN_END };

/* --- the provider --- */

#define WHERE "provider=" PROVIDER

static const OSSL_ALGORITHM *
provider_query(void *provctx, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM kinds[] = {
		{ "RSA:rsaEncryption", WHERE, rsa_keys, NULL },
		{ "EC:id-ecPublicKey", WHERE, ec_keys, NULL },
		{ "ED25519", WHERE, ed25519_keys, NULL },
		{ NULL, NULL, NULL, NULL },
	};
	static const OSSL_ALGORITHM signs[] = {
		{ SIGNATURE, WHERE, signatures, NULL },
		{ NULL, NULL, NULL, NULL },
	};

	(void)provctx;
	*no_cache = 0;
	return operation == OSSL_OP_KEYMGMT ? kinds : operation == OSSL_OP_SIGNATURE ? signs : NULL;
}

static int
provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provctx)
{
	static const OSSL_DISPATCH functions[] = { FN(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query), FN_END };
	static int anything;

	(void)handle;
	(void)in;
	*out = functions;
	*provctx = &anything;
	return 1;
}

/* The default provider is the one for whatever is not asked of ours by name. */
int
tls_provider_load(void)
{
	if (OSSL_PROVIDER_load(NULL, "default") == NULL ||
	    OSSL_PROVIDER_add_builtin(NULL, PROVIDER, provider_init) != 1 ||
	    OSSL_PROVIDER_load(NULL, PROVIDER) == NULL || EVP_set_default_properties(NULL, "?provider=default") != 1)
		return -1;
	return 0;
}

EVP_PKEY *
tls_provider_key(EVP_PKEY *pub, unsigned section)
{
	const char *kind = EVP_PKEY_get0_type_name(pub);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, kind, WHERE);
	OSSL_PARAM which[] = { OSSL_PARAM_uint(SECTION, &section), OSSL_PARAM_END };
	OSSL_PARAM *params = NULL, *all = NULL;
	EVP_PKEY *key = NULL;

	if (ctx == NULL || EVP_PKEY_todata(pub, EVP_PKEY_PUBLIC_KEY, &params) != 1 ||
	    (all = OSSL_PARAM_merge(params, which)) == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, all) != 1)
		key = NULL;
	OPENSSL_free(all); /* shallow */
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return key;
}
