/*
 * setup: the command line, and the order: fields from flags, defaults or the
 * terminal, each checked; then all is written, or nothing.
 */
#include "master/setup.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char usage_text[] = "usage: letterplate setup [--FLAG VALUE]...\n"
				 "\n"
				 "  --hostname NAME        how others know this machine: mx.example.org\n"
				 "  --domains LIST         whose mail comes here: example.org,example.net\n"
				 "  --postmaster ADDRESS   who gets mail for postmaster; postmaster@ the first domain\n"
				 "  --certificate FILE     certificate and chain in PEM, with --key FILE; or --no-tls\n"
				 "  --listen LIST          0.0.0.0:25,[::]:25; 127.0.0.1:2525 if not root\n"
				 "  --store DIR            where mail is stored: /var/mail/letterplate\n"
				 "  --directory DIR        the mailbox directory: /var/lib/letterplate\n"
				 "  --state-dir DIR        counters and control socket: /run/letterplate\n"
				 "  --user NAME            what workers run as: letterplate\n"
				 "  -c, --config FILE      what is written: /etc/letterplate/letterplate.conf\n"
				 "  --under DIR            all of these in one folder; ~/letterplate if not root\n"
				 "  --force                take the place of a config that is there\n"
				 "  --yes                  ask nothing, though this is a terminal\n"
				 "\n"
				 "On a terminal it asks for what no flag says.\n"
				 "exit status: 0 done, 64 wrong usage or a flag is missing, 65 a value is wrong, 66 a "
				 "file cannot be read, or no answer,\n"
				 "67 there is no such user, 73 the config is there already, or a file or folder cannot "
				 "be made, 78 it would not pass -t\n";

enum { OPT_NO_TLS = SETUP_FIELDS, OPT_UNDER, OPT_FORCE, OPT_YES, OPT_HELP };

static int
usage(FILE *to)
{
	fputs(usage_text, to);
	return to == stdout ? EX_OK : EX_USAGE;
}

/* -1: go on; else the exit status. */
static int
parse(int argc, char **argv, struct setup *s)
{
	struct option longs[OPT_HELP + 2] = { [OPT_NO_TLS] = { "no-tls", no_argument, NULL, OPT_NO_TLS },
		[OPT_UNDER] = { "under", required_argument, NULL, OPT_UNDER },
		[OPT_FORCE] = { "force", no_argument, NULL, OPT_FORCE },
		[OPT_YES] = { "yes", no_argument, NULL, OPT_YES },
		[OPT_HELP] = { "help", no_argument, NULL, OPT_HELP } };
	int c;

	for (int f = 0; f < SETUP_FIELDS; f++)
		longs[f] = (struct option){ setup_flag((enum setup_field)f), required_argument, NULL, f };
	optind = 0;
	while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
		if (c == 'h' || c == OPT_HELP)
			return usage(stdout);
		else if (c == OPT_NO_TLS)
			s->no_tls = true;
		else if (c == OPT_FORCE)
			s->force = true;
		else if (c == OPT_YES)
			s->yes = true;
		else if (c == OPT_UNDER)
			s->under = strdup(optarg);
		else if (c == 'c')
			s->value[SETUP_CONFIG] = strdup(optarg);
		else if (c >= 0 && c < SETUP_FIELDS)
			s->value[c] = strdup(optarg);
		else
			return usage(stderr);
	}
	if (optind != argc)
		return usage(stderr);
	if (s->no_tls && (s->value[SETUP_CERTIFICATE] != NULL || s->value[SETUP_KEY] != NULL)) {
		fputs("letterplate setup: --no-tls or --certificate, not both\n", stderr);
		return EX_USAGE;
	}
	return -1;
}

/* Where all of it stands, if not in the system's folders: an absolute path. */
static int
find_under(struct setup *s)
{
	const char *home = getenv("HOME") != NULL ? getenv("HOME") : "";
	char *cwd, *path = NULL;

	if (s->under == NULL && s->root)
		return 0;
	if (s->under != NULL && *s->under == '/')
		return 0;
	cwd = getcwd(NULL, 0);
	if ((s->under != NULL ? asprintf(&path, "%s/%s", cwd != NULL ? cwd : "", s->under)
			      : asprintf(&path, "%s/letterplate", home)) == -1)
		path = NULL;
	free(cwd);
	free(s->under);
	s->under = path;
	return path != NULL ? 0 : EX_OSERR;
}

/* A config that is there is found before anything is asked. */
static int
find_config(struct setup *s)
{
	char *cwd, *path;

	if (s->value[SETUP_CONFIG] == NULL)
		s->value[SETUP_CONFIG] = setup_default(s, SETUP_CONFIG);
	if (s->value[SETUP_CONFIG] != NULL && s->value[SETUP_CONFIG][0] != '/') {
		cwd = getcwd(NULL, 0);
		if (cwd == NULL || asprintf(&path, "%s/%s", cwd, s->value[SETUP_CONFIG]) == -1)
			path = NULL;
		free(cwd);
		free(s->value[SETUP_CONFIG]);
		s->value[SETUP_CONFIG] = path;
	}
	if (s->value[SETUP_CONFIG] == NULL)
		return EX_OSERR;
	if (!s->force && access(s->value[SETUP_CONFIG], F_OK) == 0) {
		fprintf(stderr, "letterplate setup: %s is there already; edit it, or say --force to write it anew\n",
		    s->value[SETUP_CONFIG]);
		return EX_CANTCREAT;
	}
	return 0;
}

/* What no flag says has its default, or must be said.  All that is missing is told at once. */
static int
take_defaults(struct setup *s)
{
	int rc = 0;

	for (int f = 0; f < SETUP_FIELDS; f++) {
		if (s->value[f] == NULL)
			s->value[f] = setup_default(s, (enum setup_field)f);
		if (s->value[f] != NULL)
			continue;
		if (rc == 0)
			fputs("letterplate setup: nobody to ask here, and these flags are missing:", stderr);
		fprintf(stderr, " --%s", setup_flag((enum setup_field)f));
		if (f == SETUP_CERTIFICATE)
			fputs(" (or --no-tls)", stderr);
		rc = EX_USAGE;
		s->value[f] = strdup("");
	}
	if (rc != 0)
		fputc('\n', stderr);
	return rc;
}

static int
check_all(const struct setup *s)
{
	char why[SETUP_WHY_MAX];
	int rc;

	for (int f = 0; f < SETUP_FIELDS; f++) {
		rc = setup_check(s, (enum setup_field)f, why);
		if (rc != 0)
			fprintf(stderr, "letterplate setup: %s--%s: %s\n", rc == 1 ? "warning: " : "",
			    setup_flag((enum setup_field)f), why);
		if (rc > 1)
			return rc;
	}
	return 0;
}

int
setup_main(int argc, char **argv)
{
	struct setup s = { .root = geteuid() == 0 };
	int rc = parse(argc, argv, &s);

	if (rc == -1 && (rc = find_under(&s)) == 0 && (rc = find_config(&s)) == 0)
		rc = !s.yes && isatty(STDIN_FILENO) ? setup_ask(&s) : take_defaults(&s);
	else
		goto out;
	if (rc == 0 && (rc = check_all(&s)) == 0)
		rc = setup_write(&s);
out:
	for (int f = 0; f < SETUP_FIELDS; f++)
		free(s.value[f]);
	free(s.under);
	return rc;
}
