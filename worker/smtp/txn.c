/*
 * txn: recipients and the mailboxes they reach.
 * Both are lists in the order of their first mention, because replies, logs
 * and files follow that order.  Ends with its arena, so it has no free.  PURE.
 */
#include "worker/smtp/txn.h"

#include <errno.h>

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

/* FNV-1a.  Keys are mailboxes of our own directory, so nobody outside can make them collide. */
static uint32_t
key_hash(struct span key)
{
	uint32_t h = 2166136261U;

	for (size_t i = 0; i < key.n; i++)
		h = (h ^ key.p[i]) * 16777619U;
	return h;
}

static struct target *
target_find(const struct txn *t, struct span key, uint32_t hash)
{
	struct target *tg;

	for (tg = t->targets; tg != NULL; tg = tg->next)
		if (tg->hash == hash && span_eq(tg->key, key))
			break;
	return tg;
}

static bool
rcpt_reaches(const struct rcpt *r, const struct target *tg)
{
	for (const struct rcpt_target *rt = r->targets; rt != NULL; rt = rt->next)
		if (rt->target == tg)
			return true;
	return false;
}

int
txn_deliver(struct txn *t, struct rcpt *r, struct span key, struct span dir, struct span folder, uint64_t quota)
{
	uint32_t hash = key_hash(key);
	struct target *tg = target_find(t, key, hash);
	struct rcpt_target *rt;

	if (tg != NULL && rcpt_reaches(r, tg))
		return 0;
	if (tg == NULL && t->ntargets >= TXN_TARGETS_MAX) {
		errno = E2BIG;
		return -1;
	}
	rt = arena_alloc(t->arena, sizeof(*rt));
	if (rt == NULL)
		return -1;
	if (tg == NULL) {
		tg = arena_alloc(t->arena, sizeof(*tg));
		if (tg == NULL || arena_dup(t->arena, key, &tg->key) != 0 || arena_dup(t->arena, dir, &tg->dir) != 0 ||
		    arena_dup(t->arena, folder, &tg->folder) != 0)
			return -1;
		tg->quota = quota;
		tg->hash = hash;
		tg->rcpt = r;
		*t->target_tail = tg;
		t->target_tail = &tg->next;
		t->ntargets++;
	}
	tg->nrcpt++;
	rt->target = tg;
	rt->next = r->targets;
	r->targets = rt;
	r->ntargets++;
	return 0;
}

void
txn_undeliver(struct txn *t, struct rcpt *r)
{
	struct target **at = &t->targets;

	for (struct rcpt_target *rt = r->targets; rt != NULL; rt = rt->next)
		rt->target->nrcpt--;
	r->targets = NULL;
	r->ntargets = 0;
	while (*at != NULL) {
		if ((*at)->nrcpt > 0) {
			at = &(*at)->next;
		} else {
			*at = (*at)->next;
			t->ntargets--;
		}
	}
	t->target_tail = at;
}
