/*
 * session_parts: what the parts of a session share.  For session.c,
 * session_ask.c, session_time.c and session_tls.c alone.
 */
#ifndef WORKER_SESSION_PARTS_H_
#define WORKER_SESSION_PARTS_H_

#include "worker/session.h"

static inline struct session *
session_of(struct conn *c)
{
	return (struct session *)((char *)c - offsetof(struct session, conn));
}

/* --- session.c --- */

/* It is known whom the session is with: it is counted, and what holds for that address alone. */
void session_known(struct session *s);

/* It is with nobody any more, or with somebody else from now on. */
void session_unknown(struct session *s);

/*
 * It has had its last word, or has it now: others may have its place, while its socket lingers.  False, and it keeps
 * the place until the socket is closed: too many linger already.
 */
bool session_let_go(struct session *s);

/* A last word, 421, out of turn; the caller finishes the connection or lets the engine say CLOSE.  ${end}: a static word. */
void session_last_word(struct session *s, const char *end, uint32_t enh, const char *text);

/* --- session_ask.c --- */

/* Carry out one event; not SMTP_EV_STARTTLS, MORE and CLOSE, which are the connection's.  False: the session waits. */
bool session_event(struct session *s, enum smtp_ev ev, const struct smtp_event *e);

/* Answer the open question: ${r}, or NULL for the engine's own yes. */
void session_answer(struct session *s, const struct reply *r);

/* The transaction is over: the only place that says so. */
void session_transaction_over(struct session *s, struct smtp_sent how);

/* The handler whose turn it is took too long. */
void session_handler_late(struct session *s);

/* --- session_time.c --- */

/*
 * ${octets} of content came; 0: it begins.  A client has timeouts.data in hand;
 * each octet gives it the time that it may take at limits.data_rate, up to as
 * much again: an octet now and then does not hold a session (TRUST A1).  What
 * is thrown away counts too: who sends a message over the limit is to hear 552
 * at its end, not 421 on the way.
 */
void session_came(struct session *s, uint64_t octets);

/* The deadline of whoever waits for the client, from now. */
void session_rearm(struct session *s);

/* Whether the greeting is put off.  Who speaks meanwhile is an early talker, and is told so at once. */
bool session_holds(struct session *s, struct span in);

/* Whether the client has just made an error, and many before. */
bool session_tires(const struct session *s);

/* It waits for as long as limits.error_pause says. */
enum conn_say session_pause(struct session *s);

/* conn_ops.late: a deadline came, the client's or ours. */
void session_late(struct conn *c);

/* --- session_tls.c --- */

/* Whether the client has begun fewer handshakes in this minute than it may.  Each costs us more than it does the client. */
bool session_may_shake(const struct session *s);

/* STARTTLS was said, and ${behind} came with it.  True: 220 is queued, and the handshake follows it. */
bool session_starttls(struct session *s, struct span behind);

/* conn_ops.secured: a handshake is ${done}, or failed. */
void session_secured(struct conn *c, bool done);

#endif
