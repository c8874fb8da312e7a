/*
 * ip: see ip.h.
 */
#include "common/ip.h"

#include <arpa/inet.h>

bool
ip_parse(int family, struct span s, uint8_t out[static 16])
{
	char text[INET6_ADDRSTRLEN];
	uint8_t addr[16];

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(family, text, addr) != 1)
		return false;
	if (family == AF_INET)
		ip_of4(addr, out);
	else
		memcpy(out, addr, sizeof(addr));
	return true;
}

bool
ip_parse_tagged(struct span s, uint8_t out[static 16])
{
	const struct span tag = SPAN("IPv6:");

	if (s.n > tag.n && span_caseeq(span_head(s, tag.n), tag))
		return ip_parse(AF_INET6, span_skip(s, tag.n), out);
	return ip_parse(AF_INET, s, out);
}
