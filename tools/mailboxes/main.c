/*
 * letterplate-mailboxes: makes, changes and shows the mailbox directory.
 * Here is the command line alone; each command is a job in a file of its own.
 * Manual: letterplate-mailboxes(8).
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <bsd/stdlib.h>

#include "common/entry.h"
#include "common/version.h"
#include "tools/mailboxes/tool.h"

enum { CHECK_TO_MAX = 100 }; /* recipients of one question */

struct args {
	char **v;
	int n;
};

struct command {
	const char *name, *usage;
	int min, max; /* arguments; max -1: any number */
	int (*run)(struct tool *t, const struct command *c, struct args *a);
};

static int
print_usage(FILE *f)
{
	fputs("usage: letterplate-mailboxes -d DIR COMMAND\n"
	      "  load FILE|- [--dry-run] [--diff] [--max-shrink PERCENT]\n"
	      "                        make the list in FILE the directory\n"
	      "  import postfix [--main-cf FILE] [-o NAME=VALUE]... [--incomplete] [--print] [as load]\n"
	      "                        make what Postfix's virtual maps say the directory, or print it as a list "
	      "(needs no -d)\n"
	      "  add ADDR [KEY=VALUE...]\n"
	      "                        add or replace an entry: quota=2GiB, alias=a@b,c@d, copy=a@b,\n"
	      "                        reject=\"550 5.1.6 text\", defer=\"450 4.2.1 text\", domain-alias=b\n"
	      "  remove ADDR           take an entry out\n"
	      "  list                  print all entries, as a list that load takes\n"
	      "  show ADDR [--delimiters CHARS] [--postmaster ADDR] [--hostname NAME]\n"
	      "                        how an address resolves, step by step\n"
	      "  info                  how many entries, and since when\n"
	      "  rollback              go back to the directory before the last change\n"
	      "  quota [--recalculate] PATH\n"
	      "                        what the mailbox at PATH holds and may hold; count it anew (needs no -d)\n"
	      "  check -c CONFIG --ip ADDR [--helo NAME] [--from ADDR] --to ADDR... [--listener NAME] [FILE|-]\n"
	      "                        what a sender would hear, handler by handler (needs no -d)\n"
	      "options: -d DIR the directory's folder, -h this help, -V the version\n"
	      "ADDR is local@domain, or @domain for the entry of a whole domain.\n",
	    f);
	return f == stdout ? EX_OK : EX_USAGE;
}

static int
usage_of(const struct command *c)
{
	fprintf(stderr, "usage: letterplate-mailboxes -d DIR %s\n", c->usage);
	return EX_USAGE;
}

/* --- commands --- */

/* An option of load or import; what load knows is set.  Whether it was one. */
static bool
load_option(struct tool_load *o, int opt, int *rc)
{
	const char *bad;

	if (opt == 'n') {
		o->dry_run = true;
	} else if (opt == 'f') {
		o->diff = true;
	} else if (opt == 's') {
		o->max_shrink = (int)strtonum(optarg, 0, 100, &bad);
		if (bad != NULL) {
			warnx("--max-shrink %s: write a percentage from 0 to 100", optarg);
			*rc = EX_USAGE;
		}
	}
	return opt == 'n' || opt == 'f' || opt == 's';
}

static int
run_load(struct tool *t, const struct command *c, struct args *a)
{
	static const struct option options[] = { { "dry-run", no_argument, NULL, 'n' },
		{ "diff", no_argument, NULL, 'f' }, { "max-shrink", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 } };
	struct tool_load o = { .max_shrink = -1 };
	int opt, rc = 0;

	optind = 0;
	while ((opt = getopt_long(a->n, a->v, "", options, NULL)) != -1) {
		if (!load_option(&o, opt, &rc))
			return usage_of(c);
		if (rc != 0)
			return rc;
	}
	if (a->n - optind != 1)
		return usage_of(c);
	o.file = a->v[optind];
	return tool_load(t, &o);
}

