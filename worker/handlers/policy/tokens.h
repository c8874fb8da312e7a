/*
 * tokens: OAuth's (OAUTHBEARER, XOAUTH2), told from others by whom the operator
 * says can: asked over a socket in the words of policy delegation.
 */
#ifndef WORKER_HANDLERS_POLICY_TOKENS_H_
#define WORKER_HANDLERS_POLICY_TOKENS_H_

#include "worker/handlers/handler.h"

extern const struct handler_ops tokens_ops; /* its section is a struct conf_handler with a socket */
#endif
