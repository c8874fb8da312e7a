/*
 * main: argv, the order of the start, exit codes of sysexits(3).
 * Until the first workers run, mistakes are told in plain lines on standard
 * error, for whoever typed the command; afterwards all goes through the log.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "common/conns.h"
#include "common/ipc.h"
#include "common/log.h"
#include "common/version.h"
#include "master/caps.h"
#include "master/control.h"
#include "master/ctl_client.h"
#include "master/generation.h"
#include "master/lock.h"
#include "master/logs.h"
#include "master/notify.h"
#include "master/passed.h"
#include "master/process.h"
#include "master/segment.h"
#include "master/setup.h"
#include "master/upgrade.h"
#include "master/watch.h"

static void fail(int code, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));

static void
fail(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("letterplate: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(code);
}

/* --- argv --- */

static const char usage_text[] = "usage: letterplate -c FILE       serve, in the foreground\n"
				 "       letterplate -t -c FILE    check FILE and all that it names\n"
				 "       letterplate ctl COMMAND   talk to the server that runs: letterplate ctl -h\n"
				 "       letterplate setup         write a first config: letterplate setup -h\n"
				 "       letterplate -V | -h       say the version | this\n";

struct args {
	const char *file;
	bool test;
};

static struct args
parse_args(int argc, char **argv)
{
	struct args a = { NULL, false };
	int c;

	while ((c = getopt(argc, argv, "c:tVh")) != -1) {
		switch (c) {
		case 'c':
			a.file = optarg;
			break;
		case 't':
			a.test = true;
			break;
		case 'V':
			puts("letterplate " LETTERPLATE_VERSION);
			exit(EX_OK);
		case 'h':
			fputs(usage_text, stdout);
			exit(EX_OK);
		default:
			fputs(usage_text, stderr);
			exit(EX_USAGE);
		}
	}
	if (a.file == NULL || optind != argc) {
		fputs(usage_text, stderr);
		exit(EX_USAGE);
	}
	return a;
}

/* --- what the process needs before anything else --- */

/* A descriptor below 3 that is closed would be given to the next file opened, and written to as if it were the log. */
static void
open_standard(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd < 3);
	if (fd > 2)
		close(fd);
}

