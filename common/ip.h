/*
 * ip: IP addresses as sixteen octets, IPv4 mapped (RFC 4291 2.5.5.2), which is
 * how one stands everywhere in here.  PURE.
 */
#ifndef COMMON_IP_H_
#define COMMON_IP_H_

#include <string.h>
#include <sys/socket.h>

#include "common/span.h"

enum { IP_MAPPED = 12 }; /* octets before an IPv4 address */

/* The four octets of an IPv4 address, in network order, as such. */
static inline void
ip_of4(const void *four, uint8_t out[static 16])
{
	memset(out, 0, IP_MAPPED);
	out[10] = out[11] = 0xff;
	memcpy(out + IP_MAPPED, four, 4);
}

static inline bool
ip_is4(const uint8_t addr[static 16])
{
	static const uint8_t mapped[IP_MAPPED] = { [10] = 0xff, [11] = 0xff };

	return memcmp(addr, mapped, sizeof(mapped)) == 0;
}

/**
 * ip_parse(family, s, out):
 * ${s} is an address of ${family} as inet_pton(3) has it, which knows neither
 * zones nor the leading zeros that some read as octal.  False: it is none, and
 * *out is as it was.
 */
bool ip_parse(int family, struct span s, uint8_t out[static 16]);

/* As SMTP writes them (RFC 5321 4.1.3, without the brackets): "IPv6:" in any case before those of IPv6. */
bool ip_parse_tagged(struct span s, uint8_t out[static 16]);
#endif
