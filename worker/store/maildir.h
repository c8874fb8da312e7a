/*
 * maildir: what the two halves of the Maildir store share.
 * maildir.c is the loop's half and does no file system call but open() and
 * close(); maildir_commit.c, maildir_spot.c and maildir_spool.c are the pool's.  A message is
 * in one half at a time: the pool owns it while msg.busy is set.
 */
#ifndef WORKER_STORE_MAILDIR_H_
#define WORKER_STORE_MAILDIR_H_

#include "worker/smtp/trace.h"
#include "worker/store/fold.h"
#include "worker/store/mailbox.h"
#include "worker/store/store.h"

enum {
	MAILDIR_BATCH = 16, /* files of one message that are written, then synced together; three descriptors each */
	MAILDIR_BULK =
	    64, /* mailboxes of a message from which on the file system is synced, and not each file and folder */
	MAILDIR_MISSES  = 8,  /* nameless files in a row that could not be made or named; then none is tried any more */
	MAILDIR_SHUNNED = 64, /* mailboxes that are known to be kept by other programs */
	MAILDIR_TRIES   = 8,  /* times to open a mailbox in order to clean up in it */
	/* Descriptors the store may hold beside one for each message over STORE_CHUNK octets: for RLIMIT_NOFILE. */
	MAILDIR_FDS = 2 + MAILBOX_CACHE + IOPOOL_THREADS * (3 * MAILDIR_BATCH + 8)
};

struct journal;

struct maildir {
	struct journal         *journal; /* in front of it, or NULL */
	const struct store_env *env;
	int                     root;  /* the store's path */
	bool                    whole; /* its file system may be synced as a whole: filesystem.h */
	struct unique           unique;
	struct mailboxes       *boxes;
	_Atomic unsigned        committing;               /* messages; the loop counts, the journal's leader looks */
	unsigned                nlarge;                   /* messages with large chunks; the loop's */
	_Atomic unsigned        misses;                   /* nameless files that failed, one after the other */
	_Atomic uint64_t        shunned[MAILDIR_SHUNNED]; /* quota.c's: those that are not waited for just now */
};

/* The file of one target on its way. */
struct spot {
	struct target     *target;
	struct span        folder; /* emptied when there is no such sub-folder */
	struct mailbox     box;    /* open while the spot is worked on */
	struct unique_name tmp_name, new_name;
	struct span        prefix; /* what stands before the content, if it is known already: the journal's record */
	uint64_t           size;   /* of the file, octets */
	int                fd;     /* written and not yet synced, or not yet named; or -1 */
	int                err;
	bool               nameless; /* fd is a file without a name, and in_tmp is not set */
	bool               in_tmp, in_new;
	uint64_t           counted; /* the maildirsize that it is counted in, 0: none */
};

/* A file in tmp/ that content was written to before the commit: messages over STORE_CHUNK. */
struct spool {
	int                fd; /* -1: none (any more) */
	int                err;
	bool               created; /* the folder could be used */
	bool               make;    /* ... and is made where it is missing */
	struct unique_name name;
	uint64_t           content; /* octets of content in it */
	size_t             nprefix;
	struct span        dir, folder; /* into text: the transaction may end before the spool does */
	char               prefix[TRACE_TARGET_MAX];
	char               text[MAILBOX_KEY_MAX];
};

struct store_msg {
	struct iojob    job; /* first: one at a time */
	struct maildir *md;
	struct txn     *txn;      /* NULL once aborted */
	struct span     received; /* behind the struct */
	void (*wake)(void *arg);
	void *wake_arg;
	bool  busy;       /* the pool owns it */
	bool  waiting;    /* wake() is due */
	bool  committing; /* asked for */
	bool  all;
	int   err; /* the first failure while content came */
	void (*done)(void *arg, const struct store_done *d);
	void             *done_arg;
	uint64_t          commit_us; /* monotonic, when it was asked for */
	struct store_done result;

	struct fold    fold;
	uint8_t       *fill; /* being filled; NULL while nothing came */
	size_t         nfill, fill_max;
	uint8_t       *out; /* a full chunk that is being written; at least STORE_CHUNK octets, where there is one */
	size_t         nout, out_max;
	bool           large; /* counted in nlarge */
	struct spool  *spool; /* NULL while all content is in fill */
	struct target *spool_target;

	/* The journal's: see journal.h. */
	uint8_t *record;
	size_t   nrecord;
	bool     journaled; /* it was made durable by the journal */
	bool     keeps;     /* counted among those that hold descriptors */
	unsigned failures;  /* of syncs, before it was written */

	/* read() under way: content is complete, and out is free to be read into. */
	void (*read_done)(void *arg, struct span s, int err);
	void    *read_arg;
	uint64_t read_at;
	size_t   read_n;
	int      read_err;
	bool     reading; /* wanted while the pool had it */

	struct spot *spot; /* commit: one a target */
	uint32_t     nspot;
	struct spot  one; /* the usual number */
};

/* In the pool: append msg.out to the spool, which is created first if need be; msg.spool->err says how it went. */
void maildir_append_run(struct iojob *j);

/* In the pool: make the message durable in every target; msg.result and spot.err say how it went. */
void maildir_commit_run(struct iojob *j);

/* The same for MAILDIR_BULK mailboxes and more, of a message without spool. */
void maildir_bulk_run(struct iojob *j);

/*
 * In the pool, for those who sync by another way: the two halves of maildir_commit_run() without
 * any sync, for a message without spool.  maildir_stage(): 0, 1 when a mailbox
 * is on another file system, or -1: it failed and is over.  With ${keep} two
 * descriptors a target stay open until maildir_place(), which concludes it; a file for one target then
 * stands nowhere until it is placed.
 * maildir_unstage(): take back what was staged; over with ${err}, or as new with 0.
 */
int  maildir_stage(struct store_msg *m, bool keep);
void maildir_place(struct store_msg *m);
void maildir_unstage(struct store_msg *m, int err);

/* store.h's read(), and its half in the pool: fill msg.out from the spool. */
void maildir_read(struct store_msg *m, uint64_t at, void (*done)(void *arg, struct span s, int err), void *arg);
void maildir_read_go(struct store_msg *m);
void maildir_read_run(struct iojob *j);

/* In the loop: hand a job over. */
void maildir_submit(struct store_msg *m, void (*run)(struct iojob *), void (*done)(struct iojob *));

/* In the loop: it was aborted while the pool had it; clean up. */
void maildir_aborted(struct store_msg *m);

/* In the pool: remove the spool. */
void maildir_discard_run(struct iojob *j);

/* Create a file in the tmp/ of ${box}, which is ${dir} and ${folder} entered; entered again when it is gone.  As files_create(). */
int maildir_create(
    struct maildir *md, struct span dir, struct span *folder, struct mailbox *box, struct unique_name *n, bool lazy);

/* Write to the spool; it is removed when that fails.  0, or -1 with errno. */
int maildir_spool_write(struct store_msg *m, struct span s);

/* Close and remove the spool, if there is one. */
void maildir_spool_remove(struct store_msg *m);
#endif
