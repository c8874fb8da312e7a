/*
 * limits: 421 4.3.2 when the server is full, 421 4.7.0 when one address has
 * too many connections (PROTOCOL 1, RFC 5321 3.8).
 */
#include "worker/handlers/limits.h"

#include <time.h>

static const uint8_t limits_unix[16];

/* Whether the address has begun more connections in this minute than it may. */
static bool
limits_too_fast(const struct limits *l, const uint8_t addr[16])
{
	struct timespec now;

	if (l->conf->limits.rate_per_ip == 0)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now); /* one for all processes of a host */
	return conns_rate(l->conns, CONNS_SESSION, addr, (uint64_t)now.tv_sec / 60) > l->conf->limits.rate_per_ip;
}

/* What one more connection of the address comes to when there are ${mine} of that address, this one included. */
static enum limits_found
limits_find(const struct limits *l, const uint8_t addr[16], uint32_t mine)
{
	if (l->conf->limits.connections != 0 && conns_total(l->conns) > l->conf->limits.connections)
		return LIMITS_FULL;
	/* Who comes by a unix socket has no address to be counted by. */
	if (memcmp(addr, limits_unix, sizeof(limits_unix)) == 0)
		return LIMITS_FINE;
	if (l->conf->limits.connections_per_ip != 0 && mine > l->conf->limits.connections_per_ip)
		return LIMITS_ADDRESS;
	return limits_too_fast(l, addr) ? LIMITS_FAST : LIMITS_FINE;
}

/* Entered before it is compared: of two workers that have one place left both may say no, but hardly both yes. */
enum limits_found
limits_enter(const struct limits *l, const uint8_t addr[16])
{
	enum limits_found found = limits_find(l, addr, conns_enter(l->conns, addr));

	if (found != LIMITS_FINE)
		conns_leave(l->conns, addr);
	return found;
}

void
limits_leave(const struct limits *l, const uint8_t addr[16])
{
	conns_leave(l->conns, addr);
}

const char *
limits_reason(enum limits_found found)
{
	static const char *const word[] = { [LIMITS_FINE] = "",
		[LIMITS_FULL] = "too-many-connections",
		[LIMITS_ADDRESS] = "too-many-from-address",
		[LIMITS_FAST] = "too-fast-from-address" };

	return word[found];
}

static enum verdict
limits_on_connect(void *ctx, const struct question *q, struct reply *r)
{
	const struct limits *l = ctx;
	const char *hostname = l->conf->hostname;
	enum limits_found found = l->of(q);

	switch (found) {
	case LIMITS_FINE:
		return V_NEXT;
	case LIMITS_FULL:
		reply_set(r, 421, ENH(4, 3, 2), limits_reason(found), "%s has too many connections, try again later",
		    hostname);
		break;
	case LIMITS_ADDRESS:
		reply_set(r, 421, ENH(4, 7, 0), limits_reason(found), "%s has too many connections from your address",
		    hostname);
		break;
	case LIMITS_FAST:
		reply_set(r, 421, ENH(4, 7, 0), limits_reason(found),
		    "%s has had too many connections from your address in this minute", hostname);
		break;
	}
	r->close = true;
	return V_REPLY;
}

const struct handler_ops limits_ops = {
	.abi = HANDLER_ABI,
	.name = "limits",
	.on_connect = limits_on_connect,
};
