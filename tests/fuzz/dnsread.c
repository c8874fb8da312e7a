/*
 * fuzz dnsread: whatever a server says, nothing is read past it, texts end,
 * names are names, and an answer is whole or none.
 */
#include "worker/net/dns_priv.h"

#include <stdlib.h>

#include "common/addr.h"

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
	struct dns_answer a;
	uint8_t *copy;
	enum dns_type type;

	if (size < 1 || size > 4096)
		return 0;
	type = (enum dns_type)(data[0] % 5);
	/* Its own copy, so that a read beyond it is seen. */
	copy = malloc(size);
	must(copy != NULL);
	memcpy(copy, data + 1, size - 1);
	dns_read(type, span_of(copy, size - 1), &a);
	must(a.status <= DNS_FAILED && (a.status == DNS_FAILED) == (a.why != NULL));
	must(a.ttl_s <= DNS_TTL_MAX_S);
	must((a.status == DNS_FOUND) == (a.n > 0));
	if (a.status == DNS_FOUND && (type == DNS_A || type == DNS_AAAA))
		must(a.n <= DNS_ADDRS_MAX);
	if (a.status == DNS_FOUND && type == DNS_PTR)
		must(addr_domain_ok(span_str(a.name), false) && strlen(a.name) < DNS_NAME_MAX);
	if (a.status == DNS_FOUND && type == DNS_TXT)
		must(memchr(a.text, 0, sizeof(a.text)) != NULL);
	free(copy);
	return 0;
}
