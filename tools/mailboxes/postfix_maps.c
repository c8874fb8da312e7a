/*
 * postfix_maps: the files that main.cf's parameters about recipients name:
 * tables, lists of domains, and aliases(5).
 */
#include <ctype.h>
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/entry.h"
#include "tools/mailboxes/postfix.h"

/* Those that change where mail goes and are not read. */
static const struct {
	const char *name, *todo;
} unread[] = {
	{ "relocated_maps", "write entries with reject=\"550 5.1.6 ...\" for them" },
	{ "canonical_maps", "write aliases for the addresses that it rewrites" },
	{ "recipient_canonical_maps", "write aliases for the addresses that it rewrites" },
	{ "virtual_alias_address_maps", "write aliases for the addresses that it rewrites" },
	{ "recipient_bcc_maps", "write copy= for the mailboxes that it names" },
	{ "always_bcc", "a C module or a milter can add a recipient" },
	{ "relay_domains", "nothing is relayed: let the MX of these domains name another server" },
};

struct source {
	struct postfix *p;
	const char *name, *file; /* the parameter, and where it stands */
	unsigned line;
	int rc;
};

/* The path of a lookup table that has a text file; NULL after a message. */
static const char *
text_file(struct source *s, const char *spec)
{
	static const char *const types[] = { "hash:", "btree:", "lmdb:", "cdb:", "dbm:", "sdbm:", "texthash:" };
	struct stat text, db;
	char made[4096];

	if (strncmp(spec, "proxy:", 6) == 0)
		spec += 6;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const char *path = spec + strlen(types[i]);

		if (strncmp(spec, types[i], strlen(types[i])) != 0)
			continue;
		snprintf(made, sizeof(made), "%s.%s", path, strncmp(spec, "lmdb", 4) == 0 ? "lmdb" : "db");
		if (stat(path, &text) == 0 && stat(made, &db) == 0 && text.st_mtime > db.st_mtime)
			postfix_note(
			    path, 1, "it is newer than %s, which Postfix uses: the text is what is imported", made);
		return path;
	}
	if (*spec == '/')
		return spec;
	warnx("%s:%u: %s: \"%s\" is no text file. Write what it has to one, with lines \"key value\", and give that: "
	      "-o %s=hash:/path",
	    s->file, s->line, s->name, spec, s->name);
	s->rc = EX_NOINPUT;
	return NULL;
}

static void
read_maps(struct source *s, struct postfix_table *t, char *list)
{
	const char *path;
	char *w;

	while (s->rc == 0 && (w = postfix_word(&list)) != NULL)
		if ((path = text_file(s, w)) != NULL)
			s->rc = postfix_read(s->p, t, path);
}

/* ${word} of a list of domains. */
static void
add_domain(struct source *s, struct postfix_table *t, const char *word, const char *file, unsigned line)
{
	char key[NORM_KEY_MAX + 1], text[NORM_KEY_MAX + 1], why[256];
	size_t n;

	snprintf(text, sizeof(text), "@%s", word);
	if (*word == '!' || *word == '.' || strchr(word, '[') != NULL || strchr(word, ':') != NULL)
		postfix_mistake(s->p, file, line, "%s: '%s' is a pattern; give the domains one by one: -o %s=LIST",
		    s->name, word, s->name);
	else if (entry_key(span_str(text), key, &n, why, sizeof(why)) != 0)
		postfix_mistake(s->p, file, line, "%s: %s", s->name, why);
	else {
		key[n] = '\0';
		s->rc = postfix_add(s->p, t, key + 1, "", file, line);
	}
}

struct domain_file {
	struct source *s;
	struct postfix_table *t;
};

static void
take_domains(struct postfix *p, void *arg, const char *file, unsigned line, char *text)
{
	struct domain_file *d = arg;
	char *w;

	(void)p;
	while (d->s->rc == 0 && (w = postfix_word(&text)) != NULL)
		add_domain(d->s, d->t, w, file, line);
}

/* A list of domains: names, files of names, and tables whose keys are names. */
static void
read_domains(struct source *s, struct postfix_table *t, char *list)
{
	struct postfix_table keys;
	struct domain_file d = { s, t };
	const char *path;
	char *w;

	while (s->rc == 0 && (w = postfix_word(&list)) != NULL) {
		if (*w == '/') {
			s->rc = postfix_lines(s->p, w, take_domains, &d);
		} else if (strchr(w, ':') == NULL || *w == '!') {
			add_domain(s, t, w, s->file, s->line);
		} else if ((path = text_file(s, w)) != NULL) {
			keys = (struct postfix_table){ 0 };
			s->p->quiet = true; /* those with an '@' are another list's business */
			s->rc = postfix_read(s->p, &keys, path);
			s->p->quiet = false;
			for (size_t i = 0; i < keys.n; i++) {
				const struct postfix_row *r = &keys.row[i];

				if (s->rc == 0 && strchr(r->key, '@') == NULL && strchr(r->key, '.') != NULL)
					add_domain(s, t, r->key, r->file, r->line);
				free(r->key);
				free(r->value);
			}
			free(keys.row);
		}
	}
}

