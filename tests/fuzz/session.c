/*
 * fuzz session: a whole session of the worker, in one process and a time that
 * the input moves: its client, two modules, milters, policy servers and the
 * store say what the input wants, and what comes of it is held against what
 * must hold of any session.
 *
 * The input: HEAD octets of settings, so many octets that others answer with
 * (see says_next()), then what the client sends.  There \xff and one octet more
 * is no octet but something that happens: see the table of doings.
 */
#include <netinet/in.h>

#include <signal.h>

#include "tests/fuzz/parts/directory.h"
#include "tests/fuzz/parts/ledger.h"
#include "tests/fuzz/parts/peers.h"
#include "tests/fuzz/parts/storehouse.h"
#include "tests/fuzz/parts/thinkers.h"
#include "worker/handlers/recipients.h"
#include "worker/id.h"
#include "worker/plugin.h"
#include "worker/session.h"
#include "worker/setup.h"
#include "worker/tap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The settings, an octet each. */
enum {
	H_EXT,     /* extensions, LMTP, who may do what */
	H_LIMITS,  /* size, recipients, errors, pause, delay of the greeting */
	H_WHO,     /* sections that are asked */
	H_FAILURE, /* on_failure of the four kinds, two bits each */
	H_STORE,   /* how full and how late it is */
	H_BREAK,   /* how it fails */
	H_PEER,    /* the client's address, and more of the config */
	H_STEPS,   /* what milters agree to, three octets */
	H_ANSWERS = H_STEPS + 3,
	HEAD
};

enum {
	SAID_MAX = 1 << 18,  /* octets that a client says in all, */
	TURNS_MAX = 1 << 16, /* turns until nothing happens any more */
	HEARD_MAX = 4 << 20  /* and octets that it hears */
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
	struct conf *conf; /* as parsed; each run has a copy of its own */
	struct loop *loop;
	struct stats_slot *stats;
	struct conns *conns;
	struct recipients *recipients;
	struct peers_server server[SERVERS];
} fixed;

/* The client, and what it says in this run. */
static struct {
	int fd; /* -1: it left */
	int trace;
	bool deaf, ended;
	bool misses; /* it need not hear all that is said */
	uint8_t *heard;
	size_t nheard;
	uint8_t say[SAID_MAX];
	size_t nsay, nsaid; /* to be said; said so far */
	size_t line;        /* where the last line in say[] begins */
} client;

static struct {
	struct conf conf;
	struct conf_listener listener_conf;
	struct conf_handler handler[CONF_HANDLERS_MAX];
	struct plugin plugin[CONF_HANDLERS_MAX];
	struct limits limits;
	struct worker w;
	struct listener ls;
} run;

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
	int fd = stats_create(directory_path, "fuzz"), conns = conns_create();

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
	turn_us = 1000000000;
	ledger.show = getenv("FUZZ_SHOW") != NULL;
	directory_make(mailboxes);
	log_init("fuzz", -1, false, LOG_L_DEBUG);
	id_init();
	if (conf_parse("fuzz.conf", conf_text, sizeof(conf_text) - 1, report, NULL, &fixed.conf) != 0)
		abort();
	fixed.conf->directory = directory_path;
	fixed.loop = loop_new();
	if (fixed.loop == NULL || asks_init(fixed.loop, session_told) != 0)
		abort();
	start_stats();
	fixed.recipients = recipients_new(fixed.conf, fixed.stats);
	peers_listen(&fixed.server[0], "milter");
	peers_listen(&fixed.server[1], "policy");
	fixed.server[0].milter = true;
	for (unsigned i = 0; i < PEERS_CONNS; i++)
		peers.conn[i].fd = -1;
	client.heard = malloc(HEARD_MAX);
	if (fixed.recipients == NULL || client.heard == NULL)
		abort();
	storehouse.loop = thinkers.loop = fixed.loop;
}

/* --- a run's worker --- */

static const struct conf_net everybody[1] = { { .bits = 0 } };

