/*
 * fuzz form: what is taken for a handshake has every octet that can be known
 * as it must be: one of them changed, or one octet more or less, and it is none.
 */
#include "keys/form.h"

#include <stdlib.h>

enum { TEXT_MAX = 512, TLS13_KNOWN = 64 + 34, TLS12_FROM = 56, TLS12_TO = 68 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* Of a copy of exactly that length, so that a read beyond it is seen. */
static enum form
form(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n + 1);
	enum form f;

	must(copy != NULL);
	if (n > 0)
		memcpy(copy, p, n);
	f = form_of(span_of(copy, n));
	free(copy);
	return f;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t text[TEXT_MAX + 1] = { 0 };
	enum form f;

	if (size > TEXT_MAX)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	f = form(text, size);
	for (unsigned scheme = 0; scheme <= UINT16_MAX && f == FORM_NONE; scheme++)
		must(!form_allows(f, (uint16_t)scheme));
	if (f == FORM_NONE)
		return 0;
	for (size_t i = 0; i < size; i++) {
		bool known = f == FORM_TLS13 ? i < TLS13_KNOWN : i >= TLS12_FROM && i < TLS12_TO;

		text[i] ^= 0x80;
		if (known)
			must(form(text, size) == FORM_NONE);
		text[i] ^= 0x80;
	}
	must(form(text, size - 1) == FORM_NONE);
	must(form(text, size + 1) == FORM_NONE);
	return 0;
}
