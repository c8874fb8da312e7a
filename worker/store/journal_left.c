/*
 * journal_left: what a replay could not deliver, so that the next attempt
 * touches nothing else: what was delivered may have been read and removed by
 * then.  In memory alone: a worker that starts anew goes by names again.
 */
#include <stdlib.h>
#include <unistd.h>

#include "worker/store/journal.h"

struct journal_left *
journal_left_of(struct journal *j, unsigned id, unsigned no, uint64_t use)
{
	struct journal_left *l = j->left;

	while (l != NULL && (l->id != id || l->no != no || l->use != use))
		l = l->next;
	if (l != NULL || (l = calloc(1, sizeof(*l))) == NULL)
		return l;
	l->id = id;
	l->no = no;
	l->use = use;
	l->next = j->left;
	j->left = l;
	return l;
}

void
journal_left_drop(struct journal *j, unsigned id, unsigned no)
{
	struct journal_left **p = &j->left, *l;

	while ((l = *p) != NULL)
		if (l->id == id && l->no == no) {
			*p = l->next;
			free(l->at);
			free(l);
		} else {
			p = &l->next;
		}
}

/* A record and the number of its target, of which there are 65,536 at the most. */
static uint64_t
key(uint64_t pos, unsigned target)
{
	return pos << 16 | target;
}

static int
by_key(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

bool
journal_left_has(const struct journal_left *l, uint64_t pos, unsigned target)
{
	uint64_t k = key(pos, target);

	if (l == NULL || !l->tried)
		return true;
	return l->n > 0 && bsearch(&k, l->at, l->n, sizeof(k), by_key) != NULL;
}

/* In their order in the segment. */
int
journal_left_add(struct journal_left *l, uint64_t pos, unsigned target)
{
	uint64_t *at;

	if (l->n % 64 == 0) {
		if ((at = realloc(l->at, (l->n + 64) * sizeof(*at))) == NULL)
			return -1;
		l->at = at;
	}
	l->at[l->n++] = key(pos, target);
	return 0;
}

/* --- locks of those that are not done with --- */

int
journal_held(struct journal *j, unsigned id)
{
	for (unsigned i = 0; i < j->nheld; i++)
		if (j->held[i].id == id)
			return j->held[i].lock;
	return -1;
}

/* Keep ${lock}, or close it: where too many are kept, too. */
void
journal_hold(struct journal *j, unsigned id, int lock, bool keep)
{
	unsigned i = 0;

	while (i < j->nheld && j->held[i].id != id)
		i++;
	if (keep && i == j->nheld && i < JOURNAL_HELD) {
		j->held[j->nheld].id = id;
		j->held[j->nheld++].lock = lock;
	} else if (!keep || i == j->nheld) {
		close(lock);
		if (i < j->nheld)
			j->held[i] = j->held[--j->nheld];
	}
}

void
journal_left_free(struct journal *j)
{
	while (j->left != NULL)
		journal_left_drop(j, j->left->id, j->left->no);
	while (j->nheld > 0)
		journal_hold(j, j->held[0].id, j->held[0].lock, false);
}
