/*
 * mdbrecord: what stands in a snapshot may be anything; reading and
 * printing a record stays within it, and what is printed is one line that the
 * reader of lists survives.  The first octet is the length of the key.
 */
#include <stdlib.h>

#include "common/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool ok)
{
	if (!ok)
		abort();
}

/* Every target lies in the record, with its NUL. */
static void
check_targets(struct span s, uint32_t ntargets)
{
	uint32_t n = 0;

	for (; s.n > 0; n++) {
		size_t len = strnlen((const char *)s.p, s.n);

		must(len > 0 && len < s.n && len <= NORM_KEY_MAX);
		s = span_skip(s, len + 1);
	}
	must(n == ntargets && n > 0 && n <= ENTRY_ALIAS_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char line[2 * ENTRY_RECORD_MAX + 2048], key[NORM_KEY_MAX], err[512];
	static uint8_t rec[ENTRY_RECORD_MAX];
	size_t keylen, reclen;
	struct entry e;
	ssize_t n;

	if (size < 1 || size - 1 < data[0])
		return 0;
	struct span k = span_of(data + 1, data[0]), r = span_of(data + 1 + k.n, size - 1 - k.n);

	if (entry_decode(r, &e) != 0)
		return 0;
	if (entry_has_targets(r))
		check_targets(e.text, e.ntargets);
	for (size_t cap = 0; cap < 64; cap += 7)
		must(entry_format(k, &e, line, cap) <= (ssize_t)cap);
	n = entry_format(k, &e, line, sizeof(line));
	if (n >= 0)
		entry_parse(span_of(line, (size_t)n), key, &keylen, rec, &reclen, err, sizeof(err));
	return 0;
}
