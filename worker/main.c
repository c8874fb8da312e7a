/*
 * main: a worker's start, in the only order that is safe, and its end.
 * What it inherits stands in common/ipc.h; docs/SECURITY.md argues the order.
 */
#include <sys/prctl.h>
#include <sys/resource.h>

#include <bsd/stdlib.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/child.h"
#include "common/id.h"
#include "common/log.h"
#include "common/report.h"
#include "worker/accept.h"
#include "worker/asks.h"
#include "worker/bound.h"
#include "worker/drain.h"
#include "worker/dsn.h"
#include "worker/handlers/credentials.h"
#include "worker/handlers/limits.h"
#include "worker/handlers/recipients.h"
#include "worker/hooks.h"
#include "worker/net/dns.h"
#include "worker/plugin.h"
#include "worker/pretend.h"
#include "worker/room.h"
#include "worker/sandbox.h"
#include "worker/session.h"
#include "worker/setup.h"
#include "worker/store/filesystem.h"
#include "worker/store/place.h"
#include "worker/tap.h"

enum {
	MAIN_POOL_QUEUE = 4096, /* jobs that may wait for the I/O pool */
	MAIN_HEAP_KEPT =
	    8 << 20, /* octets that free() keeps: to give a chunk back and fault it in anew cost 4 % of a message */
	MAIN_DAY_S = 86400,
	/* between looks at the directory, the store's place and the beat; a timer may be late by two grains, and all is seen within a second */
	MAIN_TICK_MS = 500,
	MAIN_FSIZE_MORE =
	    (64 << 10) + 2 * EDIT_ROOM /* octets a stored file may be larger than a message: trace lines, edits */
};

struct main_args {
	const char *conf_file;
	unsigned slot;
	uint64_t generation;
	unsigned nlisten;
};

static struct {
	struct worker w;
	struct main_args args;
	struct conf *conf;
	struct iopool *pool;
	struct loop_src pool_src;
	void *auth;             /* of handlers/credentials.h; NULL: AUTH is not offered */
	struct iopool *modules; /* threads that modules may block in; NULL: there are none */
	struct loop_src modules_src;
	struct loop_timer tick;
	struct limits limits;
	struct store_env env;
	struct sandbox sandbox;
	unsigned level;   /* of the sandbox */
	bool pretends;    /* one session, nobody's: pretend.h */
	uint64_t dropped; /* log lines, counted so far */
	char boot[40];    /* the kernel's id of this boot, "" where it cannot be read */
} me;

/* Cannot start: the reason was logged.  The master learns the code. */
static _Noreturn void
main_fail(int code)
{
	drain_tell(IPC_FAILED, (uint32_t)code);
	log_flush(1000);
	exit(code);
}

static int
main_args(int argc, char **argv, struct main_args *a)
{
	const char *e[3] = { NULL, NULL, NULL };

	if (argc != 6)
		return -1;
	a->conf_file = argv[2];
	a->slot = (unsigned)strtonum(argv[3], 1, STATS_SLOT_REPORTS - 1, &e[0]);
	a->generation = (uint64_t)strtonum(argv[4], 0, INT64_MAX, &e[1]);
	a->nlisten = (unsigned)strtonum(argv[5], 1, CONF_ADDRESSES_MAX, &e[2]);
	return e[0] == NULL && e[1] == NULL && e[2] == NULL ? 0 : -1;
}

/* The config as the master read it, from its memfd. */
static void
main_conf(void)
{
	int code = child_read(me.args.conf_file, &me.conf);

	if (code != EX_OK)
		main_fail(code);
	me.w.conf = me.conf;
	/* One that pretends logs to its own standard error, where the one who asks reads. */
	child_log(me.conf, "worker", (int)me.args.slot, !me.pretends);
}

