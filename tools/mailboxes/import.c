/*
 * import: what another server knows of mailboxes becomes a list, and that list
 * the current snapshot, by the way of every list (load.c).
 */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/mailboxes/postfix.h"

/* "name=value" of the command line. */
static int
set_params(struct postfix *p, const struct tool_import *o)
{
	char name[128];
	int rc = 0;

	for (size_t i = 0; i < o->nparam && rc == 0; i++) {
		size_t n = strcspn(o->param[i], "=");

		if (n == 0 || n >= sizeof(name) || o->param[i][n] == '\0') {
			warnx("-o %s: write it as NAME=VALUE, the name as in main.cf", o->param[i]);
			return EX_USAGE;
		}
		snprintf(name, sizeof(name), "%.*s", (int)n, o->param[i]);
		rc = postfix_add(p, &p->param, name, o->param[i] + n + 1, "-o", 0);
	}
	return rc;
}

/* Postfix's tables as a list in ${out}. */
static int
make_list(struct postfix *p, const struct tool_import *o, FILE *out)
{
	int rc;

	if ((rc = postfix_main_cf(p, o->main_cf)) != 0 || (rc = set_params(p, o)) != 0 || (rc = postfix_gather(p)) != 0)
		return rc;
	fputs("# Imported from Postfix by letterplate-mailboxes import postfix.\n", out);
	rc = postfix_turn(p, out, o->incomplete);
	if (rc == 0 && (fflush(out) != 0 || ferror(out))) {
		warn("the list cannot be written");
		rc = EX_IOERR;
	}
	return rc;
}

/* What the config has to say for an address to mean the same. */
static void
advise(const struct postfix *p)
{
	const struct postfix_row *local = postfix_param(p, "mydestination");

	if (p->main_cf && strcmp(p->delimiter, "+") != 0)
		warnx("in letterplate.conf, write recipient_delimiters = \"%s\": it is so in Postfix", p->delimiter);
	for (size_t i = 0; i < p->local.n; i++)
		if (strncmp(p->local.row[i].key, "localhost", 9) != 0)
			postfix_note(local != NULL ? local->file : "mydestination", local != NULL ? local->line : 0,
			    "mail for the local accounts at %s is not imported: add mailboxes where it matters",
			    p->local.row[i].key);
}

static int
import(struct tool *t, const char *dir, const struct tool_import *o, struct postfix *p, FILE *list)
{
	char name[64];
	struct tool_load load = o->load;
	int rc = make_list(p, o, list);

	if (rc != 0)
		return rc;
	advise(p);
	if (p->mistakes > 0 && !o->incomplete) {
		warnx(
		    "%llu thing%s cannot be represented%s; mend that, or take the rest by --incomplete, with which the "
		    "addresses of such rows are deferred (450)",
		    (unsigned long long)p->mistakes, p->mistakes == 1 ? "" : "s",
		    o->print ? "" : ", and nothing was changed");
		return EX_DATAERR;
	}
	if (o->print)
		return 0;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fileno(list));
	load.file = name;
	rc = tool_open(t, dir);
	return rc != 0 ? rc : tool_load(t, &load);
}

int
tool_import(struct tool *t, const char *dir, const struct tool_import *o)
{
	struct postfix p = { .rows = 0 };
	int fd = o->print ? STDOUT_FILENO : memfd_create("list", MFD_CLOEXEC), rc;
	FILE *list = o->print ? stdout : fd >= 0 ? fdopen(fd, "w") : NULL;

	if (list == NULL) {
		warn("no memory for the list");
		return EX_OSERR;
	}
	rc = import(t, dir, o, &p, list);
	if (!o->print)
		fclose(list);
	postfix_free(&p);
	return rc;
}
