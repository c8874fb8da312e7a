/*
 * credential: the file of names and what passwords are compared with.
 * letterplate-credentials writes it anew as a whole and publishes it by
 * rename; letterplate-auth alone reads it.  Text, a line a name, sorted, so
 * that a person can count, compare and copy it; no password can be had from it.
 */
#ifndef COMMON_CREDENTIAL_H_
#define COMMON_CREDENTIAL_H_

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/span.h"

enum {
	CREDENTIAL_SALT       = 16,
	CREDENTIAL_HASH       = 32,
	CREDENTIAL_USER_MAX   = 255,      /* octets of a name */
	CREDENTIAL_PW_MAX     = 1024,     /* octets of a password */
	CREDENTIAL_FILE_MAX   = 64 << 20, /* octets of the file */
	CREDENTIAL_LOG_N      = 15,       /* scrypt: 2^15 blocks of 1 KiB: 32 MiB and about 0.1 s */
	CREDENTIAL_R          = 8,
	CREDENTIAL_P          = 1,
	CREDENTIAL_LOG_N_MAX  = 17,   /* 128 MiB */
	CREDENTIAL_ITERATIONS = 32768 /* of PBKDF2 for SCRAM; RFC 7677 4 asks for 4,096 at least */
};

struct credential {
	char    *user; /* in lower case */
	unsigned log_n, r, p;
	uint8_t  salt[CREDENTIAL_SALT], hash[CREDENTIAL_HASH];
	uint32_t iterations; /* 0: it has none for SCRAM */
	uint8_t  scram_salt[CREDENTIAL_SALT], stored[CREDENTIAL_HASH], server[CREDENTIAL_HASH];
};

struct credentials {
	uint8_t            secret[CREDENTIAL_HASH]; /* what salts of names that do not exist are made of */
	struct credential *c;                       /* sorted by name */
	size_t             n;
};

/**
 * credential_name(in, stored, out):
 * The one form of name ${in}: prepared (saslprep.h, ${stored} as there), and in
 * ASCII's lower case.  Octets, with a NUL behind them; 0: it can be nobody's.
 */
size_t credential_name(struct span in, bool stored, char out[CREDENTIAL_USER_MAX + 1]);

/* Whether it is a name: 1 to CREDENTIAL_USER_MAX octets, no blank, no control, no capital letter of ASCII. */
bool credential_user_ok(struct span user);

/* An empty list with a fresh secret. */
void credential_list_init(struct credentials *l);

/* Read an open file whole.  0, or -1 with a line in ${why}; *l is empty then. */
int credential_list_read(int fd, struct credentials *l, char *why, size_t cap);

/* Write all.  0, or -1 with errno. */
int credential_list_write(const struct credentials *l, FILE *to);

/* Its row, or NULL. */
struct credential *credential_list_find(const struct credentials *l, struct span user);

/* The row of ${user}, made where there is none.  NULL with errno ENOMEM. */
struct credential *credential_list_add(struct credentials *l, struct span user);
void               credential_list_remove(struct credentials *l, struct credential *c);

/* Wipe and give back. */
void credential_list_free(struct credentials *l);

/* Make salts and hashes of ${password}; without ${scram} none for SCRAM.  0, or -1 when libcrypto fails. */
int credential_set(struct credential *c, struct span password, bool scram);

/* Whether ${password}, prepared, is right.  NULL as ${c}: no, at the cost of ${nobody}, which has settings alone. */
bool credential_check(const struct credential *c, struct span password, const struct credential *nobody);

/**
 * credential_nobody(l, user, out):
 * What a name that does not exist is dealt with by: the settings of scrypt and
 * of SCRAM that some row of ${l} has, and always the same one's for ${user}, so
 * that neither time nor a salt tells who exists after letterplate-credentials
 * has changed what it writes; and a salt that is made of l->secret.
 */
void credential_nobody(const struct credentials *l, struct span user, struct credential *out);

/* HMAC-SHA-256. */
void credential_hmac(const uint8_t key[CREDENTIAL_HASH], struct span text, uint8_t out[CREDENTIAL_HASH]);
#endif
