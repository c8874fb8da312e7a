/*
 * maildirsize: how much a mailbox holds, in the file that Maildir++ keeps for it
 * and Dovecot reads: a line with the limit, then a line "octets messages" for
 * each change, added by O_APPEND alone, so that many processes can count.
 *
 * A message is counted before it is delivered and taken back if it is not: who
 * reads the file after his own line sees all that others were promised before.
 * A file that is gone, too long or old is counted anew.  It is never synced:
 * after a power cut it may be behind, until it is counted anew.
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
	    900 /* seconds after which a full mailbox is counted anew before it is called full (Maildir++) */
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

/**
 * maildirsize_recalculate(home, limit, out):
 * Count what stands in the mailbox and its sub-folders, and write the file anew.
 * 0 and *out; 1 when somebody else was faster, and *out is his; -1 with errno.
 */
int maildirsize_recalculate(int home, const struct quota_limit *limit, struct maildirsize *out);

/**
 * maildirsize_room(home, limit, octets, id):
 * Whether one more message, of ${octets}, has room below ${limit}.  With ${id} it is
 * counted at once, and *id is where.  0, or -1 with errno, EDQUOT: no room.
 */
int maildirsize_room(int home, const struct quota_limit *limit, uint64_t octets, uint64_t *id);

/* What was counted in ${id} is delivered: if the file was counted anew meanwhile, count it there. */
void maildirsize_settle(int home, uint64_t octets, uint64_t id);

/* ... or is not delivered: take it back, unless the file was counted anew without it. */
void maildirsize_release(int home, uint64_t octets, uint64_t id);
#endif
