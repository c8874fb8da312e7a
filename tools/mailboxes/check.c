/*
 * check: does mail for an address reach anybody?
 * Asks resolve(), as a worker does, and tells only what is likely a mistake
 * of the list: a reject or defer entry is meant.
 */
#include <stdio.h>

#include "tools/mailboxes/tool.h"

enum { ARENA_FIRST = 4096, ARENA_MAX = 4 << 20 };

const char *
tool_dead_end(const struct tool *t, struct mdb *m, struct span key, char *buf, size_t cap)
{
	const uint8_t *at = memrchr(key.p, '@', key.n);
	struct addr a = { .local = span_head(key, (size_t)(at - key.p)),
		.domain = span_skip(key, (size_t)(at - key.p) + 1) };
	bool domain = a.local.n == 0;
	struct resolve_box *boxes;
	struct arena ar;
	struct reply r;
	enum resolve_res res;

	if (domain) /* anybody will do to find a loop of domains */
		a.local = SPAN("postmaster");
	arena_init(&ar, ARENA_FIRST, ARENA_MAX);
	res = resolve(m, &t->rc, &a, &ar, &boxes, &r, NULL, NULL);
	arena_reset(&ar);
	if (res == RESOLVE_OK)
		return NULL;
	if (strcmp(r.reason, "alias-loop") == 0)
		snprintf(buf, cap, "goes round in circles: mail for it will be refused (550 5.4.6)");
	else if (!domain && strcmp(r.reason, "no-such-mailbox") == 0)
		snprintf(buf, cap, "leads to no mailbox: mail for it will be refused (550 5.1.1)");
	else
		return NULL;
	return buf;
}
