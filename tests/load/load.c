/*
 * load: a generator of mail for measurements, one thread, epoll.
 * N connections send M messages between them, or as many as -t allows; prints
 * messages a second and how long the answer to the end of data took.  A message
 * counts when its end was answered 250 and each command before it with the code
 * that belongs to it, in order.  Anything else is a failure: it is counted, the
 * first few are shown, its connection is given up, and the status is 1.  With -R
 * it has recipients refused instead, LOAD_REFUSED a message that never comes to
 * its content; one that is accepted is a failure.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <bsd/stdlib.h>
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/load/parts/tally.h"

enum state { LOAD_GREETING, LOAD_HELO, LOAD_MAIL, LOAD_RCPT, LOAD_DATA, LOAD_BODY, LOAD_REFUSALS, LOAD_QUIT };
enum {
	LOAD_RX = 2048,
	LOAD_TX = 1024,
	LOAD_EVENTS = 256,
	LOAD_REFUSED = 10,
	LOAD_FAILED_MAX = 100, /* then nothing new is begun */
	LOAD_FAILED_SHOWN = 3,
	LOAD_PATIENCE_MS = 60000,
	LOAD_GRACE_MS = 1000, /* for a greeting after the time */
	LOAD_UNAVAILABLE = 69 /* status: the server does not offer PIPELINING, sysexits.h */
};

struct conn {
	int fd;
	enum state state;
	unsigned waiting; /* replies still to come in this state */
	unsigned left;    /* messages this connection still sends */
	unsigned recipient;
	bool writing;     /* EPOLLOUT is asked for */
	bool pipelining;  /* EHLO has offered it */
	uint64_t sent_ns; /* when the end of data was handed over */
	const char *out;
	size_t outlen, rxlen;
	char rx[LOAD_RX], tx[LOAD_TX];
};

static struct {
	const char *host, *port, *domain;
	unsigned connections, per_connection, messages, size, recipients, stride, seconds;
	bool pipelining, refused;
	struct addrinfo *ai;
	char *body;
	size_t bodylen;
	int ep;
	unsigned begun, failed, ungreeted, open;
	struct conn *conns;
	uint64_t seq;
	struct tally tally;
} load = { .host = "127.0.0.1",
	.port = "2525",
	.domain = "example.org",
	.connections = 20,
	.messages = 10000,
	.size = 10240,
	.recipients = 1000,
	.stride = 1 };

static void
make_body(void)
{
	static const char head[] = "From: <load@client.example>\r\nSubject: load\r\n\r\n";
	static const char line[] = "The quick brown fox jumps over the lazy dog, and then over the dog again.\r\n";
	size_t n = 0;
	FILE *f = open_memstream(&load.body, &load.bodylen);

	if (f == NULL)
		err(1, "memory");
	fputs(head, f);
	for (n = sizeof(head) - 1; n + sizeof(line) - 1 < load.size; n += sizeof(line) - 1)
		fputs(line, f);
	fputs(".\r\n", f);
	if (fclose(f) != 0)
		err(1, "memory");
}

static void
watch(struct conn *c, int op)
{
	struct epoll_event ev = { .events = EPOLLIN | (c->writing ? EPOLLOUT : 0u), .data.ptr = c };

	if (epoll_ctl(load.ep, op, c->fd, &ev) != 0)
		err(1, "epoll_ctl");
}

/* What is left of the time, in milliseconds, rounded up. */
static int
left_ms(void)
{
	uint64_t end = load.tally.began_ns + load.seconds * 1000000000ULL, now = tally_now_ns();

	return load.seconds == 0 ? LOAD_PATIENCE_MS : now >= end ? 0 : (int)((end - now) / 1000000U) + 1;
}

/* Whether no message is to be begun any more. */
static bool
is_over(void)
{
	return load.begun == load.messages || load.failed >= LOAD_FAILED_MAX || left_ms() == 0;
}

