/*
 * request: a question to a policy server, as Postfix puts it
 * (SMTPD_POLICY_README: "name=value" lines, then an empty one).
 * The one sink through which attributes go: no value can bring a line end, so
 * no client can add an attribute of its own or ask twice.  PURE.
 */
#ifndef WORKER_HANDLERS_POLICY_REQUEST_H_
#define WORKER_HANDLERS_POLICY_REQUEST_H_

#include "worker/handlers/handler.h"

enum {
	POLICY_VALUE_MAX   = 1024,    /* octets of a value; a longer one is cut */
	POLICY_TOKEN_MAX   = 9216,    /* octets of a token, which is not cut */
	POLICY_REQUEST_MAX = 24 << 10 /* octets of a request: all attributes at their longest */
};

enum policy_stage { POLICY_CONNECT, POLICY_HELO, POLICY_MAIL, POLICY_RCPT, POLICY_DATA, POLICY_END, POLICY_AUTH };

/* What is asked about; what a stage does not know yet is NULL. */
struct policy_facts {
	enum policy_stage          stage;
	const struct session_view *view;
	const struct txn          *txn;
	const struct rcpt         *rcpt;         /* the one that RCPT names */
	const char                *reverse_name; /* the client's, not confirmed; NULL: unknown */
};

/**
 * policy_request(f, out):
 * Write the request about ${f} into ${out}, which has POLICY_REQUEST_MAX
 * octets; return how many.  In values each control octet and each octet that
 * is no well-formed UTF-8 becomes '?'.
 */
size_t policy_request(const struct policy_facts *f, char *out);

/**
 * policy_request_token(f, t, out):
 * The same about a token, t->password, which is of RFC 6750's b64token and has
 * at most POLICY_TOKEN_MAX octets; t->user is who is claimed to have it, or "".
 */
size_t policy_request_token(const struct policy_facts *f, const struct auth_try *t, char *out);
#endif
