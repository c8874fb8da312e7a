/*
 * norm: the one canonical form in which addresses are compared.
 * Domains as lower-case A-labels (libidn2, UTS 46 non-transitional), local
 * parts case-folded and in NFC (libunistring).  ASCII takes a short way that
 * calls neither library.  Not pure: the libraries allocate.
 */
#ifndef COMMON_NORM_H_
#define COMMON_NORM_H_

#include <sys/types.h>

#include "common/addr.h"

enum { NORM_KEY_MAX = 511 }; /* octets, LMDB's longest key (MDB_MAXKEYSIZE) */

/* Canonical domain into ${out}: octets written (no NUL), or -1 with errno EINVAL (no such name can exist), ENOMEM, ENAMETOOLONG. */
ssize_t norm_domain(struct span in, char *out, size_t cap);

/* Canonical local part into ${out}: the same contract. */
ssize_t norm_local(struct span in, char *out, size_t cap);

/**
 * norm_addr(a, out, cap, at):
 * Canonical "local@domain" of ${a} into ${out} (NORM_KEY_MAX octets suffice or
 * it is ENAMETOOLONG).  *at is the offset of the '@' that separates them.
 * Return the octets written, without a NUL, or -1 with errno as above.
 */
ssize_t norm_addr(const struct addr *a, char *out, size_t cap, size_t *at);
#endif
