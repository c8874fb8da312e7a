/*
 * scene: a worker as main.c sets it up, but for what is outside of its loop:
 * once a process what can stay, for each run what the input's settings want.
 */
#ifndef TESTS_FUZZ_PARTS_SCENE_H_
#define TESTS_FUZZ_PARTS_SCENE_H_

#include <signal.h>

#include "common/id.h"
#include "tests/fuzz/parts/directory.h"
#include "tests/fuzz/parts/doorman.h"
#include "tests/fuzz/parts/ledger.h"
#include "tests/fuzz/parts/peers.h"
#include "tests/fuzz/parts/pool.h"
#include "tests/fuzz/parts/reports.h"
#include "tests/fuzz/parts/storehouse.h"
#include "tests/fuzz/parts/thinkers.h"
#include "worker/dsn.h"
#include "worker/handlers/recipients.h"
#include "worker/hooks.h"
#include "worker/plugin.h"
#include "worker/session.h"
#include "worker/setup.h"
#include "worker/tap.h"

/* The settings, an octet each. */
enum {
	H_EXT,                /* extensions, who talks early, LMTP, who may do what */
	H_LIMITS,             /* size, recipients, errors, pause, delay of the greeting */
	H_WHO,                /* sections that are asked */
	H_FAILURE,            /* on_failure of the four kinds, two bits each */
	H_STORE,              /* how full and how late it is */
	H_BREAK,              /* how it fails */
	H_PEER,               /* the client's address, and more of the config */
	H_STEPS,              /* what milters agree to, three octets */
	H_AUTH = H_STEPS + 3, /* see the SCENE_ bits */
	H_ANSWERS,
	HEAD
};

enum {
	SCENE_TLS       = 1, /* what the client says is taken to come by TLS */
	SCENE_PASSWORDS = 2,
	SCENE_TOKENS    = 4,
	SCENE_REQUIRED  = 8, /* no MAIL before AUTH */
	SCENE_OTHERS    = 16 /* a module is asked too */
};

static const char conf_text[] =
    "hostname = \"mx.example.org\"\n"
    "postmaster = \"alice@example.org\"\n"
    "listener \"mx\" { address = {\"127.0.0.1:2525\"} }\n"
    "networks { reject = {\"198.51.100.0/24\"} defer = {\"203.0.113.0/24\"} skip_checks = {\"192.0.2.7/32\"} }\n"
    "handler \"alpha\" { module = \"/alpha\" timeout = \"30s\" }\n"
    "milter \"first\" { socket = \"unix:/milter\" timeout = \"20s\" }\n"
    "policy \"rcpt\" { socket = \"unix:/policy\" stage = \"rcpt\" timeout = \"10s\" }\n"
    "handler \"beta\" { module = \"/beta\" timeout = \"30s\" }\n"
    "policy \"end\" { socket = \"unix:/policy\" stage = \"end\" timeout = \"10s\" }\n"
    "milter \"second\" { socket = \"unix:/milter\" timeout = \"20s\" }\n"
    "checks { helo_full = yes helo_literal = yes helo_own = yes sender_full = yes sender_own = yes }\n";

static const char mailboxes[] = "alice@example.org\n"
				"bob@example.org quota=1MiB\n"
				"\"a b\"@example.org\n"
				"list@example.org alias=alice@example.org,bob@example.org,x@example.net\n"
				"old@example.org reject=\"550 5.1.6 moved away\"\n"
				"moving@example.org defer=\"450 4.2.1 not now\"\n"
				"@example.net alias=bob@example.org\n";

enum { SERVERS = 2 };

static struct {
	struct conf        *conf; /* as parsed; each run has a copy of its own */
	struct loop        *loop;
	struct stats_slot  *stats;
	struct conns       *conns;
	struct recipients  *recipients;
	struct dsn_spool   *dsn;
	struct peers_server server[SERVERS];
} fixed;

/* A run's own. */
static struct {
	struct conf          conf;
	struct conf_listener listener_conf;
	struct conf_handler  handler[CONF_HANDLERS_MAX];
	struct plugin        plugin[CONF_HANDLERS_MAX];
	struct limits        limits;
	struct worker        w;
	struct listener      ls;
	uint8_t              neighbour[16]; /* has the client's address, and a connection */
} run;

static const uint8_t scene_ip[][4] = { { 192, 0, 2, 1 }, { 198, 51, 100, 1 }, { 203, 0, 113, 1 }, { 192, 0, 2, 7 } };

/* --- once a process --- */

static void
report(void *arg, const char *line)
{
	(void)arg;
	breach("%s", line);
}

