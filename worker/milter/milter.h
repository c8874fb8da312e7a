/*
 * milter: Sendmail's filter protocol, version 6, as a handler.
 * One for each section `milter` of the config; docs/HANDLERS.md says what is
 * sent and what answers mean.
 */
#ifndef WORKER_MILTER_MILTER_H_
#define WORKER_MILTER_MILTER_H_

#include "worker/handlers/handler.h"

enum { MILTER_LINKS_MAX = 256 }; /* connections of a worker to one milter */

extern const struct handler_ops milter_ops;

#endif
