/*
 * postfix_turn: from Postfix's tables to a mailbox list.
 * What an address reaches must be the same.  The difference that matters:
 * Postfix asks virtual_alias_maps for all of an address, the domain's
 * catch-all included, before it asks virtual_mailbox_maps (virtual(5)), and an
 * address that is among its own targets is a mailbox that keeps its mail; here
 * an exact entry wins over a catch-all, and copy= is a mailbox with targets.
 */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/entry.h"
#include "tools/mailboxes/postfix_turn.h"

enum { NAME_TRIES = 100 }; /* for the mailbox of a catch-all */

static const struct postfix_row *
catch_all(const struct postfix_table *t, const char *key)
{
	return postfix_find(t, strrchr(key, '@'));
}

/* --- mailboxes --- */

/* The row of the mailbox that ${key} has by itself; its domain's catch-all counts. */
static const struct postfix_row *
own_mailbox(const struct turn *t, const char *key)
{
	const struct postfix_row *r = NULL;

	if (postfix_has(&t->p->domains, key) && (r = postfix_find(&t->p->mailbox, key)) == NULL)
		r = catch_all(&t->p->mailbox, key);
	return r;
}

/* The alias row that Postfix takes before it asks for a mailbox, or NULL. */
static const struct postfix_row *
alias_of(const struct turn *t, const char *key)
{
	const struct postfix_row *r = postfix_find(&t->p->alias, key);
	const char *at = strrchr(key, '@');
	size_t n = strcspn(key + (*key != '@'), t->p->delimiter) + (*key != '@');
	char base[2 * NORM_KEY_MAX];

	if (r == NULL && n < (size_t)(at - key)) {
		snprintf(base, sizeof(base), "%.*s%s", (int)n, key, at);
		r = postfix_find(&t->p->alias, base);
	}
	return r != NULL ? r : catch_all(&t->p->alias, key);
}

static bool
is_target(struct turn *t, const struct postfix_row *alias, const char *key, struct targets *to)
{
	bool found = false;

	postfix_targets(t, alias, to, true);
	for (size_t i = 0; i < to->n && !found; i++)
		if (strcmp(to->key[i], key) == 0) {
			found = true;
			free(to->key[i]);
			to->key[i] = to->key[--to->n];
		}
	/* "@domain @domain" lets each name of it be. */
	return found || (to->self && (*alias->key == '@' || strcmp(alias->key, key) == 0));
}

/* A mailbox, or an alias of the one that has the same path already. */
static void
put_mailbox(struct turn *t, const struct postfix_row *r, const char *key)
{
	const struct postfix_row *k = NULL;
	bool path = t->p->paths && strchr(r->value, '/') != NULL;
	struct targets to = { .n = 1 };
	char *address = strdup(postfix_written(key));

	/* Few enough are looked through: the table is of those that share. */
	for (size_t i = 0; path && k == NULL && i < t->keeper.n; i++)
		if (strcmp(t->keeper.row[i].value, r->value) == 0)
			k = &t->keeper.row[i];
	if (address == NULL) {
		t->rc = EX_OSERR;
	} else if (k != NULL && strcmp(k->key, key) != 0) {
		to.key[0] = k->key;
		postfix_note(r->file, r->line, "'%s' has the path of '%s': an alias of it", key, k->key);
		postfix_put_targets(t, r, key, "alias", &to);
	} else {
		postfix_put(t, r, address, "", "");
	}
	free(address);
}

static void
turn_mailbox(struct turn *t, const struct postfix_row *r)
{
	const struct postfix_row *a;
	struct targets to = { 0 };

	if (strchr(r->key, '@') == NULL) {
		if (postfix_find(&t->p->domains, r->key) == NULL)
			postfix_mistake(t->p, r->file, r->line, "'%s' has no '@': write the whole address", r->key);
		return;
	}
	if (!postfix_has(&t->p->domains, r->key)) {
		postfix_note(r->file, r->line,
		    "'%s' is in no domain of virtual_mailbox_domains: left out, as by Postfix", r->key);
		return;
	}
	if (*r->key == '@')
		return; /* turn_catch_alls() */
	a = alias_of(t, r->key);
	if (a != NULL && !is_target(t, a, r->key, &to)) {
		/* An exact alias row is turned for itself. */
		postfix_note(r->file, r->line,
		    "'%s' gets no mail: virtual_alias_maps is asked first, and has '%s' at %s:%u; left out", r->key,
		    a->key, a->file, a->line);
	} else if (to.bad) {
		postfix_put_later(t, r);
	} else if (to.n > 0) {
		postfix_put_targets(t, r, r->key, "copy", &to);
	} else {
		put_mailbox(t, r, r->key);
	}
	postfix_targets_free(&to);
}