/* The shared memory: our own slot and table; the whole files are out of reach afterwards. */
static void
main_shared(void)
{
	int err;

	me.w.stats = stats_slot_map(IPC_FD_STATS, me.args.slot, me.args.generation);
	err = errno;
	me.w.conns = conns_map(IPC_FD_CONNS, me.args.slot);
	if (me.w.stats != NULL)
		err = errno;
	close(IPC_FD_STATS);
	close(IPC_FD_CONNS);
	if (me.w.stats == NULL || me.w.conns == NULL) {
		log_msg(LOG_L_ERROR, "start", "cannot map the shared counters: %s", strerror(err));
		/* The master's build is another: it may have programs that fit. */
		main_fail(err == EPROTONOSUPPORT ? EX_PROTOCOL : EX_OSERR);
	}
}

/* Certificates and ticket keys; the private keys are elsewhere. */
static void
main_tls(void)
{
	if (!conf_offers_tls(me.conf)) {
		close(IPC_FD_SIGN);
		close(IPC_FD_CERTS);
		close(IPC_FD_TICKETS);
	} else if (tls_open(me.w.loop, me.conf, IPC_FD_SIGN, IPC_FD_CERTS, IPC_FD_TICKETS) != 0) {
		main_fail(EX_CONFIG);
	}
}

/* TERM is read by signalfd; INT is the terminal's word to the master; a broken pipe or a size limit is an error code. */
static void
main_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
}

static void
main_sessions_max(void)
{
	rlim_t fixed = WORKER_FDS_FIXED + WORKER_LINGER_MAX + setup_descriptors(me.conf);
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_cur < fixed + WORKER_SESSIONS_MIN) {
		/* A small limit is shared out: half for sessions. */
		me.w.sessions_max =
		    rl.rlim_cur > 2 * WORKER_SESSIONS_MIN ? (uint32_t)rl.rlim_cur / 2 : WORKER_SESSIONS_MIN;
		me.w.lingering_max = me.w.sessions_max / 4;
		return;
	}
	me.w.sessions_max = (uint32_t)(rl.rlim_cur - fixed) / WORKER_SPOOL_SHARE * (WORKER_SPOOL_SHARE - 1);
	me.w.lingering_max = WORKER_LINGER_MAX;
}

/* More than all of us can have is a limit that nobody will ever meet: sessions end at another one. */
static void
main_sessions_enough(void)
{
	uint64_t all = (uint64_t)me.w.sessions_max * me.conf->workers;

	if (me.conf->limits.connections > all)
		log_msg(LOG_L_WARN, "start",
		    "connections = %u in limits, but the descriptors of %u workers are enough for %llu sessions: raise "
		    "LimitNOFILE= of the unit, or ulimit -n",
		    me.conf->limits.connections, me.conf->workers, (unsigned long long)all);
}

/* A message or a part of the journal, whichever is larger. */
static uint64_t
main_fsize(void)
{
	uint64_t message = me.conf->message_size_limit + MAIN_FSIZE_MORE, journal = me.conf->store.journal;

	return message > journal ? message : journal;
}

/* Out of reach inside the sandbox.  The journal asks with it whether the machine has crashed since. */
static void
main_boot(void)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd != -1 ? read(fd, me.boot, sizeof(me.boot) - 1) : 0;

	me.boot[n > 0 ? n : 0] = '\0';
	if (n <= 0 && me.conf->store.journal != 0)
		log_msg(LOG_L_WARN, "start",
		    "/proc/sys/kernel/random/boot_id cannot be read (ProcSubset=pid?): mail that was deleted a moment "
		    "before a worker dies may be there again");
	if (fd != -1)
		close(fd);
}