/* A row of aliases(5): "name: where its mail goes". */
static void
take_account(struct postfix *p, void *arg, const char *file, unsigned line, char *text)
{
	struct source *s = arg;
	char *colon = *text == '"' ? strstr(text, "\":") : strchr(text, ':'), *c;

	if (colon == NULL) {
		postfix_mistake(p, file, line, "no \"name: target\"; is it aliases(5)?");
		return;
	}
	if (*text == '"') {
		*colon++ = '\0';
		text++;
	}
	*colon++ = '\0';
	for (c = text; *c != '\0'; c++)
		*c = (char)ascii_lower((uint8_t)*c);
	while (c > text && isspace((unsigned char)c[-1]))
		*--c = '\0';
	if (s->rc == 0)
		s->rc = postfix_add(p, &p->accounts, text, colon, file, line);
}

/* What local accounts lead to matters where a virtual alias leads to one.  A map that is no text says so then. */
static void
read_accounts(struct source *s, struct postfix_table *t, char *list)
{
	char *w;
	int rc;

	(void)t;
	while (s->rc == 0 && (w = postfix_word(&list)) != NULL) {
		if (strncmp(w, "hash:", 5) != 0 || access(w + 5, F_OK) != 0) {
			postfix_note(s->file, s->line, "alias_maps: %s is not read", w);
			continue;
		}
		rc = postfix_lines(s->p, w + 5, take_account, s);
		s->rc = s->rc != 0 ? s->rc : rc;
	}
}

/* --- all of it --- */

static int
read_one(struct postfix *p, const char *name, struct postfix_table *t,
    void (*get)(struct source *s, struct postfix_table *t, char *list))
{
	const struct postfix_row *r = postfix_param(p, name);
	struct source s = { .p = p, .name = name, .file = r != NULL ? r->file : name, .line = r != NULL ? r->line : 0 };
	char *list = postfix_value(p, name);

	if (list == NULL)
		return EX_DATAERR;
	get(&s, t, list);
	free(list);
	postfix_sort(t);
	return s.rc;
}

/* "/etc/mailname" stands for its first line. */
static int
read_origin(struct postfix *p)
{
	char line[256] = "";
	FILE *f;

	p->myorigin = postfix_value(p, "myorigin");
	if (p->myorigin == NULL)
		return EX_DATAERR;
	if (p->myorigin[0] != '/')
		return 0;
	f = fopen(p->myorigin, "r");
	if (f == NULL || fgets(line, sizeof(line), f) == NULL)
		warn("myorigin: cannot read %s", p->myorigin);
	if (f != NULL)
		fclose(f);
	line[strcspn(line, " \t\r\n")] = '\0';
	free(p->myorigin);
	p->myorigin = strdup(line);
	return p->myorigin != NULL ? 0 : EX_OSERR;
}

static void
tell_unread(struct postfix *p)
{
	for (size_t i = 0; i < sizeof(unread) / sizeof(unread[0]); i++) {
		const struct postfix_row *r = postfix_param(p, unread[i].name);

		if (r != NULL && r->value[0] != '\0' && r->value[0] != '$')
			postfix_mistake(p, r->file, r->line, "%s is not imported: %s; then say -o %s=", r->key,
			    unread[i].todo, r->key);
	}
}

int
postfix_gather(struct postfix *p)
{
	char *transport;
	int rc = 0;

	tell_unread(p);
	if ((rc = read_one(p, "virtual_mailbox_maps", &p->mailbox, read_maps)) != 0 ||
	    (rc = read_one(p, "virtual_alias_maps", &p->alias, read_maps)) != 0 ||
	    (rc = read_one(p, "virtual_mailbox_domains", &p->domains, read_domains)) != 0 ||
	    (rc = read_one(p, "virtual_alias_domains", &p->aliasdomains, read_domains)) != 0 ||
	    (rc = read_one(p, "mydestination", &p->local, read_domains)) != 0 ||
	    (rc = read_one(p, "alias_maps", &p->accounts, read_accounts)) != 0 || (rc = read_origin(p)) != 0)
		return rc;
	p->delimiter = postfix_value(p, "recipient_delimiter");
	transport = postfix_value(p, "virtual_transport");
	if (p->delimiter == NULL || transport == NULL) {
		free(transport);
		return EX_DATAERR;
	}
	p->paths = *transport == '\0' || strncmp(transport, "virtual", 7) == 0;
	free(transport);
	return 0;
}
