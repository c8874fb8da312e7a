/*
 * conf_state: state_dir alone, from a text that may be wrong elsewhere.
 * The parser's word is taken where it got so far.  Where a mistake kept it from
 * that, the one line that sets state_dir is read by itself; if there are two
 * of them, or none, nothing is guessed: another server may live at the default.
 */
#include <stdlib.h>
#include <string.h>

#include "common/conf_priv.h"

#define KEY "state_dir"

static void
quiet(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

/* Whether the line sets the key, or was meant to. */
static bool
sets_it(const char *line, size_t n)
{
	size_t i = 0;

	while (i < n && (line[i] == ' ' || line[i] == '\t'))
		i++;
	if (n - i < sizeof KEY - 1 || strncmp(line + i, KEY, sizeof KEY - 1) != 0)
		return false;
	i += sizeof KEY - 1;
	return i == n || line[i] == ' ' || line[i] == '\t' || line[i] == '=' || line[i] == '\r';
}

static struct span
lone_line(const char *text, size_t n)
{
	struct span found = span_of(NULL, 0);
	const char *end = text + n, *nl;

	for (; text < end; text = nl + 1) {
		nl = memchr(text, '\n', (size_t)(end - text));
		if (nl == NULL)
			nl = end;
		if (!sets_it(text, (size_t)(nl - text)))
			continue;
		if (found.p != NULL)
			return span_of(NULL, 0);
		found = span_of(text, (size_t)(nl - text));
	}
	return found;
}

char *
conf_state_dir(const char *file, const char *text, size_t n, conf_report *report, void *arg)
{
	struct conf *cf = NULL;
	struct span line;
	char *dir = NULL;

	if (conf_parse_for(file, text, n, quiet, NULL, &cf, &dir) == 0)
		conf_free(cf);
	if (dir != NULL)
		return dir;
	line = lone_line(text, n);
	if (line.p != NULL && conf_parse_for(file, (const char *)line.p, line.n, quiet, NULL, &cf, &dir) == 0)
		conf_free(cf);
	/* What is wrong with it, for who has to mend it. */
	if (dir == NULL && conf_parse(file, text, n, report, arg, &cf) == 0) {
		report(arg, "out of memory");
		conf_free(cf);
	}
	return dir;
}