static void
main_sandbox(void)
{
	struct rlimit rl = { 0, 0 };
	me.sandbox = (struct sandbox){
		.user = me.conf->user,
		.store_path = me.conf->store.path,
		.directory = me.conf->directory,
		.fsize_max = main_fsize(),
		.master = getppid(),
	};

	if (conf_offers_dsn(me.conf) && me.sandbox.fsize_max < REPORT_RECORD_MAX)
		me.sandbox.fsize_max = REPORT_RECORD_MAX;
	if (getrlimit(RLIMIT_NOFILE, &rl) != 0) {
		log_msg(LOG_L_ERROR, "start", "cannot ask for RLIMIT_NOFILE: %s", strerror(errno));
		main_fail(EX_OSERR);
	}
	me.sandbox.nofile = (uint32_t)rl.rlim_cur;
	me.sandbox.load = setup_modules;
	me.sandbox.load_arg = &me.w;
	if (setup_dns(&me.w) != 0 || setup_outward(&me.w, &me.sandbox) != 0)
		main_fail(EX_CONFIG);
	if (sandbox_drop(&me.sandbox, &me.level) != 0)
		main_fail(EX_NOPERM);
}

/* Before whoever else may know who a client is: what is guessed at them is counted too. */
static void
main_guesses(void)
{
	bool others = setup_has_auth(&me.w);

	if (!conf_offers_auth(me.conf)) {
		if (!me.pretends)
			close(IPC_FD_AUTH);
		return;
	}
	me.auth = credentials_open(me.w.loop, IPC_FD_AUTH, others);
	if (me.auth == NULL || (others && chain_add(&me.w.chain, &credentials_guesses_ops, me.auth, NULL) != 0))
		main_fail(EX_OSERR);
}

/* Whoever else may know who a client is was added before: the credentials are asked last. */
static void
main_credentials(void)
{
	if (me.auth != NULL && conf_offers_passwords(me.conf) &&
	    chain_add(&me.w.chain, &credentials_ops, me.auth, NULL) != 0)
		main_fail(EX_OSERR);
}

/* The journal rests on a sync of the file system as a whole. */
static const struct store_ops *
main_store(void)
{
	const char *name = me.conf->store.journal != 0 ? filesystem_unsure_at(me.conf->store.path) : NULL;

	if (name == NULL)
		return &store_journal;
	log_msg(LOG_L_INFO, "journal",
	    "the file system of %s (%s) is not one to be synced as a whole: no journal, every message is "
	    "synced by itself",
	    me.conf->store.path, name);
	return &store_maildir;
}

/* What runs in threads or needs a path: after Landlock, before seccomp. */
static void
main_inside(void)
{
	struct worker *w = &me.w;

	tzset();
	me.pool = iopool_start(IOPOOL_THREADS, MAIN_POOL_QUEUE);
	if (me.w.plugins != NULL)
		me.modules = iopool_start(PLUGIN_THREADS, PLUGIN_QUEUE);
	hooks_pools(me.modules, me.pool, w->stats);
	if (me.pool == NULL || (me.w.plugins != NULL && me.modules == NULL) || log_thread_start() != 0) {
		log_msg(LOG_L_ERROR, "start", "cannot start threads: %s", strerror(errno));
		main_fail(EX_OSERR);
	}
	me.env = (struct store_env){ &me.conf->store, me.conf->hostname, me.pool, w->stats, me.args.slot,
		me.conf->message_size_limit, me.boot, me.conf->quota.enforce };
	if (me.pretends)
		pretend_store(w);
	else
		w->store = main_store();
	if (!me.pretends && room_open(me.conf->store.path) != 0)
		log_msg(LOG_L_WARN, "start", "what is free in %s cannot be asked: %s", me.conf->store.path,
		    strerror(errno));
	if (w->store->open(&me.env, &w->store_ctx) != 0)
		main_fail(EX_CANTCREAT);
	w->chain.stats = w->stats;
	w->trace = tap_open;
	if (!me.pretends && conf_offers_dsn(me.conf) && (w->dsn = dsn_open(me.conf->store.path, me.pool)) == NULL) {
		log_msg(LOG_L_ERROR, "start", "cannot make the spool of reports in %s: %s", me.conf->store.path,
		    strerror(errno));
		main_fail(EX_CANTCREAT);
	}
	me.limits = (struct limits){ me.conf, w->conns, session_over };
	w->limits = &me.limits;
	me.w.recipients = recipients_new(me.conf, w->stats);
	if (asks_init(w->loop, session_told) != 0 || me.w.recipients == NULL ||
	    chain_add(&w->chain, &limits_ops, &me.limits, NULL) != 0 ||
	    chain_add(&w->chain, &recipients_ops, me.w.recipients, NULL) != 0)
		main_fail(EX_OSERR);
	main_guesses();
	if (setup_handlers(w) != 0)
		main_fail(EX_CONFIG);
	main_credentials();
}

