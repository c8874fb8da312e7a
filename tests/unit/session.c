/*
 * session: a real engine, real loop and real socket between a scripted client,
 * handlers that think, and a store that is full now and then.  What comes of
 * it has to be the same as if nobody had ever waited.
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "common/log.h"
#include "tests/unit/suite.h"
#include "worker/asks.h"
#include "worker/id.h"
#include "worker/session.h"

static struct worker w;
static struct listener ls;
static struct conf *conf;
static int none;

/* --- a client that has said all it will say, and reads until the end --- */

static struct client {
	int fd;
	char got[1 << 16];
	size_t n;
	bool leave; /* vanish once the store commits */
} client;

static void
client_read(void)
{
	ssize_t n;

	while ((n = recv(client.fd, client.got + client.n, sizeof(client.got) - client.n - 1, MSG_DONTWAIT)) > 0)
		client.n += (size_t)n;
	client.got[client.n] = '\0';
}

/* --- a store that remembers --- */

static struct fake {
	char content[1 << 20];
	size_t n, full_every, since_full;
	unsigned begun, committed, aborted;
	int commit_error;
	void (*wake)(void *arg);
	void *wake_arg;
	struct loop_task room;
	struct loop_timer timer;
	void (*done)(void *arg, const struct store_done *d);
	void *done_arg;
	uint32_t ntargets;
} fake;

static void
fake_room(struct loop_task *t)
{
	(void)t;
	fake.since_full = 0;
	fake.wake(fake.wake_arg);
}

static void
fake_durable(struct loop_timer *t)
{
	struct store_done d = { fake.commit_error, fake.commit_error == 0 ? (int)fake.ntargets : 0 };

	(void)t;
	fake.done(fake.done_arg, &d);
}

static int
fake_begin(void *ctx, struct txn *t, struct span received, void (*wake)(void *arg), void *arg, struct store_msg **m)
{
	ck_assert_uint_gt(received.n, 0);
	fake.begun++;
	fake.n = 0;
	fake.ntargets = t->ntargets;
	fake.wake = wake;
	fake.wake_arg = arg;
	fake.room.run = fake_room;
	fake.timer.fire = fake_durable;
	*m = ctx;
	return 0;
}

static int
fake_write(struct store_msg *m, struct span s, size_t *taken)
{
	size_t room = fake.full_every == 0 ? s.n : fake.full_every - fake.since_full;

	(void)m;
	*taken = s.n < room ? s.n : room;
	memcpy(fake.content + fake.n, s.p, *taken);
	fake.n += *taken;
	fake.since_full += *taken;
	if (*taken == s.n)
		return 0;
	loop_later(w.loop, &fake.room);
	errno = EAGAIN;
	return -1;
}

static void
fake_commit(struct store_msg *m, bool all, void (*done)(void *arg, const struct store_done *d), void *arg)
{
	(void)m;
	(void)all;
	fake.committed++;
	fake.done = done;
	fake.done_arg = arg;
	loop_timer_set(w.loop, &fake.timer, 50);
	if (client.leave) {
		close(client.fd);
		client.fd = -1;
	}
}

static void
fake_abort(struct store_msg *m)
{
	(void)m;
	fake.aborted++;
	loop_task_clear(w.loop, &fake.room);
}

static const struct store_ops fake_ops = {
	.name = "fake", .begin = fake_begin, .write = fake_write, .commit = fake_commit, .abort = fake_abort
};

/* --- handlers --- */

static struct thinker {
	bool later[CHAIN_END + 1]; /* by chain_stage */
	bool never;
	enum chain_stage refuse_at;
	bool refuse;
	unsigned asked[CHAIN_END + 1], closed, cancelled, reset, delivered;
	struct ask last;
} thinker;

static void *
think(void *arg)
{
	struct ask a = *(struct ask *)arg;

	free(arg);
	usleep(2000);
	ask_answer(a, V_NEXT, NULL);
	return NULL;
}

static enum verdict
thinker_at(enum chain_stage stage, struct ask a, struct reply *r)
{
	thinker.asked[stage]++;
	thinker.last = a;
	if (thinker.refuse && thinker.refuse_at == stage) {
		reply_set(r, 550, ENH(5, 7, 1), "thinker", "no");
		return V_REPLY;
	}
	if (!thinker.later[stage])
		return V_NEXT;
	if (!thinker.never) {
		struct ask *copy = malloc(sizeof(*copy));
		pthread_t th;

		*copy = a;
		ck_assert_int_eq(pthread_create(&th, NULL, think, copy), 0);
		pthread_detach(th);
	}
	return V_LATER;
}

