/*
 * networks: one look-up at connect, the longest prefix wins.
 */
#include "worker/handlers/networks.h"

#include <errno.h>
#include <stdlib.h>

#include "common/conf.h"
#include "common/prefix.h"

enum { NETWORKS_ACCEPT = 1, NETWORKS_REJECT, NETWORKS_DEFER, NETWORKS_SKIP };

static size_t
networks_add(struct prefix *p, size_t n, const struct conf_nets *nets, uint8_t value)
{
	for (size_t i = 0; i < nets->n; i++) {
		memcpy(p[n].addr, nets->net[i].addr, sizeof(p[n].addr));
		p[n].bits = nets->net[i].bits;
		p[n++].value = value;
	}
	return n;
}

static int
networks_open(const struct handler_env *env, void **ctx)
{
	const struct conf_networks *nw = &env->conf->networks;
	size_t n = 0, all = nw->accept.n + nw->reject.n + nw->defer.n + nw->skip_checks.n;
	struct prefix *p = reallocarray(NULL, all + 1, sizeof(*p));

	if (p == NULL)
		return -1;
	n = networks_add(p, n, &nw->accept, NETWORKS_ACCEPT);
	n = networks_add(p, n, &nw->reject, NETWORKS_REJECT);
	n = networks_add(p, n, &nw->defer, NETWORKS_DEFER);
	n = networks_add(p, n, &nw->skip_checks, NETWORKS_SKIP);
	*ctx = prefix_new(p, n);
	free(p);
	return *ctx != NULL ? 0 : -1;
}

static enum verdict
networks_on_connect(void *ctx, const struct question *q, struct reply *r)
{
	static const uint8_t none[16]; /* a unix socket's: in no network, not even ::/0 */
	const struct session_view *s = q->session;

	if (memcmp(s->remote_addr, none, sizeof(none)) == 0)
		return V_NEXT;
	switch (prefix_find(ctx, s->remote_addr)) {
	case NETWORKS_REJECT:
		reply_set(r, 554, ENH(5, 7, 1), "network-rejected", "%s takes no mail from your network", s->hostname);
		return V_REPLY;
	case NETWORKS_DEFER:
		/* A greeting knows 421 and 554 alone (RFC 5321 4.3.2). */
		reply_set(
		    r, 421, ENH(4, 7, 1), "network-deferred", "%s takes no mail from your network now", s->hostname);
		r->close = true;
		return V_REPLY;
	case NETWORKS_ACCEPT:
		handler_skip_all(q);
		break;
	case NETWORKS_SKIP:
		handler_skip_checks(q);
		break;
	}
	return V_NEXT;
}

static void
networks_close(void *ctx)
{
	prefix_free(ctx);
}

const struct handler_ops networks_ops = {
	.abi = HANDLER_ABI,
	.name = "networks",
	.open = networks_open,
	.on_connect = networks_on_connect,
	.close = networks_close,
};
