/*
 * read: from the lines of a list to items for the sorter.
 * Beside each entry it sorts what the entry says of others: its domain is
 * ours, its targets must lie in domains of ours.  So nothing but the sorter
 * grows with the list.
 */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/entry.h"
#include "tools/mailboxes/input.h"
#include "tools/mailboxes/load.h"

enum {
	RECENT_KEY = 62,     /* octets of a key that is remembered */
	SHOW_EVERY = 1 << 14 /* lines */
};

/* What was sorted lately; a double that is forgotten costs room, no more. */
struct recent {
	struct {
		uint8_t what, n;
		char key[RECENT_KEY];
	} slot[LOAD_RECENT];
};

struct reader {
	struct load *l;
	struct input in;
	struct recent recent;
	size_t keylen, reclen;
	char key[NORM_KEY_MAX];
	uint8_t rec[ENTRY_RECORD_MAX];
};

static bool
recently(struct recent *r, uint8_t what, struct span key)
{
	uint32_t h = 2166136261U ^ what;

	if (key.n > RECENT_KEY)
		return false;
	for (size_t i = 0; i < key.n; i++)
		h = (h ^ key.p[i]) * 16777619U;
	size_t i = (h ^ h >> 16) % LOAD_RECENT;

	if (r->slot[i].n == key.n && r->slot[i].what == what && memcmp(r->slot[i].key, key.p, key.n) == 0)
		return true;
	r->slot[i].what = what;
	r->slot[i].n = (uint8_t)key.n;
	memcpy(r->slot[i].key, key.p, key.n);
	return false;
}

static int
add(struct reader *r, struct span key, struct span rec, enum load_what what)
{
	struct sort_item it = { .key = key, .rec = rec, .line = r->in.line, .what = (uint8_t)what };

	if (what != LOAD_ENTRY && recently(&r->recent, (uint8_t)what, key))
		return 0;
	if (sort_add(r->l->sort, &it) == 0)
		return 0;
	warn("cannot sort the list in %s", r->l->t->dir);
	return errno == ENOSPC || errno == EDQUOT ? EX_CANTCREAT : EX_IOERR;
}

/* "@domain" of a canonical key. */
static struct span
domain_of(struct span key)
{
	const uint8_t *at = memrchr(key.p, '@', key.n);

	return span_skip(key, (size_t)(at - key.p));
}

static int
add_targets(struct reader *r, struct span own, struct span targets)
{
	int rc = 0;

	while (targets.n > 0 && rc == 0) {
		struct span t = span_head(targets, strnlen((const char *)targets.p, targets.n));

		if (span_eq(t, own))
			load_note(&r->l->warnings, r->in.line,
			    r->rec[0] == ENTRY_COPY
				? "'%.*s' is among its own copies; it has the mail already"
				: "'%.*s' is an alias of itself, which leads nowhere; only its other targets get mail",
			    (int)own.n, (const char *)own.p);
		rc = add(r, t, SPAN(""), LOAD_TARGET);
		if (rc == 0)
			rc = add(r, domain_of(t), SPAN(""), LOAD_NEEDED);
		targets = span_skip(targets, t.n + 1);
	}
	return rc;
}

static int
add_entry(struct reader *r)
{
	struct span key = span_of(r->key, r->keylen), rec = span_of(r->rec, r->reclen), domain;
	char needed[NORM_KEY_MAX + 1] = "@";
	int rc = add(r, key, rec, LOAD_ENTRY);

	r->l->entries++;
	if (rc == 0 && key.p[0] != '@')
		rc = add(r, domain_of(key), SPAN(""), LOAD_OURS);
	if (rc == 0 && entry_has_targets(rec))
		return add_targets(r, key, span_skip(rec, 1));
	if (rc == 0 && rec.p[0] == ENTRY_DOMAIN_ALIAS) {
		domain = span_skip(rec, 1);
		memcpy(needed + 1, domain.p, domain.n);
		return add(r, span_of(needed, domain.n + 1), SPAN(""), LOAD_NEEDED);
	}
	return rc;
}

static int
read_lines(struct reader *r)
{
	char err[LOAD_TEXT_MAX];
	struct load *l = r->l;
	struct span line;
	int rc, got;

	while ((got = input_line(&r->in, &line)) > 0) {
		rc = entry_parse(line, r->key, &r->keylen, r->rec, &r->reclen, err, sizeof(err));
		if (rc < 0)
			load_note(&l->mistakes, r->in.line, "%s", err);
		else if (rc > 0 && (rc = add_entry(r)) != 0)
			return rc;
		if (r->in.line % SHOW_EVERY == 0)
			progress_show(&l->progress, r->in.octets, r->in.size, l->entries);
	}
	if (got == 0)
		return 0;
	warn("cannot read %s", l->name);
	return EX_NOINPUT;
}

int
load_read(struct load *l, const char *file)
{
	struct reader *r = calloc(1, sizeof(*r));
	int rc;

	if (r == NULL || input_open(&r->in, file, ENTRY_LINE_MAX) != 0) {
		warn("cannot open %s", file);
		free(r);
		return EX_NOINPUT;
	}
	r->l = l;
	l->name = r->in.name;
	progress_begin(&l->progress, "reading");
	rc = read_lines(r);
	progress_end(&l->progress);
	input_close(&r->in);
	free(r);
	return rc;
}
