/*
 * sessionfix: a real engine, loop and socket between a scripted client, the
 * suite's handlers, and a store that remembers.  Included by one suite each.
 */
#ifndef TESTS_UNIT_SESSIONFIX_H_
#define TESTS_UNIT_SESSIONFIX_H_

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "common/id.h"
#include "common/log.h"
#include "tests/unit/suite.h"
#include "worker/asks.h"
#include "worker/session.h"

static struct worker   w;
static struct listener ls;
static struct conf    *conf;
/* Put the suite's handlers into w.chain; how long the client waits for the greeting. */
static void     fix_chain(void);
static uint64_t fix_greeting_ms = 50;

/* --- a client that has said all it will say, and reads until the end --- */

static struct client {
	int    fd;
	char   got[1 << 16];
	size_t n;
	bool   leave; /* vanish once the store commits */
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

struct store_msg {
	char   content[1 << 20];
	size_t n;
	bool   used, raw;
};

static struct fake {
	struct store_msg msg[2];           /* one, and one that is edited */
	char             content[1 << 20]; /* of the last one that was committed or ended */
	size_t           n, full_every, since_full, read_piece;
	unsigned         begun, committed, aborted;
	int              commit_error, read_error;
	bool             read_later;
	void (*wake)(void *arg);
	void             *wake_arg;
	struct loop_task  room, piece;
	struct loop_timer timer;
	void (*read_done)(void *arg, struct span s, int err);
	void       *read_arg;
	struct span read_what;
	void (*done)(void *arg, const struct store_done *d);
	void    *done_arg;
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

static void
fake_piece(struct loop_task *t)
{
	(void)t;
	fake.read_done(fake.read_arg, fake.read_what, fake.read_error);
}

static int
fake_begin(void *ctx, struct txn *t, struct span received, void (*wake)(void *arg), void *arg, struct store_msg **m)
{
	(void)ctx;
	ck_assert_uint_gt(received.n, 0);
	fake.begun++;
	fake.ntargets   = t->ntargets;
	fake.wake       = wake;
	fake.wake_arg   = arg;
	fake.room.run   = fake_room;
	fake.piece.run  = fake_piece;
	fake.timer.fire = fake_durable;
	*m              = fake.msg[0].used ? &fake.msg[1] : &fake.msg[0];
	ck_assert(!(*m)->used);
	(*m)->used = true;
	(*m)->raw  = false;
	(*m)->n    = 0;
	return 0;
}

static int
fake_write(struct store_msg *m, struct span s, size_t *taken)
{
	size_t room = fake.full_every == 0 ? s.n : fake.full_every - fake.since_full;

	*taken = s.n < room ? s.n : room;
	memcpy(m->content + m->n, s.p, *taken);
	m->n += *taken;
	fake.since_full += *taken;
	if (*taken == s.n)
		return 0;
	loop_later(w.loop, &fake.room);
	errno = EAGAIN;
	return -1;
}

/* Content as a store folds it. */
static void
fake_fold(struct store_msg *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		if (m->raw || m->content[i] != '\r' || i + 1 == m->n || m->content[i + 1] != '\n')
			m->content[n++] = m->content[i];
	m->n   = n;
	m->raw = true;
}

static void
fake_raw(struct store_msg *m)
{
	m->raw = true;
}

static void
fake_read(struct store_msg *m, uint64_t at, void (*done)(void *arg, struct span s, int err), void *arg)
{
	struct span s;

	fake_fold(m);
	s = span_skip(span_of(m->content, m->n), (size_t)at);
	if (fake.read_piece != 0 && s.n > fake.read_piece)
		s.n = fake.read_piece;
	fake.read_done = done;
	fake.read_arg  = arg;
	fake.read_what = s;
	if (fake.read_later)
		loop_later(w.loop, &fake.piece);
	else
		done(arg, s, fake.read_error);
}

static void
fake_end(struct store_msg *m)
{
	memcpy(fake.content, m->content, m->n);
	fake.n  = m->n;
	m->used = false;
}

static void
fake_commit(struct store_msg *m, bool all, void (*done)(void *arg, const struct store_done *d), void *arg)
{
	(void)all;
	fake_end(m);
	fake.committed++;
	fake.done     = done;
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
	if (fake.msg[0].used != fake.msg[1].used)
		fake_end(m);
	m->used = false;
	fake.aborted++;
	loop_task_clear(w.loop, &fake.room);
	loop_task_clear(w.loop, &fake.piece);
}

static const struct store_ops fake_ops = {
	.name   = "fake",
	.begin  = fake_begin,
	.write  = fake_write,
	.raw    = fake_raw,
	.read   = fake_read,
	.commit = fake_commit,
	.abort  = fake_abort,
};

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
	char              dir[]  = "/tmp/lp-session-XXXXXX", path[64];
	int               fd;

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
		.conf = conf, .store = &fake_ops, .emptied = emptied, .sessions_max = 100, .lingering_max = 100
	};
	w.stats = stats_slot_map(fd, 1, 1);
	ck_assert_ptr_nonnull(w.stats);
	snprintf(path, sizeof(path), "%s/%s", dir, STATS_FILE);
	unlink(path);
	rmdir(dir);
	w.loop = loop_new();
	LIST_INIT(&w.sessions);
	ck_assert_int_eq(asks_init(w.loop, session_told), 0);
	fix_chain();
	ls = (struct listener){ .w = &w,
		.conf              = &conf->listener[0],
		.smtp              = { .hostname = "mx.example.org",
				 .size_max       = 1 << 20,
				 .flood_max      = 1 << 20,
				 .rcpt_max       = 100,
				 .errors_max     = 20 } };
	memset(&fake, 0, sizeof(fake));
	memset(&client, 0, sizeof(client));
}

static struct loop_timer client_timer;
static const char       *client_script;
static size_t            client_left;

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
	int                     fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	client.fd         = fd[0];
	client_script     = script;
	client_left       = n;
	client_timer.fire = client_tick;
	session_start(&w, &ls, fd[1], &peer);
	ck_assert_uint_eq(w.nsessions, 1);
	/* Not before the greeting: that would be an early talker. */
	loop_timer_set(w.loop, &client_timer, fix_greeting_ms);
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
	size_t      k = (size_t)snprintf(s, sizeof(s),
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

static uint64_t
counter(enum stats_counter c)
{
	return atomic_load(&w.stats->counter[c]);
}

static const char all_yes[] = "220 250 250 250 250 354 250 221 ";
#endif
