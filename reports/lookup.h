/*
 * lookup: the addresses of dsn_relay, asked once, before the sandbox closes.
 * Names are resolved by a child that has become the workers' user and ends:
 * what parses answers of the DNS is neither root nor anybody who goes on.
 */
#ifndef REPORTS_LOOKUP_H_
#define REPORTS_LOOKUP_H_

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
	LOOKUP_HOST_MAX = 256,
	LOOKUP_MAX      = 8,   /* addresses of a relay that are tried */
	LOOKUP_MS       = 5000 /* how long the look-up may take */
};

struct lookup {
	struct sockaddr_storage ss[LOOKUP_MAX];
	socklen_t               len[LOOKUP_MAX];
	unsigned                n; /* 0: it has none now */
	char                    host[LOOKUP_HOST_MAX];
	uint16_t                port;
	bool                    literal; /* an address, or no relay at all: it will not change */
};

/* ${relay} is "host:port" as the config has it, or "".  Cannot fail: out->n may be 0, after a logged line. */
void lookup(const char *relay, const char *user, struct lookup *out);
#endif
