/*
 * quota: what a message takes of its mailboxes' room, counted before it is
 * placed and taken back if it is not.  For the threads of the pool.
 */
#ifndef WORKER_STORE_QUOTA_H_
#define WORKER_STORE_QUOTA_H_

#include "worker/store/maildir.h"

/* Count ${s}, which is staged.  0, or -1 with errno, EDQUOT: it has no room.  A mailbox without a quota: 0, and nothing is read. */
int quota_take(const struct maildir *md, struct spot *s);

/* It is placed, or is not: what was counted stands, or is taken back.  Nothing was: a no-op. */
void quota_settle(const struct maildir *md, struct spot *s);

#endif
