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

static enum verdict
limits_on_connect(void *ctx, const struct question *q, struct reply *r)
{
	const struct limits *l = ctx;
	const struct session_view *s = q->session;
	uint32_t mine = conns_enter(l->conns, s->remote_addr);

	if (l->conf->limits.connections != 0 && conns_total(l->conns) > l->conf->limits.connections) {
		reply_set(r, 421, ENH(4, 3, 2), "too-many-connections", "%s has too many connections, try again later",
		    l->conf->hostname);
		r->close = true;
		return V_REPLY;
	}
	/* Who comes by a unix socket has no address to be counted by. */
	if (l->conf->limits.connections_per_ip != 0 && mine > l->conf->limits.connections_per_ip &&
	    memcmp(s->remote_addr, limits_unix, sizeof(limits_unix)) != 0) {
		reply_set(r, 421, ENH(4, 7, 0), "too-many-connections-from-address",
		    "%s has too many connections from your address", l->conf->hostname);
		r->close = true;
		return V_REPLY;
	}
	if (memcmp(s->remote_addr, limits_unix, sizeof(limits_unix)) != 0 && limits_too_fast(l, s->remote_addr)) {
		reply_set(r, 421, ENH(4, 7, 0), "too-fast-from-address",
		    "%s has had too many connections from your address in this minute", l->conf->hostname);
		r->close = true;
		return V_REPLY;
	}
	return V_NEXT;
}

static void
limits_on_close(void *ctx, const struct question *q)
{
	const struct limits *l = ctx;

	conns_leave(l->conns, q->session->remote_addr);
}

const struct handler_ops limits_ops = {
	.abi = HANDLER_ABI,
	.name = "limits",
	.on_connect = limits_on_connect,
	.on_close = limits_on_close,
};
