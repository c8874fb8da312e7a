/*
 * login: AUTH between engine and handlers: what they are shown, and what their
 * answer comes to.
 */
#ifndef WORKER_LOGIN_H_
#define WORKER_LOGIN_H_

#include "worker/session.h"

/* The exchange as handlers see it; good until the engine is answered. */
void login_try(const struct session *s, struct auth_try *out);

/* Nobody needs to be asked: the client has only to be let in.  *r is that answer. */
bool login_confirmed(struct session *s, struct reply *r);

/* All were asked and it came to ${v} with *r: what the engine is answered.  Nothing but a 2xx lets anybody in. */
void login_conclude(struct session *s, enum verdict v, struct reply *r);

/* The client leaves, and will not hear what comes of a handler's question that is open: it has guessed nothing. */
void login_left(const struct session *s);
#endif
