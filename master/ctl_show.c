/*
 * ctl_show: the answer to status, for people and for programs.
 * The JSON has the facts as they came: an object a kind, a list for the kinds
 * of which there may be several.  Facts that this build does not know pass.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "master/ctl_client.h"

enum { LINES_MAX = 1024 };

struct lines {
	struct fact *line;
	size_t n;
};

/* All lines but the end.  0, or -1. */
static int
take(char *text, struct lines *l)
{
	l->n = 0;
	l->line = calloc(LINES_MAX, sizeof *l->line);
	if (l->line == NULL)
		return -1;
	while (l->n < LINES_MAX && facts_next(&text, &l->line[l->n]) == 1)
		if (strcmp(l->line[l->n].kind, "end") != 0)
			l->n++;
	if (*text == '\0')
		return 0;
	free(l->line);
	return -1;
}

static const struct fact *
of_kind(const struct lines *l, const char *kind)
{
	static const struct fact none = { .kind = "" };

	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->line[i].kind, kind) == 0)
			return &l->line[i];
	return &none;
}

static const char *
text_of(const struct fact *f, const char *key)
{
	const char *v = facts_get(f, key);

	return v != NULL ? v : "?";
}

static int64_t
number_of(const struct fact *f, const char *key)
{
	return facts_num(f, key, 0, INT64_MAX, 0);
}

/* --- JSON --- */

static void
json_string(const char *v)
{
	putchar('"');
	for (; *v != '\0'; v++) {
		unsigned char c = (unsigned char)*v;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < ' ' || c == 0x7f)
			printf("\\u%04x", (unsigned)c);
		else
			putchar(c);
	}
	putchar('"');
}

static void
json_object(const struct fact *f)
{
	putchar('{');
	for (size_t i = 0; i < f->n; i++) {
		printf("%s\"%s\":", i > 0 ? "," : "", f->field[i].key);
		if (f->field[i].raw)
			fputs(f->field[i].value, stdout);
		else
			json_string(f->field[i].value);
	}
	putchar('}');
}

/* Kinds of which there may be several, in the plural. */
static const char *
plural(const char *kind)
{
	static const char *const several[][2] = { { "worker", "workers" }, { "listener", "listeners" },
		{ "certificate", "certificates" } };

	for (size_t i = 0; i < sizeof several / sizeof *several; i++)
		if (strcmp(several[i][0], kind) == 0)
			return several[i][1];
	return NULL;
}

static bool
seen(const struct lines *l, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(l->line[k].kind, l->line[i].kind) == 0)
			return true;
	return false;
}

int
ctl_show_json(char *text)
{
	struct lines l;

	if (take(text, &l) != 0)
		return -1;
	putchar('{');
	for (size_t i = 0; i < l.n; i++) {
		const char *kind = l.line[i].kind, *many = plural(kind);

		if (seen(&l, i))
			continue;
		printf("%s\"%s\":%s", i > 0 ? "," : "", many != NULL ? many : kind, many != NULL ? "[" : "");
		json_object(&l.line[i]);
		for (size_t k = i + 1; many != NULL && k < l.n; k++) {
			if (strcmp(l.line[k].kind, kind) != 0)
				continue;
			putchar(',');
			json_object(&l.line[k]);
		}
		if (many != NULL)
			putchar(']');
	}
	puts("}");
	free(l.line);
	return 0;
}

/* --- the screen --- */

/* What came from a file is not to move the cursor. */
static void
plain(const char *v)
{
	for (; *v != '\0'; v++)
		putchar((unsigned char)*v < ' ' || *v == 0x7f ? '?' : *v);
}