/* A mailbox for all names of a domain needs a name. */
static void
turn_catch_all(struct turn *t, const struct postfix_row *r)
{
	struct targets to = { .n = 1 };
	const char *last;
	char key[NORM_KEY_MAX + 1], text[2 * NORM_KEY_MAX], why[256], name[128];
	size_t n = strlen(r->value);

	while (n > 0 && r->value[n - 1] == '/')
		n--;
	snprintf(name, sizeof(name), "%.*s", (int)n, r->value);
	last = strrchr(name, '/') != NULL ? strrchr(name, '/') + 1 : name;
	for (int i = 0; i < NAME_TRIES; i++) {
		if (i == 0)
			snprintf(text, sizeof(text), "%s%s", last, r->key);
		else
			snprintf(text, sizeof(text), "catch-all-%d%s", i, r->key);
		if (entry_key(span_str(text), key, &n, why, sizeof(why)) != 0 || *key == '@')
			continue;
		key[n] = '\0';
		if (postfix_find(&t->p->mailbox, key) == NULL && postfix_find(&t->p->alias, key) == NULL)
			break;
	}
	for (size_t i = 0; i < t->keeper.n; i++)
		if (strcmp(t->keeper.row[i].value, r->value) == 0)
			snprintf(key, sizeof(key), "%s", t->keeper.row[i].key);
	if (postfix_find(&t->p->mailbox, key) == NULL) {
		char *address = strdup(postfix_written(key));

		postfix_note(
		    r->file, r->line, "all other names of '%s' share the mailbox '%s', which is new", r->key + 1, key);
		postfix_put(t, r, address != NULL ? address : key, "", "");
		free(address);
	}
	to.key[0] = key;
	postfix_put_targets(t, r, r->key, "alias", &to);
}

/* --- aliases --- */

static void
put_alias(struct turn *t, const struct postfix_row *r, struct targets *to)
{
	const struct postfix_row *own = to->self ? own_mailbox(t, r->key) : NULL;
	char *address;

	if (own != NULL && strcmp(own->key, r->key) == 0) {
		return; /* turn_mailbox() does it */
	} else if (to->bad) {
		postfix_put_later(t, r);
	} else if (own != NULL) {
		postfix_mistake(t->p, r->file, r->line,
		    "'%s' keeps its mail in the catch-all at %s:%u: give it a mailbox of its own", r->key, own->file,
		    own->line);
		postfix_put_later(t, r);
	} else if (to->n > 0) {
		if (to->self)
			postfix_note(r->file, r->line,
			    "'%s' is an alias of itself without a mailbox: only the others get mail", r->key);
		postfix_put_targets(t, r, r->key, "alias", to);
	} else {
		postfix_note(r->file, r->line, "'%s' has no mailbox: refused, as by Postfix", r->key);
		address = strdup(postfix_written(r->key));
		postfix_put(t, r, address != NULL ? address : r->key, "reject", "550 5.1.1 no such mailbox");
		free(address);
	}
}