static int
run_import(struct tool *t, const struct command *c, struct args *a)
{
	static const struct option options[] = { { "main-cf", required_argument, NULL, 'm' },
		{ "print", no_argument, NULL, 'p' }, { "incomplete", no_argument, NULL, 'i' },
		{ "dry-run", no_argument, NULL, 'n' }, { "diff", no_argument, NULL, 'f' },
		{ "max-shrink", required_argument, NULL, 's' }, { NULL, 0, NULL, 0 } };
	struct tool_import o = { .load = { .max_shrink = -1 } };
	int opt, rc = 0;

	optind = 0;
	while ((opt = getopt_long(a->n, a->v, "o:", options, NULL)) != -1) {
		if (opt == 'm')
			o.main_cf = optarg;
		else if (opt == 'o' && o.nparam < TOOL_PARAMS_MAX)
			o.param[o.nparam++] = optarg;
		else if (opt == 'p')
			o.print = true;
		else if (opt == 'i')
			o.incomplete = true;
		else if (!load_option(&o.load, opt, &rc))
			return usage_of(c);
		if (rc != 0)
			return rc;
	}
	if (a->n - optind != 1 || strcmp(a->v[optind], "postfix") != 0 || (o.main_cf == NULL && o.nparam == 0))
		return usage_of(c);
	if (!o.print && t->dir == NULL) {
		warnx("-d DIR is missing");
		return usage_of(c);
	}
	return tool_import(t, t->dir, &o);
}

static int
run_show(struct tool *t, const struct command *c, struct args *a)
{
	static const struct option options[] = { { "delimiters", required_argument, NULL, 'd' },
		{ "postmaster", required_argument, NULL, 'p' }, { "hostname", required_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	char postmaster[NORM_KEY_MAX + 1], err[256];
	size_t n;
	int opt;

	optind = 0;
	while ((opt = getopt_long(a->n, a->v, "", options, NULL)) != -1) {
		if (opt == 'd')
			t->rc.delimiters = optarg;
		else if (opt == 'p') {
			if (entry_key(span_str(optarg), postmaster, &n, err, sizeof(err)) != 0) {
				warnx("--postmaster: %s", err);
				return EX_USAGE;
			}
			postmaster[n] = '\0';
			t->rc.postmaster = postmaster;
		} else if (opt == 'h')
			t->rc.hostname = optarg;
		else
			return usage_of(c);
	}
	return a->n - optind == 1 ? tool_show(t, a->v[optind]) : usage_of(c);
}

static int
run_add(struct tool *t, const struct command *c, struct args *a)
{
	(void)c;
	return tool_add(t, a->v + 1, a->n - 1);
}

static int
run_remove(struct tool *t, const struct command *c, struct args *a)
{
	(void)c;
	return tool_remove(t, a->v[1]);
}

static int
run_list(struct tool *t, const struct command *c, struct args *a)
{
	(void)c;
	(void)a;
	return tool_list(t);
}

static int
run_info(struct tool *t, const struct command *c, struct args *a)
{
	(void)c;
	(void)a;
	return tool_info(t);
}

static int
run_rollback(struct tool *t, const struct command *c, struct args *a)
{
	(void)c;
	(void)a;
	return tool_rollback(t);
}

static int
run_quota(struct tool *t, const struct command *c, struct args *a)
{
	bool anew = a->n == 3 && strcmp(a->v[1], "--recalculate") == 0;

	(void)t;
	return a->n == 2 || anew ? tool_quota(a->v[a->n - 1], anew) : usage_of(c);
}

static int
run_check(struct tool *t, const struct command *c, struct args *a)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
		{ "ip", required_argument, NULL, 'i' }, { "helo", required_argument, NULL, 'h' },
		{ "from", required_argument, NULL, 'f' }, { "to", required_argument, NULL, 't' },
		{ "listener", required_argument, NULL, 'l' }, { NULL, 0, NULL, 0 } };
	const char *to[CHECK_TO_MAX];
	struct tool_pretend o = { .helo = "client.example", .from = "", .listener = "", .to = to };
	int opt;

	(void)t;
	optind = 0;
	while ((opt = getopt_long(a->n, a->v, "c:", options, NULL)) != -1) {
		if (opt == 'c')
			o.conf = optarg;
		else if (opt == 'i')
			o.address = optarg;
		else if (opt == 'h')
			o.helo = optarg;
		else if (opt == 'f')
			o.from = optarg;
		else if (opt == 'l')
			o.listener = optarg;
		else if (opt == 't' && o.nto < CHECK_TO_MAX)
			to[o.nto++] = optarg;
		else
			return usage_of(c);
	}
	if (a->n - optind > 1 || o.conf == NULL || o.address == NULL || o.nto == 0)
		return usage_of(c);
	o.file = optind < a->n ? a->v[optind] : NULL;
	return tool_pretend(&o);
}

