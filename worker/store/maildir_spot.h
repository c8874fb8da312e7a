/*
 * maildir_spot: what is done to the file of one target of a message, in the
 * pool.  Each step condemns the file when it fails: the caller says so
 * (spot_fail) and takes it back (spot_undo).
 */
#ifndef WORKER_STORE_MAILDIR_SPOT_H_
#define WORKER_STORE_MAILDIR_SPOT_H_

#include "worker/store/maildir.h"

/* A message that is being made durable; lives as long as one half of that. */
struct commit {
	struct store_msg *m;
	struct maildir   *md;
	bool              all, links;
	bool              lazy;     /* nothing is synced: the journal answers for it */
	bool              nameless; /* files may be so */
	struct spot      *lead;     /* what the others are linked to */
	struct span       mem;      /* content in memory, all of it or what the spool lacks */
	int               from;     /* the spool, to copy content from; or -1 */
	off_t             at;       /* where content begins in it */
	uint64_t          content;  /* octets of content */
	int               err;      /* the first failure */
};

/* Open its mailbox, if it is not.  0, or -1 with errno. */
int spot_enter(struct commit *c, struct spot *s);

/* Write its file, or give the lead's another name, in tmp/ or without a name.  0, or -1 with errno. */
int spot_stage(struct commit *c, struct spot *s);

/* Close what was written.  0, or -1 with errno: what close() says counts. */
int spot_close(struct spot *s);

/* Move it into new/, or name it there, under its mailbox's quota.  0, or -1 with errno. */
int spot_place(struct commit *c, struct spot *s);

/*
 * Take back whatever of it is on disk, and what was counted for it.  It syncs the folder if it stood in new/: a take-back
 * that a power cut takes back would be a second copy.
 */
void spot_undo(struct commit *c, struct spot *s);
#endif
