/*
 * spool: the records that wait, and when each is to be tried.
 * The folder is the truth; this is a list of its names.  What a restart
 * forgets is the back-off alone, and what was delivered and could neither be
 * removed nor marked: so none is begun while the folder cannot be changed.
 */
#ifndef REPORTS_SPOOL_H_
#define REPORTS_SPOOL_H_

#include <bsd/sys/queue.h>
#include <stdint.h>

#include "common/report.h"

enum {
	SPOOL_RETRY_FIRST_MS = 1000, /* after the first 4xx; doubled each time */
	SPOOL_RETRY_MAX_MS   = 30 * 60000,
	SPOOL_BUCKETS        = 4096,
	SPOOL_STALE_S        = 3600 /* seconds after which a file in tmp/ was left by a crash */
};

enum spool_way { SPOOL_UNKNOWN, SPOOL_RELAY };

struct spool_entry {
	TAILQ_ENTRY(spool_entry) entry;
	struct spool_entry *next; /* in its bucket */
	char                name[REPORT_NAME_MAX];
	enum spool_way      way;
	bool                busy, seen;
	bool                done; /* it could not be removed yet: never tried again */
	unsigned            tries;
	int64_t             due_ms; /* monotonic */
};
TAILQ_HEAD(spool_list, spool_entry);

struct spool {
	int                 base, new, tmp; /* folders; base is locked by whoever sends */
	struct spool_list   list;
	unsigned            n, ndone;
	struct spool_entry *bucket[SPOOL_BUCKETS]; /* by name */
};

/* Open the spool in ${store}, a path; it is made if it is not there.  0, or -1 with errno. */
int spool_open(struct spool *sp, const char *store);

/* Whether this process is the one that sends: 1, 0 while another one is, -1 with errno. */
int spool_lock(struct spool *sp);

/* Bring the list up to date.  0, or -1 with errno: what was known stays known. */
int spool_scan(struct spool *sp);

/* Remove what crashes have left in tmp/; ${now} in unix seconds. */
void spool_sweep(struct spool *sp, int64_t now);

/* The first that is due at ${now_ms}, free, and goes that way; NULL. */
struct spool_entry *spool_next(struct spool *sp, enum spool_way way, int64_t now_ms);

/* When spool_next() will have one, INT64_MAX for never. */
int64_t spool_due_ms(const struct spool *sp);

/* Whether a record could be removed now.  0, or -1 with errno. */
int spool_changeable(const struct spool *sp);

/* Read its record: ${*text} is the caller's, free().  0; -1 with errno (*text is NULL then); EBADMSG: it is none; ENODATA: it is done. */
int spool_read(struct spool *sp, const struct spool_entry *e, uint8_t **text, struct report *r);

/* Seconds since it was written, by its name. */
int64_t spool_age_s(const struct spool_entry *e, int64_t now);

/* It is done with: remove it, durably before long.  One that cannot be removed is marked, here and in its file, and left to spool_clear(). */
void spool_done(struct spool *sp, struct spool_entry *e);

/* Try once more to remove those that are done. */
void spool_clear(struct spool *sp);

/* It is no record: put it aside, in bad/, later if that fails.  0, or -1 after a logged line. */
int spool_bad(struct spool *sp, struct spool_entry *e, int64_t now_ms);

/* Try it again as soon as it can be: it was not its fault.  Those behind it come first. */
void spool_again(struct spool *sp, struct spool_entry *e);

/* Try it again later. */
void spool_later(struct spool *sp, struct spool_entry *e, int64_t now_ms);
#endif