static void
main_tick(struct loop_timer *t)
{
	struct timespec now;
	uint64_t dropped;

	clock_gettime(CLOCK_REALTIME, &now);
	stats_beat(me.w.stats, (uint64_t)now.tv_sec);
	recipients_refresh(me.w.recipients);
	iopool_tick(me.pool);
	if (tls_expires() != 0) {
		int64_t left = tls_expires() - now.tv_sec;

		stats_gauge(me.w.stats, STATS_CERTIFICATE_EXPIRES, (uint64_t)tls_expires());
		stats_gauge(me.w.stats, STATS_CERTIFICATE_DAYS, left > 0 ? (uint64_t)left / MAIN_DAY_S : 0);
	}
	room_tick(me.pool, me.w.stats, loop_now_ms(me.w.loop));
	place_tick(me.pool);
	dropped = log_dropped();
	stats_add(me.w.stats, STATS_LOG_DROPPED, dropped - me.dropped);
	me.dropped = dropped;
	log_tick();
	if (log_lost())
		drain_tell(IPC_LOGLOST, 0);
	loop_timer_set(me.w.loop, t, MAIN_TICK_MS);
}

static void
main_reap(struct loop_src *src, unsigned what)
{
	(void)src;
	(void)what;
	iopool_reap(me.pool);
}

static void
main_reap_modules(struct loop_src *src, unsigned what)
{
	(void)src;
	(void)what;
	iopool_reap(me.modules);
}

static void
main_turn(void *arg, uint64_t us, unsigned events)
{
	(void)arg;
	iopool_go(me.pool);
	if (events > 0)
		stats_observe(me.w.stats, STATS_H_LOOP, us);
}

static void
main_loop(void)
{
	struct worker *w = &me.w;
	int fds[CONF_ADDRESSES_MAX];

	for (unsigned i = 0; i < me.args.nlisten; i++)
		fds[i] = IPC_FD_LISTEN + (int)i;
	me.pool_src = (struct loop_src){ iopool_fd(me.pool), main_reap };
	me.tick.fire = main_tick;
	if (me.modules != NULL)
		me.modules_src = (struct loop_src){ iopool_fd(me.modules), main_reap_modules };
	if ((me.modules != NULL && loop_watch_level(w->loop, &me.modules_src, false) != 0) ||
	    loop_watch_level(w->loop, &me.pool_src, false) != 0 ||
	    (!me.pretends && accept_start(w, fds, me.args.nlisten) != 0)) {
		log_msg(LOG_L_ERROR, "start", "cannot watch descriptors: %s", strerror(errno));
		main_fail(EX_OSERR);
	}
	iopool_gather(me.pool);
	loop_observe(w->loop, main_turn, NULL);
	main_tick(&me.tick);
}

static void
main_end(void)
{
	iopool_stop(me.pool);
	/* A module that never comes back from its work must not keep us from going: the process ends with it. */
	if (me.modules == NULL || iopool_pending(me.modules) == 0) {
		iopool_stop(me.modules);
		chain_close(&me.w.chain);
	}
	dns_close(me.w.dns);
	me.w.store->close(me.w.store_ctx);
	stats_slot_release(me.w.stats);
	log_flush(2000);
}

/* Asked by letterplate -t: can the module at ${path} be loaded?  One line on standard output if not. */
static int
main_try_module(const char *path)
{
	struct plugin p;
	char why[PLUGIN_WHY_MAX];

	if (plugin_load(path, NULL, &p, why) == 0)
		return EX_OK;
	printf("%s\n", why);
	return EX_CONFIG;
}