static void
set_listener(const uint8_t *h)
{
	struct conf_nets all = { (struct conf_net *)(uintptr_t)everybody, 1 };
	static const uint64_t sizes[] = { 1 << 20, 0, 200, 70000 };

	run.listener_conf = fixed.conf->listener[0];
	if ((h[H_EXT] & 0x20) != 0)
		run.listener_conf.xclient_from = all;
	if ((h[H_EXT] & 0x40) != 0)
		run.listener_conf.bare_newline_from = all;
	if ((h[H_EXT] & 0xc0) == 0xc0)
		run.listener_conf.proxy_from = all;
	run.conf.listener = &run.listener_conf;
	run.ls = (struct listener){ .w = &run.w,
		.conf = &run.listener_conf,
		.local = { .ss_family = AF_UNIX },
		.smtp = { .hostname = run.conf.hostname,
		    .ext = h[H_EXT] & (SMTP_EXT_CHUNKING | SMTP_EXT_SMTPUTF8 | SMTP_EXT_DSN),
		    .lmtp = (h[H_EXT] & 0x10) != 0,
		    .size_max = sizes[h[H_LIMITS] & 3],
		    .flood_max = sizes[h[H_LIMITS] & 3],
		    .rcpt_max = (h[H_LIMITS] & 0x0c) != 0 ? 1U << (h[H_LIMITS] & 0x0c) : 1000,
		    .errors_max = (h[H_LIMITS] & 0x30) != 0 ? (h[H_LIMITS] >> 4 & 3) * 2U : 0 } };
}

static void
set_conf(const uint8_t *h)
{
	run.conf = *fixed.conf;
	run.conf.message_size_limit = 1 << 20;
	run.conf.limits.errors = (h[H_LIMITS] >> 4 & 3) * 2U;
	run.conf.limits.error_pause_ms = (h[H_LIMITS] & 0x40) != 0 ? 1000 : 0;
	run.conf.greeting_delay_ms = (h[H_LIMITS] & 0x80) != 0 ? 500 : 0;
	run.conf.limits.connections_per_ip = (h[H_PEER] & 4) != 0;
	run.conf.limits.session_ms = (h[H_PEER] & 8) != 0 ? 60000 : 3600000;
	run.conf.limits.data_rate = (h[H_PEER] & 16) != 0 ? 100 : 0;
	run.conf.handler = run.handler;
	run.conf.nhandler = 0;
}

/* The sections that the input wants, in the order of the config. */
static void
set_handlers(const uint8_t *h)
{
	for (size_t i = 0; i < fixed.conf->nhandler; i++) {
		struct conf_handler *c = &run.handler[run.conf.nhandler];
		const struct peers_server *s = &fixed.server[fixed.conf->handler[i].kind != CONF_K_MILTER];
		unsigned beta = strcmp(fixed.conf->handler[i].name, "beta") == 0;

		if ((h[H_WHO] >> i & 1) == 0)
			continue;
		*c = fixed.conf->handler[i];
		c->on_failure = (enum conf_on_failure)((h[H_FAILURE] >> 2 * (i % 4) & 3) % 3);
		c->socket.ss = s->ss;
		c->socket.len = s->len;
		run.plugin[run.conf.nhandler++] = (struct plugin){ &thinkers_ops[beta], &thinkers.place[beta] };
	}
	peers.version = (h[H_STEPS] & 0x80) != 0 ? 2 + (h[H_STEPS] >> 5 & 3) : 6;
	peers.actions = MILTER_F_ALL & ~(uint32_t)MILTER_F_SETSYMLIST;
	peers.steps = (uint32_t)(h[H_STEPS] & 0x1f) << 8 | h[H_STEPS + 1] | (uint32_t)h[H_STEPS + 2] << 13;
	peers.steps &= MILTER_P_ALL;
}

static void
set_store(const uint8_t *h)
{
	static const size_t every[] = { 0, 1, 7, 4096 }, pieces[] = { 0, 1, 100, 4096 };
	static const int errors[] = { ENOSPC, EDQUOT, EIO, EFBIG };

	storehouse.full_every = every[h[H_STORE] & 3];
	storehouse.read_piece = pieces[h[H_STORE] >> 2 & 3];
	storehouse.read_later = (h[H_STORE] & 0x10) != 0;
	storehouse.late = (h[H_STORE] & 0x20) != 0;
	storehouse.no_begin = (h[H_STORE] & 0xc0) == 0xc0;
	storehouse.breaks_at = (h[H_STORE] & 0xc0) == 0x80 ? 300 : 0;
	storehouse.error = errors[h[H_BREAK] & 3];
	storehouse.targets = h[H_BREAK] >> 2 & 0x1f;
}