static void
turn_alias(struct turn *t, const struct postfix_row *r)
{
	const struct postfix_row *own;
	struct targets to;

	if (strchr(r->key, '@') == NULL) {
		/* A name of a domain alone says that it is served. */
		if (postfix_find(&t->p->aliasdomains, r->key) == NULL && postfix_find(&t->p->domains, r->key) == NULL)
			postfix_mistake(t->p, r->file, r->line, "'%s' has no '@': write the whole address", r->key);
		return;
	}
	if (!postfix_ours(t, r->key)) {
		postfix_note(
		    r->file, r->line, "'%s' is in no domain that Postfix serves by these maps: left out", r->key);
		return;
	}
	postfix_targets(t, r, &to, false);
	if (*r->key != '@') {
		put_alias(t, r, &to);
	} else if (to.bad) {
		postfix_put_later(t, r);
	} else if (to.domain != NULL && to.n > 0) {
		postfix_mistake(t->p, r->file, r->line, "'%s' leads to a domain and to addresses: one of both", r->key);
		postfix_put_later(t, r);
	} else if (to.domain != NULL) {
		postfix_put(t, r, r->key, "domain-alias", to.domain);
	} else if (to.n > 0) {
		for (size_t i = 0; i < to.n; i++)
			if ((own = own_mailbox(t, to.key[i])) != NULL && *own->key == '@' &&
			    postfix_find(&t->p->alias, to.key[i]) == NULL)
				postfix_mistake(t->p, r->file, r->line,
				    "'%s' leads to '%s', which has a mailbox by the catch-all at %s:%u alone: list it",
				    r->key, to.key[i], own->file, own->line);
		postfix_put_targets(t, r, r->key, "alias", &to);
	}
	postfix_targets_free(&to);
}

/* --- the whole --- */

/* Without main.cf all domains of the keys are meant. */
static void
guess_domains(struct turn *t)
{
	struct postfix *p = t->p;

	for (size_t i = 0; postfix_param(p, "virtual_mailbox_domains") == NULL && i < p->mailbox.n && t->rc == 0; i++)
		if (strchr(p->mailbox.row[i].key, '@') != NULL)
			t->rc = postfix_add(p, &p->domains, postfix_domain(p->mailbox.row[i].key), "", "", 0);
	for (size_t i = 0; postfix_param(p, "virtual_alias_domains") == NULL && i < p->alias.n && t->rc == 0; i++) {
		const char *key = p->alias.row[i].key;

		if (strchr(key, '@') != NULL || strchr(key, '.') != NULL)
			t->rc = postfix_add(
			    p, &p->aliasdomains, strchr(key, '@') != NULL ? postfix_domain(key) : key, "", "", 0);
	}
	postfix_sort(&p->domains);
	postfix_sort(&p->aliasdomains);
}

/* A name alone is one at myorigin (virtual(5)), unless that one has a row.  All are looked for before any is renamed: the table is in order. */
static void
complete_names(struct turn *t)
{
	struct postfix_table *a = &t->p->alias;
	char key[2 * NORM_KEY_MAX], **made;
	size_t n = a->n;

	if (postfix_find(&t->p->domains, t->p->myorigin) == NULL &&
	    postfix_find(&t->p->aliasdomains, t->p->myorigin) == NULL)
		return;
	if ((made = calloc(n + 1, sizeof(*made))) == NULL)
		t->rc = EX_OSERR;
	for (size_t i = 0; i < n && t->rc == 0; i++) {
		if (strpbrk(a->row[i].key, "@.") != NULL)
			continue;
		snprintf(key, sizeof(key), "%s@%s", a->row[i].key, t->p->myorigin);
		if (postfix_find(a, key) == NULL && (made[i] = strdup(key)) == NULL)
			t->rc = EX_OSERR;
	}
	for (size_t i = 0; made != NULL && i < n; i++) {
		if (t->rc != 0 || made[i] == NULL) {
			free(made[i]);
			continue;
		}
		free(a->row[i].key);
		a->row[i].key = made[i];
	}
	free(made);
	if (t->rc == 0)
		postfix_sort(a);
}

static int
by_order(const void *a, const void *b)
{
	const struct postfix_row *const *x = a, *const *y = b;

	return ((*x)->order > (*y)->order) - ((*x)->order < (*y)->order);
}

