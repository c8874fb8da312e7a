/*
 * journal: group commit in front of the Maildir store.
 * Messages are staged in tmp/ without a sync, appended to a journal file that
 * one fdatasync makes durable for all of them, moved into new/, and only then
 * acknowledged.  A background thread syncs the file system and retires what
 * that covered.  docs/DURABILITY.md has every state.
 */
#ifndef WORKER_STORE_JOURNAL_H_
#define WORKER_STORE_JOURNAL_H_

#include <pthread.h>
#include <stdatomic.h>

#include "worker/store/maildir.h"

#define JOURNAL_FOLDER ".journal" /* in the store's path; a domain's folder never begins with a dot */

enum {
	JOURNAL_SEGMENTS    = 16,   /* files a worker, an equal part of the configured size each */
	JOURNAL_BLOCK       = 4096, /* a batch begins at a multiple: no acknowledged octet is written a second time */
	JOURNAL_CONTENT_MAX = STORE_CHUNK, /* octets; more content is being written to its file while it comes */
	JOURNAL_TARGETS_MAX = 16,          /* mailboxes of a message; more take the direct way */
	JOURNAL_BATCH       = 256,         /* messages of one fdatasync */
	JOURNAL_STAGE       = 16,          /* messages that a thread stages before it looks whether somebody leads */
	JOURNAL_KEEP        = 64,          /* messages that keep their folders open between stage and place */
	JOURNAL_SPARE       = 64 << 10,    /* octets at a segment's end for records that take others back */
	JOURNAL_SYNC_MS     = 1000,        /* how long acknowledged mail may stand unsynced in Maildirs */
	JOURNAL_SYNC_OCTETS = 32 << 20,    /* ...and how much of it, before the background sync begins */
	JOURNAL_RETRY_MS    = 5000,        /* between attempts at what failed */
	JOURNAL_ASIDE       = 100,         /* damaged segments of one name that are kept */
	JOURNAL_IDS         = 1024, /* owners looked for: slots, and spare names for those whose slot is still held */
	JOURNAL_HELD        = 8, /* dead owners whose journals are kept from others while something is left of them */
	JOURNAL_FDS         = 4 * JOURNAL_SEGMENTS + 3 + JOURNAL_HELD + 2 * JOURNAL_KEEP
};

enum { JOURNAL_MAGIC = 0x4c504a31, JOURNAL_MESSAGE = 1, JOURNAL_VOID = 2 };

/* Which life of which mount wrote it.  While that lives, all that was acknowledged stands in the page cache at least. */
struct journal_life {
	char     boot[40];
	uint64_t mount; /* never given twice in a boot; 0: unknown */
};

/* A segment's first octets.  Numbers are the machine's: a journal does not travel. */
struct journal_head {
	uint32_t            magic, crc; /* of what follows */
	uint64_t            size, use;  /* octets; counts up each time the segment is begun anew */
	uint64_t            retired;    /* records before it are durable in their Maildirs */
	struct journal_life life;
};

struct journal_record {
	uint32_t magic, crc; /* of the rest of this struct */
	uint64_t use, pos;   /* of its segment; where it stands in it */
	uint32_t len;        /* octets, this struct and content included */
	uint32_t body_crc;   /* of all behind this struct */
	uint32_t ncontent;
	uint16_t kind, ntargets;
	uint32_t last; /* of its batch: the next one begins at a block */
	uint32_t zero;
};

/* Before the content, one a target; then dir, folder, name (in new/) with its room, and what stands before the content. */
struct journal_target {
	uint16_t ndir, nfolder, nname, name_room;
	uint32_t nprefix;
	uint16_t skip; /* it has not got the message */
	uint16_t make; /* the folder is made where it is missing */
};

/* JOURNAL_VOID: behind the record's struct. */
struct journal_void {
	uint64_t pos;
	uint8_t  failed[JOURNAL_TARGETS_MAX];
};

enum journal_state {
	JOURNAL_NONE,     /* no file */
	JOURNAL_FREE,     /* nothing in it counts */
	JOURNAL_CURRENT,  /* is appended to */
	JOURNAL_FULL,     /* waits for the background sync */
	JOURNAL_CONDEMNED /* a write or sync of it failed, or what it holds could not be replayed yet: kept, not used */
};

/*
 * Guarded by the journal's mutex, but for what says another owner.  None is begun anew while a background sync may still
 * look at its last use: what is free is retired to its end.
 */
struct journal_seg {
	enum journal_state state;
	int                fd, mark; /* the leader's, the background's: each is told of errors by itself */
	uint64_t           use;
	/* Where the next batch goes.  While it is current the leader's alone, who moves it without the mutex: whoever else wants to know looks at placed. */
	uint64_t end;
	uint64_t placed, retired;
};

/* What a replay of a segment could not deliver. */
struct journal_left {
	struct journal_left *next;
	unsigned             id, no;
	uint64_t             use;
	bool                 tried; /* nothing is left of it but what stands in at[] */
	uint64_t            *at;    /* a target of a record each */
	size_t               n;
};

/* Our own; those whose owner is dead; of these, only those that a crash of the machine has left. */
enum journal_whose { JOURNAL_OWN, JOURNAL_DEAD, JOURNAL_CRASHED };

struct journal {
	struct maildir     *md;
	unsigned            id;
	_Atomic int         dir; /* JOURNAL_FOLDER, or -1; set once */
	int                 lock;
	uint64_t            size; /* octets of a segment; 0: none is to be used, what is there is delivered */
	struct journal_life life;

