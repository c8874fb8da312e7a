/*
 * account: everything that is counted and every line that a session logs.
 */
#ifndef WORKER_ACCOUNT_H_
#define WORKER_ACCOUNT_H_

#include "worker/session.h"

enum { ACCOUNT_TO_MAX = 1500 }; /* octets of recipients that a log line names; nrcpt has the number of all */

/* A reply was appended to the output; code 0: none, a no-op. */
void account_reply(struct session *s, struct smtp_sent sent);

/* A question was refused with ${r}: one line that says who, what and why.  ${by}: the handler's name or "". */
void account_refusal(struct session *s, const struct rcpt *rc, const struct reply *r, const char *by);

/* Before TLS begins, so nothing can be said: it is closed for ${reason}, a word of limits. */
void account_turned_away(struct session *s, const char *reason);

/* A TLS handshake is over; ${why}: why it failed, or NULL.  s->tls says what is known of it. */
void account_tls(struct session *s, const char *why, bool resumed);

/* The transaction ends; ${how} is what was last said about it. */
void account_transaction(struct session *s, struct smtp_sent how);

/* The session ends. */
void account_session(struct session *s);

/* An AUTH came to ${r}: counted and logged; the engine still has the exchange. */
void account_auth(struct session *s, const struct reply *r);
#endif
