/*
 * postfix_cf: Postfix's main.cf (postconf(5)): its parameters, with their
 * defaults and the $names in them.
 */
#include <bsd/string.h>
#include <ctype.h>
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
		} else if (depth == POSTFIX_DEPTH_MAX || p->names++ >= POSTFIX_NAMES_MAX ||
		    expand_name(p, &s, out, depth) != 0) {
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

int
postfix_main_cf(struct postfix *p, const char *file)
{
	int rc = 0, lines;

	p->main_cf = file != NULL;
	lines = file != NULL ? postfix_lines(p, file, take_param, &rc) : 0;
	return lines != 0 ? lines : rc;
}

char *
postfix_value(struct postfix *p, const char *name)
{
	p->names = 0;
	return value_of(p, name, 0);
}