/* In the order in which they stand in the files. */
static void
each(struct turn *t, const struct postfix_table *table, void (*turn)(struct turn *t, const struct postfix_row *r))
{
	const struct postfix_row **r = calloc(table->n + 1, sizeof(struct postfix_row *));

	if (r == NULL) {
		t->rc = EX_OSERR;
		return;
	}
	for (size_t i = 0; i < table->n; i++)
		r[i] = &table->row[i];
	qsort(r, table->n, sizeof(struct postfix_row *), by_order);
	for (size_t i = 0; i < table->n && t->rc == 0; i++)
		turn(t, r[i]);
	free(r);
}

static int
by_value(const void *a, const void *b)
{
	const struct postfix_row *const *x = a, *const *y = b;
	int rc = strcmp((*x)->value, (*y)->value);

	return rc != 0 ? rc : by_order(a, b);
}

/* Of paths that stand several times: the first mailbox that has its mail for itself. */
static void
find_keepers(struct turn *t)
{
	const struct postfix_table *m = &t->p->mailbox;
	const struct postfix_row **r = calloc(m->n + 1, sizeof(struct postfix_row *)), *keeper;

	for (size_t i = 0; r != NULL && i < m->n; i++)
		r[i] = &m->row[i];
	if (r == NULL)
		t->rc = EX_OSERR;
	else
		qsort(r, m->n, sizeof(struct postfix_row *), by_value);
	for (size_t i = 0, n; t->rc == 0 && i < m->n; i += n) {
		for (n = 1; i + n < m->n && strcmp(r[i]->value, r[i + n]->value) == 0;)
			n++;
		keeper = NULL;
		for (size_t j = i; j < i + n && keeper == NULL; j++)
			if (*r[j]->key != '@' && strchr(r[j]->key, '@') != NULL &&
			    postfix_has(&t->p->domains, r[j]->key) && alias_of(t, r[j]->key) == NULL)
				keeper = r[j];
		if (n > 1 && keeper != NULL && strchr(keeper->value, '/') != NULL && t->p->paths)
			t->rc = postfix_add(t->p, &t->keeper, keeper->key, keeper->value, keeper->file, keeper->line);
	}
	free(r);
}

static void
turn_catch_alls(struct turn *t, const struct postfix_row *r)
{
	const struct postfix_row *a;
	struct targets to = { 0 };

	if (*r->key != '@' || !postfix_has(&t->p->domains, r->key))
		return;
	a = postfix_find(&t->p->alias, r->key);
	if (a != NULL && !is_target(t, a, r->key, &to)) {
		postfix_note(r->file, r->line, "'%s' gets no mail: virtual_alias_maps has it too, at %s:%u; left out",
		    r->key, a->file, a->line);
	} else if (!t->p->paths) {
		postfix_mistake(t->p, r->file, r->line,
		    "'%s' makes each address a mailbox of virtual_transport: list the mailboxes", r->key);
		postfix_put_later(t, r);
	} else {
		turn_catch_all(t, r);
	}
	postfix_targets_free(&to);
}

/* A domain without a mailbox is ours all the same. */
static void
put_empty(struct turn *t, const struct postfix_row *r)
{
	char key[NORM_KEY_MAX + 2];

	if (postfix_find(&t->served, r->key) != NULL)
		return;
	snprintf(key, sizeof(key), "@%s", r->key);
	postfix_put(t, r, key, "reject", "550 5.1.1 no such mailbox");
}

int
postfix_turn(struct postfix *p, FILE *out, bool incomplete)
{
	struct turn t = { .p = p, .out = out, .incomplete = incomplete };
	struct postfix_table *tables[] = { &t.served, &t.keeper };

	if (!p->main_cf)
		guess_domains(&t);
	complete_names(&t);
	if (t.rc == 0)
		find_keepers(&t);
	each(&t, &p->mailbox, turn_mailbox);
	each(&t, &p->mailbox, turn_catch_alls);
	each(&t, &p->alias, turn_alias);
	postfix_sort(&t.served);
	each(&t, &p->domains, put_empty);
	postfix_sort(&t.served);
	each(&t, &p->aliasdomains, put_empty);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		for (size_t j = 0; j < tables[i]->n; j++) {
			free(tables[i]->row[j].key);
			free(tables[i]->row[j].value);
		}
		free(tables[i]->row);
	}
	return t.rc;
}
