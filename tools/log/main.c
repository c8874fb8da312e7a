/*
 * letterplate-log: reads the server's log for people.
 * Here is the command line alone.  Manual: letterplate-log(1).
 */
#include <err.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/version.h"
#include "tools/log/explain.h"

static const char usage_text[] =
    "usage: letterplate-log explain [-j] [-u UNIT] ID [FILE]...\n"
    "\n"
    "  ID                 from a reply or a bounce: the word in brackets, or after \"queued as\"\n"
    "  FILE               logs, also rotated and compressed ones; - or none: standard input\n"
    "  -j, --journal      the journal, by journalctl(1); also when standard input is a terminal\n"
    "  -u, --unit UNIT    the unit in the journal (letterplate)\n"
    "  -h, --help         this text\n"
    "  -V, --version      the version\n";

static int
usage(const char *why)
{
	warnx("%s", why);
	fputs("try letterplate-log -h\n", stderr);
	return EX_USAGE;
}

static int
run_explain(const char *id, char **file, int n, const char *unit)
{
	static struct input in;
	int r = EX_OK;

	if (unit == NULL && n == 0)
		r = input_add(&in, "-");
	if (unit != NULL)
		r = input_add_journal(&in, unit);
	for (int i = 0; i < n && r == EX_OK; i++)
		r = input_add(&in, file[i]);
	if (r == EX_OK)
		r = explain_id(&in, id);
	input_close(&in);
	return r;
}

int
main(int argc, char *argv[])
{
	static const struct option longs[] = { { "journal", no_argument, NULL, 'j' },
		{ "unit", required_argument, NULL, 'u' }, { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 } };
	const char *unit = "letterplate";
	bool journal = false;
	int c;

	while ((c = getopt_long(argc, argv, "ju:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			journal = true;
			break;
		case 'u':
			journal = true;
			unit = optarg;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return EX_OK;
		case 'V':
			puts("letterplate-log " LETTERPLATE_VERSION);
			return EX_OK;
		default: /* getopt_long() said what was wrong */
			fputs("try letterplate-log -h\n", stderr);
			return EX_USAGE;
		}
	}
	if (argc - optind < 1 || strcmp(argv[optind], "explain") != 0)
		return usage("which command? there is: explain");
	if (argc - optind < 2)
		return usage(
		    "explain takes an id: the word in brackets at the end of a refusal, or after \"queued as\"");
	/* Nobody types a log. */
	journal = journal || (argc - optind == 2 && isatty(STDIN_FILENO) == 1);
	return run_explain(argv[optind + 1], argv + optind + 2, argc - optind - 2, journal ? unit : NULL);
}
