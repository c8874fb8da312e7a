/*
 * state: where one connection to a milter stands.
 * What was agreed on, which steps the milter wants and answers, what it has
 * been asked and not answered, and what an answer means there.  Knows no
 * descriptor, no session and no clock.  PURE.
 */
#ifndef WORKER_MILTER_STATE_H_
#define WORKER_MILTER_STATE_H_

#include "worker/milter/packet.h"

struct milter_state {
	uint32_t version; /* 0: not negotiated */
	uint32_t actions, steps;
	uint32_t chunk;        /* octets of data that a packet may have */
	uint8_t  asked;        /* enum milter_command whose answer is to come; 0: none */
	uint32_t ignore;       /* answers to come before that one, about recipients that we had refused */
	uint8_t  skip;         /* enum milter_command of which it wants no more before another one; 0: none */
	bool     message;      /* it was told of a message that is not over */
	bool     content;      /* ... and of DATA, or its content */
	bool     done_message; /* it wants to hear no more of this message */
	bool     done_session; /* ... of this session */
	bool     mailed;       /* MAIL was said to it in this session */
	bool     edited;       /* it has begun to edit this message */
};

/* What an answer asks of whoever asked. */
enum milter_do {
	MILTER_DO_BAD,     /* not an answer to this: the connection is of no use any more */
	MILTER_DO_WAIT,    /* it still works: more time */
	MILTER_DO_IGNORE,  /* it was asked for politeness' sake */
	MILTER_DO_EDIT,    /* note the edit; the answer is still to come */
	MILTER_DO_NEXT,    /* no objection */
	MILTER_DO_REFUSE,  /* by the answer's own reply, 5xx or 4xx */
	MILTER_DO_DISCARD, /* say yes and drop the message */
	MILTER_DO_CLOSE    /* 421 */
};

void milter_state_init(struct milter_state *st);

/* The milter agreed to ${o}. */
void milter_state_agreed(struct milter_state *st, const struct milter_options *o);

/* Whether ${cmd} is to be said now. */
bool milter_state_wants(const struct milter_state *st, enum milter_command cmd);

/* ${cmd} was said.  True: its answer must come before anything else is said. */
bool milter_state_said(struct milter_state *st, enum milter_command cmd);

/* MILTER_C_RCPT was said of a recipient that we have refused: what it says to that changes nothing. */
void milter_state_refused(struct milter_state *st);

/* It answered.  For MILTER_DO_BAD *why is a static word. */
enum milter_do milter_state_answer(struct milter_state *st, const struct milter_reply *r, const char **why);

/* The message is over; the session is, and another one begins (MILTER_C_QUIT_NC). */
void milter_state_reset(struct milter_state *st);
void milter_state_again(struct milter_state *st);

#endif
