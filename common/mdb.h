/*
 * mdb: the mailbox directory's snapshot, an immutable LMDB file that was
 * published by rename and that nobody writes again.  Opened after the fork,
 * read-only and without a lock file, so that a worker can't harm it and a dead
 * one leaves nothing behind.  The only reader of LMDB; the writer is
 * tools/mailboxes.  Every page is compared with its checksum before LMDB reads
 * it, so that a damaged file is an error and never a wrong answer or a crash.
 */
#ifndef COMMON_MDB_H_
#define COMMON_MDB_H_

#include <sys/types.h>

#include "common/span.h"

#define MDB_FILE     "mailboxes.mdb"          /* in the directory's folder */
#define MDB_PREVIOUS "mailboxes.mdb.previous" /* its predecessor, for rollback */

struct mdb;

/* What is known of the directory. */
enum mdb_state {
	MDB_STATE_NONE,  /* nothing: there is no snapshot, or the one that was mapped was written over or cut */
	MDB_STATE_OLDER, /* what an older one has; what it has not may stand in the newest, which cannot be used */
	MDB_STATE_NEWEST
};

/* What a snapshot says of itself: written by the loader under the key "\0meta". */
struct mdb_info {
	uint64_t entries; /* without the domains the loader added */
	uint64_t domains;
	int64_t  made;   /* unix seconds */
	uint64_t octets; /* of the file */
};

/**
 * mdb_open(dir, name, out):
 * Map DIR/NAME after checking that the file is as long as its last page says
 * (a truncated map is SIGBUS) and that it is ours.  0, or -1 with errno:
 * ENOENT, EACCES, EBADMSG (damaged, foreign, another version)...
 */
int mdb_open(const char *dir, const char *name, struct mdb **out);

/**
 * mdb_find(m, key, val):
 * Not mdb_get, which is LMDB's.  1 with *val pointing into the map (good until mdb_close() or a newer
 * mdb_refresh()), 0 if there is no such key, -1 with errno EBADMSG or another
 * when it cannot be known.  A key that an older snapshot lacks is 0 all the same: see mdb_state().
 * A file that mdb_watch() has found changed is EBADMSG.
 */
int mdb_find(struct mdb *m, struct span key, struct span *val);

/*
 * Ask the mapped file whether it is as it was (an fstat: 3 microseconds inside the sandbox, so now and then, not for each
 * key).  Nobody changes one that was published; who does it all the same has us say so, not trip over a page that is
 * no more (SIGBUS).  NULL is a no-op.
 */
void mdb_watch(struct mdb *m);

/* Compare every page with its checksum: 0, or -1 with errno EBADMSG.  Reads all of the file: for tools. */
int mdb_check(struct mdb *m);

/* Walk in key order: 1 with the first (first = true, which checks the whole file) or next entry, 0 at the end, -1 with errno.  One walk at a time; what the snapshot says of itself is left out. */
int mdb_walk(struct mdb *m, bool first, struct span *key, struct span *val);

/*
 * Look at DIR/NAME again.  1 if it is another file by now and was mapped instead; 0 if not; -1 with errno if it cannot be used:
 * then the older one stays, unless it was the file itself that was changed.  mdb_state() says which.
 */
int mdb_refresh(struct mdb *m);

enum mdb_state mdb_state(const struct mdb *m); /* NULL: none */

/* Of the snapshot that is mapped; all 0 when there is none. */
void mdb_info(const struct mdb *m, struct mdb_info *out);

void mdb_close(struct mdb *m); /* NULL is a no-op */
#endif
