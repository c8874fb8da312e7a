/*
 * recipients: RCPT to mailboxes, by the snapshot that is open now.
 */
#include "worker/handlers/recipients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/mdb.h"
#include "common/norm.h"
#include "common/resolve.h"
#include "common/xtext.h"

enum { WATCH_US = 100 }; /* how long a file that was asked is believed */

struct recipients {
	const struct conf *conf;
	struct stats_slot *stats;
	struct mdb *mdb;      /* NULL: none could be opened yet */
	enum mdb_state state; /* told already, as last_error */
	struct arena arena;   /* for one look-up */
	struct resolve_conf resolve;
	int last_error;
	uint64_t watched_us; /* when the file was last asked whether it is as it was */
};

static uint64_t
recipients_clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void
recipients_watch(struct recipients *rs, uint64_t now_us)
{
	if (now_us - rs->watched_us < WATCH_US)
		return;
	rs->watched_us = now_us;
	mdb_watch(rs->mdb);
}

/* What the counters tell of the directory, as it is now. */
static void
recipients_measure(struct recipients *rs)
{
	struct mdb_info info = { 0 };

	if (rs->mdb != NULL)
		mdb_info(rs->mdb, &info);
	rs->state = mdb_state(rs->mdb);
	stats_gauge(rs->stats, STATS_DIRECTORY_MADE, (uint64_t)info.made);
	stats_gauge(rs->stats, STATS_DIRECTORY_ENTRIES, info.entries);
	stats_gauge(rs->stats, STATS_DIRECTORY_NEWEST, rs->state == MDB_STATE_NEWEST);
}

/* Say a failure once, not each time it is looked for. */
static void
recipients_complain(struct recipients *rs, int error)
{
	if (error == rs->last_error && mdb_state(rs->mdb) == rs->state)
		return;
	recipients_measure(rs);
	rs->last_error = error;
	log_msg(LOG_L_ERROR, "directory",
	    "%s/%s cannot be used: %s; %s; load it with letterplate-mailboxes -d %s load FILE", rs->conf->directory,
	    MDB_FILE, error == EBADMSG ? "it is damaged or not ours" : strerror(error),
	    rs->state == MDB_STATE_OLDER ? "the one before serves on, and who is not in it gets 451 4.3.0"
					 : "every recipient gets 451 4.3.0",
	    rs->conf->directory);
}

static void
recipients_took_up(struct recipients *rs, const char *how)
{
	struct mdb_info info;

	recipients_measure(rs);
	rs->last_error = 0;
	mdb_info(rs->mdb, &info);
	log_msg(LOG_L_INFO, "directory", "%s/%s %s: %ju entries", rs->conf->directory, MDB_FILE, how,
	    (uintmax_t)info.entries);
}

void
recipients_refresh(struct recipients *rs)
{
	int rc = rs->mdb != NULL                                     ? mdb_refresh(rs->mdb)
	    : mdb_open(rs->conf->directory, MDB_FILE, &rs->mdb) == 0 ? 1
								     : -1;

	if (rc < 0)
		recipients_complain(rs, errno);
	else if (rc > 0)
		recipients_took_up(rs, "taken up");
	else if (rs->state != MDB_STATE_NEWEST)
		recipients_took_up(rs, "can be read again");
}

struct recipients *
recipients_new(const struct conf *cf, struct stats_slot *stats)
{
	struct recipients *rs = calloc(1, sizeof(*rs));

	if (rs == NULL)
		return NULL;
	rs->conf = cf;
	rs->stats = stats;
	rs->resolve = (struct resolve_conf){ cf->recipient_delimiters, cf->postmaster, cf->hostname };
	arena_init(&rs->arena, RECIPIENTS_ARENA_FIRST, RECIPIENTS_ARENA_MAX);
	recipients_refresh(rs);
	return rs;
}

int
recipients_domain(struct recipients *rs, struct span domain)
{
	char key[NORM_KEY_MAX] = "@";
	struct span val;
	ssize_t n = norm_domain(domain, key + 1, sizeof(key) - 1);

	if (n < 0)
		return errno == ENOMEM ? -1 : 0;
	recipients_watch(rs, recipients_clock_us());
	if (mdb_state(rs->mdb) == MDB_STATE_NONE) {
		errno = ENOENT;
		return -1;
	}
	return mdb_find(rs->mdb, span_of(key, (size_t)n + 1), &val);
}

static int
recipients_deliver(struct txn *t, struct rcpt *rc, const struct resolve_box *b)
{
	char folder[256];
	ssize_t n = 0;

	/* An extension that is no file name is none: the mailbox itself takes the mail. */
	if (b->extension.n > 0 && (n = path_encode(b->extension, folder, sizeof(folder))) < 0)
		n = 0;
	return txn_deliver(t, rc, b->key, b->dir, span_of(folder, (size_t)n), &b->quota);
}

static enum verdict
recipients_on_rcpt_to(void *ctx, const struct question *q, struct reply *r)
{
	struct recipients *rs = ctx;
	struct resolve_box *boxes = NULL;
	uint64_t t0 = recipients_clock_us();
	enum verdict v = V_NEXT;

	recipients_watch(rs, t0);
	switch (resolve(rs->mdb, &rs->resolve, &q->rcpt->addr, &rs->arena, &boxes, r, NULL, NULL)) {
	case RESOLVE_OK:
		for (const struct resolve_box *b = boxes; b != NULL && v == V_NEXT; b = b->next)
			if (recipients_deliver(q->txn, q->rcpt, b) != 0) {
				reply_set(r, 452, ENH(4, 5, 3), "too-many-mailboxes",
				    "this mail reaches too many mailboxes, send it to fewer recipients");
				v = V_REPLY;
			}
		break;
	case RESOLVE_REPLY:
		if (r->code == 451)
			stats_add(rs->stats, STATS_LOOKUP_ERRORS, 1);
		v = V_REPLY;
		break;
	}
	arena_reset(&rs->arena);
	stats_observe(rs->stats, STATS_H_LOOKUP, recipients_clock_us() - t0);
	return v;
}

static void
recipients_close(void *ctx)
{
	struct recipients *rs = ctx;

	mdb_close(rs->mdb);
	arena_reset(&rs->arena);
	free(rs);
}

const struct handler_ops recipients_ops = {
	.abi = HANDLER_ABI,
	.name = "recipients",
	.resolves = true,
	.on_rcpt_to = recipients_on_rcpt_to,
	.close = recipients_close,
};
