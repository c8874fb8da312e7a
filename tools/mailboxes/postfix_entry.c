/*
 * postfix_entry: what postfix_turn.c writes and reads a row at a time: an
 * entry of the list, and the targets of an alias.
 */
#include <err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/entry.h"
#include "tools/mailboxes/postfix_turn.h"

enum {
	ACCOUNTS_MAX = 10,         /* accounts that lead to accounts, before it is taken for a circle */
	ACCOUNTS_PASSED_MAX = 1000 /* accounts that an alias leads through: what fans out at each step has no end */
};

const char *
postfix_domain(const char *key)
{
	return strrchr(key, '@') + 1;
}

bool
postfix_has(const struct postfix_table *t, const char *key)
{
	return postfix_find(t, postfix_domain(key)) != NULL;
}

bool
postfix_ours(const struct turn *t, const char *key)
{
	return postfix_has(&t->p->domains, key) || postfix_has(&t->p->aliasdomains, key);
}

static void
served(struct turn *t, const char *key)
{
	if (t->rc == 0)
		t->rc = postfix_add(t->p, &t->served, postfix_domain(key), "", "", 0);
}

/* "KEY NAME=VALUE" as a line that is right, or a mistake. */
void
postfix_put(struct turn *t, const struct postfix_row *r, const char *key, const char *name, const char *value)
{
	static char line[ENTRY_LINE_MAX + 2 * NORM_KEY_MAX + 64], text[TOOL_LINE_MAX];
	static uint8_t rec[ENTRY_RECORD_MAX];
	char canonical[NORM_KEY_MAX], why[256] = "a list cannot have this address";
	size_t n = 0, reclen, keylen;
	struct entry e;
	ssize_t len;

	/* In double quotes, as entry_format() would, which then writes it anew. */
	n += (size_t)snprintf(
	    line, sizeof(line), "%s%s%s%s", key, *name != '\0' ? " " : "", name, *name != '\0' ? "=\"" : "");
	if (strlen(value) > ENTRY_LINE_MAX / 2) {
		postfix_mistake(t->p, r->file, r->line, "'%s' is too long for a list: use a list of lists", key);
		return;
	}
	for (const char *v = value; *v != '\0'; v++) {
		if (*v == '"' || *v == '\\')
			line[n++] = '\\';
		line[n++] = *v;
	}
	if (*name != '\0')
		line[n++] = '"';
	if (entry_parse(span_of(line, n), canonical, &keylen, rec, &reclen, why, sizeof(why)) != 1 ||
	    entry_decode(span_of(rec, reclen), &e) != 0 ||
	    (len = entry_format(span_of(canonical, keylen), &e, text, sizeof(text))) < 0) {
		postfix_mistake(t->p, r->file, r->line, "%s", why);
		return;
	}
	fprintf(t->out, "%.*s\n", (int)len, text);
	served(t, key);
}

