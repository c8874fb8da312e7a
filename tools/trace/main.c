/*
 * letterplate-trace: shows a server's live sessions as they talk.
 * Here are the command line and the waiting; reach.c has the server's socket,
 * show.c what a record looks like.  Manual: letterplate-trace(1).
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "common/conf.h"
#include "common/facts.h"
#include "common/ipc.h"
#include "common/version.h"
#include "tools/trace/reach.h"
#include "tools/trace/show.h"

enum {
	RECORD_MAX = 65536 /* octets of a record; a server's own have less */
};

static const char usage_text[] =
    "usage: letterplate-trace [-c FILE | -d STATE_DIR] [-j] [-n COUNT] [-s SECONDS]\n"
    "                         [-i NETWORK]... [-r RECIPIENT]... [-l LISTENER]...\n"
    "\n"
    "  -c, --config FILE        the server with this config\n"
    "  -d, --state-dir DIR      the server with this state_dir (/run/letterplate)\n"
    "  -i, --network NET        clients with this address or of this network\n"
    "  -r, --recipient ADDRESS  from where this recipient is named; @DOMAIN: any of the domain\n"
    "  -l, --listener NAME      clients of this listener\n"
    "  -j, --json               a JSON object a line\n"
    "  -n, --count N            end after so many records\n"
    "  -s, --seconds N          end after so many seconds\n"
    "  -h, --help               this text\n"
    "  -V, --version            the version\n";

struct request {
	const char *conf_file, *state_dir;
	struct facts filter;
	unsigned terms;
	bool json;
	uint64_t count, seconds; /* 0: without end */
};

/* EX_OK, or EX_IOERR after a message: what was to be shown could not be. */
static int
written(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EX_OK;
	warn("standard output");
	return EX_IOERR;
}

static _Noreturn void
usage(const char *why)
{
	warnx("%s", why);
	fputs("try letterplate-trace -h\n", stderr);
	exit(EX_USAGE);
}

static uint64_t
number(const char *text, const char *what)
{
	const char *bad = NULL;
	long long n = strtonum(text, 1, 1000000000, &bad);

	if (bad != NULL)
		usage(what);
	return (uint64_t)n;
}

static void
term(struct request *r, const char *key, const char *value)
{
	if (++r->terms > IPC_TRACE_TERMS)
		usage("at most 16 networks, recipients and listeners");
	facts_str(&r->filter, key, value);
}

static void
network(struct request *r, const char *text)
{
	struct conf_net net;
	const char *why = conf_value_net(text, &net);

	if (why != NULL) {
		warnx("%s: %s", text, why);
		exit(EX_USAGE);
	}
	term(r, "network", text);
}

static void
parse(int argc, char **argv, struct request *r)
{
	static const struct option longs[] = { { "config", required_argument, NULL, 'c' },
		{ "state-dir", required_argument, NULL, 'd' }, { "network", required_argument, NULL, 'i' },
		{ "recipient", required_argument, NULL, 'r' }, { "listener", required_argument, NULL, 'l' },
		{ "json", no_argument, NULL, 'j' }, { "count", required_argument, NULL, 'n' },
		{ "seconds", required_argument, NULL, 's' }, { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 } };
	int c;

	facts_begin(&r->filter, "filter");
	while ((c = getopt_long(argc, argv, "c:d:i:r:l:jn:s:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			r->conf_file = optarg;
			break;
		case 'd':
			r->state_dir = optarg;
			break;
		case 'i':
			network(r, optarg);
			break;
		case 'r':
			term(r, "recipient", optarg);
			break;
		case 'l':
			term(r, "listener", optarg);
			break;
		case 'j':
			r->json = true;
			break;
		case 'n':
			r->count = number(optarg, "--count takes a number from 1 on");
			break;
		case 's':
			r->seconds = number(optarg, "--seconds takes a number from 1 on");
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(written());
		case 'V':
			puts("letterplate-trace " LETTERPLATE_VERSION);
			exit(written());
		default: /* getopt_long() said what was wrong */
			fputs("try letterplate-trace -h\n", stderr);
			exit(EX_USAGE);
		}
	}
	facts_end(&r->filter);
	if (optind != argc)
		usage("options alone are taken");
	if (r->conf_file != NULL && r->state_dir != NULL)
		usage("-c or -d, not both");
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* All records that are there.  -1: go on, else the exit status. */
static int
take(int fd, struct request *r, struct show *how)
{
	static char text[RECORD_MAX];

	for (;;) {
		ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
		enum show_was was;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return -1;
		if (n <= 0)
			return EX_IOERR;
		was = show_record(how, text, (size_t)n);
		if (was == SHOW_REFUSED)
			return EX_TEMPFAIL;
		if (was == SHOW_RECORD && r->count > 0 && --r->count == 0)
			return EX_OK;
	}
}

static int
watch(int control, int records, struct request *r)
{
	struct show how = { .json = r->json, .colour = !r->json && isatty(STDOUT_FILENO) == 1 };
	struct pollfd p[] = { { .fd = control, .events = POLLIN }, { .fd = records, .events = POLLIN } };
	int64_t until = r->seconds > 0 ? now_ms() + (int64_t)r->seconds * 1000 : INT64_MAX;
	int code = -1;

	while (code == -1) {
		int64_t left = until == INT64_MAX ? 60000 : until - now_ms();

		if (left <= 0)
			return EX_OK;
		if (poll(p, 2, left < 60000 ? (int)left : 60000) < 0 && errno != EINTR)
			err(EX_OSERR, "poll");
		if (p[1].revents != 0)
			code = take(records, r, &how);
		if (written() != EX_OK)
			return EX_IOERR;
		if (code == -1 && p[0].revents != 0)
			code = reach_end(control);
	}
	if (code == EX_IOERR)
		warnx("the server has gone");
	return code;
}

int
main(int argc, char *argv[])
{
	struct request r = { .state_dir = NULL };
	char *named = NULL;
	int control, records;

	parse(argc, argv, &r);
	if (r.state_dir == NULL && r.conf_file != NULL)
		r.state_dir = named = reach_state_dir(r.conf_file);
	if (r.filter.failed)
		errx(EX_OSERR, "out of memory");
	control = reach_server(r.state_dir != NULL ? r.state_dir : "/run/letterplate");
	free(named);
	records = reach_trace(control, r.filter.text);
	facts_free(&r.filter);
	return watch(control, records, &r);
}
