/*
 * limits: 421 4.3.2 when the server is full, 421 4.7.0 when one address has
 * too many connections (PROTOCOL 1, RFC 5321 3.8).
 */
#include "worker/handlers/limits.h"

static const uint8_t limits_unix[16];

static enum verdict
limits_on_connect(void *ctx, const struct session_view *s, struct ask a, struct reply *r)
{
	const struct limits *l = ctx;
	uint32_t mine = conns_enter(l->conns, s->remote_addr);

	(void)a;
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
	return V_NEXT;
}

static void
limits_on_close(void *ctx, const struct session_view *s)
{
	const struct limits *l = ctx;

	conns_leave(l->conns, s->remote_addr);
}

const struct handler_ops limits_ops = {
	.abi = HANDLER_ABI,
	.name = "limits",
	.on_connect = limits_on_connect,
	.on_close = limits_on_close,
};
