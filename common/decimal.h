/*
 * decimal: a number as digits, without printf's machinery.  PURE.
 * A message's names and its log lines have some thirty numbers; snprintf took
 * 3 % of a message's processor time for them (measured).
 */
#ifndef COMMON_DECIMAL_H_
#define COMMON_DECIMAL_H_

#include <stddef.h>
#include <stdint.h>

enum { DECIMAL_MAX = 20 }; /* octets of UINT64_MAX */

/*
 * Write ${v}, with leading zeros up to ${width} digits (at most DECIMAL_MAX), no NUL.  Octets written; ${out} has room for
 * them, and DECIMAL_MAX are always enough.
 */
static inline size_t
decimal(char *out, uint64_t v, size_t width)
{
	char   rev[DECIMAL_MAX];
	size_t n = 0;

	do
		rev[n++] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	while (n < width)
		rev[n++] = '0';
	for (size_t i = 0; i < n; i++)
		out[i] = rev[n - 1 - i];
	return n;
}
#endif