static void
start_stats(void)
{
	char path[PATH_MAX];
	int  fd = stats_create(directory_path, "fuzz"), conns = conns_create();

	fixed.stats = fd != -1 ? stats_slot_map(fd, 1, 1) : NULL;
	fixed.conns = conns != -1 ? conns_map(conns, 1) : NULL;
	if (fixed.stats == NULL || fixed.conns == NULL)
		abort();
	snprintf(path, sizeof(path), "%s/%s", directory_path, STATS_FILE);
	unlink(path);
	close(fd);
	close(conns);
}

static void
start(void)
{
	signal(SIGPIPE, SIG_IGN);
	turn_us     = 1000000000;
	ledger.show = getenv("FUZZ_SHOW") != NULL;
	directory_make(mailboxes);
	log_init("fuzz", -1, false, LOG_L_DEBUG);
	id_init();
	if (conf_parse("fuzz.conf", conf_text, sizeof(conf_text) - 1, report, NULL, &fixed.conf) != 0)
		abort();
	fixed.conf->directory  = directory_path;
	fixed.conf->store.path = directory_path;
	fixed.loop             = loop_new();
	if (fixed.loop == NULL || asks_init(fixed.loop, session_told) != 0)
		abort();
	start_stats();
	fixed.recipients = recipients_new(fixed.conf, fixed.stats);
	iopool_start(0, 0);
	pool.loop = fixed.loop;
	hooks_pools(&pool, &pool, fixed.stats);
	fixed.dsn = dsn_open(directory_path, &pool);
	peers_listen(&fixed.server[0], "milter");
	peers_listen(&fixed.server[1], "policy");
	fixed.server[0].milter = true;
	for (unsigned i = 0; i < PEERS_CONNS; i++)
		peers.conn[i].fd = -1;
	if (fixed.recipients == NULL || fixed.dsn == NULL)
		abort();
	storehouse.loop = thinkers.loop = fixed.loop;
	thinkers_learn();
}

/* --- a run's worker --- */

static const struct conf_net everybody[1] = { { .bits = 0 } };

static void
set_listener(const uint8_t *h)
{
	struct conf_nets      all     = { (struct conf_net *)(uintptr_t)everybody, 1 };
	static const uint64_t sizes[] = { 1 << 20, 0, 200, 70000 };

	run.listener_conf = fixed.conf->listener[0];
	if ((h[H_EXT] & 0x20) != 0)
		run.listener_conf.xclient_from = all;
	if ((h[H_EXT] & 0x40) != 0)
		run.listener_conf.bare_newline_from = all;
	if ((h[H_EXT] & 0xc0) == 0xc0)
		run.listener_conf.proxy_from = all;
	run.conf.listener = &run.listener_conf;
	run.ls            = (struct listener){ .w = &run.w,
			   .conf                  = &run.listener_conf,
			   .local                 = { .ss_family = AF_UNIX },
			   .smtp                  = { .hostname = run.conf.hostname,
						.ext            = (h[H_EXT] & (SMTP_EXT_CHUNKING | SMTP_EXT_SMTPUTF8 | SMTP_EXT_DSN)) |
						    ((h[H_AUTH] & SCENE_PASSWORDS) != 0 ? SMTP_EXT_AUTH : 0U) |
						    ((h[H_AUTH] & SCENE_TOKENS) != 0 ? SMTP_EXT_TOKENS : 0U),
						.auth_required = (h[H_AUTH] & SCENE_REQUIRED) != 0,
						.lmtp          = (h[H_EXT] & 0x10) != 0,
						.size_max      = sizes[h[H_LIMITS] & 3],
						.flood_max     = sizes[h[H_LIMITS] & 3],
						.rcpt_max      = (h[H_LIMITS] & 0x0c) != 0 ? 1U << (h[H_LIMITS] & 0x0c) : 1000,
						.errors_max    = (h[H_LIMITS] & 0x30) != 0 ? (h[H_LIMITS] >> 4 & 3) * 2U : 0 } };
}

static void
set_conf(const uint8_t *h)
{
	run.conf                           = *fixed.conf;
	run.conf.message_size_limit        = 1 << 20;
	run.conf.limits.errors             = (h[H_LIMITS] >> 4 & 3) * 2U;
	run.conf.limits.error_pause_ms     = (h[H_LIMITS] & 0x40) != 0 ? 1000 : 0;
	run.conf.greeting_delay_ms         = (h[H_LIMITS] & 0x80) != 0 ? 500 : 0;
	run.conf.limits.connections_per_ip = (h[H_PEER] & 4) != 0;
	run.conf.limits.session_ms         = (h[H_PEER] & 8) != 0 ? 60000 : 3600000;
	run.conf.limits.data_rate          = (h[H_PEER] & 16) != 0 ? 100 : 0;
	run.conf.handler                   = run.handler;
	run.conf.nhandler                  = 0;
}

