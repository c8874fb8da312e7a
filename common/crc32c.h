/*
 * crc32c: the checksum of what must be known to be whole: snapshots of the
 * directory, records of the journal.  Not against an adversary.
 */
#ifndef COMMON_CRC32C_H_
#define COMMON_CRC32C_H_

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4) of ${n} octets, going on from ${crc}, which is 0 at first. */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);
#endif
