/*
 * table: which handler stands behind a section of the config.
 */
#ifndef WORKER_HANDLERS_TABLE_H_
#define WORKER_HANDLERS_TABLE_H_

#include "common/conf.h"
#include "worker/handlers/handler.h"

/* The built-in handler for section ${h}; NULL: it is a module. */
const struct handler_ops *handlers_of(const struct conf_handler *h);

/* Descriptors that the connections of one section of ${kind} may take in one worker, without those of worker/net/dns.h. */
uint32_t handlers_fds(enum conf_kind kind);

#endif