/* The sections that the input wants, in the order of the config. */
static void
set_handlers(const uint8_t *h)
{
	for (size_t i = 0; i < fixed.conf->nhandler; i++) {
		struct conf_handler       *c    = &run.handler[run.conf.nhandler];
		const struct peers_server *s    = &fixed.server[fixed.conf->handler[i].kind != CONF_K_MILTER];
		unsigned                   beta = strcmp(fixed.conf->handler[i].name, "beta") == 0;

		if (i < 8 && (h[H_WHO] >> i & 1) == 0)
			continue;
		*c            = fixed.conf->handler[i];
		c->on_failure = (enum conf_on_failure)((h[H_FAILURE] >> 2 * (i % 4) & 3) % 3);
		c->socket.ss  = s->ss;
		c->socket.len = s->len;
		run.plugin[run.conf.nhandler++] =
		    (struct plugin){ !beta && (h[H_AUTH] & SCENE_OTHERS) != 0 ? &thinkers_knowing_ops
									      : &thinkers_ops[beta],
			    &thinkers.place[beta] };
	}
	peers.version = (h[H_STEPS] & 0x80) != 0 ? 2 + (h[H_STEPS] >> 5 & 3) : 6;
	peers.actions = MILTER_F_ALL & ~(uint32_t)MILTER_F_SETSYMLIST;
	peers.steps   = (uint32_t)(h[H_STEPS] & 0x1f) << 8 | h[H_STEPS + 1] | (uint32_t)h[H_STEPS + 2] << 13;
	peers.steps   = (peers.steps ^ MILTER_P_SKIP ^ MILTER_P_RCPT_REJ) & MILTER_P_ALL &
	    ~(uint32_t)(MILTER_P_MDS_256K | MILTER_P_MDS_1M); /* those, unless it is said */
}

static void
set_store(const uint8_t *h)
{
	static const size_t every[] = { 0, 1, 7, 4096 }, pieces[] = { 0, 1, 100, 4096 };
	static const int    errors[] = { ENOSPC, EDQUOT, EIO, EFBIG };

	storehouse.full_every = every[h[H_STORE] & 3];
	storehouse.read_piece = pieces[h[H_STORE] >> 2 & 3];
	storehouse.read_later = (h[H_STORE] & 0x10) != 0;
	storehouse.late       = (h[H_STORE] & 0x20) != 0;
	storehouse.no_begin   = (h[H_STORE] & 0xc0) == 0xc0;
	storehouse.breaks_at  = (h[H_STORE] & 0xc0) == 0x80 ? 300 : 0;
	storehouse.error      = errors[h[H_BREAK] & 3];
	storehouse.targets    = h[H_BREAK] >> 2 & 0x1f;
	pool.full             = (h[H_BREAK] & 0x80) != 0;
}

/* As main.c has them, before the sections and behind them. */
static void
set_credentials(const uint8_t *h)
{
	bool others = setup_has_auth(&run.w), offered = (h[H_AUTH] & (SCENE_PASSWORDS | SCENE_TOKENS)) != 0;

	login.tls      = (h[H_AUTH] & SCENE_TLS) != 0;
	login.required = (h[H_AUTH] & SCENE_REQUIRED) != 0;
	if (offered)
		doorman_come(fixed.loop, others);
	if ((offered && others && chain_add(&run.w.chain, &credentials_guesses_ops, &chan, NULL) != 0) ||
	    setup_handlers(&run.w) != 0 ||
	    ((h[H_AUTH] & SCENE_PASSWORDS) != 0 && chain_add(&run.w.chain, &credentials_ops, &chan, NULL) != 0))
		abort();
}

static void
set_worker(const uint8_t *h)
{
	set_conf(h);
	set_listener(h);
	set_handlers(h);
	set_store(h);
	run.limits = (struct limits){ &run.conf, fixed.conns, session_over };
	run.w      = (struct worker){ .loop = fixed.loop,
		     .conf                  = &run.conf,
		     .stats                 = fixed.stats,
		     .recipients            = fixed.recipients,
		     .conns                 = fixed.conns,
		     .limits                = &run.limits,
		     .plugins               = run.plugin,
		     .dsn                   = (h[H_EXT] & SMTP_EXT_DSN) != 0 ? fixed.dsn : NULL,
		     .store                 = &storehouse_ops,
		     .trace                 = tap_open,
		     .sessions_max          = 100,
		     .lingering_max         = (h[H_PEER] & 32) != 0 ? 0 : 100 };
	memcpy(run.neighbour, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
	memcpy(run.neighbour + 12, scene_ip[h[H_PEER] & 3], 4);
	if ((h[H_PEER] & 4) != 0)
		conns_enter(fixed.conns, run.neighbour);
	LIST_INIT(&run.w.sessions);
	run.w.chain.stats = fixed.stats;
	if (chain_add(&run.w.chain, &limits_ops, &run.limits, NULL) != 0 ||
	    chain_add(&run.w.chain, &recipients_ops, fixed.recipients, NULL) != 0)
		abort();
	set_credentials(h);
}
#endif
