/*
 * siphash: SipHash-2-4, written after the paper's section 2: two rounds a word
 * of eight octets, four at the end.
 */
#include "common/siphash.h"

/* Up to eight octets, the first one lowest, on any machine. */
static uint64_t
word(const uint8_t *p, size_t n)
{
	uint64_t w = 0;

	for (size_t i = 0; i < n; i++)
		w |= (uint64_t)p[i] << (8 * i);
	return w;
}

static uint64_t
rotl(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void
rounds(uint64_t v[4], unsigned n)
{
	for (; n > 0; n--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] = rotl(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] = rotl(v[2], 32);
	}
}

static void
absorb(uint64_t v[4], uint64_t w)
{
	v[3] ^= w;
	rounds(v, 2);
	v[0] ^= w;
}

uint64_t
siphash(const uint8_t key[16], struct span s)
{
	uint64_t k0 = word(key, 8), k1 = word(key + 8, 8);
	uint64_t length = (uint64_t)s.n << 56;
	uint64_t v[4] = {
		k0 ^ 0x736f6d6570736575u,
		k1 ^ 0x646f72616e646f6du,
		k0 ^ 0x6c7967656e657261u,
		k1 ^ 0x7465646279746573u,
	};

	for (; s.n >= 8; s = span_skip(s, 8))
		absorb(v, word(s.p, 8));
	absorb(v, length | word(s.p, s.n));
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
