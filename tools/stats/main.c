/*
 * letterplate-stats: looks at the counters of a server, also of one that is
 * down or hung.  Asks the server nothing: it reads the segment, and no more.
 */
#include <err.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/version.h"
#include "tools/stats/show.h"

enum form { FORM_TABLE, FORM_JSON, FORM_PROMETHEUS };

struct options {
	const char *path;
	enum form form;
	bool watch;
	unsigned interval_ms;
};

static const char usage_text[] = "usage: letterplate-stats -s FILE [--json | --prometheus] [--watch [SECONDS]]\n"
				 "       letterplate-stats serve -s FILE [--listen ADDRESS:PORT]\n"
				 "\n"
				 "  -s FILE             the stats segment: state_dir/stats, or its folder\n"
				 "      --json          one JSON object\n"
				 "      --prometheus    Prometheus text format\n"
				 "      --watch [SECONDS]  again each SECONDS (1), with rates; q ends it\n"
				 "  -h, --help          this text\n"
				 "  -V, --version       the version\n";

void
show_error(const char *line)
{
	fflush(stdout);
	fprintf(stderr, "letterplate-stats: %s\n", line);
}

static _Noreturn void
usage(const char *why)
{
	show_error(why);
	fputs("try letterplate-stats -h\n", stderr);
	exit(EX_USAGE);
}

static unsigned
interval(const char *text)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end != '\0' || !isfinite(s) || s < 0.1 || s > 86400)
		usage("--watch takes seconds from 0.1 to 86400");
	return (unsigned)(s * 1000);
}

static void
set_form(struct options *o, enum form form)
{
	if (o->form != FORM_TABLE && o->form != form)
		usage("--json and --prometheus exclude each other");
	o->form = form;
}

/* --watch SECONDS: the number is an operand to getopt, wherever it stands. */
static void
operands(struct options *o, int argc, char *argv[])
{
	if (o->watch && o->interval_ms == 0 && argc == 1)
		o->interval_ms = interval(argv[0]);
	else if (argc > 0)
		usage("an operand too many");
	if (o->watch && o->interval_ms == 0)
		o->interval_ms = 1000;
	if (o->path == NULL)
		usage("-s FILE is missing: the segment stands in state_dir, as in -s /run/letterplate/stats");
	if (o->watch && o->form == FORM_PROMETHEUS)
		usage("--watch goes with the table or with --json");
}

static void
parse(struct options *o, int argc, char *argv[])
{
	enum { OPT_JSON = 256, OPT_PROMETHEUS, OPT_WATCH };
	static const struct option longs[] = {
		{ "json", no_argument, NULL, OPT_JSON },
		{ "prometheus", no_argument, NULL, OPT_PROMETHEUS },
		{ "watch", optional_argument, NULL, OPT_WATCH },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "s:hV", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			o->path = optarg;
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(EX_OK);
		case 'V':
			puts("letterplate-stats " LETTERPLATE_VERSION);
			exit(EX_OK);
		case OPT_JSON:
			set_form(o, FORM_JSON);
			break;
		case OPT_PROMETHEUS:
			set_form(o, FORM_PROMETHEUS);
			break;
		case OPT_WATCH:
			o->watch = true;
			o->interval_ms = optarg != NULL ? interval(optarg) : 0;
			break;
		default: /* getopt_long() said what was wrong */
			fputs("try letterplate-stats -h\n", stderr);
			exit(EX_USAGE);
		}
	}
	operands(o, argc - optind, argv + optind);
}

static int
show_once(const struct options *o)
{
	char error[SHOW_ERROR_MAX];
	struct sample s;
	int code = sample_take(o->path, &s, error);

	if (code != 0) {
		show_error(error);
		return code;
	}
	switch (o->form) {
	case FORM_TABLE:
		table_print(stdout, &s, NULL, isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == NULL);
		break;
	case FORM_JSON:
		if (json_print(stdout, &s, false) != 0)
			code = EX_OSERR;
		break;
	case FORM_PROMETHEUS:
		prometheus_print(stdout, &s);
		break;
	}
	sample_free(&s);
	if (fflush(stdout) != 0 || ferror(stdout) != 0) {
		warn("standard output");
		return EX_IOERR;
	}
	return code;
}

int
main(int argc, char *argv[])
{
	struct options o = { .form = FORM_TABLE };

	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		return serve_main(argc - 1, argv + 1);
	parse(&o, argc, argv);
	if (o.watch)
		return watch_run(o.path, o.interval_ms, o.form == FORM_JSON);
	return show_once(&o);
}