static void
dial(struct conn *c)
{
	int one = 1;

	/* A server whose backlog is short lets some wait; the others go on. */
	c->fd = socket(load.ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || (connect(c->fd, load.ai->ai_addr, load.ai->ai_addrlen) != 0 && errno != EINPROGRESS))
		err(1, "connect %s port %s", load.host, load.port);
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->state = LOAD_GREETING;
	c->waiting = 1;
	c->left = load.per_connection > 0 ? load.per_connection : load.messages;
	c->rxlen = c->outlen = 0;
	c->writing = c->pipelining = false;
	load.open++;
	watch(c, EPOLL_CTL_ADD);
}

/* The connection is at its end; a new one takes its place while there are messages left. */
static void
hang_up(struct conn *c)
{
	close(c->fd);
	c->fd = -1;
	c->rxlen = c->outlen = 0;
	load.open--;
	if (!is_over())
		dial(c);
}

__attribute__((format(printf, 2, 3))) static void
fail(struct conn *c, const char *fmt, ...)
{
	static const char *const in[] = { "the greeting", "EHLO", "MAIL", "RCPT", "DATA", "the end of data",
		"refused recipients", "QUIT" };
	va_list ap;

	if (load.failed++ < LOAD_FAILED_SHOWN) {
		fprintf(stderr, "load: at %s: ", in[c->state]);
		va_start(ap, fmt);
		vfprintf(stderr, fmt, ap);
		va_end(ap);
		fputc('\n', stderr);
	}
	hang_up(c);
}

static void
flush(struct conn *c)
{
	bool writing;

	while (c->outlen > 0) {
		ssize_t n = send(c->fd, c->out, c->outlen, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			fail(c, "send: %s", strerror(errno));
			return;
		}
		c->out += n;
		c->outlen -= (size_t)n;
	}
	writing = c->outlen > 0;
	if (writing != c->writing) {
		c->writing = writing;
		watch(c, EPOLL_CTL_MOD);
	}
}

static void
say(struct conn *c, enum state next, unsigned waiting, const char *p, size_t n)
{
	c->state = next;
	c->waiting = waiting;
	c->out = p;
	c->outlen = n;
	flush(c);
}

static void
say_text(struct conn *c, enum state next, unsigned waiting, int n)
{
	if (n < 0 || n >= LOAD_TX)
		errx(1, "command too long");
	say(c, next, waiting, c->tx, (size_t)n);
}

/* RSET last: its 250 tells that the rest was answered. */
static void
ask_refusals(struct conn *c)
{
	int n = snprintf(c->tx, LOAD_TX, "MAIL FROM:<load@client.example>\r\n");

	for (int i = 0; i < LOAD_REFUSED; i++)
		n += snprintf(c->tx + n, LOAD_TX - (size_t)n, "RCPT TO:<nobody%d@%s>\r\n", i, load.domain);
	n += snprintf(c->tx + n, LOAD_TX - (size_t)n, "RSET\r\n");
	c->sent_ns = tally_now_ns();
	say_text(c, LOAD_REFUSALS, LOAD_REFUSED + 2, n);
}

/* Whether CODE is what belongs to the command that is answered: replies come in the order of commands. */
static bool
is_expected(const struct conn *c, int code)
{
	switch (c->state) {
	case LOAD_GREETING:
		return code == 220;
	case LOAD_DATA:
		return code == (c->waiting > 1 ? 250 : 354);
	case LOAD_REFUSALS:
		return c->waiting > 1 && c->waiting <= LOAD_REFUSED + 1 ? code >= 500 : code == 250;
	case LOAD_QUIT:
		return code == 221;
	case LOAD_HELO:
	case LOAD_MAIL:
	case LOAD_RCPT:
	case LOAD_BODY:
		return code == 250;
	}
	return false;
}

