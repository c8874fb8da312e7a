/*
 * fuzz proxy: what was said of a beginning is said of the whole, a header is
 * as long as it says, and no more than PROXY_MAX octets are waited for.
 */
#include "worker/smtp/proxy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy p = { .real = false }, q = p;
	const char *why = NULL, *again = NULL;
	ssize_t got = proxy_parse(span_of(data, size), &p, &why);
	size_t decided = size;

	must(got >= PROXY_BAD && got <= (ssize_t)size && got <= PROXY_MAX);
	must(got != PROXY_MORE || size < PROXY_MAX);
	must((got == PROXY_BAD) == (why != NULL));
	if (got > 0) {
		decided = (size_t)got;
		must(!p.real || (p.src_port == 0 && p.dst_port == 0));
	}
	/* Exact length: its own copy, so that a read beyond it is seen; and one octet less is not enough. */
	for (size_t n = decided > 300 ? decided - 300 : 0; n <= decided; n++) {
		uint8_t *copy = malloc(n + 1);
		ssize_t early;

		must(copy != NULL);
		if (n > 0)
			memcpy(copy, data, n);
		early = proxy_parse(span_of(copy, n), &q, &again);
		must(n < decided || got <= 0 || early == got);
		must(early == PROXY_MORE || (early == PROXY_BAD && got == PROXY_BAD) || n == decided);
		free(copy);
	}
	return 0;
}
