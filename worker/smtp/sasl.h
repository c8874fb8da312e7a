/*
 * sasl: the client's half of a SASL exchange, read and taken apart.
 * What it says is decoded strictly (base64 without blanks, RFC 4648 3.2), cut
 * into its parts and bounded; whether it is true is asked elsewhere.  PURE.
 */
#ifndef WORKER_SMTP_SASL_H_
#define WORKER_SMTP_SASL_H_

#include <sys/types.h>

#include "common/arena.h"

enum {
	SASL_TEXT_MAX     = 9216, /* octets of one response, decoded: what a line of SMTP_AUTH_LINE_MAX has room for */
	SASL_USER_MAX     = 255,  /* octets of a name */
	SASL_PASSWORD_MAX = 1024, /* octets of a password */
	SASL_GS2_MAX      = 320,  /* octets of SCRAM's gs2-header */
	SASL_FIRST_MAX    = 512,  /* octets of client-first-message-bare */
	SASL_NONCE_MAX    = 128,  /* octets of the client's nonce */
	SASL_SERVER_FIRST_MAX = 270, /* octets of server-first-message: base64 of it fits into a reply */
	SASL_PROOF            = 32,  /* octets of a proof of SCRAM-SHA-256 */
	SASL_BINDING_MAX      = 64   /* octets of channel binding data */
};

enum sasl_mech {
	SASL_PLAIN,
	SASL_LOGIN,
	SASL_SCRAM,
	SASL_SCRAM_PLUS,
	SASL_OAUTHBEARER, /* this and those behind it: a token */
	SASL_XOAUTH2,
	SASL_MECHS
};

/* What is asked about it. */
enum sasl_step {
	SASL_PASSWORD,  /* user and password: are they right? */
	SASL_FIRST,     /* SCRAM: what is server-first-message for user and first? */
	SASL_FINAL,     /* SCRAM: does the proof hold, and what is server-final-message? */
	SASL_CONFIRMED, /* SCRAM: the client has taken it; nothing is left to ask */
	SASL_TOKEN,     /* whose is the token, and is it good? */
	SASL_EXPLAINED  /* the token is not, and the client was told why: whatever it says, it is refused */
};

struct sasl {
	enum sasl_mech mech;
	enum sasl_step step;
	bool           named;                   /* LOGIN: the name was given */
	char           user[SASL_USER_MAX + 1]; /* in lower case (ASCII); no control octets, no blanks */
	size_t         nuser;                   /* 0: a token's owner who is not named */
	struct span    password;                /* or token, in octets */
	/* SCRAM, RFC 5802 7 */
	uint8_t gs2[SASL_GS2_MAX], first[SASL_FIRST_MAX], server_first[SASL_SERVER_FIRST_MAX];
	size_t  ngs2, nfirst, nserver_first;
	uint8_t bind;          /* gs2-cbind-flag: 'n', 'y' or 'p' */
	char    bind_name[32]; /* of 'p': "tls-exporter" */
	/* of the last response */
	struct span final; /* client-final-message-without-proof, in octets */
	uint8_t     proof[SASL_PROOF], binding[SASL_BINDING_MAX];
	size_t      nbinding;
	uint8_t     octets[SASL_TEXT_MAX];
	size_t      n;
};

enum sasl_got {
	SASL_MORE,   /* another response must come: 334 */
	SASL_ASK,    /* s->step says what is to be asked */
	SASL_BAD,    /* not base64, or not of the mechanism's form */
	SASL_REFUSED /* well-formed, and can't be true: 535 */
};

/* The names in the order of sasl_mech, as in EHLO; static. */
extern const char *const sasl_name[SASL_MECHS];

/* The mechanism of that name, whatever its case; SASL_MECHS: none. */
enum sasl_mech sasl_find(struct span name);

/* Whether it is by a token. */
static inline bool
sasl_by_token(enum sasl_mech m)
{
	return m >= SASL_OAUTHBEARER && m < SASL_MECHS;
}

/* Begin anew. */
void sasl_init(struct sasl *s, enum sasl_mech mech);

/* Take one response, base64 as on the wire; empty is an empty one. */
enum sasl_got sasl_take(struct sasl *s, struct span line);

/*
 * What says to a client why its token is no good, in base64 (RFC 7628 3.2.2; of XOAUTH2 as its inventor has it):
 * {"status":"invalid_token","schemes":"bearer"} and {"status":"401","schemes":"bearer"}.
 */
#define SASL_FAILED_BEARER  "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NoZW1lcyI6ImJlYXJlciJ9"
#define SASL_FAILED_XOAUTH2 "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIn0="

/**
 * sasl_told(s, text):
 * To SASL_FIRST or SASL_FINAL the answer was the challenge ${text} (base64).
 * 0, or -1 when nothing can follow it.
 */
int sasl_told(struct sasl *s, struct span text);

/* Base64 as RFC 4648 4 has it, nothing else: octets written, or -1 also when more than ${cap}. */
ssize_t sasl_decode(struct span in, uint8_t *out, size_t cap);

/* Base64 of ${in} and a NUL into ${out}; octets without it, or -1 when they are not less than ${cap}. */
ssize_t sasl_encode(struct span in, char *out, size_t cap);
#endif
