/*
 * load: a list becomes the current snapshot, or nothing changes.
 */
#include <err.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/mailboxes/load.h"

/* --- complaints --- */

void
load_note(struct load_notes *n, uint64_t line, const char *fmt, ...)
{
	va_list ap;

	if (n->n < LOAD_MISTAKES_MAX) {
		va_start(ap, fmt);
		vsnprintf(n->kept[n->n].text, sizeof(n->kept[0].text), fmt, ap);
		va_end(ap);
		n->kept[n->n].line = line;
	}
	n->n++;
}

static int
by_line(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
print_notes(const struct load *l, struct load_notes *n, const char *kind)
{
	size_t kept = n->n < LOAD_MISTAKES_MAX ? (size_t)n->n : LOAD_MISTAKES_MAX;

	qsort(n->kept, kept, sizeof(n->kept[0]), by_line);
	for (size_t i = 0; i < kept; i++)
		fprintf(stderr, "%s:%llu: %s%s\n", l->name, (unsigned long long)n->kept[i].line, kind, n->kept[i].text);
	if (n->n > kept)
		fprintf(stderr, "%s: %llu more like these\n", l->name, (unsigned long long)(n->n - kept));
}

static int
give_up(struct load *l)
{
	print_notes(l, &l->mistakes, "");
	warnx("nothing was changed: %llu mistake%s in %s", (unsigned long long)l->mistakes.n,
	    l->mistakes.n == 1 ? "" : "s", l->name);
	return EX_DATAERR;
}

/* --- the new snapshot --- */

static int
check_shrink(const struct load *l, const struct tool_load *o, const struct mdb *old)
{
	struct mdb_info i = { 0 };
	uint64_t gone;

	if (l->entries == 0)
		warnx("warning: %s has no entries: all mail would be refused", l->name);
	if (o->max_shrink < 0 || old == NULL)
		return 0;
	mdb_info(old, &i);
	gone = i.entries > l->entries ? i.entries - l->entries : 0;
	if (gone * 100 <= i.entries * (uint64_t)o->max_shrink &&
	    (l->entries > 0 || i.entries == 0 || o->max_shrink == 100))
		return 0;
	warnx("nothing was changed: %s has %llu entries, the directory %llu; that is over --max-shrink %d", l->name,
	    (unsigned long long)l->entries, (unsigned long long)i.entries, o->max_shrink);
	return EX_DATAERR;
}

static int
build(struct load *l)
{
	struct build *b;
	int rc;

	b = build_new(l->t, sort_octets(l->sort) + sort_count(l->sort) * 16, &rc);
	if (b == NULL)
		return rc;
	rc = load_merge(l, b);
	if (rc == 0 && l->mistakes.n > 0)
		rc = give_up(l);
	if (rc == 0)
		return build_done(b, l->entries, l->domains);
	build_abort(b);
	return rc;
}

/* Read the list into the sorter, and from there into TOOL_NEW. */
static int
make(struct load *l, const struct tool_load *o, const struct mdb *old)
{
	int rc = load_read(l, o->file);

	if (rc != 0)
		return rc;
	if (sort_finish(l->sort) != 0) {
		warn("cannot sort the list in %s", l->t->dir);
		return EX_CANTCREAT;
	}
	if (l->mistakes.n > 0) {
		rc = load_merge(l, NULL);
		return rc != 0 ? rc : give_up(l);
	}
	rc = check_shrink(l, o, old);
	return rc != 0 ? rc : build(l);
}

static void
warn_dead_ends(struct load *l, struct mdb *fresh)
{
	char why[128];

	for (size_t i = 0; i < l->nsuspect; i++) {
		const char *w = tool_dead_end(l->t, fresh, span_str(l->suspect[i].key), why, sizeof(why));

		if (w != NULL)
			load_note(&l->warnings, l->suspect[i].line, "'%s' %s", l->suspect[i].key, w);
	}
	print_notes(l, &l->warnings, "warning: ");
	if (l->nsuspect == LOAD_SUSPECTS_MAX)
		warnx("more than %d targets lead on; the others were not followed", LOAD_SUSPECTS_MAX);
}

/* TOOL_NEW is whole: look at it as a worker would, then let it take its place. */
static int
finish(struct load *l, const struct tool_load *o, struct mdb *old, bool keep)
{
	struct mdb_info was = { 0 };
	struct mdb *fresh;
	int rc = 0;

	if (mdb_open(l->t->dir, TOOL_NEW, &fresh) != 0)
		return tool_fail(l->t, "open", TOOL_NEW);
	warn_dead_ends(l, fresh);
	if (o->diff)
		rc = tool_diff(l->t, old, fresh);
	mdb_close(fresh);
	if (rc == 0 && !o->dry_run)
		rc = tool_publish(l->t, keep);
	if (rc != 0)
		return rc;
	if (old != NULL)
		mdb_info(old, &was);
	printf("%s %llu entries in %llu domains (before: %llu entries)\n", o->dry_run ? "would load" : "loaded",
	    (unsigned long long)l->entries, (unsigned long long)l->domains, (unsigned long long)was.entries);
	return 0;
}

static void
load_free(struct load *l)
{
	for (size_t i = 0; i < l->nsuspect; i++)
		free(l->suspect[i].key);
	free(l->suspect);
	sort_free(l->sort);
	free(l);
}

int
tool_load(struct tool *t, const struct tool_load *o)
{
	/* A dry run leaves the folder as it is, and nobody else is to wait for it. */
	struct tool away = *t, *at = o->dry_run ? &away : t;
	struct mdb *old = NULL;
	struct load *l;
	bool keep = true;
	int rc = o->dry_run ? tool_away(&away) : tool_lock(t);

	if (rc != 0)
		return rc;
	/* A damaged one is replaced, and does not push a good predecessor out. */
	if (mdb_open(t->dir, MDB_FILE, &old) != 0 && errno != ENOENT) {
		warn("the current snapshot in %s cannot be used, and will not be kept", t->dir);
		keep = false;
	}
	l = calloc(1, sizeof(*l));
	if (l != NULL)
		l->sort = sort_new(at->dirfd, SORT_MEMORY);
	if (l == NULL || l->sort == NULL) {
		warn("cannot sort");
		free(l);
		rc = EX_OSERR;
		goto out;
	}
	l->t = at;
	rc = make(l, o, old);
	if (rc == 0)
		rc = finish(l, o, old, keep);
	load_free(l);
out:
	tool_discard(at);
	if (o->dry_run)
		tool_away_end(&away);
	mdb_close(old);
	return rc;
}
