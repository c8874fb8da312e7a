/*
 * main: letterplate-reports, which sends the reports that senders asked for (RFC 3461).
 * The one process that connects to anybody, and only to dsn_relay.  The master
 * starts one a generation; of two, the one that has the spool's lock sends.  It
 * may be killed at any moment: a record goes when what it asks for is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/child.h"
#include "common/log.h"
#include "reports/deliver.h"
#include "worker/sandbox.h"

enum {
	FDS = 320,        /* descriptors: the store's mailboxes, and a few */
	FSIZE = 64 << 20, /* octets of a report */
	POLL_MAX_MS = 30000
};

static struct conf *conf;
static struct deliver deliver;

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The counters' slot, which is this process's alone; the others are out of reach afterwards. */
static void
open_shared(uint64_t generation)
{
	int err;

	deliver.stats = stats_slot_map(IPC_REPORTS_FD_STATS, STATS_SLOT_REPORTS, generation);
	err = errno;
	close(IPC_REPORTS_FD_STATS);
	if (deliver.stats == NULL) {
		log_msg(LOG_L_ERROR, "start", "cannot map the shared counters: %s", strerror(err));
		child_fail(err == EPROTONOSUPPORT ? EX_PROTOCOL : EX_OSERR);
	}
}

/* Told when a record comes; without it the folder is looked at now and then.  -1: it cannot be watched. */
static int
watch(void)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[4096];

	snprintf(path, sizeof(path), "%s/" REPORT_SPOOL "/new", conf->store.path);
	if (fd != -1 && inotify_add_watch(fd, path, IN_MOVED_TO) == -1) {
		close(fd);
		fd = -1;
	}
	if (fd == -1)
		log_msg(LOG_L_WARN, "start", "cannot watch %s: %s; reports wait up to %d s", path, strerror(errno),
		    DELIVER_SCAN_MS / 1000);
	return fd;
}

static int
confine(void)
{
	struct sandbox sb = { .user = conf->user,
		.store_path = conf->store.path,
		.directory = conf->directory,
		.fsize_max = FSIZE,
		.nofile = FDS,
		.master = getppid() };
	unsigned level;
	int fd;

	for (unsigned i = 0; i < deliver.where.n; i++)
		(void)sandbox_out_add(&sb.out, (const struct sockaddr *)&deliver.where.ss[i], SOCK_STREAM);
	if (sandbox_drop(&sb, &level) != 0)
		child_fail(EX_NOPERM);
	if (deliver_init(&deliver) != 0)
		child_fail(EX_CANTCREAT);
	fd = watch();
	if (log_thread_start() != 0) {
		log_msg(LOG_L_ERROR, "start", "cannot start threads: %s", strerror(errno));
		child_fail(EX_OSERR);
	}
	if (sandbox_close_reports(&sb, &level) != 0)
		child_fail(EX_NOPERM);
	log_msg(LOG_L_INFO, "ready", "%u addresses of %s, sandbox level %u", deliver.where.n,
	    conf->dsn_relay[0] != '\0' ? conf->dsn_relay : "no relay", level);
	return fd;
}

/* The master's word.  False: it says stop, or is gone. */
static bool
go_on(void)
{
	struct ipc_msg m;
	int got;

	while ((got = child_hear(&m)) > 0)
		if (child_ends(&m))
			return false;
	return got == 0;
}

static void
drain_events(int fd)
{
	char events[4096];

	while (read(fd, events, sizeof(events)) > 0)
		deliver.changed = true;
}

/* One wait, and what came of it. */
static void
turn(int watch_fd)
{
	struct pollfd p[4] = { { .fd = IPC_FD_CONTROL, .events = POLLIN }, { .fd = watch_fd, .events = POLLIN },
		{ .fd = local_fd(deliver.local), .events = POLLIN } };
	bool relay = relay_poll(&deliver.relay, &p[3]);
	int64_t now = now_ms(), due = deliver_due_ms(&deliver, now);
	int64_t wait = due > now ? due - now : 0;

	if (poll(p, relay ? 4 : 3, wait < POLL_MAX_MS ? (int)wait : POLL_MAX_MS) < 0 && errno != EINTR) {
		log_msg(LOG_L_ERROR, "poll", "%s", strerror(errno));
		exit(EX_OSERR);
	}
	if (watch_fd != -1 && p[1].revents != 0)
		drain_events(watch_fd);
	if (p[2].revents != 0)
		local_turn(deliver.local);
	now = now_ms();
	if (relay || relay_deadline_ms(&deliver.relay) <= now)
		relay_turn(&deliver.relay, relay ? p[3].revents : 0, now);
	deliver_turn(&deliver, now);
}

int
main(int argc, char **argv, char **envp)
{
	struct child me = { .who = "reports" };
	const char *why;
	int64_t began;
	int fd;

	child_begin(&me, argc, argv, envp);
	signal(SIGXFSZ, SIG_IGN);
	conf = child_conf("reports", argv[2]);
	open_shared(me.generation);
	deliver.conf = conf;
	lookup(conf->dsn_relay, conf->user, &deliver.where);
	if (relay_tls_init(&why) != 0) {
		log_msg(LOG_L_ERROR, "start", "OpenSSL cannot be made ready: %s", why);
		child_fail(EX_SOFTWARE);
	}
	fd = confine();
	(void)ipc_send(IPC_FD_CONTROL, IPC_READY, 0);
	began = now_ms();
	while (go_on()) {
		turn(fd);
		/* The successor looks the relay up; it is the master who starts it. */
		if (deliver_stale(&deliver, now_ms(), now_ms() - began))
			break;
	}
	log_flush(1000);
	return EX_OK;
}
