/*
 * form: see form.h.  Every octet is either checked or one that only the peers
 * of the handshake can know: a random, a public point, a hash.  PURE.
 */
#include "keys/form.h"

enum {
	RANDOM = 32,
	SPACES = 64,
	POINT_AT = 2 * RANDOM + 4 /* behind curve_type, named_curve and the point's length */
};

/* A curve that is offered (worker/net/tls_context.c): RFC 8422 5.1.1, and how its points look. */
static const struct curve {
	uint16_t group;
	uint8_t length, first; /* of the point; 4: uncompressed, 0: any octet */
} curves[] = { { 23, 65, 4 }, { 24, 97, 4 }, { 25, 133, 4 }, { 29, 32, 0 }, { 30, 56, 0 } };

static bool
is_tls13(struct span t)
{
	static const char context[] = "TLS 1.3, server CertificateVerify"; /* its NUL is the separator */

	if (t.n != SPACES + sizeof context + 32 && t.n != SPACES + sizeof context + 48)
		return false;
	for (size_t i = 0; i < SPACES; i++)
		if (t.p[i] != ' ')
			return false;
	return memcmp(t.p + SPACES, context, sizeof context) == 0;
}

static bool
is_tls12(struct span t)
{
	static const char sentinel[] = "DOWNGRD\x01";
	size_t n = sizeof sentinel - 1;
	const uint8_t *p;

	if (t.n <= POINT_AT || memcmp(t.p + (size_t)2 * RANDOM - n, sentinel, n) != 0)
		return false;
	p = t.p + (size_t)2 * RANDOM;
	if (p[0] != 3) /* named_curve */
		return false;
	for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
		if ((p[1] << 8 | p[2]) == curves[i].group)
			return p[3] == curves[i].length && t.n == (size_t)POINT_AT + curves[i].length &&
			    (curves[i].first == 0 || p[4] == curves[i].first);
	return false;
}

enum form
form_of(struct span text)
{
	return is_tls13(text) ? FORM_TLS13 : is_tls12(text) ? FORM_TLS12 : FORM_NONE;
}

bool
form_allows(enum form f, uint16_t scheme)
{
	switch ((enum sign_scheme)scheme) {
	case SIGN_RSA_PKCS1_SHA256:
	case SIGN_RSA_PKCS1_SHA384:
	case SIGN_RSA_PKCS1_SHA512:
		return f == FORM_TLS12;
	case SIGN_ECDSA_SHA256:
	case SIGN_ECDSA_SHA384:
	case SIGN_ECDSA_SHA512:
	case SIGN_RSA_PSS_SHA256:
	case SIGN_RSA_PSS_SHA384:
	case SIGN_RSA_PSS_SHA512:
	case SIGN_ED25519:
		return f != FORM_NONE;
	}
	return false;
}