	pthread_mutex_t    mutex;
	pthread_cond_t     work, room;
	struct iojob      *queue, **queue_tail; /* staged messages, */
	unsigned           nqueue;              /* so many */
	bool               leading;             /* some thread of the pool is at it */
	bool               hungry;              /* it waits for room */
	bool               stop;
	bool               pending_start; /* the folder could not be used; this and the next: the background's */
	bool               pending_own, pending_others; /* something is still to be replayed */
	atomic_bool        ready;                       /* there was a segment to use */
	atomic_bool        broken;                      /* everything goes the direct way */
	bool               no_room;                     /* the disk is too full for another segment */
	struct journal_seg seg[JOURNAL_SEGMENTS], *cur;
	uint64_t           next_use, unsynced, since_ms, retry_ms;
	_Atomic unsigned   keeping;
	_Atomic unsigned   failures;    /* syncs of the mailboxes that failed */
	bool               must_repair; /* no sync proves anything of what is not retired: it is to be written anew */

	struct journal_left *left; /* this and held are the recovering thread's */
	struct {
		unsigned id;
		int      lock;
	} held
	    [JOURNAL_HELD]; /* dead owners' journals of which something is left: nobody else is to deliver it all again */
	unsigned nheld;

	pthread_mutex_t  syncing; /* one background sync at a time */
	pthread_t        thread;
	_Atomic uint64_t batches, replayed; /* for the loop to count */
	uint64_t         counted_batches, counted_replayed;
};

/* --- journal.c, in the loop --- */
bool journal_takes(
    struct store_msg *m); /* whether this complete message shall go through it; its record is then begun */
void journal_count(const struct store_msg *m);

/* --- journal_group.c, in the pool --- */
void journal_stage_run(struct iojob *j);

/* --- journal_record.c --- */
int  journal_record_begin(struct store_msg *m);    /* what is known before it is staged.  0, or -1 with errno */
void journal_record_complete(struct store_msg *m); /* names and checksum */
void journal_record_seal(struct journal_record *r, uint64_t use, uint64_t pos, bool last);

/* The record at ${pos} of a segment in memory, whole and right; or NULL. */
const struct journal_record *journal_record_at(const uint8_t *seg, const struct journal_head *h, uint64_t pos);
uint64_t                     journal_record_next(const struct journal_record *r);

/* --- journal_seg.c --- */
void journal_seg_name(unsigned id, unsigned no, char out[static 32]);
int  journal_seg_create(struct journal *j, unsigned no); /* written once and synced.  0, or -1 with errno */
int  journal_seg_open(struct journal *j, unsigned id, unsigned no, struct journal_seg *s, struct journal_head *h);
int  journal_seg_aside(const struct journal *j, unsigned id,
     unsigned no); /* its head is damaged: keep it for a human.  0, or -1 with errno */
void journal_seg_close(struct journal_seg *s);
int  journal_seg_begin(struct journal *j, struct journal_seg *s);                      /* a new use */
int  journal_seg_retire(const struct journal *j, struct journal_seg *s, uint64_t pos); /* durably */

/* --- journal_start.c --- */
void journal_start(struct journal *j); /* or try to: what failed is pending then */

/* --- journal_sync.c --- */
bool     journal_drained(const struct journal *j); /* there is none to be used, and nothing left of others */
void    *journal_sync_main(void *arg);
int      journal_sync_pass(struct journal *j); /* make durable what was placed, retire it.  0, or -1 with errno */
uint64_t journal_now_ms(void);

/* --- journal_doubt.c --- */
/* Sync the mailboxes' file system, with j->syncing held.  0, or -1 with errno: then must_repair is set, and all journals are marked. */
int  journal_sync_all(struct journal *j);
void journal_doubt(struct journal *j);                        /* mark all: some sync has failed */
bool journal_doubted(const struct journal *j, unsigned id);   /* it is marked */
void journal_doubt_end(const struct journal *j, unsigned id); /* it was written anew */

/* --- journal_replay.c, journal_left.c, journal_recover.c --- */
/*
 * Deliver what segment ${s} holds and Maildirs lack; with ${rewrite} write anew and sync what they have.  What fails
 * holds up nothing else.  With ${left} (or NULL) that alone is tried which it says is left, and then it says what is.
 * 0, or -1 with the first errno.
 */
int journal_replay(struct journal *j, const struct journal_seg *s, const struct journal_head *h, bool rewrite,
    struct journal_left *left);

struct journal_left *journal_left_of(struct journal *j, unsigned id, unsigned no, uint64_t use); /* or NULL */
void                 journal_left_drop(struct journal *j, unsigned id, unsigned no);
bool                 journal_left_has(const struct journal_left *l, uint64_t pos, unsigned target);
int                  journal_left_add(struct journal_left *l, uint64_t pos, unsigned target); /* 0, or -1 with errno */
void                 journal_left_free(struct journal *j);
int                  journal_held(struct journal *j, unsigned id); /* the lock, or -1 */
void                 journal_hold(struct journal *j, unsigned id, int lock, bool keep);

/* Call ${fn} for each journal that has an owner, dead or not.  0, or -1 if one call said so. */
int journal_each(struct journal *j, int (*fn)(struct journal *j, unsigned id, bool arg), bool arg);

/* The lock that an owner holds.  -1 with errno EWOULDBLOCK: its owner lives. */
int journal_lock(const struct journal *j, unsigned id, bool create);

/* Take up our own journal, and those whose owners are dead.  0; -1: something is left to be tried again. */
int journal_recover(struct journal *j, enum journal_whose whose);
#endif
