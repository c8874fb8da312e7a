/*
 * envelope: what edits change in a transaction: sender, recipients, folder.
 */
#ifndef WORKER_ENVELOPE_H_
#define WORKER_ENVELOPE_H_

#include "worker/session.h"

/**
 * envelope_edit(s, failed, why):
 * Carry out the edits of the transaction's envelope, in order.  A recipient
 * that is added goes through the directory.  0, or -1 with a word in *why and
 * the edit in *failed: the message can't be taken then, and what was changed is
 * of no interest.  Nobody may be left to get it: t->ntargets says.
 */
int envelope_edit(struct session *s, const struct edit **failed, const char **why);

#endif
