/*
 * checks: what a stranger says of itself at HELO and MAIL, looked at with little
 * effort: syntax, our own names, whether the sender's domain could be answered.
 * Each check is off unless the section checks switches it on.
 */
#ifndef WORKER_HANDLERS_CHECKS_H_
#define WORKER_HANDLERS_CHECKS_H_

#include "worker/handlers/handler.h"

extern const struct handler_ops checks_ops; /* of the section checks */

#endif
