/*
 * diff: what one snapshot has that another has not, as lines of a list.
 * Both are walked side by side in key order, so memory does not grow.
 */
#include <errno.h>
#include <stdio.h>

#include "common/entry.h"
#include "tools/mailboxes/tool.h"

struct side {
	struct mdb *m;
	struct span key, rec;
	bool begun, left; /* left: key and rec are the next entry */
};

struct totals {
	unsigned long long added, removed, changed;
};

/* The next entry of the list, past the domains that the loader made. */
static int
advance(struct side *s)
{
	int rc;

	do {
		rc = s->m == NULL ? 0 : mdb_walk(s->m, !s->begun, &s->key, &s->rec);
		s->begun = true;
	} while (rc > 0 && s->rec.n > 0 && s->rec.p[0] == ENTRY_DOMAIN);
	s->left = rc > 0;
	return rc < 0 ? -1 : 0;
}

static int
compare(const struct side *a, const struct side *b)
{
	size_t n = a->key.n < b->key.n ? a->key.n : b->key.n;
	int c;

	if (!a->left || !b->left)
		return a->left ? -1 : 1;
	c = memcmp(a->key.p, b->key.p, n);
	return c != 0 ? c : (a->key.n > b->key.n) - (a->key.n < b->key.n);
}

static int
step(struct side *a, struct side *b, struct totals *t)
{
	int c = compare(a, b);
	bool differ = c != 0 || !span_eq(a->rec, b->rec);

	if (c < 0)
		t->removed++;
	else if (c > 0)
		t->added++;
	else if (differ)
		t->changed++;
	if (c <= 0 && differ && tool_print("- ", a->key, a->rec) != 0)
		return -1;
	if (c >= 0 && differ && tool_print("+ ", b->key, b->rec) != 0)
		return -1;
	if (c <= 0 && advance(a) != 0)
		return -1;
	return c >= 0 ? advance(b) : 0;
}

int
tool_diff(const struct tool *t, struct mdb *from, struct mdb *to)
{
	struct side a = { .m = from }, b = { .m = to };
	struct totals n = { 0 };
	int rc;

	if (advance(&a) != 0)
		return tool_fail(t, "read", MDB_FILE);
	rc = advance(&b);
	while (rc == 0 && (a.left || b.left))
		rc = step(&a, &b, &n);
	if (rc != 0)
		return tool_fail(t, "read", MDB_FILE);
	printf("%llu added, %llu removed, %llu changed\n", n.added, n.removed, n.changed);
	return 0;
}