static enum verdict
on_connect(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	ck_assert_uint_gt(q->session->id.n, 0);
	return thinker_at(CHAIN_CONNECT, q->ask, r);
}

static enum verdict
on_helo(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	return thinker_at(CHAIN_HELO, q->ask, r);
}

static enum verdict
on_mail(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	ck_assert_uint_eq(strlen(q->txn->id), ID_CHARS);
	return thinker_at(CHAIN_MAIL, q->ask, r);
}

static enum verdict
on_rcpt(void *c, const struct question *q, struct reply *r)
{
	struct span local = q->rcpt->addr.local;

	(void)c;
	ck_assert_int_eq(txn_deliver(q->txn, q->rcpt, local, local, (struct span){ NULL, 0 }, 0), 0);
	return thinker_at(CHAIN_RCPT, q->ask, r);
}

static enum verdict
on_data_begin(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	ck_assert_uint_eq(fake.begun, 0);
	return thinker_at(CHAIN_DATA, q->ask, r);
}

static enum verdict
on_data(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	ck_assert_uint_gt(q->chunk.n, 0);
	return thinker_at(CHAIN_BODY, q->ask, r);
}

static enum verdict
on_end(void *c, const struct question *q, struct reply *r)
{
	(void)c;
	ck_assert_uint_eq(q->chunk.n, 0);
	return thinker_at(CHAIN_END, q->ask, r);
}

static void
on_cancel(void *c, const struct question *q)
{
	(void)c;
	(void)q;
	thinker.cancelled++;
}

static void
on_reset(void *c, const struct question *q)
{
	(void)c;
	thinker.reset++;
	thinker.delivered += q->delivered;
}

static void
on_close(void *c, const struct question *q)
{
	(void)c;
	ck_assert_ptr_null(q->txn);
	thinker.closed++;
}

static const struct handler_ops thinker_ops = {
	.abi = HANDLER_ABI,
	.name = "thinker",
	.on_connect = on_connect,
	.on_helo = on_helo,
	.on_mail_from = on_mail,
	.on_rcpt_to = on_rcpt,
	.on_data_begin = on_data_begin,
	.on_data = on_data,
	.on_end = on_end,
	.on_cancel = on_cancel,
	.on_reset = on_reset,
	.on_close = on_close,
};

/* The stages of a session without AUTH. */
static const enum chain_stage stages[] = { CHAIN_CONNECT, CHAIN_HELO, CHAIN_MAIL, CHAIN_RCPT, CHAIN_DATA, CHAIN_BODY,
	CHAIN_END };
enum { STAGES = sizeof(stages) / sizeof(stages[0]) };

/* --- the run --- */

static void
report(void *arg, const char *line)
{
	(void)arg;
	ck_abort_msg("%s", line);
}

static void
emptied(struct worker *wp)
{
	loop_stop(wp->loop);
}

static void
setup(void)
{
	static const char text[] = "hostname = \"mx.example.org\"\nlistener \"mx\" { address = {\"127.0.0.1:2525\"} }\n"
				   "limits { error_pause = \"0s\" }\n";
	char dir[] = "/tmp/lp-session-XXXXXX", path[64];
	int fd;

	if (w.loop != NULL) { /* once more in the same test */
		asks_fini();
		chain_close(&w.chain);
		loop_free(w.loop);
		stats_slot_unmap(w.stats);
		conf_free(conf);
	}
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(conf_parse("test.conf", text, sizeof(text) - 1, report, NULL, &conf), 0);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	fd = stats_create(dir, "test");
	ck_assert_int_ne(fd, -1);
	log_init("test", -1, false, LOG_L_ERROR);
	id_init();
	w = (struct worker){
		.conf = conf, .store = &fake_ops, .store_ctx = &none, .emptied = emptied, .sessions_max = 100
	};
	w.stats = stats_slot_map(fd, 1, 1);
	ck_assert_ptr_nonnull(w.stats);
	snprintf(path, sizeof(path), "%s/%s", dir, STATS_FILE);
	unlink(path);
	rmdir(dir);
	w.loop = loop_new();
	LIST_INIT(&w.sessions);
	ck_assert_int_eq(asks_init(w.loop, session_told), 0);
	ck_assert_int_eq(chain_add(&w.chain, &thinker_ops, NULL, NULL), 0);
	ls = (struct listener){ .w = &w,
		.conf = &conf->listener[0],
		.smtp = { .hostname = "mx.example.org", .size_max = 1 << 20, .rcpt_max = 100, .errors_max = 20 } };
	memset(&fake, 0, sizeof(fake));
	memset(&thinker, 0, sizeof(thinker));
	memset(&client, 0, sizeof(client));
}

