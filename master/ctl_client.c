/*
 * ctl_client: finds the socket by -c or -d, asks, waits for the end of the
 * answer, and turns it into an exit status.  Reads no secret and trusts the
 * answer no further than its form.
 */
#include "master/ctl_client.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "common/conf.h"
#include "common/ipc.h"
#include "master/ctl.h"
#include "master/master.h"

enum { TIMEOUT_S = 120 };

static const char usage_text[] =
    "usage: letterplate ctl [-c FILE | -d STATE_DIR] [--timeout SECONDS] COMMAND\n"
    "\n"
    "  status [--json]   what runs, since when, with which config\n"
    "  reload            take the config, certificates and programs anew; wait for the outcome\n"
    "  upgrade           replace the running server by the program on disk; wait for the outcome\n"
    "  drain             take no new sessions, let all others end in their own time, then end\n"
    "  stop [--now]      the same, but send idle sessions away; --now: kill what is left\n"
    "  loglevel LEVEL    error, warn, info or debug, until the next reload\n"
    "\n"
    "exit status: 0 done, 64 wrong usage, 69 no server runs there, 74 no answer in time,\n"
    "75 refused and all stays as it was (status: no worker serves), 76 the server knows no such command,\n"
    "77 not permitted, 78 the config given by -c cannot be read or names no state_dir\n";

struct request {
	const char *conf_file, *state_dir, *command, *level;
	bool json, now;
	unsigned timeout_s;
};

static _Noreturn void
usage(const char *why)
{
	if (why != NULL)
		fprintf(stderr, "letterplate ctl: %s\n", why);
	fputs(usage_text, why != NULL ? stderr : stdout);
	exit(why != NULL ? EX_USAGE : fflush(stdout) == 0 ? EX_OK : EX_IOERR);
}

static void
parse_options(int argc, char **argv, struct request *r)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "now", no_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, 't' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
	const char *bad = NULL;
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "c:d:h", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			r->conf_file = optarg;
			break;
		case 'd':
			r->state_dir = optarg;
			break;
		case 'j':
			r->json = true;
			break;
		case 'n':
			r->now = true;
			break;
		case 't':
			r->timeout_s = (unsigned)strtonum(optarg, 1, 86400, &bad);
			if (bad != NULL)
				usage("--timeout takes seconds, 1 to 86400");
			break;
		case 'h':
			usage(NULL);
		default:
			usage("unknown option");
		}
	}
}

static void
parse(int argc, char **argv, struct request *r)
{
	static const char *const plain[] = { "status", "reload", "upgrade", "drain", "stop" };
	bool known = false;

	parse_options(argc, argv, r);
	argc -= optind;
	argv += optind;
	if (argc == 0)
		usage("a command is missing");
	r->command = argv[0];
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		known |= strcmp(r->command, plain[i]) == 0;
	if (strcmp(r->command, "loglevel") == 0) {
		if (argc != 2)
			usage("loglevel takes one level");
		r->level = argv[1];
	} else if (!known) {
		usage("no such command");
	} else if (argc != 1) {
		usage("too many arguments");
	}
	if ((r->json && strcmp(r->command, "status") != 0) || (r->now && strcmp(r->command, "stop") != 0))
		usage("this option does not belong to this command");
	if (r->conf_file != NULL && r->state_dir != NULL)
		usage("-c or -d, not both");
}

/* --- the socket --- */

static void
report(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s\n", line);
}

/* The config's state_dir, which is all that is needed of it: a mistake elsewhere is the server's to refuse, to say and to count. */
static char *
state_dir_of(const char *file)
{
	char *dir, *text;
	size_t n;

	if (conf_read(file, &text, &n) != 0) {
		fprintf(stderr, "letterplate ctl: %s: %s\n", file, strerror(errno));
		exit(EX_CONFIG);
	}
	dir = conf_state_dir(file, text, n, report, NULL);
	free(text);
	if (dir == NULL) {
		fprintf(stderr,
		    "letterplate ctl: the config does not tell its state_dir; -d STATE_DIR reaches the server without "
		    "it\n");
		exit(EX_CONFIG);
	}
	return dir;
}