static void
set_worker(const uint8_t *h)
{
	set_conf(h);
	set_listener(h);
	set_handlers(h);
	set_store(h);
	run.limits = (struct limits){ &run.conf, fixed.conns, session_over };
	run.w = (struct worker){ .loop = fixed.loop,
		.conf = &run.conf,
		.stats = fixed.stats,
		.recipients = fixed.recipients,
		.conns = fixed.conns,
		.limits = &run.limits,
		.plugins = run.plugin,
		.store = &storehouse_ops,
		.trace = tap_open,
		.sessions_max = 100,
		.lingering_max = (h[H_PEER] & 32) != 0 ? 0 : 100 };
	LIST_INIT(&run.w.sessions);
	run.w.chain.stats = fixed.stats;
	if (chain_add(&run.w.chain, &limits_ops, &run.limits, NULL) != 0 ||
	    chain_add(&run.w.chain, &recipients_ops, fixed.recipients, NULL) != 0 || setup_handlers(&run.w) != 0)
		abort();
}

/* --- the client --- */

static void
client_hear(void)
{
	ssize_t n = recv(client.fd, client.heard + client.nheard, HEARD_MAX - client.nheard, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		client.ended = true;
	if (n > 0)
		client.nheard += (size_t)n;
	if (client.nheard == HEARD_MAX)
		breach("a client is told more than it can have asked");
}

/* Whoever looks at the session reads it, and forgets. */
static void
client_see(void)
{
	static char seen[1 << 16];

	while (client.trace != -1 && recv(client.trace, seen, sizeof(seen), MSG_DONTWAIT) > 0)
		continue;
}

/* Until nothing happens any more unless time goes by. */
static void
settle(void)
{
	unsigned turns = 0;

	do {
		int fd = client.deaf || client.ended ? -1 : client.fd;

		while (turn(fixed.loop))
			if (++turns == TURNS_MAX)
				breach("the loop has no rest");
		if (!peers_serve(fixed.server, SERVERS, fd))
			break;
		if (fd != -1)
			client_hear();
	} while (++turns < TURNS_MAX);
	client_see();
}

static void
go_by(uint64_t ms)
{
	turn_us += ms * 1000;
	peers_pay();
	settle();
}

/* Say what is kept.  Where nobody reads it, time goes by; in the end it is left unsaid. */
static void
client_say(void)
{
	const uint8_t *p = client.say;

	for (unsigned i = 0; client.nsay > 0 && client.fd != -1 && i < 100; i++) {
		ssize_t n = send(client.fd, p, client.nsay, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			p += n;
			client.nsay -= (size_t)n;
			settle();
		} else if (errno == EAGAIN) {
			go_by(1000);
		} else {
			break;
		}
	}
	client.nsay = 0;
	client.line = 0;
	settle();
}

static void UNTRACED
client_add(const uint8_t *p, size_t n)
{
	if (n > SAID_MAX - client.nsaid)
		n = SAID_MAX - client.nsaid;
	for (size_t i = 0; i < n; i++) {
		if (client.nsay > 0 && client.say[client.nsay - 1] == '\n')
			client.line = client.nsay;
		client.say[client.nsay++] = p[i];
	}
	client.nsaid += n;
}

static void
client_leave(void)
{
	if (client.fd != -1)
		close(client.fd);
	client.fd = -1;
	client.misses = true;
	settle();
}

static void
client_trace(void)
{
	int fd[2];

	if (client.trace != -1) {
		close(client.trace);
		client.trace = -1;
	} else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0) {
		client.trace = fd[0];
		tap_open(&run.w, fd[1], client.nsaid % 2 == 0 ? "filter" : "filter recipient=alice@example.org");
	}
	settle();
}

static void
drain_all(void)
{
	struct session *s, *next;

	run.w.draining = true;
	LIST_FOREACH_SAFE(s, &run.w.sessions, entry, next)
	session_drain(s);
}