static const struct command commands[] = {
	{ "load", "load FILE|- [--dry-run] [--diff] [--max-shrink PERCENT]", 1, -1, run_load },
	{ "import",
	    "import postfix [--main-cf FILE] [-o NAME=VALUE]... [--incomplete] [--print] [--dry-run] [--diff] "
	    "[--max-shrink PERCENT]; --main-cf or -o is needed",
	    1, -1, run_import },
	{ "add", "add ADDR [KEY=VALUE...]", 1, -1, run_add },
	{ "remove", "remove ADDR", 1, 1, run_remove },
	{ "list", "list", 0, 0, run_list },
	{ "show", "show ADDR [--delimiters CHARS] [--postmaster ADDR] [--hostname NAME]", 1, -1, run_show },
	{ "info", "info", 0, 0, run_info },
	{ "rollback", "rollback", 0, 0, run_rollback },
	{ "quota", "quota [--recalculate] PATH", 1, 2, run_quota },
	{ "check", "check -c CONFIG --ip ADDR [--helo NAME] [--from ADDR] --to ADDR... [--listener NAME] [FILE|-]", 1,
	    -1, run_check },
};

static int
run(struct tool *t, const char *dir, char **v, int n)
{
	struct args a = { v, n };
	int rc;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->name, v[0]) != 0)
			continue;
		if (n - 1 < c->min || (c->max >= 0 && n - 1 > c->max))
			return usage_of(c);
		/* Not about a directory that -d names, or not at once. */
		t->dir = dir;
		if (c->run == run_quota || c->run == run_check || c->run == run_import)
			return c->run(t, c, &a);
		rc = tool_open(t, dir);
		if (rc == 0)
			rc = c->run(t, c, &a);
		return rc;
	}
	warnx("there is no command '%s'", v[0]);
	return print_usage(stderr);
}

/* --- what holds for every command --- */

/* Whether the word behind ${word} is its value, whatever that looks like.  An address may begin with any dash. */
static bool
has_value(const char *word)
{
	static const char *const alone[] = { "--dry-run", "--diff", "--print", "--incomplete", "--recalculate" };

	if (strcmp(word, "-o") == 0 || strcmp(word, "-c") == 0)
		return true;
	if (strncmp(word, "--", 2) != 0 || strpbrk(word, "=@") != NULL)
		return false;
	for (size_t i = 0; i < sizeof(alone) / sizeof(alone[0]); i++)
		if (strncmp(alone[i], word, strlen(word)) == 0)
			return false;
	return true;
}

/*
 * Take -d DIR, -h and -V out of the words behind the command; *opt is the last
 * of them that asks for something, '?' where -d lacks its value.  Words of
 * their own alone: "-dx@example.org" is an address.  How many are left.
 */
static int
general(char **v, int n, const char **dir, int *opt)
{
	int left = 0;

	for (int i = 0; i < n; i++) {
		bool value = i > 0 && has_value(v[i - 1]);

		if (!value && strcmp(v[i], "--") == 0) {
			while (i < n)
				v[left++] = v[i++];
		} else if (!value && strcmp(v[i], "-d") == 0) {
			if (i + 1 < n)
				*dir = v[++i];
			else
				*opt = '?';
		} else if (!value && (strcmp(v[i], "-h") == 0 || strcmp(v[i], "--help") == 0)) {
			*opt = 'h';
		} else if (!value && (strcmp(v[i], "-V") == 0 || strcmp(v[i], "--version") == 0)) {
			*opt = 'V';
		} else {
			v[left++] = v[i];
		}
	}
	return left;
}

static int
print_version(void)
{
	puts("letterplate-mailboxes " LETTERPLATE_VERSION);
	return EX_OK;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 } };
	struct tool t = { .rc = { .delimiters = "+", .postmaster = "", .hostname = "localhost" } };
	const char *dir = NULL;
	int opt, n, rc;

	while ((opt = getopt_long(argc, argv, "+d:hV", options, NULL)) != -1) {
		if (opt == 'd')
			dir = optarg;
		else if (opt == 'h')
			return print_usage(stdout);
		else if (opt == 'V')
			return print_version();
		else
			return print_usage(stderr);
	}
	n = general(argv + optind, argc - optind, &dir, &opt);
	if (opt == 'V')
		return print_version();
	if (opt == 'h' || opt == '?')
		return print_usage(opt == 'h' ? stdout : stderr);
	if (n == 0 ||
	    (dir == NULL && strcmp(argv[optind], "quota") != 0 && strcmp(argv[optind], "check") != 0 &&
		strcmp(argv[optind], "import") != 0)) {
		warnx(dir == NULL ? "-d DIR is missing" : "a command is missing");
		return print_usage(stderr);
	}
	rc = run(&t, dir, argv + optind, n);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		warn("cannot write to standard output");
		return rc != 0 ? rc : EX_IOERR;
	}
	return rc;
}
