/*
 * span: a borrowed run of octets.
 * It is never freed and never NUL-terminated, and may hold NULs; whoever
 * lends it says how long it lives.  Wire data is passed on as spans and in no
 * other way.  PURE.
 */
#ifndef COMMON_SPAN_H_
#define COMMON_SPAN_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *p; /* may be NULL when n is 0 */
	size_t         n; /* octets */
};

/* For string literals alone: the final NUL is left out. */
#define SPAN(lit) ((struct span){ (const uint8_t *)("" lit), sizeof(lit) - 1 })

/* The octets of the C string ${s}, for as long as it lives; NULL gives an empty span. */
static inline struct span
span_str(const char *s)
{
	return (struct span){ (const uint8_t *)s, s != NULL ? strlen(s) : 0 };
}

static inline struct span
span_of(const void *p, size_t n)
{
	return (struct span){ p, n };
}

/* ${s} without its first ${n} octets; ${n} <= s.n. */
static inline struct span
span_skip(struct span s, size_t n)
{
	return (struct span){ n > 0 ? s.p + n : s.p, s.n - n }; /* NULL + 0 is undefined in C */
}

/* The first ${n} octets of ${s}; ${n} <= s.n. */
static inline struct span
span_head(struct span s, size_t n)
{
	return (struct span){ s.p, n };
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII lower case of one octet, whatever the locale. */
static inline uint8_t
ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* Equal when ASCII case is ignored (verbs, keywords, domains: RFC 5321 2.4). */
static inline bool
span_caseeq(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

/* FNV-1a, for tables whose keys nobody outside picks: mailboxes of our own lists, names of our own files. */
static inline uint32_t
span_hash(struct span s)
{
	uint32_t h = 2166136261U;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ s.p[i]) * 16777619U;
	return h;
}
#endif
