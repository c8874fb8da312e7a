/*
 * crc32c: by the processor's own instruction where there is one, else by tables,
 * eight octets at a time.
 */
#include "common/crc32c.h"

#include <endian.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum {
	CRC32C_POLY = 0x82f63b78u, /* Castagnoli's, reflected (RFC 3720 appendix B.4) */
	CRC_SLICES = 8             /* octets taken at a time */
};

static uint32_t crc_table[CRC_SLICES][256];
static atomic_bool crc_ready;

/* Two threads that do it at once write the same values. */
static void
crc_prepare(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? c >> 1 ^ CRC32C_POLY : c >> 1;
		crc_table[0][i] = c;
	}
	for (int s = 1; s < CRC_SLICES; s++)
		for (int i = 0; i < 256; i++)
			crc_table[s][i] = crc_table[s - 1][i] >> 8 ^ crc_table[0][crc_table[s - 1][i] & 0xff];
	atomic_store_explicit(&crc_ready, true, memory_order_release);
}

static uint32_t
by_table(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;

	if (!atomic_load_explicit(&crc_ready, memory_order_acquire))
		crc_prepare();
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
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;
	uint64_t c = crc, v;

	for (; n >= sizeof(v); n -= sizeof(v), p += sizeof(v)) {
		memcpy(&v, p, sizeof(v));
		c = __builtin_ia32_crc32di(c, v);
	}
	crc = (uint32_t)c;
	for (; n > 0; n--)
		crc = __builtin_ia32_crc32qi(crc, *p++);
	return crc;
}

static bool
has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2") != 0;
}
#else
#define by_instruction by_table

static bool
has_instruction(void)
{
	return false;
}
#endif

uint32_t
crc32c(uint32_t crc, const void *data, size_t n)
{
	return has_instruction() ? ~by_instruction(~crc, data, n) : ~by_table(~crc, data, n);
}
