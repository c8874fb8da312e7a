/*
 * merge: from the sorter to the snapshot.
 * All that concerns one key comes together here, in the order of enum
 * load_what: the entry, then who counts on it.  Doubles and targets outside
 * our domains are mistakes; targets that may lead nowhere are remembered.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "common/entry.h"
#include "tools/mailboxes/load.h"

enum { SHOW_EVERY = 1 << 14 };

/* The key that is being gathered. */
struct group {
	char key[NORM_KEY_MAX];
	size_t keylen;
	bool entry, ours, needed, target; /* what came so far */
	uint8_t kind;                     /* of the entry */
	uint64_t line;                    /* of the entry */
};

struct merger {
	struct load *l;
	struct build *b;
	struct group g;
	uint64_t items;
};

#define K(g) (int)(g).keylen, (g).key

static int
suspect(struct load *l, const struct group *g, uint64_t line)
{
	if (l->nsuspect == LOAD_SUSPECTS_MAX)
		return 0;
	if (l->suspect == NULL)
		l->suspect = calloc(LOAD_SUSPECTS_MAX, sizeof(*l->suspect));
	if (l->suspect != NULL)
		l->suspect[l->nsuspect].key = strndup(g->key, g->keylen);
	if (l->suspect == NULL || l->suspect[l->nsuspect].key == NULL) {
		warn("cannot check the list");
		return EX_OSERR;
	}
	l->suspect[l->nsuspect++].line = line;
	return 0;
}

static int
put(struct merger *x, struct span rec)
{
	if (x->g.key[0] == '@')
		x->l->domains++;
	return x->b == NULL ? 0 : build_append(x->b, span_of(x->g.key, x->g.keylen), rec);
}

static int
on_entry(struct merger *x, const struct sort_item *it)
{
	struct group *g = &x->g;

	if (g->entry) {
		load_note(&x->l->mistakes, it->line, "'%.*s' stands in line %llu already; take one of them out", K(*g),
		    (unsigned long long)g->line);
		return 0;
	}
	g->entry = true;
	g->kind = it->rec.p[0];
	g->line = it->line;
	return put(x, it->rec);
}

static int
on_ours(struct merger *x)
{
	static const uint8_t rec[1] = { ENTRY_DOMAIN };
	bool there = x->g.entry || x->g.ours;

	x->g.ours = true;
	return there ? 0 : put(x, span_of(rec, sizeof(rec)));
}

static int
on_needed(struct merger *x, const struct sort_item *it)
{
	struct group *g = &x->g;
	bool again = g->needed;

	g->needed = true;
	/* After a bad line the domain may be missing for that reason alone. */
	if (!g->entry && !g->ours && x->b != NULL && !again)
		load_note(&x->l->mistakes, it->line,
		    "the target lies in '%.*s', which is no domain of this list, and nothing is relayed elsewhere",
		    (int)g->keylen - 1, g->key + 1);
	return g->entry && g->kind == ENTRY_DOMAIN_ALIAS && !again ? suspect(x->l, g, it->line) : 0;
}

static int
on_target(struct merger *x, const struct sort_item *it)
{
	bool again = x->g.target;

	x->g.target = true;
	if (again || (x->g.entry && x->g.kind != ENTRY_ALIAS))
		return 0;
	return suspect(x->l, &x->g, it->line);
}

static int
on_item(struct merger *x, const struct sort_item *it)
{
	if (!span_eq(span_of(x->g.key, x->g.keylen), it->key)) {
		x->g.entry = x->g.ours = x->g.needed = x->g.target = false;
		x->g.keylen = it->key.n;
		memcpy(x->g.key, it->key.p, it->key.n);
	}
	switch ((enum load_what)it->what) {
	case LOAD_ENTRY:
		return on_entry(x, it);
	case LOAD_OURS:
		return on_ours(x);
	case LOAD_NEEDED:
		return on_needed(x, it);
	case LOAD_TARGET:
		return on_target(x, it);
	}
	abort();
}

int
load_merge(struct load *l, struct build *b)
{
	struct merger x = { .l = l, .b = b };
	uint64_t total = sort_count(l->sort);
	struct sort_item it;
	int rc = 0, got = 1;

	progress_begin(&l->progress, "writing");
	while (rc == 0 && (got = sort_next(l->sort, &it)) > 0) {
		rc = on_item(&x, &it);
		if (++x.items % SHOW_EVERY == 0)
			progress_show(&l->progress, x.items, total, x.items);
	}
	progress_end(&l->progress);
	if (got < 0) {
		warn("cannot read back what was sorted");
		return EX_IOERR;
	}
	return rc;
}
