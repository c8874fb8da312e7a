/*
 * pretend_tell: what a message that is taken would have come to: mailboxes, and
 * what handlers changed.  Texts from outside are shown with '?' for what is not
 * printable, and cut.
 */
#include <stdio.h>

#include "worker/pretend.h"
#include "worker/smtp/edit.h"
#include "worker/smtp/txn.h"

enum {
	TELL_LINES = 40, /* of mailboxes and of edits, each: all fit into a pipe that nobody reads yet */
	TELL_TEXT = 160  /* octets of a text */
};

struct shown {
	char text[TELL_TEXT + 4];
};

static const char *
show(struct span s, struct shown *out)
{
	size_t n = s.n < TELL_TEXT ? s.n : TELL_TEXT;

	for (size_t i = 0; i < n; i++)
		out->text[i] = s.p[i] >= ' ' && s.p[i] <= '~' ? (char)s.p[i]
		    : s.p[i] == '\n' || s.p[i] == '\t'        ? ' '
							      : '?';
	snprintf(out->text + n, sizeof(out->text) - n, "%s", n < s.n ? "..." : "");
	return out->text;
}

static const char *
show_addr(const struct addr *a, struct shown *out)
{
	char text[ADDR_TEXT_MAX];
	ssize_t n = addr_format(a, text, sizeof(text));

	return show(span_of(text, n > 0 ? (size_t)n : 0), out);
}

static void
tell_edit(const struct edit *e)
{
	struct shown a, b;

	switch (e->kind) {
	case EDIT_ADD_HEADER:
		dprintf(PRETEND_FD_ANSWERS, "  edited   added %s:%s\n", show(e->name, &a), show(e->value, &b));
		return;
	case EDIT_INSERT_HEADER:
		dprintf(PRETEND_FD_ANSWERS, "  edited   inserted at %u %s:%s\n", (unsigned)e->index, show(e->name, &a),
		    show(e->value, &b));
		return;
	case EDIT_CHANGE_HEADER:
		dprintf(PRETEND_FD_ANSWERS, "  edited   changed %s, number %u, to:%s\n", show(e->name, &a),
		    (unsigned)e->index, show(e->value, &b));
		return;
	case EDIT_DELETE_HEADER:
		dprintf(
		    PRETEND_FD_ANSWERS, "  edited   deleted %s, number %u\n", show(e->name, &a), (unsigned)e->index);
		return;
	case EDIT_ADD_RCPT:
		dprintf(PRETEND_FD_ANSWERS, "  edited   recipient added: <%s>\n", show_addr(&e->addr, &a));
		return;
	case EDIT_DELETE_RCPT:
		dprintf(PRETEND_FD_ANSWERS, "  edited   recipient deleted: <%s>\n", show_addr(&e->addr, &a));
		return;
	case EDIT_SENDER:
		dprintf(PRETEND_FD_ANSWERS, "  edited   sender changed to <%s>\n", show_addr(&e->addr, &a));
		return;
	case EDIT_ASIDE:
		dprintf(PRETEND_FD_ANSWERS, "  edited   recipient set aside: <%s>\n", show_addr(&e->addr, &a));
		return;
	case EDIT_BODY: /* pretend_tell() */
	case EDIT_FOLDER:
		break;
	}
}

void
pretend_tell(const struct txn *t)
{
	unsigned n = 0;
	struct shown a, b, c;

	if (t->edits != NULL)
		for (const struct edit *e = t->edits->first; e != NULL && n < TELL_LINES; e = e->next, n++)
			tell_edit(e);
	if (n == TELL_LINES && t->edits->n > n)
		dprintf(PRETEND_FD_ANSWERS, "  edited   and %u more\n", (unsigned)t->edits->n - n);
	if (t->edits != NULL && t->edits->has_body)
		dprintf(PRETEND_FD_ANSWERS, "  edited   another body\n");
	n = 0;
	for (const struct target *tg = t->targets; tg != NULL && n < TELL_LINES; tg = tg->next, n++)
		dprintf(PRETEND_FD_ANSWERS, "  stored   %s in %s%s%s%s\n", show(tg->key, &a), show(tg->dir, &b),
		    tg->folder.n > 0 ? ", folder " : "", show(tg->folder, &c),
		    tg->folder.n > 0 && !tg->folder_make ? " if it is there" : "");
	if (t->ntargets > n)
		dprintf(PRETEND_FD_ANSWERS, "  stored   and in %u more\n", (unsigned)t->ntargets - n);
}
