/*
 * proxy: the header that a load balancer sends before a client's first octet.
 * The PROXY protocol, versions 1 and 2, by HAProxy's doc/proxy-protocol.txt.
 * Reads one header from octets and says what it claims; who may claim
 * anything is its caller's business.  No part of SMTP, but parsed by the same
 * rules.  PURE.
 */
#ifndef WORKER_SMTP_PROXY_H_
#define WORKER_SMTP_PROXY_H_

#include <sys/types.h>

#include "common/span.h"

enum {
	PROXY_V1_MAX = 107, /* octets of a version 1 line with its CRLF, section 2.1 */
	PROXY_MAX    = 4096 /* octets of a header that are taken at all; a version 2 one could have 65,551 */
};

/* What proxy_parse() returns instead of a length. */
enum {
	PROXY_MORE = 0, /* a header may have begun: come again with more octets behind these */
	PROXY_BAD  = -1
};

struct proxy {
	bool     real; /* nothing is claimed: UNKNOWN, LOCAL, UNSPEC or unix; the connection's own ends count */
	uint8_t  src[16], dst[16]; /* network order, IPv4 mapped; all zero if ${real} */
	uint16_t src_port, dst_port;
};

/**
 * proxy_parse(in, out, why):
 * Read one header at the start of ${in}.  Return the octets it takes, or
 * PROXY_MORE, or PROXY_BAD with *why a static word: "proxy-missing" (it begins
 * like no header), "proxy-syntax", "proxy-too-long", "proxy-checksum" (the
 * CRC32C among the TLVs, which are skipped otherwise).  ${out} is written with
 * a length alone.  More octets never change what was said once, and PROXY_MORE
 * is never said to PROXY_MAX octets.
 */
ssize_t proxy_parse(struct span in, struct proxy *out, const char **why);
#endif
