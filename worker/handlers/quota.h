/*
 * quota: whether a recipient's mailbox has room for what SIZE announces, while
 * the sender still waits at RCPT.  The store has the last word.
 */
#ifndef WORKER_HANDLERS_QUOTA_H_
#define WORKER_HANDLERS_QUOTA_H_

#include "worker/handlers/handler.h"

extern const struct handler_ops quota_ops; /* of the section quota */

#endif
