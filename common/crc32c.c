/*
 * crc32c: by the processor's own instruction where there is one, else by tables,
 * eight octets at a time.  PURE: the tables are constants, which the compiler
 * works out.
 */
#include "common/crc32c.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#define CRC_POLY    0x82f63b78u /* Castagnoli's, reflected (RFC 3720 appendix B.4) */
#define CRC_STEP(v) ((v) >> 1 ^ ((v)&1 ? CRC_POLY : 0))

/*
 * Table s holds, for each octet, the checksum of it and s zeros behind it.  All are sums of those of the octets with
 * one bit, and these follow each other, a step of the register each, from bit 7 of table 0 to bit 0 of table 7.
 */
#define CRC_BITS(s, before) \
	S##s##7 = CRC_STEP(before), S##s##6 = CRC_STEP(S##s##7), S##s##5 = CRC_STEP(S##s##6), \
	S##s##4 = CRC_STEP(S##s##5), S##s##3 = CRC_STEP(S##s##4), S##s##2 = CRC_STEP(S##s##3), \
	S##s##1 = CRC_STEP(S##s##2), S##s##0 = CRC_STEP(S##s##1)

enum {
	CRC_SLICES = 8, /* octets taken at a time */
	CRC_BITS(0, 1u),
	CRC_BITS(1, S00),
	CRC_BITS(2, S10),
	CRC_BITS(3, S20),
	CRC_BITS(4, S30),
	CRC_BITS(5, S40),
	CRC_BITS(6, S50),
	CRC_BITS(7, S60)
};

#define CRC_1(s, i) \
	((i)&1 ? S##s##0 : 0) ^ ((i)&2 ? S##s##1 : 0) ^ ((i)&4 ? S##s##2 : 0) ^ ((i)&8 ? S##s##3 : 0) ^ \
	    ((i)&16 ? S##s##4 : 0) ^ ((i)&32 ? S##s##5 : 0) ^ ((i)&64 ? S##s##6 : 0) ^ ((i)&128 ? S##s##7 : 0)
#define CRC_4(s, i)  CRC_1(s, i), CRC_1(s, (i) + 1), CRC_1(s, (i) + 2), CRC_1(s, (i) + 3)
#define CRC_16(s, i) CRC_4(s, i), CRC_4(s, (i) + 4), CRC_4(s, (i) + 8), CRC_4(s, (i) + 12)
#define CRC_64(s, i) CRC_16(s, i), CRC_16(s, (i) + 16), CRC_16(s, (i) + 32), CRC_16(s, (i) + 48)
#define CRC_256(s) \
	{ \
		CRC_64(s, 0), CRC_64(s, 64), CRC_64(s, 128), CRC_64(s, 192) \
	}

static const uint32_t crc_table[CRC_SLICES][256] = { CRC_256(0), CRC_256(1), CRC_256(2), CRC_256(3), CRC_256(4),
	CRC_256(5), CRC_256(6), CRC_256(7) };

uint32_t
crc32c_by_table(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;

	crc = ~crc;
	for (; n >= CRC_SLICES; n -= CRC_SLICES, p += CRC_SLICES) {
		uint64_t v;

		memcpy(&v, p, sizeof(v));
		v = le64toh(v) ^ crc;
		crc = crc_table[7][v & 0xff] ^ crc_table[6][v >> 8 & 0xff] ^ crc_table[5][v >> 16 & 0xff] ^
		    crc_table[4][v >> 24 & 0xff] ^ crc_table[3][v >> 32 & 0xff] ^ crc_table[2][v >> 40 & 0xff] ^
		    crc_table[1][v >> 48 & 0xff] ^ crc_table[0][v >> 56];
	}
	for (; n > 0; n--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *p++) & 0xff];
	return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;
	uint64_t c = ~crc, v;

	for (; n >= sizeof(v); n -= sizeof(v), p += sizeof(v)) {
		memcpy(&v, p, sizeof(v));
		c = __builtin_ia32_crc32di(c, v);
	}
	crc = (uint32_t)c;
	for (; n > 0; n--)
		crc = __builtin_ia32_crc32qi(crc, *p++);
	return ~crc;
}

static bool
has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2") != 0;
}
#else
#define by_instruction crc32c_by_table

static bool
has_instruction(void)
{
	return false;
}
#endif

uint32_t
crc32c(uint32_t crc, const void *data, size_t n)
{
	return has_instruction() ? by_instruction(crc, data, n) : crc32c_by_table(crc, data, n);
}
