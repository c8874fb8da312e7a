/*
 * relayreply: a relay may say what it likes: no octet is read that it did not
 * say, and a reply means the same however it comes in.
 */
#include "reports/relay_reply.h"

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
	unsigned code = 0, again = 0;
	ssize_t n = relay_reply(span_of(data, size), &code);

	must(n >= -1 && n <= (ssize_t)size);
	if (n <= 0)
		return 0;
	must(code > 0 && code < 1000 && data[n - 1] == '\n');
	must(relay_reply(span_of(data, (size_t)n), &again) == n && again == code);
	must(relay_reply(span_of(data, (size_t)n - 1), &again) == 0);
	(void)relay_offers(span_of(data, (size_t)n));
	return 0;
}
