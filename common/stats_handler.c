/*
 * stats_handler: what handlers answered and which tags they attached: the
 * writer's side, in rows that are taken by name.
 */
#include <bsd/string.h>
#include <string.h>

#include "common/stats_priv.h"

#define RELAXED memory_order_relaxed

static inline void
bump(_Atomic uint64_t *n, uint64_t by)
{
	atomic_store_explicit(n, atomic_load_explicit(n, RELAXED) + by, RELAXED);
}

/* Rows are never given back, so a free one ends the search; the last one is for all that find none. */
unsigned
stats_handler(struct stats_slot *s, const char *name)
{
	unsigned i;

	for (i = 0; i < STATS_HANDLERS - 1; i++) {
		if (s->handler[i].name[0] == '\0')
			strlcpy(s->handler[i].name, name, sizeof(s->handler[i].name));
		if (strncmp(s->handler[i].name, name, sizeof(s->handler[i].name) - 1) == 0)
			return i;
	}
	strlcpy(s->handler[i].name, "other", sizeof(s->handler[i].name));
	return i;
}

void
stats_answer(struct stats_slot *s, unsigned row, enum stats_answer a)
{
	bump(&s->handler[row].answer[a], 1);
}

void
stats_answer_time(struct stats_slot *s, unsigned row, uint64_t us)
{
	stats_hist_add(&s->handler[row].hist, us);
}

void
stats_tag(struct stats_slot *s, const char *word)
{
	stats_tag_add(s, word, 1);
}

void
stats_tag_add(struct stats_slot *s, const char *word, uint64_t by)
{
	struct stats_tag *t;
	unsigned i;

	for (i = 0; i < STATS_TAGS - 1; i++) {
		t = &s->tag[i];
		if (atomic_load_explicit(&t->count, RELAXED) == 0)
			strlcpy(t->word, word, sizeof(t->word));
		else if (strncmp(t->word, word, sizeof(t->word) - 1) != 0)
			continue;
		bump(&t->count, by);
		return;
	}
	t = &s->tag[i];
	strlcpy(t->word, "other", sizeof(t->word));
	bump(&t->count, by);
}

#define NAME(id, name, help) name,
#define HELP(id, name, help) help,
const char *const stats_answer_name[STATS_NANSWERS] = { STATS_ANSWERS(NAME) };
const char *const stats_answer_help[STATS_NANSWERS] = { STATS_ANSWERS(HELP) };
