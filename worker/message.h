/*
 * message: the way of one message's content: out of the engine, through the
 * header filter, past the handlers, into the store, and its verdict.
 */
#ifndef WORKER_MESSAGE_H_
#define WORKER_MESSAGE_H_

#include "worker/session.h"

/* DATA is asked.  True when content may come; else *r has the refusal. */
bool message_begin(struct session *s, struct reply *r);

/* Content.  True when it was taken; false: the session waits, session_wake() follows. */
bool message_body(struct session *s, struct span raw);

/**
 * message_end(s, rc, r):
 * The content is complete and the engine asks (SMTP once, LMTP once for each
 * recipient ${rc}).  True with *r (code 0: the usual yes); false: the session
 * waits and the engine will ask again.
 */
bool message_end(struct session *s, const struct rcpt *rc, struct reply *r);

/* A handler that was asked about content answered.  True when the session may go on. */
bool message_told(struct session *s, enum verdict v, const struct reply *r);

/* The transaction ends: forget what is left of the message.  A no-op without one. */
void message_drop(struct session *s);

/* Whether it was accepted and dropped, as a handler wanted. */
bool message_dropped(const struct session *s);

/* For the log: whether it was stored (also partly), in how many mailboxes, and how long that took in microseconds. */
bool message_stored(const struct session *s, int *mailboxes, uint64_t *commit_us);

#endif
