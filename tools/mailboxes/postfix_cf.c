/*
 * postfix_cf: Postfix's main.cf (postconf(5)): its parameters with their
 * defaults and $names, and the files that those about recipients name.
 */
#include <bsd/string.h>
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/entry.h"
#include "tools/mailboxes/postfix.h"

/* What holds when main.cf is silent; all others are empty. */
static const struct {
	const char *name, *value;
} defaults[] = {
	{ "virtual_mailbox_domains", "$virtual_mailbox_maps" },
	{ "virtual_alias_maps", "$virtual_maps" },
	{ "virtual_alias_domains", "$virtual_alias_maps" },
	{ "virtual_transport", "virtual" },
	{ "mydestination", "$myhostname, localhost.$mydomain, localhost" },
	{ "myorigin", "$myhostname" },
};

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

const struct postfix_row *
postfix_param(const struct postfix *p, const char *name)
{
	for (size_t i = p->param.n; i-- > 0;)
		if (strcmp(p->param.row[i].key, name) == 0)
			return &p->param.row[i];
	return NULL;
}

static void
take_param(struct postfix *p, void *arg, const char *file, unsigned line, char *text)
{
	int *rc = arg;
	char *eq = strchr(text, '='), *end;

	if (eq == NULL) {
		postfix_mistake(p, file, line, "no \"name = value\"; is it the main.cf?");
		return;
	}
	for (end = eq; end > text && isspace((unsigned char)end[-1]);)
		end--;
	*end = '\0';
	do
		eq++;
	while (isspace((unsigned char)*eq));
	for (end = eq + strlen(eq); end > eq && isspace((unsigned char)end[-1]);)
		*--end = '\0';
	if (*rc == 0)
		*rc = postfix_add(p, &p->param, text, eq, file, line);
}

/* --- values --- */

/* malloc()ed; what Postfix computes rather than to have a default. */
static char *
computed(const char *name, const char *myhostname)
{
	char host[256] = "";

	if (strcmp(name, "myhostname") == 0 && gethostname(host, sizeof(host) - sizeof(".localdomain")) == 0) {
		if (strchr(host, '.') == NULL)
			strlcat(host, ".localdomain", sizeof(host));
		return strdup(host);
	}
	if (strcmp(name, "mydomain") == 0)
		return strdup(myhostname != NULL && strchr(myhostname, '.') != NULL ? strchr(myhostname, '.') + 1
										    : "localdomain");
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		if (strcmp(defaults[i].name, name) == 0)
			return strdup(defaults[i].value);
	return strdup("");
}

static char *value_of(struct postfix *p, const char *name, int depth);

/* The $name at *s goes to ${out}; *s stands behind it.  0, or -1 when it is none that is understood. */
static int
expand_name(struct postfix *p, const char **s, FILE *out, int depth)
{
	char open = (*s)[1], close = open == '{' ? '}' : ')', name[128], *v;
	const char *from = *s + 1 + (open == '{' || open == '(');
	size_t n = strspn(from, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	if (n == 0 || n >= sizeof(name) || (from != *s + 1 && from[n] != close))
		return -1;
	memcpy(name, from, n);
	name[n] = '\0';
	v = value_of(p, name, depth + 1);
	if (v == NULL)
		return -1;
	fputs(v, out);
	free(v);
	*s = from + n + (from != *s + 1);
	return 0;
}

/* A parameter's value with all $names in it, malloc()ed; NULL after a message. */
static char *
value_of(struct postfix *p, const char *name, int depth)
{
	const struct postfix_row *r = postfix_param(p, name), *host = postfix_param(p, "myhostname");
	char *raw = r != NULL ? strdup(r->value)
	    : p->main_cf      ? computed(name, host != NULL ? host->value : NULL)
			      : strdup("");
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);
	const char *s = raw;

	while (raw != NULL && out != NULL && *s != '\0') {
		if (*s != '$') {
			putc(*s++, out);
		} else if (s[1] == '$') {
			putc('$', out);
			s += 2;
		} else if (depth == POSTFIX_DEPTH_MAX || expand_name(p, &s, out, depth) != 0) {
			postfix_mistake(p, r != NULL ? r->file : name, r != NULL ? r->line : 0,
			    "%s: \"%s\" is not understood; give its value by -o %s=VALUE", name, s, name);
			fclose(out);
			free(text);
			free(raw);
			return NULL;
		}
	}
	free(raw);
	if (out == NULL || raw == NULL || fclose(out) != 0) {
		warn("%s", name);
		return NULL;
	}
	return text;
}

/* --- the files they name --- */

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

/* --- all of it --- */

static int
read_one(struct postfix *p, const char *name, struct postfix_table *t,
    void (*get)(struct source *s, struct postfix_table *t, char *list))
{
	const struct postfix_row *r = postfix_param(p, name);
	struct source s = { .p = p, .name = name, .file = r != NULL ? r->file : name, .line = r != NULL ? r->line : 0 };
	char *list = value_of(p, name, 0);

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

	p->myorigin = value_of(p, "myorigin", 0);
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
postfix_main_cf(struct postfix *p, const char *file)
{
	int rc = 0, lines;

	p->main_cf = file != NULL;
	lines = file != NULL ? postfix_lines(p, file, take_param, &rc) : 0;
	return lines != 0 ? lines : rc;
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
	    (rc = read_one(p, "mydestination", &p->local, read_domains)) != 0 || (rc = read_origin(p)) != 0)
		return rc;
	p->delimiter = value_of(p, "recipient_delimiter", 0);
	transport = value_of(p, "virtual_transport", 0);
	if (p->delimiter == NULL || transport == NULL) {
		free(transport);
		return EX_DATAERR;
	}
	p->paths = *transport == '\0' || strncmp(transport, "virtual", 7) == 0;
	free(transport);
	return 0;
}
