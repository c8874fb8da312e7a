/*
 * turns: lines that are first in, first out, and whose turn it is among them.
 */
#include "auth/turns.h"

void
turns_init(struct turns *t, unsigned lines, unsigned most)
{
	*t = (struct turns){ .lines = lines, .share = most / lines > 0 ? most / lines : 1 };
	for (unsigned i = 0; i < lines; i++)
		t->line[i].tail = &t->line[i].head;
}

bool
turns_put(struct turns *t, unsigned line, struct turn *who)
{
	struct turns_line *l = &t->line[line];

	if (l->n == t->share)
		return false;
	who->next = NULL;
	*l->tail = who;
	l->tail = &who->next;
	l->n++;
	return true;
}

struct turn *
turns_take(struct turns *t)
{
	for (unsigned i = 0; i < t->lines; i++) {
		struct turns_line *l = &t->line[t->at];
		struct turn *who = l->head;

		t->at = (t->at + 1) % t->lines;
		if (who == NULL)
			continue;
		l->head = who->next;
		if (l->head == NULL)
			l->tail = &l->head;
		l->n--;
		return who;
	}
	return NULL;
}
