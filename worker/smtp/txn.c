/*
 * txn: recipients and the mailboxes they reach.
 * Both are lists in the order of their first mention, because replies, logs
 * and files follow that order.  Ends with its arena, so it has no free.  PURE.
 */
#include "worker/smtp/txn.h"

#include <errno.h>

enum {
	TXN_FEW = 32,     /* targets from which on they are also found by hash */
	TXN_BUCKETS = 512 /* 4 KiB of pointers */
};

struct txn *
txn_new(struct arena *a)
{
	struct txn *t = arena_alloc(a, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->arena = a;
	t->rcpt_tail = &t->rcpts;
	t->target_tail = &t->targets;
	return t;
}

struct rcpt *
txn_rcpt_new(struct txn *t)
{
	return arena_alloc(t->arena, sizeof(struct rcpt));
}

void
txn_rcpt_accept(struct txn *t, struct rcpt *r)
{
	r->next = NULL;
	*t->rcpt_tail = r;
	t->rcpt_tail = &r->next;
	t->nrcpt++;
}

static struct target **
bucket_of(const struct txn *t, uint32_t hash)
{
	return &t->bucket[(hash ^ hash >> 16) % TXN_BUCKETS];
}

static struct target *
target_find(const struct txn *t, struct span key, uint32_t hash)
{
	struct target *tg = t->bucket != NULL ? *bucket_of(t, hash) : t->targets;

	while (tg != NULL && !(tg->hash == hash && span_eq(tg->key, key)))
		tg = t->bucket != NULL ? tg->chain : tg->next;
	return tg;
}

static void
bucket_put(const struct txn *t, struct target *tg)
{
	struct target **head = bucket_of(t, tg->hash);

	tg->chain = *head;
	*head = tg;
}

/* A big alias that is named again and again must not cost the loop a walk over all for each of its mailboxes. */
static void
bucket_start(struct txn *t)
{
	t->bucket = arena_alloc(t->arena, TXN_BUCKETS * sizeof(struct target *));
	if (t->bucket == NULL)
		return; /* slower, and right */
	for (struct target *tg = t->targets; tg != NULL; tg = tg->next)
		bucket_put(t, tg);
}

static struct target *
target_new(struct txn *t, struct span key, uint32_t hash, struct span dir, struct span folder)
{
	struct target *tg = arena_alloc(t->arena, sizeof(*tg));

	if (tg == NULL || arena_dup(t->arena, key, &tg->key) != 0 || arena_dup(t->arena, dir, &tg->dir) != 0 ||
	    arena_dup(t->arena, folder, &tg->folder) != 0)
		return NULL;
	tg->hash = hash;
	return tg;
}

static void
target_add(struct txn *t, struct target *tg)
{
	*t->target_tail = tg;
	t->target_tail = &tg->next;
	t->ntargets++;
	if (t->bucket != NULL)
		bucket_put(t, tg);
	else if (t->ntargets == TXN_FEW)
		bucket_start(t);
}

int
txn_deliver(struct txn *t, struct rcpt *r, struct span key, struct span dir, struct span folder,
    const struct quota_limit *quota)
{
	uint32_t hash = span_hash(key);
	struct target *tg = target_find(t, key, hash);
	struct rcpt_target *rt;

	if (tg != NULL && tg->last == r)
		return 0;
	if (tg == NULL && t->ntargets >= TXN_TARGETS_MAX) {
		errno = E2BIG;
		return -1;
	}
	rt = arena_alloc(t->arena, sizeof(*rt));
	if (rt == NULL)
		return -1;
	if (tg == NULL) {
		tg = target_new(t, key, hash, dir, folder);
		if (tg == NULL)
			return -1;
		if (quota != NULL)
			tg->quota = *quota;
		tg->rcpt = r;
		target_add(t, tg);
	}
	tg->nrcpt++;
	tg->last = r;
	rt->target = tg;
	rt->next = r->targets;
	r->targets = rt;
	r->ntargets++;
	return 0;
}

/* Take a target out of its bucket. */
static void
bucket_remove(const struct txn *t, const struct target *tg)
{
	struct target **at = bucket_of(t, tg->hash);

	while (*at != tg)
		at = &(*at)->chain;
	*at = tg->chain;
}

/* Targets that nobody reaches any more are taken out. */
static void
targets_sweep(struct txn *t)
{
	struct target **at = &t->targets;

	while (*at != NULL) {
		if ((*at)->nrcpt > 0) {
			at = &(*at)->next;
		} else {
			if (t->bucket != NULL)
				bucket_remove(t, *at);
			*at = (*at)->next;
			t->ntargets--;
		}
	}
	t->target_tail = at;
}

static bool
reaches(const struct rcpt *r, const struct target *tg)
{
	const struct rcpt_target *rt = r->targets;

	while (rt != NULL && rt->target != tg)
		rt = rt->next;
	return rt != NULL;
}

/* The one that named it first gets it no more: the next one that reaches it stands for it in the trace. */
static void
target_heir(const struct txn *t, struct target *tg)
{
	for (const struct rcpt *r = t->rcpts; r != NULL; r = r->next)
		if (reaches(r, tg)) {
			tg->rcpt = r;
			return;
		}
}

void
txn_undeliver(struct txn *t, struct rcpt *r)
{
	struct rcpt_target *gone = r->targets;

	r->targets = NULL;
	r->ntargets = 0;
	for (struct rcpt_target *rt = gone; rt != NULL; rt = rt->next) {
		rt->target->nrcpt--;
		rt->target->last = NULL;
		if (rt->target->rcpt == r && rt->target->nrcpt > 0)
			target_heir(t, rt->target);
	}
	targets_sweep(t);
}

void
txn_drop_target(struct txn *t, struct target *tg)
{
	for (struct rcpt *r = t->rcpts; r != NULL; r = r->next)
		for (struct rcpt_target **at = &r->targets; *at != NULL;)
			if ((*at)->target == tg) {
				*at = (*at)->next;
				r->ntargets--;
			} else {
				at = &(*at)->next;
			}
	tg->nrcpt = 0;
	targets_sweep(t);
}