/* A key as it is written: quoted where it must be.  Good until the next call. */
const char *
postfix_written(const char *key)
{
	static char text[ADDR_TEXT_MAX + NORM_KEY_MAX];
	struct addr a = { .domain = span_str(postfix_domain(key)) };
	ssize_t n;

	if (*key == '@')
		return key;
	a.local = span_of(key, (size_t)(strrchr(key, '@') - key));
	n = addr_format(&a, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

void
postfix_put_targets(
    struct turn *t, const struct postfix_row *r, const char *key, const char *name, const struct targets *to)
{
	char *list = NULL;
	size_t n;
	FILE *f = open_memstream(&list, &n);

	for (size_t i = 0; f != NULL && i < to->n; i++)
		fprintf(f, "%s%s", i > 0 ? "," : "", postfix_written(to->key[i]));
	if (f == NULL || fclose(f) != 0) {
		warn("%s", r->file);
		t->rc = EX_OSERR;
	} else {
		char *address = strdup(postfix_written(key));

		postfix_put(t, r, address != NULL ? address : key, name, list);
		free(address);
	}
	free(list);
}

/* What was told cannot be said in a list: senders shall try again rather than hear a no. */
void
postfix_put_later(struct turn *t, const struct postfix_row *r)
{
	char *address = strdup(postfix_written(r->key));

	if (t->incomplete && address != NULL)
		postfix_put(t, r, address, "defer", "450 4.2.1 this address is being moved");
	free(address);
}

/* --- targets --- */

void
postfix_targets_free(struct targets *to)
{
	while (to->n > 0)
		free(to->key[--to->n]);
	free(to->domain);
	*to = (struct targets){ 0 };
}

static void __attribute__((format(printf, 4, 5)))
bad_target(struct turn *t, const struct postfix_row *r, struct targets *to, const char *fmt, ...)
{
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (!to->quiet)
		postfix_mistake(t->p, r->file, r->line, "'%s' %s", r->key, why);
	to->bad = true;
}

static void one_target(struct turn *t, const struct postfix_row *r, struct targets *to, const char *word);

/* A local account: aliases(5) may say where its mail goes. */
static void
account_target(struct turn *t, const struct postfix_row *r, struct targets *to, const char *key)
{
	char name[NORM_KEY_MAX + 1], *copy, *rest, *w;
	const struct postfix_row *a;

	if (to->passed >= ACCOUNTS_PASSED_MAX)
		return; /* it was told */
	if (++to->passed == ACCOUNTS_PASSED_MAX) {
		bad_target(t, r, to, "leads through more than %d local accounts", ACCOUNTS_PASSED_MAX - 1);
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(strrchr(key, '@') - key), key);
	a = to->depth < ACCOUNTS_MAX ? postfix_find(&t->p->accounts, name) : NULL;
	if (a == NULL) {
		bad_target(t, r, to, "leads to the local account '%s': give it an address with a mailbox", key);
		return;
	}
	rest = copy = strdup(a->value);
	to->depth++;
	while (copy != NULL && t->rc == 0 && (w = postfix_word(&rest)) != NULL)
		one_target(t, r, to, w);
	to->depth--;
	t->rc = copy == NULL ? EX_OSERR : t->rc;
	free(copy);
}

static void
add_target(struct turn *t, const struct postfix_row *r, struct targets *to, const char *key)
{
	if (strcmp(key, r->key) == 0) {
		to->self = true;
		return;
	}
	for (size_t i = 0; i < to->n; i++)
		if (strcmp(to->key[i], key) == 0)
			return;
	if (!postfix_ours(t, key) && postfix_has(&t->p->local, key))
		account_target(t, r, to, key);
	else if (!postfix_ours(t, key))
		bad_target(t, r, to,
		    "leads to '%s', which is another system's: nothing is relayed; have its mail fetched, or "
		    "forward it from the mailbox (Sieve)",
		    key);
	else if (to->n == TURN_TARGETS_MAX)
		bad_target(t, r, to, "has more than %d targets: use a list of lists", TURN_TARGETS_MAX);
	else if ((to->key[to->n] = strdup(key)) == NULL)
		t->rc = EX_OSERR;
	else
		to->n++;
}

static void
one_target(struct turn *t, const struct postfix_row *r, struct targets *to, const char *word)
{
	char text[NORM_KEY_MAX + 300], key[NORM_KEY_MAX + 1], why[256];
	size_t n, len = strlen(word);

	if (strchr("|/:\\", word[*word == '"']) != NULL) {
		bad_target(t, r, to,
		    "leads to a command, a file or an account ('%s'): give it an address with a mailbox", word);
		return;
	}
	if (*word == '<' && word[len - 1] == '>')
		snprintf(text, sizeof(text), "%.*s", (int)len - 2, word + 1);
	else if (strchr(word, '@') == NULL)
		snprintf(text, sizeof(text), "%s@%s", word, t->p->myorigin);
	else
		snprintf(text, sizeof(text), "%s", word);
	if (strchr(word, '@') == NULL && t->p->myorigin[0] == '\0') {
		bad_target(t, r, to, "leads to '%s', which has no domain: say which by -o myorigin=DOMAIN", word);
		return;
	}
	if (entry_key(span_str(text), key, &n, why, sizeof(why)) != 0) {
		bad_target(t, r, to, "has a target that is no address: %s", why);
		return;
	}
	key[n] = '\0';
	if (*key != '@') {
		add_target(t, r, to, key);
	} else if (*r->key != '@' || to->domain != NULL) {
		bad_target(t, r, to, "leads to a domain, '%s': write the addresses", key);
	} else if (strcmp(key, r->key) == 0) {
		to->self = true;
	} else if (!postfix_ours(t, key)) {
		bad_target(
		    t, r, to, "leads to the domain '%s', which is another system's: nothing is relayed", key + 1);
	} else if ((to->domain = strdup(key + 1)) == NULL) {
		t->rc = EX_OSERR;
	}
}

void
postfix_targets(struct turn *t, const struct postfix_row *r, struct targets *to, bool quiet)
{
	char *copy = strdup(r->value), *rest = copy, *w;

	*to = (struct targets){ .quiet = quiet };
	while (copy != NULL && t->rc == 0 && (w = postfix_word(&rest)) != NULL)
		one_target(t, r, to, w);
	if (copy == NULL)
		t->rc = EX_OSERR;
	else if (to->n == 0 && to->domain == NULL && !to->self && !to->bad)
		bad_target(t, r, to, "leads nowhere: give it a target or take the row away");
	free(copy);
}
