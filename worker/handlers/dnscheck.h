/*
 * dnscheck: what DNS says about a client: its host name, and the lists that it
 * stands in.
 */
#ifndef WORKER_HANDLERS_DNSCHECK_H_
#define WORKER_HANDLERS_DNSCHECK_H_

#include "worker/handlers/handler.h"

extern const struct handler_ops dnscheck_ops; /* of the section dns */

#endif