static void
moment(int64_t at)
{
	time_t t = (time_t)at;
	struct tm tm;
	char text[64];

	if (at == 0 || gmtime_r(&t, &tm) == NULL || strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(text, sizeof text, "never");
	fputs(text, stdout);
}

/* "3 days", in the largest unit that fits twice. */
static void
span_of(int64_t s)
{
	static const struct {
		int64_t s;
		const char *name;
	} unit[] = { { 86400, "days" }, { 3600, "hours" }, { 60, "minutes" }, { 1, "seconds" } };

	for (size_t i = 0; i < sizeof unit / sizeof *unit; i++) {
		if (s < 2 * unit[i].s && unit[i].s > 1)
			continue;
		printf("%" PRId64 " %s", s / unit[i].s, unit[i].name);
		return;
	}
}

static void
show_server(const struct lines *l)
{
	const struct fact *s = of_kind(l, "server"), *c = of_kind(l, "config");
	int64_t now = number_of(s, "now");

	printf("letterplate %s is %s: pid %s, since ", text_of(s, "version"), text_of(s, "state"), text_of(s, "pid"));
	moment(number_of(s, "since"));
	fputs(" (", stdout);
	span_of(now - number_of(s, "since"));
	printf("), generation %s\nprogram     ", text_of(s, "generation"));
	plain(text_of(s, "program"));
	puts(number_of(s, "program_replaced") ? ", REPLACED on disk since: \"letterplate ctl upgrade\" takes it"
					      : ", the same on disk");
	fputs("config      ", stdout);
	plain(text_of(c, "file"));
	fputs(", read ", stdout);
	moment(number_of(c, "read"));
	puts(!number_of(c, "readable")    ? ", CANNOT BE READ now"
		: number_of(c, "changed") ? ", CHANGED since: \"letterplate ctl reload\" takes it"
					  : ", unchanged since");
	printf("log level   %s\n", text_of(s, "log_level"));
}

static void
show_workers(const struct lines *l, int64_t now)
{
	puts("workers     slot      pid  generation  state     sessions  up");
	for (size_t i = 0; i < l->n; i++) {
		const struct fact *w = &l->line[i];

		if (strcmp(w->kind, "worker") != 0)
			continue;
		printf("            %4s %8s  %10s  %-8s  %8s  ", text_of(w, "slot"), text_of(w, "pid"),
		    text_of(w, "generation"), text_of(w, "state"), text_of(w, "sessions"));
		span_of(now - number_of(w, "since"));
		putchar('\n');
	}
}

static void
show_listeners(const struct lines *l)
{
	const char *title = "listeners   ";

	for (size_t i = 0; i < l->n; i++) {
		const struct fact *f = &l->line[i];

		if (strcmp(f->kind, "listener") != 0)
			continue;
		fputs(title, stdout);
		title = "            ";
		plain(text_of(f, "name"));
		printf("  %s  TLS %s  ", text_of(f, "protocol"), text_of(f, "tls"));
		plain(text_of(f, "address"));
		putchar('\n');
	}
}

/* Each that is served: its section's name, where it is from, what is left of it. */
static void
show_certificates(const struct lines *l, int64_t now)
{
	const char *title = "certificate ";

	for (size_t i = 0; i < l->n; i++) {
		const struct fact *f = &l->line[i];
		int64_t at = number_of(f, "expires");

		if (strcmp(f->kind, "certificate") != 0)
			continue;
		fputs(title, stdout);
		title = "            ";
		plain(text_of(f, "name")[0] != '\0' ? text_of(f, "name") : "(default)");
		fputs(", ", stdout);
		plain(text_of(f, "file"));
		if (at == 0) {
			puts(", expires: not known");
			continue;
		}
		fputs(at > now ? ", expires " : ", EXPIRED ", stdout);
		moment(at);
		printf(" (%s days)\n", text_of(f, "days"));
	}
}

static void
show_rest(const struct lines *l, int64_t now)
{
	static const char nobody_says[] = ", not known: no worker serves";
	const struct fact *t = of_kind(l, "tls"), *d = of_kind(l, "directory"), *s = of_kind(l, "store"),
			  *b = of_kind(l, "sandbox"), *m = of_kind(l, "mail");

	if (t->kind[0] != '\0')
		show_certificates(l, now);
	fputs("directory   ", stdout);
	plain(text_of(d, "path"));
	if (facts_get(d, "made") == NULL) {
		puts(nobody_says);
	} else if (number_of(d, "made") == 0) {
		puts(", NO SNAPSHOT: all recipients get 451");
	} else {
		printf(", %s entries, made ", text_of(d, "entries"));
		moment(number_of(d, "made"));
		fputs(" (", stdout);
		span_of(now - number_of(d, "made"));
		puts(")");
		if (facts_get(d, "newest") != NULL && !number_of(d, "newest"))
			puts("            NOT THE NEWEST, which cannot be used: who is not in it gets 451");
	}
	printf("store       %s ", text_of(s, "kind"));
	plain(text_of(s, "path"));
	printf(", %s being committed, %s errors\n", text_of(s, "commits_pending"), text_of(s, "errors"));
	if (facts_get(b, "level") == NULL)
		printf("sandbox     %s\n", nobody_says + 2);
	else
		printf("sandbox     uid %s, Landlock %s, seccomp %s\n", number_of(b, "uid") ? "yes" : "NO",
		    number_of(b, "landlock") ? "yes" : "NO", number_of(b, "seccomp") ? "yes" : "NO");
	printf("mail        %s sessions open, %s so far; %s messages accepted; %s workers died\n",
	    text_of(m, "sessions_open"), text_of(m, "sessions_total"), text_of(m, "messages"),
	    text_of(m, "workers_died"));
}

int
ctl_show_screen(char *text)
{
	struct lines l;
	int64_t now;

	if (take(text, &l) != 0)
		return -1;
	now = number_of(of_kind(&l, "server"), "now");
	show_server(&l);
	show_workers(&l, now);
	show_listeners(&l);
	show_rest(&l, now);
	free(l.line);
	return 0;
}