/* A connection, or the exit status for there being none. */
static int
reach(const char *dir)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int d = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof sun.sun_path, "/proc/self/fd/%d/" IPC_CTL_SOCKET, d);
	if (d < 0 || fd < 0 || connect(fd, (const struct sockaddr *)&sun, sizeof sun) != 0) {
		int code = errno == EACCES || errno == EPERM ? EX_NOPERM : EX_UNAVAILABLE;

		fprintf(
		    stderr, "letterplate ctl: no server answers at %s/" IPC_CTL_SOCKET ": %s\n", dir, strerror(errno));
		exit(code);
	}
	close(d);
	return fd;
}

static void
ask(int fd, const struct request *r)
{
	struct facts f = { .text = NULL };

	facts_begin(&f, r->command);
	facts_str(&f, "level", r->level);
	if (r->now)
		facts_bool(&f, "now", true);
	facts_end(&f);
	/* What fails here shows as an answer that does not come. */
	if (!f.failed)
		(void)send(fd, f.text, f.n, MSG_NOSIGNAL);
	facts_free(&f);
}

/* The whole answer, or NULL after a line about it. */
static char *
take(int fd, unsigned timeout_s)
{
	int64_t until = master_now_ms() + (int64_t)timeout_s * 1000, left;
	char *text = malloc(FACTS_MAX + 1);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;
	ssize_t got = 1;

	while (text != NULL && got > 0 && (left = until - master_now_ms()) > 0) {
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		got = recv(fd, text + n, FACTS_MAX - n, 0);
		n += got > 0 ? (size_t)got : 0;
	}
	if (text == NULL || got > 0) {
		fprintf(stderr, "letterplate ctl: %s\n", text == NULL ? strerror(errno) : "no answer in time");
		free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}

/* The exit status that the answer says.  Notes and the text of a refusal go to standard error. */
static int
conclude(char *text)
{
	struct fact line;
	int code = -1;

	while (facts_next(&text, &line) == 1) {
		const char *said = facts_get(&line, "text");

		if (strcmp(line.kind, "end") == 0)
			code = (int)facts_num(&line, "code", 0, 255, EX_PROTOCOL);
		else if (strcmp(line.kind, "note") != 0)
			continue;
		if (said != NULL)
			fprintf(stderr, "%s%s\n", strcmp(line.kind, "end") == 0 ? "letterplate ctl: " : "", said);
	}
	if (code == -1)
		fputs("letterplate ctl: the server has gone without an answer\n", stderr);
	return code == -1 ? EX_IOERR : code;
}

int
ctl_main(int argc, char **argv)
{
	struct request r = { .timeout_s = TIMEOUT_S };
	char *answer, *copy, *named = NULL;
	int fd, code;

	parse(argc, argv, &r);
	if (r.state_dir == NULL && r.conf_file != NULL)
		r.state_dir = named = state_dir_of(r.conf_file);
	fd = reach(r.state_dir != NULL ? r.state_dir : "/run/letterplate");
	free(named);
	ask(fd, &r);
	answer = take(fd, r.timeout_s);
	close(fd);
	if (answer == NULL)
		return EX_IOERR;
	copy = strdup(answer);
	code = copy != NULL ? conclude(copy) : EX_OSERR;
	if ((code == EX_OK || code == EX_TEMPFAIL) && strcmp(r.command, "status") == 0)
		code = (r.json ? ctl_show_json(answer) : ctl_show_screen(answer)) == 0 ? code : EX_PROTOCOL;
	free(copy);
	free(answer);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "letterplate ctl: standard output: %s\n", strerror(errno));
		return code != EX_OK ? code : EX_IOERR;
	}
	return code;
}
