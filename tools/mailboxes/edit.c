/*
 * edit: add and remove change a copy of the current snapshot and publish it.
 * So running workers see one whole state or the other, and rollback undoes
 * the last edit.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/entry.h"
#include "tools/mailboxes/build.h"
#include "tools/mailboxes/tool.h"

static const uint8_t marker[1] = { ENTRY_DOMAIN };

/* The entry to put in, or the key to take out. */
struct edit {
	struct tool *t;
	struct mdb *m;           /* the current snapshot, NULL: none */
	struct mdb_info info;    /* what the new one will say */
	struct span key, domain; /* domain is "@domain" of it */
	struct span old;         /* the record there was; p NULL: none */
	size_t keylen, reclen;
	char keybuf[NORM_KEY_MAX];
	uint8_t rec[ENTRY_RECORD_MAX];
	/* remove: what the walk found */
	bool others;   /* the domain has other entries */
	bool targeted; /* an alias leads to the key */
	bool needed;   /* an alias leads to the domain */
};

static struct span
domain_of(struct span key)
{
	const uint8_t *at = memrchr(key.p, '@', key.n);

	return span_skip(key, (size_t)(at - key.p));
}

/* Where there is a predecessor the current snapshot was lost: one that is begun anew would refuse everybody else's mail for good. */
static int
begin_anew(const struct tool *t)
{
	if (faccessat(t->dirfd, MDB_PREVIOUS, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
		return 0;
	warnx("nothing was changed: there is no %s in %s, but its predecessor; 'rollback' brings that back, or 'load' "
	      "makes one "
	      "of a list",
	    MDB_FILE, t->dir);
	return EX_NOINPUT;
}

/* Lock, map the current snapshot, see what is there under the key. */
static int
begin(struct edit *e)
{
	int rc = tool_lock(e->t);

	e->key = span_of(e->keybuf, e->keylen);
	e->domain = domain_of(e->key);
	if (rc == 0)
		rc = tool_current(e->t, &e->m);
	if (rc != 0)
		return rc;
	if (e->m == NULL)
		return begin_anew(e->t);
	/* A copy gets new checksums: damage must not be copied. */
	if (mdb_check(e->m) != 0 || mdb_find(e->m, e->key, &e->old) < 0)
		return tool_fail(e->t, "read", MDB_FILE);
	mdb_info(e->m, &e->info);
	if (e->old.n > 0 && e->old.p[0] == ENTRY_DOMAIN) /* made by the loader, so not an entry of the list */
		e->old = span_of(NULL, 0);
	return 0;
}

/* Whether "@domain" is ours once the edit is done. */
static bool
ours(const struct edit *e, struct span domain)
{
	struct span rec;

	return span_eq(domain, e->domain) || (e->m != NULL && mdb_find(e->m, domain, &rec) == 1);
}

static int
foreign(struct span domain)
{
	warnx("nothing was changed: the target lies in '%.*s', which is no domain of this list, and nothing is relayed "
	      "elsewhere",
	    (int)domain.n - 1, (const char *)domain.p + 1);
	return EX_DATAERR;
}

static int
check_targets(const struct edit *e)
{
	struct span s = span_of(e->rec + 1, e->reclen - 1);
	char key[NORM_KEY_MAX + 1] = "@";

	if (e->rec[0] == ENTRY_DOMAIN_ALIAS) {
		memcpy(key + 1, s.p, s.n);
		s = span_of(key, s.n + 1);
		return ours(e, s) ? 0 : foreign(s);
	}
	while (entry_has_targets(span_of(e->rec, 1)) && s.n > 0) {
		struct span t = span_head(s, strnlen((const char *)s.p, s.n));

		if (!ours(e, domain_of(t)))
			return foreign(domain_of(t));
		s = span_skip(s, t.n + 1);
	}
	return 0;
}

/* Warn of what the new snapshot would do with the mail of a target. */
static void
warn_targets(const struct edit *e, struct mdb *fresh)
{
	struct span s = span_of(e->rec + 1, e->reclen - 1);
	char why[128];

	while (entry_has_targets(span_of(e->rec, 1)) && s.n > 0) {
		struct span t = span_head(s, strnlen((const char *)s.p, s.n));
		const char *w = tool_dead_end(e->t, fresh, t, why, sizeof(why));

		if (w != NULL)
			warnx("warning: '%.*s' %s", (int)t.n, (const char *)t.p, w);
		s = span_skip(s, t.n + 1);
	}
}

static int
finish(struct edit *e, struct build *b, bool added)
{
	struct mdb *fresh;
	int rc = build_done(b, e->info.entries, e->info.domains);

	if (rc != 0)
		return rc;
	if (mdb_open(e->t->dir, TOOL_NEW, &fresh) != 0) {
		rc = tool_fail(e->t, "open", TOOL_NEW);
		tool_discard(e->t);
		return rc;
	}
	if (added)
		warn_targets(e, fresh);
	mdb_close(fresh);
	return tool_publish(e->t, true);
}

static struct build *
build_edit(const struct edit *e, int *rc)
{
	return e->m != NULL ? build_copy(e->t, rc) : build_new(e->t, 0, rc);
}

/* --- add --- */

static int
put_entry(struct edit *e)
{
	struct build *b;
	struct span rec;
	bool is_domain = e->key.p[0] == '@', known = e->m != NULL && mdb_find(e->m, e->domain, &rec) == 1;
	int rc;

	b = build_edit(e, &rc);
	if (b == NULL)
		return rc;
	rc = build_put(b, e->key, span_of(e->rec, e->reclen));
	if (rc == 0 && !known && !is_domain)
		rc = build_put(b, e->domain, span_of(marker, sizeof(marker)));
	if (rc != 0) {
		build_abort(b);
		return rc;
	}
	e->info.entries += e->old.p == NULL;
	e->info.domains += !known;
	return finish(e, b, true);
}

static int
add(struct edit *e)
{
	int rc = begin(e);
	bool same, had;

	if (rc == 0)
		rc = check_targets(e);
	if (rc != 0)
		return rc;
	had = e->old.p != NULL;
	same = had && span_eq(e->old, span_of(e->rec, e->reclen));
	if (had && !same)
		tool_print("- ", e->key, e->old);
	if (!same)
		rc = put_entry(e);
	if (rc == 0)
		tool_print(same ? "unchanged: " : "+ ", e->key, span_of(e->rec, e->reclen));
	return rc;
}

/* One argument as a word of a line: what the shell took the quotes from gets them again. */
static void
print_word(FILE *f, const char *arg)
{
	const char *eq = strchr(arg, '=');

	if (eq == NULL || eq[1] == '"') {
		fprintf(f, " %s", arg);
		return;
	}
	fprintf(f, " %.*s\"", (int)(eq - arg) + 1, arg);
	for (const char *p = eq + 1; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			fputc('\\', f);
		fputc(*p, f);
	}
	fputc('"', f);
}

static int
parse(struct edit *e, char **args, int n)
{
	char err[512], *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int rc;

	if (f == NULL) {
		warn("cannot add");
		return EX_OSERR;
	}
	fputs(args[0], f);
	for (int i = 1; i < n; i++)
		print_word(f, args[i]);
	if (fclose(f) != 0) {
		warn("cannot add");
		free(text);
		return EX_OSERR;
	}
	rc = entry_parse(span_of(text, len), e->keybuf, &e->keylen, e->rec, &e->reclen, err, sizeof(err));
	free(text);
	if (rc > 0)
		return 0;
	warnx("nothing was changed: %s", rc < 0 ? err : "there is no address");
	return EX_DATAERR;
}

static void
edit_free(struct edit *e)
{
	mdb_close(e->m);
	free(e);
}

static struct edit *
edit_new(struct tool *t)
{
	struct edit *e = calloc(1, sizeof(*e));

	if (e == NULL)
		warn("cannot change %s", t->dir);
	else
		e->t = t;
	return e;
}

int
tool_add(struct tool *t, char **args, int n)
{
	struct edit *e = edit_new(t);
	int rc;

	if (e == NULL)
		return EX_OSERR;
	rc = parse(e, args, n);
	if (rc == 0)
		rc = add(e);
	edit_free(e);
	return rc;
}

/* --- remove --- */

/* What another entry says of the one that goes. */
static void
look_at(struct edit *e, struct span key, struct span rec)
{
	struct span s = span_skip(rec, 1);

	if (rec.p[0] == ENTRY_DOMAIN || span_eq(key, e->key))
		return;
	e->others = e->others || span_eq(domain_of(key), e->domain);
	if (rec.p[0] == ENTRY_DOMAIN_ALIAS)
		e->needed = e->needed || span_eq(s, span_skip(e->domain, 1));
	while (entry_has_targets(rec) && s.n > 0) {
		struct span t = span_head(s, strnlen((const char *)s.p, s.n));

		e->targeted = e->targeted || span_eq(t, e->key);
		e->needed = e->needed || span_eq(domain_of(t), e->domain);
		s = span_skip(s, t.n + 1);
	}
}

/* There is no index by domain or target: an entry that goes is asked about among all. */
static int
walk(struct edit *e)
{
	struct span key, rec;
	struct entry decoded;
	int got;

	for (bool first = true; (got = mdb_walk(e->m, first, &key, &rec)) > 0; first = false) {
		if (entry_decode(rec, &decoded) != 0 || memrchr(key.p, '@', key.n) == NULL) {
			errno = EBADMSG;
			got = -1;
			break;
		}
		look_at(e, key, rec);
	}
	return got < 0 ? tool_fail(e->t, "read", MDB_FILE) : 0;
}

static int
take_out(struct edit *e)
{
	bool is_domain = e->key.p[0] == '@';
	struct build *b;
	int rc;

	b = build_edit(e, &rc);
	if (b == NULL)
		return rc;
	if (is_domain && e->others) {
		rc = build_put(b, e->key, span_of(marker, sizeof(marker)));
	} else {
		rc = build_delete(b, e->key);
		if (rc == 0 && !e->others)
			rc = build_delete(b, e->domain);
	}
	if (rc != 0) {
		build_abort(b);
		return rc;
	}
	e->info.entries--;
	e->info.domains -= !e->others;
	return finish(e, b, false);
}

static int
remove_key(struct edit *e)
{
	int rc = begin(e);

	if (rc != 0)
		return rc;
	if (e->old.p == NULL) {
		warnx("nothing was changed: there is no entry '%.*s'", (int)e->key.n, (const char *)e->key.p);
		return EX_NOUSER;
	}
	rc = walk(e);
	if (rc != 0)
		return rc;
	if (!e->others && e->needed) {
		warnx("nothing was changed: '%.*s' is the last entry of its domain, and aliases still lead there",
		    (int)e->key.n, (const char *)e->key.p);
		return EX_DATAERR;
	}
	if (e->targeted)
		warnx("warning: aliases still lead to '%.*s'", (int)e->key.n, (const char *)e->key.p);
	rc = take_out(e);
	if (rc == 0)
		tool_print("- ", e->key, e->old);
	return rc;
}

int
tool_remove(struct tool *t, const char *address)
{
	struct edit *e = edit_new(t);
	char err[256];
	int rc;

	if (e == NULL)
		return EX_OSERR;
	if (entry_key(span_str(address), e->keybuf, &e->keylen, err, sizeof(err)) != 0) {
		warnx("nothing was changed: %s", err);
		rc = EX_DATAERR;
	} else {
		rc = remove_key(e);
	}
	edit_free(e);
	return rc;
}
