/*
 * table: which handler stands behind a section of the config.
 */
#include "worker/handlers/table.h"

#include "worker/handlers/checks.h"
#include "worker/handlers/dnscheck.h"
#include "worker/handlers/networks.h"
#include "worker/handlers/policy/client.h"
#include "worker/handlers/policy/policy.h"
#include "worker/handlers/policy/tokens.h"
#include "worker/handlers/quota.h"
#include "worker/milter/milter.h"

const struct handler_ops *
handlers_of(const struct conf_handler *h)
{
	switch (h->kind) {
	case CONF_K_HANDLER:
		break;
	case CONF_K_MILTER:
		return &milter_ops;
	case CONF_K_POLICY:
		return policy_ops(h->stage);
	case CONF_K_NETWORKS:
		return &networks_ops;
	case CONF_K_DNS:
		return &dnscheck_ops;
	case CONF_K_QUOTA:
		return &quota_ops;
	case CONF_K_CHECKS:
		return &checks_ops;
	case CONF_K_TOKENS:
		return &tokens_ops;
	}
	return NULL;
}

uint32_t
handlers_fds(enum conf_kind kind)
{
	if (kind == CONF_K_MILTER)
		return MILTER_LINKS_MAX;
	return kind == CONF_K_POLICY || kind == CONF_K_TOKENS ? POLICY_CONNS_MAX : 0;
}