/* Sessions are descriptors: all that the hard limit allows, for us and, by inheritance, for the workers. */
static void
raise_nofile(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

/* --- config --- */

static void
report(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s\n", line);
}

static struct conf *
read_conf(const struct args *a, char **text, size_t *n)
{
	struct conf *cf;

	if (conf_read(a->file, text, n) != 0)
		fail(EX_CONFIG, "%s: the config cannot be read: %s", a->file, strerror(errno));
	if (conf_parse(a->file, *text, *n, report, NULL, &cf) != 0 || conf_check(cf, report, NULL) != 0)
		exit(EX_CONFIG);
	return cf;
}

/* --- shared things --- */

static void
make_shared(struct master *m, const char *dir)
{
	if (segment_create(m) != 0)
		fail(EX_CANTCREAT, "cannot create \"%s/" STATS_FILE "\": %s", dir, strerror(errno));
	m->conns_fd = conns_create();
	if (ctl_open(m) != 0)
		fail(EX_CANTCREAT, "cannot create \"%s/" IPC_CTL_SOCKET "\": %s", dir, strerror(errno));
	if (m->conns_fd < 0)
		fail(EX_OSERR, "cannot make shared memory: %s", strerror(errno));
}

static void
init(struct master *m, const char *file)
{
	m->file = file;
	m->tickets_fd = m->budget_fd = m->lock_fd = -1;
	LIST_INIT(&m->helper);
	LIST_INIT(&m->generation);
	LIST_INIT(&m->segments);
	upgrade_init(&m->upgrade);
	for (unsigned i = 0; i < MASTER_SLOTS; i++)
		m->slot[i].control = -1;
	listen_init(&m->listen);
	ctl_init(&m->ctl);
	watch_init(&m->watch);
	id_init();
	m->since = time(NULL);
	(void)process_self();
	m->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	m->signal_fd = control_signals();
	if (m->null < 0 || m->signal_fd < 0)
		fail(EX_OSERR, "cannot start: %s", strerror(errno));
}

/* To the end: the exit status. */
static int
serve(struct master *m)
{
	int code = control_run(m);

	if (m->serving != NULL)
		generation_end(m);
	segment_due(m, true);
	/* Whoever looks at the counters now sees that it was stopped, and did not die. */
	stats_slot_release(m->stats);
	return code;
}

/* The descriptor that a predecessor named, or -1. */
static int
inherited(const char *name)
{
	const char *text = getenv(name), *bad = NULL;
	int fd = text != NULL ? (int)strtonum(text, 3, INT_MAX, &bad) : -1;

	if (text != NULL && bad != NULL)
		fail(EX_USAGE, "%s is for an upgrade alone", name);
	unsetenv(name);
	return fd;
}

/* If this process is a server already, or rehearses to be it, go on as that. */
static void
resume_if_told(struct master *m, const char *file)
{
	int state = inherited(UPGRADE_STATE), rehearsal = inherited(UPGRADE_REHEARSAL);
	char why[LISTEN_WHY_MAX];

	if (state < 0)
		return;
	/* Started by descriptor, it would be called by a number (execveat(2)). */
	prctl(PR_SET_NAME, "letterplate");
	log_init("master", -1, false, LOG_L_INFO);
	init(m, file);
	if (rehearsal >= 0)
		upgrade_rehearse(m, state, rehearsal);
	if (upgrade_resume(m, state, why, sizeof why) != 0)
		fail(EX_SOFTWARE, "the upgrade fails: %s", why);
	lock_resume(m);
	if (caps_drop(m->serving->conf) != 0)
		fail(EX_OSERR, "cannot drop capabilities: %s", strerror(errno));
	upgrade_proceed(m);
	exit(serve(m));
}

int
main(int argc, char **argv)
{
	static struct master m;
	struct args a;
	char why[LISTEN_WHY_MAX], *text;
	struct conf *cf;
	size_t n;
	int code;

	open_standard();
	/* Files get the modes that the pages say, whoever starts us.  Workers have 077 (process.c). */
	umask(022);
	if (argc > 1 && strcmp(argv[1], "ctl") == 0)
		return ctl_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "setup") == 0)
		return setup_main(argc - 1, argv + 1);
	a = parse_args(argc, argv);
	if (!a.test)
		control_hold();
	resume_if_told(&m, a.file);
	cf = read_conf(&a, &text, &n);
	if (a.test) {
		conf_check_later(cf, report, NULL);
		printf("%s: ok\n", a.file);
		conf_free(cf);
		free(text);
		return EX_OK;
	}
	log_init("master", -1, cf->log.format == CONF_LOG_JSON, (enum log_level)cf->log.level);
	notify_init();
	raise_nofile();
	init(&m, a.file);
	code = passed_take(&m.listen, why);
	if (code != 0)
		fail(code, "%s", why);
	/* First: who is refused for it leaves nothing behind, no socket's file either. */
	code = lock_take(&m, cf->state_dir, MASTER_BIND_MS, why);
	if (code != 0)
		fail(code, "%s", why);
	code = generation_prepare(&m, cf, text, n, MASTER_BIND_MS, why);
	if (code != 0)
		fail(code, "%s", why);
	logs_use(m.starting);
	make_shared(&m, cf->state_dir);
	log_msg(LOG_L_INFO, "start", "letterplate " LETTERPLATE_VERSION " with %s", a.file);
	if (caps_drop(cf) != 0)
		fail(EX_OSERR, "cannot drop capabilities: %s", strerror(errno));
	code = generation_launch(&m, why);
	if (code != 0)
		fail(code, "%s", why);
	free(text);
	return serve(&m);
}
