/*
 * quota: what a message takes of its mailboxes' room, counted before it is
 * placed and taken back if it is not.  For the threads of the pool.
 * common/maildirsize.h says how that is exact with many at once.
 */
#ifndef WORKER_STORE_QUOTA_H_
#define WORKER_STORE_QUOTA_H_

#include "worker/store/maildir.h"

enum {
	QUOTA_TRIES =
	    8, /* times a message is counted again because its mailbox was counted anew before it could be placed */
	QUOTA_SHUN_S =
	    10 /* seconds for which a mailbox is not waited for, after it was in vain: who waits holds others up */
};

/* Count ${s}, which is staged.  0, or -1 with errno, EDQUOT: it has no room; EBUSY: see quota_enter().  A mailbox without a quota: 0, and nothing is read. */
int quota_take(struct maildir *md, struct spot *s);

/**
 * quota_enter(md, s, held):
 * Before ${s} is moved into new/, or removed from there: until quota_leave(*held)
 * nobody counts its mailbox anew.  Where that was done since quota_take() a
 * message that is yet to be placed is counted again.  0, or -1 with errno: EDQUOT: it has no
 * room any more; EBUSY: another program keeps the mailbox, for MAILDIRSIZE_WAIT_MS
 * or, at once, as found in the last QUOTA_SHUN_S seconds.  Nothing was
 * counted: 0, no system call, and *held is -1.
 */
int quota_enter(struct maildir *md, struct spot *s, int *held);

/* -1 is a no-op. */
void quota_leave(int held);

/* ${s} is not delivered: what was counted is taken back.  If it stands, or stood, in new/ (s->in_new), between quota_enter() and quota_leave().  Nothing was: a no-op. */
void quota_release(const struct maildir *md, struct spot *s);

/* After a crash of the machine: what is counted of the mailbox ${dir} (DOMAIN/LOCAL, which is there) may lack what stands in it, so let the next one count it anew. */
void quota_forget(const struct maildir *md, struct span dir);

#endif
