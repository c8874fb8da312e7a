/*
 * table: which handler stands behind a section of the config.
 */
#include "worker/handlers/table.h"

const struct handler_ops *
handlers_of(enum conf_kind kind)
{
	switch (kind) {
	case CONF_K_HANDLER:
	case CONF_K_MILTER:
	case CONF_K_POLICY:
	case CONF_K_NETWORKS:
	case CONF_K_DNS:
	case CONF_K_QUOTA:
		break;
	}
	return NULL;
}
