/*
 * fuzz session: a whole session of the worker, in one process and a time that
 * the input moves: its client, two modules, milters, policy servers and the
 * store say what the input wants, and what comes of it is held against what
 * must hold of any session.
 *
 * The input: HEAD octets of settings, so many octets that others answer with
 * (see says_next()), then what the client sends.  There \xff and one octet more
 * is no octet but something that happens: see the DO_ words in parts/client.h.
 * With FUZZ_SHOW in the environment the log of what happens goes to standard
 * error, which tells what an input means.
 */
#include "tests/fuzz/parts/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
begin(const uint8_t *h)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNIX };
	struct sockaddr_in *in = (struct sockaddr_in *)&peer;
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) != 0)
		abort();
	if ((h[H_PEER] & 64) != 0) {
		peer.ss_family = AF_INET;
		in->sin_port = htons(4711);
		memcpy(&in->sin_addr, scene_ip[h[H_PEER] & 3], 4);
	}
	client.fd = fd[0];
	client.deaf = client.ended = client.misses = false;
	client.nheard = client.nsay = client.line = 0;
	client.sessions++;
	memset(thinkers.waited_for, 0, sizeof(thinkers.waited_for));
	login_begin(run.listener_conf.proxy_from.n > 0);
	session_start(&run.w, &run.ls, fd[1], &peer);
	if (login.tls && !LIST_EMPTY(&run.w.sessions))
		(void)smtp_tls_started(LIST_FIRST(&run.w.sessions)->smtp, (struct span){ NULL, 0 });
	if ((h[H_EXT] & 8) == 0)
		settle();
}

static uint64_t heard[STATS_CODES];
static bool missed; /* some of them need not have been heard */

/* The session is over. */
static void
hang_up(void)
{
	if (client.fd != -1)
		close(client.fd);
	client.fd = -1;
	ledger_replies(client.heard, client.nheard, client.misses, heard);
	missed |= client.misses;
}

/* What the input's ${p} says; when a session has ended, and more is to be said, another one begins. */
static void
play(const uint8_t *h, const uint8_t *p, size_t n)
{
	while (n > 0) {
		const uint8_t *ff = memchr(p, 0xff, n);
		size_t k = ff != NULL ? (size_t)(ff - p) : n;
		unsigned what;

		if (run.w.nsessions == 0 && client.sessions == SESSIONS_MAX)
			return;
		if (run.w.nsessions == 0) {
			hang_up();
			begin(h);
		}
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
	hang_up();
	if (client.trace != -1)
		close(client.trace);
	client.trace = -1;
	settle();
	thinkers_rest();
	doorman_rest(fixed.loop);
	for (unsigned i = 0; i < run.w.chain.n; i++)
		if (run.w.chain.link[i].ops != &recipients_ops && run.w.chain.link[i].ops->close != NULL)
			run.w.chain.link[i].ops->close(run.w.chain.link[i].ctx);
	settle();
	for (unsigned i = 0; i < PEERS_CONNS; i++)
		peers_hang_up(&peers.conn[i]);
}

struct counts {
	uint64_t reply[STATS_CODES], messages, discarded, reports;
};

static void UNTRACED
count(struct counts *c)
{
	for (unsigned i = 0; i < STATS_CODES; i++)
		c->reply[i] = atomic_load(&fixed.stats->reply[i]);
	c->messages = atomic_load(&fixed.stats->counter[STATS_MESSAGES]);
	c->discarded = atomic_load(&fixed.stats->counter[STATS_DISCARDED]);
	c->reports = atomic_load(&fixed.stats->counter[STATS_REPORTS_QUEUED]);
}

/* What was counted, logged and heard is the same. */
static void UNTRACED
check_counts(const struct counts *before)
{
	struct counts now;
	uint64_t all = 0, refusals = 0, accepted = 0, discarded = 0;

	count(&now);
	for (unsigned i = 0; i < STATS_CODES; i++) {
		uint64_t said = now.reply[i] - before->reply[i];

		all += said;
		refusals += i >= 400 ? said : 0;
		if (heard[i] > said || (heard[i] < said && !missed))
			breach("%u was said %llu times and heard %llu times", i, (unsigned long long)said,
			    (unsigned long long)heard[i]);
	}
	for (unsigned i = 0; i < ledger.nmessage; i++) {
		accepted += ledger.message[i].accepted;
		discarded += ledger.message[i].discarded;
	}
	if (all != ledger.replies || refusals != ledger.refusals)
		breach("sessions count other replies than the worker");
	if (now.messages - before->messages != accepted || now.discarded - before->discarded != discarded)
		breach("the counters and the log have different messages");
	if (pool.jobs > 0 || now.reports != before->reports)
		reports_check(now.reports - before->reports);
	for (unsigned i = 0; i < THINKERS; i++)
		if (thinkers.resets[i] > 0 &&
		    (thinkers.resets[i] != ledger.nmessage || thinkers.delivered[i] != accepted + discarded))
			breach(
			    "a module was told of %u ends, %u of them good", thinkers.resets[i], thinkers.delivered[i]);
}

static void
check(const struct counts *before)
{
	ledger_check(client.sessions, run.ls.smtp.lmtp);
	check_counts(before);
	if (pool.pending != 0 || pool.promised != 0)
		breach("%u jobs and %u promises are left", pool.pending, pool.promised);
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
	ledger.nmessage = ledger.nsession = pool.jobs = 0;
	ledger.replies = ledger.refusals = ledger.messages = 0;
	memset(thinkers.delivered, 0, sizeof(thinkers.delivered));
	memset(thinkers.resets, 0, sizeof(thinkers.resets));
	memset(heard, 0, sizeof(heard));
	missed = false;
	client.trace = -1;
	client.nsaid = client.again = client.sessions = 0;
	count(&before);
	set_worker(data);
	begin(data);
	if ((data[H_PEER] & 128) != 0)
		client_trace();
	play(data, data + HEAD + answers, size - HEAD - answers);
	finish();
	if ((data[H_PEER] & 4) != 0)
		conns_leave(fixed.conns, run.neighbour);
	check(&before);
	return 0;
}
