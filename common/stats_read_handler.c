/*
 * stats_read_handler: handlers and tags, added up over all slots by name.
 * Trusts nothing in them: a name that no config could have is left out.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/stats_form.h"
#include "common/stats_priv.h"

/* A name of at most ${max} - 1 octets of what titles and tags are made of, then NULs; copied clean. */
static bool
take_name(const char *in, char *out, size_t max)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t n = strnlen(in, max);

	if (n == 0 || n == max)
		return false;
	for (size_t i = 0; i < n; i++)
		if (strchr(allowed, in[i]) == NULL)
			return false;
	memset(out, 0, max);
	memcpy(out, in, n);
	return true;
}

/* Where ${name} stands or belongs in a sorted list; *found: it stands there. */
static size_t
place(const char *base, size_t n, size_t size, const char *name, bool *found)
{
	size_t lo = 0, hi = n;

	*found = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(base + mid * size, name);

		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The row of ${name}, made where it is missing; a row begins with its name.  NULL when memory is out. */
static void *
row_for(void **base, size_t *n, size_t size, const char *name, size_t name_max)
{
	bool found;
	size_t at = place(*base, *n, size, name, &found);
	char *grown;

	if (found)
		return (char *)*base + at * size;
	grown = reallocarray(*base, *n + 1, size);
	if (grown == NULL)
		return NULL;
	*base = grown;
	memmove(grown + (at + 1) * size, grown + at * size, (*n - at) * size);
	memset(grown + at * size, 0, size);
	memcpy(grown + at * size, name, name_max);
	(*n)++;
	return grown + at * size;
}

static int
add_handler(struct stats_sum *sum, const struct stats_handler *h)
{
	char name[STATS_HANDLER_MAX];
	struct stats_handler_sum *row;
	void *base = sum->handler;

	if (!take_name(h->name, name, sizeof(name)))
		return 0;
	row = row_for(&base, &sum->nhandler, sizeof(*row), name, sizeof(name));
	sum->handler = base;
	if (row == NULL)
		return -1;
	for (size_t a = 0; a < STATS_NANSWERS; a++)
		stats_sum_add(&row->answer[a], stats_get(&h->answer[a]));
	stats_sum_hist(row->bucket, &row->sum_us, &h->hist);
	stats_sum_add(&row->running, stats_get(&h->running));
	return 0;
}

static int
add_tag(struct stats_sum *sum, const struct stats_tag *t)
{
	char word[STATS_TAG_MAX];
	struct stats_tag_sum *row;
	void *base = sum->tag;

	if (stats_get(&t->count) == 0 || !take_name(t->word, word, sizeof(word)))
		return 0;
	row = row_for(&base, &sum->ntag, sizeof(*row), word, sizeof(word));
	sum->tag = base;
	if (row == NULL)
		return -1;
	stats_sum_add(&row->count, stats_get(&t->count));
	return 0;
}

int
stats_read_handlers(struct stats_sum *sum, const struct stats_slot *s)
{
	for (size_t i = 0; i < STATS_HANDLERS; i++)
		if (add_handler(sum, &s->handler[i]) != 0)
			return -1;
	for (size_t i = 0; i < STATS_TAGS; i++)
		if (add_tag(sum, &s->tag[i]) != 0)
			return -1;
	return 0;
}

/* The name of row ${row} of the slot at ${slot}, clean.  Whether its code runs, and it has one. */
static bool
runs(int fd, const struct stats_form *f, off_t slot, uint32_t row, char *name)
{
	off_t at = slot + f->handler.at + (off_t)row * f->handler.size;
	char raw[STATS_HANDLER_MAX] = "";
	size_t max = f->handler.word_max < sizeof raw ? f->handler.word_max : sizeof raw;
	uint64_t n = 0;

	return pread(fd, &n, sizeof n, at + f->handler.running) == (ssize_t)sizeof n && n != 0 &&
	    pread(fd, raw, max, at) == (ssize_t)max && take_name(raw, name, sizeof raw);
}

size_t
stats_running_of(int fd, unsigned i, char name[STATS_RUNNING_MAX][STATS_HANDLER_MAX])
{
	char one[STATS_HANDLER_MAX];
	struct stats_form f;
	size_t n = 0;

	if (stats_form_read(fd, &f) != 0 || f.handler.running == STATS_FORM_NONE || i >= f.nslots)
		return 0;
	for (uint32_t row = 0; row < f.handler.n; row++) {
		if (!runs(fd, &f, f.head + (off_t)i * f.slot_size, row, one))
			continue;
		if (n < STATS_RUNNING_MAX)
			memcpy(name[n], one, sizeof one);
		n++;
	}
	return n;
}
