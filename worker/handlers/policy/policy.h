/*
 * policy: a policy server as a handler, asked at the one stage that its
 * section names.
 */
#ifndef WORKER_HANDLERS_POLICY_POLICY_H_
#define WORKER_HANDLERS_POLICY_POLICY_H_

#include "worker/handlers/handler.h"

/* Where a message that a policy server holds is put: this folder of its mailboxes. */
#define POLICY_HOLD_FOLDER "Hold"

extern const struct handler_ops policy_ops; /* its section is a struct conf_handler */

#endif
