/*
 * prefix: networks are nested or apart, never overlap otherwise; so they cut
 * the addresses into runs, each with one answer, and only the runs are kept.
 */
#include "common/prefix.h"

#include <errno.h>
#include <stdlib.h>

typedef unsigned __int128 prefix_addr;

struct prefix_run {
	prefix_addr from; /* to the next one's */
	uint8_t value;
};

struct prefix_table {
	size_t n;
	struct prefix_run run[]; /* the first one from address 0 */
};

/* A network as the run from ${first} to ${last}. */
struct prefix_net {
	prefix_addr first, last;
	size_t order;
	uint8_t value;
};

static prefix_addr
prefix_number(const uint8_t addr[16])
{
	prefix_addr a = 0;

	for (int i = 0; i < 16; i++)
		a = a << 8 | addr[i];
	return a;
}

/* By beginning, the larger network first, and of the same ones the earlier. */
static int
prefix_order(const void *a, const void *b)
{
	const struct prefix_net *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	if (x->last != y->last)
		return x->last > y->last ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

/* From here on it is ${value}. */
static void
prefix_put(struct prefix_table *t, prefix_addr from, uint8_t value)
{
	if (t->n > 0 && t->run[t->n - 1].from == from)
		t->n--;
	if (t->n > 0 && t->run[t->n - 1].value == value)
		return;
	t->run[t->n++] = (struct prefix_run){ from, value };
}

/* The innermost network ends: behind it, the one around it goes on. */
static size_t
prefix_pop(struct prefix_table *t, struct prefix_net *const *open, size_t depth)
{
	prefix_addr behind = open[depth - 1]->last + 1;

	if (behind != 0)
		prefix_put(t, behind, depth > 1 ? open[depth - 2]->value : 0);
	return depth - 1;
}

static void
prefix_sweep(struct prefix_table *t, struct prefix_net *net, size_t n)
{
	struct prefix_net *open[130]; /* one of each length at the most */
	size_t depth = 0;

	prefix_put(t, 0, 0);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && net[i].first == net[i - 1].first && net[i].last == net[i - 1].last) {
			net[i].value = net[i - 1].value;
			continue;
		}
		while (depth > 0 && open[depth - 1]->last < net[i].first)
			depth = prefix_pop(t, open, depth);
		open[depth++] = &net[i];
		prefix_put(t, net[i].first, net[i].value);
	}
	while (depth > 0)
		depth = prefix_pop(t, open, depth);
}

struct prefix_table *
prefix_new(const struct prefix *list, size_t n)
{
	struct prefix_net *net;
	struct prefix_table *t;

	if (n > PREFIX_MAX) {
		errno = E2BIG;
		return NULL;
	}
	net = reallocarray(NULL, n + 1, sizeof(*net));
	t = malloc(sizeof(*t) + (2 * n + 1) * sizeof(t->run[0]));
	if (net == NULL || t == NULL) {
		free(net);
		free(t);
		errno = ENOMEM;
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		prefix_addr behind = list[i].bits == 0 ? ~(prefix_addr)0
		    : list[i].bits >= 128              ? 0
						       : ((prefix_addr)1 << (128 - list[i].bits)) - 1;
		prefix_addr a = prefix_number(list[i].addr);

		net[i] = (struct prefix_net){ a & ~behind, a | behind, i, list[i].value };
	}
	qsort(net, n, sizeof(*net), prefix_order);
	t->n = 0;
	prefix_sweep(t, net, n);
	free(net);
	return t;
}

uint8_t
prefix_find(const struct prefix_table *t, const uint8_t addr[16])
{
	prefix_addr a = prefix_number(addr);
	size_t low = 0, high = t->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (t->run[mid].from <= a)
			low = mid;
		else
			high = mid;
	}
	return t->run[low].value;
}

void
prefix_free(struct prefix_table *t)
{
	free(t);
}
