/*
 * talk_parts: what the three parts of a talk share.  For talk.c, talk_say.c
 * and talk_hear.c alone.
 */
#ifndef WORKER_MILTER_TALK_PARTS_H_
#define WORKER_MILTER_TALK_PARTS_H_

#include "worker/milter/talk.h"

/* --- talk.c --- */

/* The goal is reached, or given up: whoever waits is told ${v}, with *r where it is V_REPLY; else it is kept for who asks next. */
void talk_decide(struct talk *t, enum verdict v, const struct reply *r);

/* It could not be asked, for ${why}, a static word: that is logged. */
void talk_fail(struct talk *t, const char *why);

/* --- talk_say.c --- */

/* Say all that can be said now.  The connection may be gone afterwards, and the goal be decided. */
void talk_run(struct talk *t);

/* What needs no answer waits for what does, or for more of its kind.  False: the link broke, and this was told. */
bool talk_send(struct milter_link *k);

/* --- talk_hear.c: for struct milter_owner --- */

void talk_ready(struct milter_owner *o);
void talk_lost(struct milter_owner *o, const char *why);
void talk_packet(struct milter_owner *o, uint8_t cmd, struct span data);

#endif