static void
begin(struct conn *c)
{
	if (c->left == 0 || is_over()) {
		say(c, LOAD_QUIT, 1, "QUIT\r\n", 6);
		return;
	}
	load.begun++;
	c->recipient = (unsigned)(load.seq++ % load.recipients) * load.stride;
	c->left--;
	if (load.refused)
		ask_refusals(c);
	else if (load.pipelining)
		say_text(c, LOAD_DATA, 3,
		    snprintf(c->tx, LOAD_TX, "MAIL FROM:<load@client.example>\r\nRCPT TO:<u%u@%s>\r\nDATA\r\n",
			c->recipient, load.domain));
	else
		say_text(c, LOAD_MAIL, 1, snprintf(c->tx, LOAD_TX, "MAIL FROM:<load@client.example>\r\n"));
}

/* All replies of a state are in: what comes next. */
static void
advance(struct conn *c)
{
	uint64_t now;

	switch (c->state) {
	case LOAD_GREETING:
		say(c, LOAD_HELO, 1, "EHLO load.example\r\n", 19);
		break;
	case LOAD_HELO:
		if ((load.pipelining || load.refused) && !c->pipelining)
			errx(LOAD_UNAVAILABLE, "the server does not offer PIPELINING");
		begin(c);
		break;
	case LOAD_MAIL:
		say_text(c, LOAD_RCPT, 1, snprintf(c->tx, LOAD_TX, "RCPT TO:<u%u@%s>\r\n", c->recipient, load.domain));
		break;
	case LOAD_RCPT:
		say(c, LOAD_DATA, 1, "DATA\r\n", 6);
		break;
	case LOAD_DATA:
		c->sent_ns = tally_now_ns();
		say(c, LOAD_BODY, 1, load.body, load.bodylen);
		break;
	case LOAD_REFUSALS:
	case LOAD_BODY:
		now = tally_now_ns();
		tally_add(&load.tally, now - c->sent_ns, now);
		begin(c);
		break;
	case LOAD_QUIT:
		hang_up(c);
		break;
	}
}

/* The code of a reply line of N octets, or -1 if it is none. */
static int
code_of(const char *line, size_t n)
{
	int code = 0;

	if (n < 5 || line[n - 2] != '\r' || (line[3] != ' ' && line[3] != '-' && line[3] != '\r'))
		return -1;
	for (int i = 0; i < 3; i++) {
		if (line[i] < '0' || line[i] > '9')
			return -1;
		code = code * 10 + line[i] - '0';
	}
	return code;
}

/* Take the complete reply lines out of what was received.  Every line of a reply has its code. */
static void
take(struct conn *c)
{
	char *end;

	while ((end = memchr(c->rx, '\n', c->rxlen)) != NULL) {
		size_t n = (size_t)(end - c->rx) + 1;
		bool last = c->state == LOAD_QUIT;

		if (c->waiting == 0 || !is_expected(c, code_of(c->rx, n))) {
			fail(c, "the server said: %.*s", (int)(n - 1), c->rx);
			return;
		}
		if (c->state == LOAD_HELO && strncasecmp(c->rx + 4, "PIPELINING", 10) == 0)
			c->pipelining = true;
		if (c->rx[3] != '-')
			c->waiting--;
		c->rxlen -= n;
		memmove(c->rx, end + 1, c->rxlen);
		if (c->waiting == 0) {
			advance(c);
			if (last)
				return;
		}
	}
	if (c->rxlen == sizeof(c->rx))
		fail(c, "the server's line has no end");
}

static void
serve(struct conn *c, uint32_t events)
{
	ssize_t n;

	if (events & EPOLLOUT)
		flush(c);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	n = recv(c->fd, c->rx + c->rxlen, sizeof(c->rx) - c->rxlen, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		fail(c, "connection lost: %s", n < 0 ? strerror(errno) : "closed");
		return;
	}
	c->rxlen += (size_t)n;
	take(c);
}

/* Where a server's backlog is short, a connection may never be greeted: it does not keep the rest from its end. */
static void
leave_ungreeted(void)
{
	for (unsigned i = 0; i < load.connections; i++)
		if (load.conns[i].fd != -1 && load.conns[i].state == LOAD_GREETING) {
			load.ungreeted++;
			hang_up(&load.conns[i]);
		}
}

