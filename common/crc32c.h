/*
 * crc32c: the checksum of what must be known to be whole: snapshots of the
 * directory, records of the journal, a PROXY header.  Not against an adversary.
 * PURE.
 */
#ifndef COMMON_CRC32C_H_
#define COMMON_CRC32C_H_

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4) of ${n} octets, going on from ${crc}, which is 0 at first. */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);

/* The same where the processor has no instruction for it; tests look at both. */
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t n);
#endif