static void
expel_all(void)
{
	struct session *s, *next;

	client.misses = true;
	LIST_FOREACH_SAFE(s, &run.w.sessions, entry, next)
	session_expel(s);
}

/* What is no octet of the client: \xff and one of these, or of the same modulo 16. */
enum {
	DO_CUT,    /* @ what was said so far arrives */
	DO_WAIT,   /* A 0.1 s go by */
	DO_WAIT_2, /* B 2 s */
	DO_WAIT_31,
	DO_WAIT_310,
	DO_WAIT_3660,
	DO_SHUT, /* F it closes its half */
	DO_LEAVE,
	DO_DRAIN, /* H the worker drains */
	DO_EXPEL,
	DO_DEAF,   /* J it reads no more, */
	DO_HEAR,   /* K and again */
	DO_OCTETS, /* L the octet before, as often as the next octet says: 1 << (x % 16) */
	DO_LINES,  /* M the line before, x % 128 times */
	DO_TRACE,  /* N somebody begins to look, or stops */
	DO_OCTET   /* O \xff itself */
};

/* Something happens; ${x} is the octet behind it. */
static void
client_do(unsigned what, uint8_t x)
{
	static const uint32_t ms[] = { 0, 100, 2000, 31000, 310000, 3660000 };
	static uint8_t octets[1 << 15], line[4096];
	size_t n;

	if (what == DO_OCTET) {
		client_add(&(uint8_t){ 0xff }, 1);
		return;
	}
	if (what == DO_OCTETS && client.nsay > 0) {
		memset(octets, client.say[client.nsay - 1], sizeof(octets));
		client_add(octets, (size_t)1 << x % 16);
		return;
	}
	n = client.nsay - client.line;
	if (what == DO_LINES && n <= sizeof(line)) {
		memcpy(line, client.say + client.line, n);
		for (unsigned i = 0; i < x % 128U; i++)
			client_add(line, n);
		return;
	}
	client_say();
	if (what > DO_CUT && what <= DO_WAIT_3660)
		go_by(ms[what]);
	else if (what == DO_SHUT && client.fd != -1)
		shutdown(client.fd, SHUT_WR);
	else if (what == DO_LEAVE)
		client_leave();
	else if (what == DO_DRAIN)
		drain_all();
	else if (what == DO_EXPEL)
		expel_all();
	else if (what == DO_DEAF || what == DO_HEAR)
		client.misses |= client.deaf = what == DO_DEAF;
	else if (what == DO_TRACE)
		client_trace();
	settle();
}

static void
client_play(const uint8_t *p, size_t n)
{
	while (n > 0 && run.w.nsessions > 0) {
		const uint8_t *ff = memchr(p, 0xff, n);
		size_t k = ff != NULL ? (size_t)(ff - p) : n;
		unsigned what;

		client_add(p, k);
		p += k;
		n -= k;
		if (n < 2)
			break;
		what = p[1] % 16;
		k = what == DO_OCTETS || what == DO_LINES ? 3 : 2;
		if (n < k)
			break;
		client_do(what, p[k - 1]);
		p += k;
		n -= k;
	}
	client_say();
}

/* --- the run --- */

static void
begin(const uint8_t *h)
{
	static const uint8_t ip[][4] = { { 192, 0, 2, 1 }, { 198, 51, 100, 1 }, { 203, 0, 113, 1 }, { 192, 0, 2, 7 } };
	struct sockaddr_storage peer = { .ss_family = AF_UNIX };
	struct sockaddr_in *in = (struct sockaddr_in *)&peer;
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) != 0)
		abort();
	if ((h[H_PEER] & 64) != 0) {
		peer.ss_family = AF_INET;
		in->sin_port = htons(4711);
		memcpy(&in->sin_addr, ip[h[H_PEER] & 3], 4);
	}
	client.fd = fd[0];
	client.trace = -1;
	client.deaf = client.ended = client.misses = false;
	client.nheard = client.nsay = client.nsaid = client.line = 0;
	session_start(&run.w, &run.ls, fd[1], &peer);
	if ((h[H_PEER] & 128) != 0)
		client_trace();
}

