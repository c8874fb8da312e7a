/*
 * local: the directory says where, the Maildir store does it.
 */
#include "reports/local.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/mdb.h"
#include "common/resolve.h"
#include "common/xtext.h"
#include "reports/compose.h"
#include "worker/store/store.h"

enum { THREADS = 1, QUEUE = 4, ARENA_FIRST = 4096, ARENA_MAX = TXN_ARENA_MAX, WHY_MAX = 128, RECEIVED_MAX = 512 };

struct local {
	const struct conf *conf;
	local_told *told;
	void *told_arg;
	struct iopool *pool;
	struct store_env env;
	void *store;
	struct mdb *mdb;
	struct resolve_conf resolve;
	struct arena arena; /* of the one under way, or of a look-up */
	bool busy;
	char why[WHY_MAX];
	/* the message on its way into the store */
	struct store_msg *sm;
	char *text;
	struct span left;
};

struct local *
local_new(const struct conf *cf, local_told *told, void *arg)
{
	struct local *l = calloc(1, sizeof(*l));

	if (l == NULL || (l->pool = iopool_start(THREADS, QUEUE)) == NULL) {
		log_msg(LOG_L_ERROR, "start", "cannot start threads: %s", strerror(errno));
		free(l);
		return NULL;
	}
	l->conf = cf;
	l->told = told;
	l->told_arg = arg;
	l->env = (struct store_env){ .conf = &cf->store,
		.hostname = cf->hostname,
		.pool = l->pool,
		.slot = STATS_SLOT_REPORTS,
		.size_max = UINT64_MAX,
		.quota = cf->quota.enforce };
	l->resolve = (struct resolve_conf){ cf->recipient_delimiters, cf->postmaster, cf->hostname };
	arena_init(&l->arena, ARENA_FIRST, ARENA_MAX);
	if (store_maildir.open(&l->env, &l->store) != 0) {
		iopool_stop(l->pool);
		free(l);
		return NULL;
	}
	/* If there is no snapshot now, there may be one when it is needed. */
	(void)mdb_open(cf->directory, MDB_FILE, &l->mdb);
	return l;
}

bool
local_busy(const struct local *l)
{
	return l->busy;
}

int
local_fd(const struct local *l)
{
	return iopool_fd(l->pool);
}

void
local_turn(struct local *l)
{
	(void)iopool_reap(l->pool);
}

/* --- storing --- */

static void
over(struct local *l, int err)
{
	free(l->text);
	l->text = NULL;
	arena_reset(&l->arena);
	l->busy = false;
	l->told(l->told_arg, err);
}

static void
committed(void *arg, const struct store_done *d)
{
	over(arg, d->err);
}

/* Give the store what it takes, and commit when it has all. */
static void
push(void *arg)
{
	struct local *l = arg;
	size_t taken;

	while (l->left.n > 0) {
		int r = store_maildir.write(l->sm, l->left, &taken);

		l->left = span_skip(l->left, taken);
		if (r == 0)
			continue;
		if (errno != EAGAIN) {
			int err = errno;

			store_maildir.abort(l->sm);
			over(l, err);
		}
		return;
	}
	store_maildir.commit(l->sm, true, committed, l);
}

/* A transaction from <> that reaches ${boxes}. */
static struct txn *
make_txn(struct local *l, const struct report *r, const struct addr *to, const struct resolve_box *boxes)
{
	struct txn *t = txn_new(&l->arena);
	struct rcpt *rc = t != NULL ? txn_rcpt_new(t) : NULL;

	if (rc == NULL)
		return NULL;
	t->from.is_null = true;
	t->smtputf8 = compose_is_utf8(r);
	snprintf(t->id, sizeof(t->id), "%.*s", (int)(r->id.n < TXN_ID_MAX - 1 ? r->id.n : TXN_ID_MAX - 1),
	    (const char *)r->id.p);
	rc->addr = *to;
	for (const struct resolve_box *b = boxes; b != NULL; b = b->next) {
		char folder[256];
		ssize_t n = b->extension.n > 0 ? path_encode(b->extension, folder, sizeof(folder)) : 0;

		if (txn_deliver(t, rc, b->key, b->dir, span_of(folder, n > 0 ? (size_t)n : 0), &b->quota) != 0)
			return NULL;
	}
	txn_rcpt_accept(t, rc);
	return t;
}

static enum local_answer
store(struct local *l, const struct report *r, const struct addr *to, const struct resolve_box *boxes)
{
	struct txn *t = make_txn(l, r, to, boxes);
	char received[RECEIVED_MAX];
	time_t now = time(NULL);
	struct tm tm;
	size_t n = 0, k;

	localtime_r(&now, &tm);
	l->text = t != NULL ? compose(r, l->conf->hostname, now, (int32_t)tm.tm_gmtoff, &n) : NULL;
	k = compose_received(r, l->conf->hostname, now, (int32_t)tm.tm_gmtoff, received, sizeof(received));
	if (l->text == NULL || store_maildir.begin(l->store, t, span_of(received, k), push, l, &l->sm) != 0) {
		snprintf(l->why, sizeof(l->why), "it cannot be stored now: %s", strerror(errno));
		free(l->text);
		l->text = NULL;
		return LOCAL_LATER;
	}
	l->busy = true;
	l->left = span_of(l->text, n);
	return LOCAL_OURS;
}

/* --- where --- */

static enum local_answer
refused(struct local *l, const struct reply *r)
{
	snprintf(l->why, sizeof(l->why), "%.*s", r->n, r->text);
	if (strcmp(r->reason, "not-our-domain") == 0)
		return LOCAL_FOREIGN;
	return r->code >= 500 ? LOCAL_NEVER : LOCAL_LATER;
}

static void
refresh(struct local *l)
{
	if (l->mdb == NULL)
		(void)mdb_open(l->conf->directory, MDB_FILE, &l->mdb);
	else
		(void)mdb_refresh(l->mdb);
}

enum local_answer
local_put(struct local *l, const struct report *r, const char **why)
{
	enum local_answer answer = LOCAL_NEVER;
	struct resolve_box *boxes = NULL;
	struct reply reply;
	struct addr to;

	*why = l->why;
	refresh(l);
	if (addr_parse_bare(r->from, ADDR_UTF8, &l->arena, &to) != 0) {
		snprintf(l->why, sizeof(l->why), "the sender's address is none");
	} else {
		switch (resolve(l->mdb, &l->resolve, &to, &l->arena, &boxes, &reply, NULL, NULL)) {
		case RESOLVE_OK:
			answer = store(l, r, &to, boxes);
			break;
		case RESOLVE_REPLY:
			answer = refused(l, &reply);
			break;
		}
	}
	if (answer != LOCAL_OURS)
		arena_reset(&l->arena);
	else
		push(l);
	return answer;
}
