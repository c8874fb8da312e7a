/*
 * maildirsize: how much a mailbox holds, in the file that Maildir++ keeps for it
 * and Dovecot reads: a line with the limit, then a line "octets messages" for
 * each change, added by O_APPEND alone, so that many processes can count.
 *
 * How the limit is never passed, whoever counts the mailbox anew at any moment:
 *  1. A message is counted when it is staged (maildirsize_room).  Who reads
 *     the file after his own line sees all that others were promised before.
 *  2. It is moved into new/ under a hold (maildirsize_hold), and only if the
 *     file in which it was counted is still the mailbox's; else it is counted again.
 *  3. Who counts anew waits until nobody holds the mailbox, and nobody holds
 *     it until the new file has the old one's name.
 * So what stands in the folders and what the file says change together or
 * not at all, for whoever keeps to this.  A hold is a lock of the mailbox's
 * folder (flock): it ends with its descriptor, or with the process.  It is held
 * for one rename, by nobody who waits for anything else.
 *
 * The file is never synced: after a power cut it may be behind, until the
 * mailbox is counted anew.  All of these may block: not for a loop.
 */
#ifndef COMMON_MAILDIRSIZE_H_
#define COMMON_MAILDIRSIZE_H_

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "common/quota.h"

#define MAILDIRSIZE_FILE "maildirsize"

enum {
	MAILDIRSIZE_MAX = 5120, /* octets of the file; longer: it is counted anew (Maildir++) */
	MAILDIRSIZE_STALE_S =
	    900, /* seconds after which a full mailbox is counted anew before it is called full (Maildir++) */
	MAILDIRSIZE_WAIT_MS =
	    2000, /* how long a hold, or one's turn to count, is waited for: a stopped process stops nobody else */
	MAILDIRSIZE_PASSES = 4 /* times a mailbox is counted until it comes out as before: readers lock nothing */
};

struct maildirsize {
	int64_t            octets, messages;
	struct quota_limit limit;    /* as the file says */
	uint64_t           id;       /* which file it is; never 0 */
	time_t             changed;  /* unix seconds */
	bool               too_long; /* over MAILDIRSIZE_MAX */
};

/* Read the file of the mailbox ${home} (its folder's descriptor).  0, or -1 with errno: ENOENT, EBADMSG when it makes no sense. */
int maildirsize_read(int home, struct maildirsize *out);

/* Which file it is just now; 0: there is none. */
uint64_t maildirsize_id(int home);

/**
 * maildirsize_recalculate(home, limit, out):
 * Count what stands in the mailbox and its sub-folders, and put a new file in the
 * old one's place.  The caller holds no mailbox.  0 and *out; -1 with
 * errno, EBUSY: somebody else has held it for MAILDIRSIZE_WAIT_MS.
 */
int maildirsize_recalculate(int home, const struct quota_limit *limit, struct maildirsize *out);

/* The same unless somebody was faster: a file that is good, and not the one of ${id}, is left alone; *out is that one then. */
int maildirsize_renew(int home, const struct quota_limit *limit, uint64_t id, struct maildirsize *out);

/**
 * maildirsize_room(home, limit, octets, id):
 * Whether one more message, of ${octets}, has room below ${limit}.  With ${id} it is
 * counted at once, and *id is where.  The mailbox is counted anew if need be: the
 * caller holds none.  0, or -1 with errno, EDQUOT: no room; EBUSY: as above; EAGAIN.
 */
int maildirsize_room(int home, const struct quota_limit *limit, uint64_t octets, uint64_t *id);

/**
 * maildirsize_hold(home, id):
 * Until ${home} is closed nobody counts the mailbox anew; ${home} was opened
 * for this alone.  0: what was counted in ${id} still is (${id} 0: not asked).
 * -1 with errno; ESTALE: the mailbox was counted anew without it, so close
 * ${home} and count it again; EBUSY: it is being counted, for MAILDIRSIZE_WAIT_MS.
 * A file system that can't lock folders (NFS): 0, and the count is not exact.
 */
int maildirsize_hold(int home, uint64_t id);

/* A message that was counted in ${id} is not delivered: take it back, unless the mailbox was counted anew without it.  ${id} 0, under a hold: it stood in new/. */
void maildirsize_release(int home, uint64_t octets, uint64_t id);
#endif