/* The client is done: it hears what is still to be said, and goes.  All that waits comes to its end. */
static void
finish(void)
{
	client.deaf = false;
	settle();
	for (unsigned i = 0; i < 4 && client.fd != -1 && !client.ended; i++)
		go_by(300);
	if (client.fd != -1 && !client.ended)
		client_leave();
	for (unsigned i = 0; i < 200 && run.w.nsessions > 0; i++)
		go_by(i < 4 ? 1000 : 15000);
	if (run.w.nsessions > 0)
		breach("a session has no end");
	if (client.fd != -1)
		close(client.fd);
	if (client.trace != -1)
		close(client.trace);
	client.fd = client.trace = -1;
	settle();
	thinkers_rest();
	for (unsigned i = 0; i < run.w.chain.n; i++)
		if (run.w.chain.link[i].ops != &recipients_ops && run.w.chain.link[i].ops->close != NULL)
			run.w.chain.link[i].ops->close(run.w.chain.link[i].ctx);
	settle();
	for (unsigned i = 0; i < PEERS_CONNS; i++)
		peers_hang_up(&peers.conn[i]);
}

struct counts {
	uint64_t reply[STATS_CODES], messages, discarded;
};

static void UNTRACED
count(struct counts *c)
{
	for (unsigned i = 0; i < STATS_CODES; i++)
		c->reply[i] = atomic_load(&fixed.stats->reply[i]);
	c->messages = atomic_load(&fixed.stats->counter[STATS_MESSAGES]);
	c->discarded = atomic_load(&fixed.stats->counter[STATS_DISCARDED]);
}

/* What was counted, logged and heard is the same. */
static void UNTRACED
check_counts(const struct counts *before, const uint64_t heard[static STATS_CODES])
{
	struct counts now;
	uint64_t all = 0, refusals = 0, accepted = 0, discarded = 0;

	count(&now);
	for (unsigned i = 0; i < STATS_CODES; i++) {
		uint64_t said = now.reply[i] - before->reply[i];

		all += said;
		refusals += i >= 400 ? said : 0;
		if (heard[i] > said || (heard[i] < said && !client.misses))
			breach("%u was said %llu times and heard %llu times", i, (unsigned long long)said,
			    (unsigned long long)heard[i]);
	}
	for (unsigned i = 0; i < ledger.nmessage; i++) {
		accepted += ledger.message[i].accepted;
		discarded += ledger.message[i].discarded;
	}
	if (all != ledger.replies || refusals != ledger.refusals)
		breach("the session counts other replies than the worker");
	if (now.messages - before->messages != accepted || now.discarded - before->discarded != discarded)
		breach("the counters and the log have different messages");
	for (unsigned i = 0; i < THINKERS; i++)
		if (thinkers.resets[i] > 0 &&
		    (thinkers.resets[i] != ledger.nmessage || thinkers.delivered[i] != accepted + discarded))
			breach(
			    "a module was told of %u ends, %u of them good", thinkers.resets[i], thinkers.delivered[i]);
}

static void
check(const struct counts *before)
{
	static uint64_t heard[STATS_CODES];

	memset(heard, 0, sizeof(heard));
	ledger_replies(client.heard, client.nheard, client.misses, heard);
	ledger_check(run.ls.smtp.lmtp);
	check_counts(before, heard);
	if (storehouse.held != 0)
		breach("%u messages are left in the store", storehouse.held);
	if (run.w.nlingering != 0 || run.w.taps != NULL || conns_total(fixed.conns) != 0)
		breach("somebody is still counted");
	turn_check_rest(fixed.loop);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct counts before;
	size_t answers;

	if (size < HEAD)
		return 0;
	if (fixed.conf == NULL)
		start();
	answers = data[H_ANSWERS] < size - HEAD ? data[H_ANSWERS] : size - HEAD;
	says.p = data + HEAD;
	says.n = answers;
	ledger.nmessage = ledger.nsession = 0;
	memset(thinkers.delivered, 0, sizeof(thinkers.delivered));
	memset(thinkers.resets, 0, sizeof(thinkers.resets));
	memset(thinkers.waited_for, 0, sizeof(thinkers.waited_for));
	count(&before);
	set_worker(data);
	begin(data);
	if ((data[H_PEER] & 2) == 0)
		settle();
	client_play(data + HEAD + answers, size - HEAD - answers);
	finish();
	check(&before);
	return 0;
}