/* Asked by letterplate-mailboxes: what would be said to this client?  A worker as any other, but for what it is given. */
static int
main_pretend(const char *conf_file, const char *address, const char *listener)
{
	me.pretends = true;
	me.args = (struct main_args){ .conf_file = conf_file, .slot = 1 };
	main_signals();
	id_init();
	log_init("worker", -1, false, LOG_L_ERROR);
	main_conf();
	me.conf->log.level = LOG_L_ERROR;
	log_init("worker", -1, false, LOG_L_ERROR);
	if (pretend_conf(me.conf, address, listener) != 0)
		main_fail(EX_USAGE);
	me.w.loop = loop_new();
	LIST_INIT(&me.w.sessions);
	if (me.w.loop == NULL || pretend_shared(&me.w) != 0)
		main_fail(EX_OSERR);
	main_sessions_max();
	main_boot();
	main_sandbox();
	main_inside();
	if (sandbox_close(&me.sandbox, &me.level) != 0)
		main_fail(EX_NOPERM);
	log_set_level(LOG_L_WARN); /* why somebody cannot be asked; what kernel this is, is no news */
	main_loop();
	pretend_start(&me.w);
	if (loop_run(me.w.loop) != 0)
		main_fail(EX_OSERR);
	log_flush(2000);
	return EX_OK;
}

int
main(int argc, char **argv, char **envp)
{
	if (argc == 3 && strcmp(argv[1], "-m") == 0)
		return main_try_module(argv[2]);
	if (argc == 5 && strcmp(argv[1], "-p") == 0)
		return main_pretend(argv[2], argv[3], argv[4]);
	setproctitle_init(argc, argv, envp);
	mallopt(M_TRIM_THRESHOLD, MAIN_HEAP_KEPT);
	/* Started by descriptor, it would be called by a number (execveat(2)). */
	prctl(PR_SET_NAME, "letterplate-wor");
	log_init("worker", -1, false, LOG_L_INFO);
	if (argc > 1 && !ipc_layout_is_ours(argv[1])) {
		log_msg(
		    LOG_L_ERROR, "start", "this letterplate-worker is of another build than the letterplate that runs");
		return EX_PROTOCOL;
	}
	if (main_args(argc, argv, &me.args) != 0) {
		log_msg(LOG_L_ERROR, "start", "letterplate-worker is started by letterplate alone");
		return EX_USAGE;
	}
	main_signals();
	id_init();
	main_conf();
	setproctitle("slot %u, generation %ju", me.args.slot, (uintmax_t)me.args.generation);
	main_shared();
	me.w.loop = loop_new();
	LIST_INIT(&me.w.sessions);
	if (me.w.loop == NULL || drain_start(&me.w, IPC_FD_CONTROL) != 0) {
		log_msg(LOG_L_ERROR, "start", "cannot start the loop: %s", strerror(errno));
		main_fail(EX_OSERR);
	}
	main_tls();
	main_sessions_max();
	main_sessions_enough();
	main_boot();
	main_sandbox();
	main_inside();
	if (sandbox_close(&me.sandbox, &me.level) != 0)
		main_fail(EX_NOPERM);
	stats_gauge(me.w.stats, STATS_SANDBOX_LEVEL, me.level);
	main_loop();
	log_msg(LOG_L_INFO, "ready",
	    "at most %u sessions; %ju octets each at the most, and %ju more for all of them together%s",
	    (unsigned)me.w.sessions_max,
	    (uintmax_t)(bound_session(me.conf) + (conf_offers_tls(me.conf) ? tls_memory() : 0)),
	    (uintmax_t)bound_shared(me.conf), me.w.plugins != NULL ? "; what modules keep is not in it" : "");
	drain_tell(IPC_READY, 0);
	if (loop_run(me.w.loop) != 0) {
		log_msg(LOG_L_ERROR, "loop", "epoll failed: %s", strerror(errno));
		return EX_OSERR;
	}
	main_end();
	return EX_OK;
}
