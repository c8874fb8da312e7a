/*
 * id: a clock that cannot go back, a random part, and a counter, in base 32.
 */
#include "common/id.h"

#include <bsd/stdlib.h>
#include <stdint.h>

#include "common/steady.h"

static struct {
	uint32_t random; /* 20 bits */
	uint32_t count;  /* 28 bits */
} id_state;

void
id_init(void)
{
	id_state.random = arc4random() & 0xfffff;
	id_state.count = arc4random() & 0xffff;
	steady_begin();
}

void
id_next(char out[ID_MAX])
{
	static const char digit[] = "0123456789abcdefghijklmnopqrstuv";
	uint32_t second = (uint32_t)steady_now();
	uint64_t low;

	id_state.count = (id_state.count + 1) & 0xfffffff;
	low = (uint64_t)id_state.random << 28 | id_state.count;
	/* 80 bits: the upper 32 give 6 digits and two bits of the seventh. */
	for (int i = ID_CHARS - 1, bit = 0; i >= 0; i--, bit += 5) {
		uint64_t v = bit >= 48 ? (uint64_t)second >> (bit - 48) : low >> bit | (uint64_t)second << (48 - bit);

		out[i] = digit[v & 31];
	}
	out[ID_CHARS] = '\0';
}
