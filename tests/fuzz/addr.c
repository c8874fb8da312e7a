/*
 * fuzz addr: no octets crash the parser, and an address that was accepted is
 * the same after it was written and read again, in every form.
 * The first octet chooses the flags.
 */
#include "common/addr.h"

#include <stdlib.h>

#include "common/norm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static bool
same(const struct addr *a, const struct addr *b)
{
	return span_eq(a->local, b->local) && span_eq(a->domain, b->domain) && a->utf8 == b->utf8 &&
	    a->is_null == b->is_null && a->literal == b->literal;
}

/* What holds for every struct addr. */
static void
check(const struct addr *a, unsigned flags, struct arena *arena)
{
	char text[ADDR_TEXT_MAX + 2];
	struct addr again;
	ssize_t n;

	must(a->is_null == (a->local.n == 0));
	must(!a->is_null || ((flags & ADDR_REVERSE) && a->domain.n == 0));
	must(!a->utf8 || (flags & ADDR_UTF8));
	must(a->local.n + a->domain.n + 1 <= ADDR_MAX);
	must(a->domain.n == 0 || (a->literal ? addr_literal_ok(a->domain) : addr_domain_ok(a->domain, a->utf8)));
	must(a->domain.n > 0 || a->is_null || span_caseeq(a->local, SPAN("postmaster")));
	for (size_t i = 0; i < a->local.n; i++)
		must(a->local.p[i] >= ' ' && a->local.p[i] != 0x7f);
	n = addr_format(a, text + 1, ADDR_TEXT_MAX);
	must(n >= 0);
	must(addr_parse_bare(span_of(text + 1, (size_t)n), flags, arena, &again) == 0 && same(a, &again));
	text[0] = '<';
	text[n + 1] = '>';
	must(addr_parse(span_of(text, (size_t)n + 2), flags, arena, &again) == n + 2 && same(a, &again));
}

/* A canonical key is its own canonical form. */
static void
check_norm(const struct addr *a)
{
	char key[NORM_KEY_MAX], again[NORM_KEY_MAX];
	size_t at;
	ssize_t n = norm_addr(a, key, sizeof(key), &at), m;

	if (n < 0)
		return;
	must(at > 0 && (size_t)n > at + 1 && key[at] == '@');
	m = norm_local(span_of(key, at), again, sizeof(again));
	must(m == (ssize_t)at && memcmp(key, again, at) == 0);
	m = norm_domain(span_of(key + at + 1, (size_t)n - at - 1), again, sizeof(again));
	must(m == n - (ssize_t)at - 1 && memcmp(key + at + 1, again, (size_t)m) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	struct addr a, b;
	struct span in;
	unsigned flags;
	ssize_t n;

	if (size < 1)
		return 0;
	flags = data[0] & (ADDR_REVERSE | ADDR_UTF8 | ADDR_POSTMASTER);
	in = span_of(data + 1, size - 1);
	arena_init(&arena, 1024, 64 << 10);
	n = addr_parse(in, flags, &arena, &a);
	must(n >= ADDR_ELONG && n <= (ssize_t)in.n && n != 0);
	if (n > 0) {
		check(&a, flags, &arena);
		check_norm(&a);
		must(addr_parse(span_head(in, (size_t)n), flags, &arena, &b) == n && same(&a, &b));
	} else if (n == ADDR_EUTF8) {
		n = addr_parse(in, flags | ADDR_UTF8, &arena, &a);
		must(n > 0 || n == ADDR_ELONG);
	}
	if (addr_parse_bare(in, flags, &arena, &a) == 0) {
		check(&a, flags, &arena);
		check_norm(&a);
	}
	arena_reset(&arena);
	return 0;
}