static struct loop_timer client_timer;
static const char *client_script;
static size_t client_left;

/* The client is polled every tick: it sends what fits, reads, and leaves after the end. */
static void
client_tick(struct loop_timer *t)
{
	if (client.fd != -1) {
		ssize_t n =
		    client_left > 0 ? send(client.fd, client_script, client_left, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

		if (n > 0) {
			client_script += n;
			client_left -= (size_t)n;
		}
		client_read();
	}
	loop_timer_set(w.loop, t, 1);
}

/* Say ${script} after the greeting; return all that was answered. */
static const char *
talk(const char *script, size_t n)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNIX };
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	client.fd = fd[0];
	client_script = script;
	client_left = n;
	client_timer.fire = client_tick;
	session_start(&w, &ls, fd[1], &peer);
	ck_assert_uint_eq(w.nsessions, 1);
	/* Not before the greeting: that would be an early talker. */
	loop_timer_set(w.loop, &client_timer, thinker.later[CHAIN_CONNECT] ? 300 : 50);
	ck_assert_int_eq(loop_run(w.loop), 0);
	if (client.fd != -1)
		client_read();
	loop_timer_clear(&client_timer);
	return client.got;
}

static const char *
script_of(size_t octets, size_t *n)
{
	static char s[1 << 20];
	size_t k = (size_t)snprintf(s, sizeof(s),
	    "EHLO client.example\r\nMAIL FROM:<a@example.com>\r\n"
	    "RCPT TO:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: x\r\n\r\n");

	for (size_t i = 0; i < octets; i++)
		s[k++] = i % 72 == 70 ? '\r' : i % 72 == 71 ? '\n' : (char)('a' + i % 26);
	k += (size_t)snprintf(s + k, sizeof(s) - k, "\r\n.\r\nQUIT\r\n");
	*n = k;
	return s;
}

static void
expect_codes(const char *got, const char *want)
{
	char codes[256] = "";

	for (const char *p = got; *p != '\0'; p = strchr(p, '\n') + 1) {
		ck_assert_ptr_nonnull(strchr(p, '\n'));
		if (p[3] == ' ')
			snprintf(codes + strlen(codes), sizeof(codes) - strlen(codes), "%.3s ", p);
	}
	ck_assert_str_eq(codes, want);
}

static void
expect_content(size_t octets)
{
	static char s[1 << 20];
	size_t k = (size_t)snprintf(s, sizeof(s), "Subject: x\r\n\r\n");

	for (size_t i = 0; i < octets; i++)
		s[k++] = i % 72 == 70 ? '\r' : i % 72 == 71 ? '\n' : (char)('a' + i % 26);
	s[k++] = '\r';
	s[k++] = '\n';
	ck_assert_uint_eq(fake.n, k);
	ck_assert_mem_eq(fake.content, s, k);
}

static uint64_t
counter(enum stats_counter c)
{
	return atomic_load(&w.stats->counter[c]);
}

static uint64_t
replies(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < STATS_CODES; i++)
		n += atomic_load(&w.stats->reply[i]);
	return n;
}

static const char all_yes[] = "220 250 250 250 250 354 250 221 ";

START_TEST(nobody_waits)
{
	size_t n;
	const char *s;

	setup();
	s = script_of(1000, &n);
	expect_codes(talk(s, n), all_yes);
	expect_content(1000);
	ck_assert_uint_eq(fake.committed, 1);
	ck_assert_uint_eq(fake.aborted, 0);
	ck_assert_uint_eq(counter(STATS_MESSAGES), 1);
	ck_assert_uint_eq(counter(STATS_RECIPIENTS), 2);
	ck_assert_uint_eq(replies(), 8);
	ck_assert_uint_eq(thinker.closed, 1);
	ck_assert_uint_eq(thinker.reset, 1);
	ck_assert_uint_eq(thinker.delivered, 1);
	ck_assert_uint_eq(thinker.cancelled, 0);
}
END_TEST

/* Every stage, alone and all together, with contents of several sizes. */
START_TEST(handlers_think)
{
	static const size_t sizes[] = { 0, 500, 300000 };
	size_t n;
	const char *s;

	setup();
	for (int i = 0; i < STAGES; i++)
		thinker.later[stages[i]] = _i == i || _i == STAGES;
	if (_i == STAGES)
		fake.full_every = 1000;
	for (unsigned k = 0; k < 3; k++) {
		if (k > 0) {
			setup();
			for (int i = 0; i < STAGES; i++)
				thinker.later[stages[i]] = _i == i || _i == STAGES;
		}
		s = script_of(sizes[k], &n);
		expect_codes(talk(s, n), all_yes);
		expect_content(sizes[k]);
		ck_assert_uint_eq(replies(), 8);
	}
}
END_TEST

