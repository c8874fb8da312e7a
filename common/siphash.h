/*
 * siphash: SipHash-2-4 (Aumasson and Bernstein, 2012), a keyed hash for tables
 * whose keys an attacker picks.  Not for signing anything that is stored.  PURE.
 */
#ifndef COMMON_SIPHASH_H_
#define COMMON_SIPHASH_H_

#include "common/span.h"

/* The hash of ${s} under ${key}: 64 bits. */
uint64_t siphash(const uint8_t key[16], struct span s);
#endif