static void
deliver(void)
{
	struct epoll_event ev[LOAD_EVENTS];
	int quiet_ms = 0;

	while (load.open > 0) {
		int left = left_ms(), n;

		if (left == 0 &&
		    tally_now_ns() - load.tally.began_ns >= LOAD_GRACE_MS * 1000000ULL + load.seconds * 1000000000ULL)
			leave_ungreeted();
		n = load.open == 0 ? 1 : epoll_wait(load.ep, ev, LOAD_EVENTS, left > 0 ? left : LOAD_GRACE_MS);
		if (n > 0)
			quiet_ms = 0;
		else if ((quiet_ms += left > 0 ? left : LOAD_GRACE_MS) >= LOAD_PATIENCE_MS)
			errx(1, "nothing happens for 60 s; %zu messages done", load.tally.n);
		for (int i = 0; load.open > 0 && i < n; i++)
			serve(ev[i].data.ptr, ev[i].events);
	}
}

static void
report(void)
{
	printf("messages=%zu failed=%u ungreeted=%u connections=%u size=%u per_connection=%u pipelining=%s ",
	    load.tally.n, load.failed, load.ungreeted, load.connections, load.size, load.per_connection,
	    load.pipelining || load.refused ? "yes" : "no");
	tally_print(&load.tally);
	putchar('\n');
}

static unsigned
number(const char *text, const char *what, unsigned min)
{
	const char *why;
	long long v = strtonum(text, min, 100000000, &why);

	if (why != NULL)
		errx(64, "%s is %s: %s", what, why, text);
	return (unsigned)v;
}

static void
options(int argc, char **argv)
{
	int o;

	while ((o = getopt(argc, argv, "h:p:d:c:n:m:s:r:k:t:PR")) != -1) {
		switch (o) {
		case 'h':
			load.host = optarg;
			break;
		case 'p':
			load.port = optarg;
			break;
		case 'd':
			load.domain = optarg;
			break;
		case 'c':
			load.connections = number(optarg, "-c", 1);
			break;
		case 'n':
			load.messages = number(optarg, "-n", 1);
			break;
		case 'm':
			load.per_connection = number(optarg, "-m", 0);
			break;
		case 's':
			load.size = number(optarg, "-s", 1);
			break;
		case 'r':
			load.recipients = number(optarg, "-r", 1);
			break;
		case 'k':
			load.stride = number(optarg, "-k", 1);
			break;
		case 't':
			load.seconds = number(optarg, "-t", 1);
			break;
		case 'P':
			load.pipelining = true;
			break;
		case 'R':
			load.refused = true;
			break;
		default:
			fputs("usage: load [-h HOST] [-p PORT] [-c CONNECTIONS] [-n MESSAGES] [-m MESSAGES A "
			      "CONNECTION, 0: all]\n"
			      "            [-s OCTETS] [-r RECIPIENTS: u0@DOMAIN, u(K)@DOMAIN...] [-k K] [-d DOMAIN]\n"
			      "            [-t SECONDS at the most] [-P: pipelining] [-R: refusals]\n",
			    stderr);
			exit(64);
		}
	}
	if (load.connections > load.messages)
		load.connections = load.messages;
}

int
main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	int rc;

	options(argc, argv);
	rc = getaddrinfo(load.host, load.port, &hints, &load.ai);
	if (rc != 0)
		errx(1, "%s port %s: %s", load.host, load.port, gai_strerror(rc));
	make_body();
	load.conns = calloc(load.connections, sizeof(*load.conns));
	load.ep = epoll_create1(EPOLL_CLOEXEC);
	if (load.conns == NULL || load.ep < 0)
		err(1, "start");
	tally_init(&load.tally, load.messages);
	for (unsigned i = 0; i < load.connections; i++)
		dial(&load.conns[i]);
	deliver();
	report();
	freeaddrinfo(load.ai);
	free(load.body);
	tally_fini(&load.tally);
	free(load.conns);
	close(load.ep);
	return load.failed > 0;
}