START_TEST(store_is_full_now_and_then)
{
	static const size_t every[] = { 1, 7, 4096, 65537 };
	size_t n, octets = _i == 0 ? 3000 : 300000;
	const char *s;

	setup();
	fake.full_every = every[_i];
	s = script_of(octets, &n);
	expect_codes(talk(s, n), all_yes);
	expect_content(octets);
}
END_TEST

START_TEST(handler_refuses)
{
	size_t n;
	const char *s, *got;

	setup();
	thinker.refuse = true;
	thinker.refuse_at = stages[_i];
	s = script_of(1000, &n);
	got = talk(s, n);
	if (stages[_i] >= CHAIN_BODY) {
		expect_codes(got, "220 250 250 250 250 354 550 221 ");
		ck_assert_uint_eq(fake.aborted, 1);
		ck_assert_uint_eq(fake.committed, 0);
		ck_assert_uint_eq(counter(STATS_MESSAGES), 0);
		ck_assert_uint_eq(thinker.delivered, 0);
	} else {
		/* A reply to HELO has no enhanced code (RFC 2034 4). */
		ck_assert_ptr_nonnull(strstr(got, stages[_i] == CHAIN_HELO ? "550 no [" : "550 5.7.1 no ["));
		ck_assert_uint_eq(fake.begun, 0);
	}
}
END_TEST

START_TEST(handler_never_answers)
{
	size_t n;
	const char *s, *got;
	const char *want = stages[_i] == CHAIN_CONNECT ? "421 4.3.0 a check did not"
	    : stages[_i] == CHAIN_HELO                 ? "451 a check did not"
						       : "451 4.3.0 a check did not";

	setup();
	w.chain.later_ms = 200;
	thinker.later[stages[_i]] = thinker.never = true;
	s = script_of(100, &n);
	got = talk(s, n);
	ck_assert_ptr_nonnull(strstr(got, want));
	ck_assert_uint_ge(counter(STATS_HANDLER_TIMEOUTS), 1);
	ck_assert_uint_eq(counter(STATS_HANDLER_TIMEOUTS), thinker.cancelled);
	ck_assert_uint_eq(fake.committed, 0);
	/* Its answer comes too late for anybody. */
	ck_assert_int_eq(ask_answer(thinker.last, V_NEXT, NULL), -1);
	ck_assert_int_eq(errno, ESTALE);
}
END_TEST

START_TEST(client_leaves_while_it_is_stored)
{
	size_t n;
	const char *s;

	setup();
	client.leave = true;
	s = script_of(1000, &n);
	talk(s, n);
	ck_assert_uint_eq(fake.committed, 1);
	ck_assert_uint_eq(fake.aborted, 0);
	ck_assert_uint_eq(counter(STATS_MESSAGES), 1);
	ck_assert_uint_eq(w.nsessions, 0);
}
END_TEST

START_TEST(store_fails)
{
	static const struct {
		int error;
		const char *reply;
	} row[] = { { ENOSPC, "452 4.3.1 " }, { EDQUOT, "452 4.2.2 " }, { EIO, "451 4.3.0 " },
		{ EFBIG, "451 4.3.0 " } };
	size_t n;
	const char *s, *got;

	setup();
	fake.commit_error = row[_i].error;
	s = script_of(1000, &n);
	got = talk(s, n);
	ck_assert_ptr_nonnull(strstr(got, row[_i].reply));
	ck_assert_ptr_null(strstr(got, "queued"));
	ck_assert_uint_eq(counter(STATS_MESSAGES), 0);
	ck_assert_uint_eq(counter(STATS_STORE_ERRORS), 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("session");
	TCase *t = tcase_create("session");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, nobody_waits);
	tcase_add_loop_test(t, handlers_think, 0, STAGES + 1);
	tcase_add_loop_test(t, store_is_full_now_and_then, 0, 4);
	tcase_add_loop_test(t, handler_refuses, 0, STAGES);
	tcase_add_loop_test(t, handler_never_answers, 0, STAGES);
	tcase_add_test(t, client_leaves_while_it_is_stored);
	tcase_add_loop_test(t, store_fails, 0, 4);
	suite_add_tcase(s, t);
	return suite_run(s);
}
