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
#include "tests/fuzz/parts/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	client.again = 0;
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
	static uint64_t heard[STATS_CODES];

	memset(heard, 0, sizeof(heard));
	ledger_replies(client.heard, client.nheard, client.misses, heard);
	ledger_check(run.ls.smtp.lmtp);
	check_counts(before, heard);
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
