/*
 * client: who is at the other end of the session, and all else that happens
 * from outside: time that goes by, a worker that drains, somebody who looks.
 */
#ifndef TESTS_FUZZ_PARTS_CLIENT_H_
#define TESTS_FUZZ_PARTS_CLIENT_H_

#include <netinet/in.h>

#include "tests/fuzz/parts/scene.h"

enum {
	SESSIONS_MAX = 3,       /* one after the other */
	LINES_MAX    = 150,     /* lines that a client says again, in all */
	SAID_MAX     = 1 << 18, /* octets that a client says in all, */
	TURNS_MAX    = 1 << 16, /* turns until nothing happens any more */
	HEARD_MAX    = 4 << 20  /* and octets that it hears */
};

/* The client, and what it says in this run. */
static struct {
	int      fd; /* -1: it left */
	int      trace;
	bool     deaf, ended;
	unsigned sessions; /* begun so far */
	bool     misses;   /* it need not hear all that is said */
	uint8_t  heard[HEARD_MAX];
	size_t   nheard;
	uint8_t  say[SAID_MAX];
	size_t   nsay, nsaid; /* to be said; said so far */
	unsigned again;       /* lines said again */
	size_t   line;        /* where the last line in say[] begins */
} client;

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

	ssize_t n;

	while (client.trace != -1 && (n = recv(client.trace, seen, sizeof(seen), MSG_DONTWAIT)) > 0)
		login_check(span_of(seen, (size_t)n), "a trace");
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
		if (!peers_serve(fixed.server, SERVERS, fd) && !doorman_serve())
			break;
		if (fd != -1)
			client_hear();
	} while (++turns < TURNS_MAX);
	client_see();
	login_check_rest();
}

static void
go_by(uint64_t ms)
{
	turn_us += ms * 1000;
	peers_pay();
	doorman_pay();
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
	client.fd     = -1;
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
		tap_open(&run.w, fd[1], client.nsaid % 2 == 0 ? "filter\n" : "filter\trecipient=alice@example.org\n");
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
	static uint8_t        octets[1 << 15], line[4096];
	size_t                n;

	if (what == DO_OCTET) {
		client_add(&(uint8_t){ 0xff }, 1);
		return;
	}
	if (what == DO_OCTETS && client.nsay > 0) {
		/* Lines are dearer than octets: each has its answer. */
		n = (size_t)1 << x % (client.say[client.nsay - 1] == '\n' ? 6 : 16);
		memset(octets, client.say[client.nsay - 1], n);
		client_add(octets, n);
		return;
	}
	n = client.nsay - client.line;
	if (what == DO_LINES && n <= sizeof(line)) {
		memcpy(line, client.say + client.line, n);
		for (unsigned i = 0; i < x % 128U && client.again < LINES_MAX; i++, client.again++)
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
#endif
