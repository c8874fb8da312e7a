/*
 * policy: a policy server as a handler, asked at the one stage that its
 * section names.
 */
#ifndef WORKER_HANDLERS_POLICY_POLICY_H_
#define WORKER_HANDLERS_POLICY_POLICY_H_

#include "common/conf.h"
#include "worker/handlers/handler.h"

/* Where a message that a policy server holds is put: this folder of its mailboxes. */
#define POLICY_HOLD_FOLDER "Hold"

/* For a section that asks at ${stage}: it has a say there alone, and is counted as asked there alone. */
const struct handler_ops *policy_ops(enum conf_stage stage);

#endif
