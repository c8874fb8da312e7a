/*
 * load: a generator of mail for measurements, one thread, epoll.
 * N connections send M messages between them; prints messages a second and
 * how long the answer to the end of data took.  It believes every reply that
 * has the right first digit and stops at the first other one.  With -R it has
 * recipients refused instead, LOAD_REFUSED a message that never comes to its
 * content, and stops at one that is not.  Not a test.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <bsd/stdlib.h>
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum state { LOAD_GREETING, LOAD_HELO, LOAD_MAIL, LOAD_RCPT, LOAD_DATA, LOAD_BODY, LOAD_REFUSALS, LOAD_QUIT };
enum { LOAD_RX = 2048, LOAD_TX = 1024, LOAD_EVENTS = 256, LOAD_REFUSED = 10 };

struct conn {
	int fd;
	enum state state;
	unsigned waiting; /* replies still to come in this state */
	unsigned left;    /* messages this connection still sends */
	bool writing;     /* EPOLLOUT is asked for */
	uint64_t sent_ns; /* when the end of data was handed over */
	const char *out;
	size_t outlen, rxlen;
	char rx[LOAD_RX], tx[LOAD_TX];
};

static struct {
	const char *host, *port, *domain;
	unsigned connections, per_connection, messages, size, recipients;
	bool pipelining, refused;
	struct addrinfo *ai;
	char *body;
	size_t bodylen;
	int ep;
	unsigned begun, done, open;
	uint64_t seq;
	uint64_t *took_ns;
} load = { .host = "127.0.0.1",
	.port = "2525",
	.domain = "example.org",
	.connections = 20,
	.messages = 10000,
	.size = 10240,
	.recipients = 1000 };

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

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

static void
flush(struct conn *c)
{
	bool writing;

	while (c->outlen > 0) {
		ssize_t n = send(c->fd, c->out, c->outlen, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			err(1, "send");
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
	c->sent_ns = now_ns();
	say_text(c, LOAD_REFUSALS, LOAD_REFUSED + 2, n);
}

static bool
is_expected(const struct conn *c)
{
	if (c->state == LOAD_REFUSALS)
		return c->rx[0] == (c->waiting > 1 && c->waiting <= LOAD_REFUSED + 1 ? '5' : '2');
	return c->rx[0] == '2' || c->rx[0] == '3';
}

static void
begin(struct conn *c)
{
	unsigned rcpt = (unsigned)(load.seq++ % load.recipients);

	if (c->left == 0 || load.begun == load.messages) {
		say(c, LOAD_QUIT, 1, "QUIT\r\n", 6);
		return;
	}
	load.begun++;
	c->left--;
	if (load.refused)
		ask_refusals(c);
	else if (load.pipelining)
		say_text(c, LOAD_DATA, 3,
		    snprintf(c->tx, LOAD_TX, "MAIL FROM:<load@client.example>\r\nRCPT TO:<u%u@%s>\r\nDATA\r\n", rcpt,
			load.domain));
	else
		say_text(c, LOAD_MAIL, 1, snprintf(c->tx, LOAD_TX, "MAIL FROM:<load@client.example>\r\n"));
}

static void
dial(struct conn *c)
{
	int one = 1;

	c->fd = socket(load.ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, load.ai->ai_addr, load.ai->ai_addrlen) != 0)
		err(1, "connect %s port %s", load.host, load.port);
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->state = LOAD_GREETING;
	c->waiting = 1;
	c->left = load.per_connection > 0 ? load.per_connection : load.messages;
	c->rxlen = c->outlen = 0;
	c->writing = false;
	load.open++;
	watch(c, EPOLL_CTL_ADD);
}

/* All replies of a state are in: what comes next. */
static void
advance(struct conn *c)
{
	switch (c->state) {
	case LOAD_GREETING:
		say(c, LOAD_HELO, 1, "EHLO load.example\r\n", 19);
		break;
	case LOAD_HELO:
		begin(c);
		break;
	case LOAD_MAIL:
		say_text(c, LOAD_RCPT, 1,
		    snprintf(
			c->tx, LOAD_TX, "RCPT TO:<u%u@%s>\r\n", (unsigned)(load.seq % load.recipients), load.domain));
		break;
	case LOAD_RCPT:
		say(c, LOAD_DATA, 1, "DATA\r\n", 6);
		break;
	case LOAD_DATA:
		c->sent_ns = now_ns();
		say(c, LOAD_BODY, 1, load.body, load.bodylen);
		break;
	case LOAD_REFUSALS:
	case LOAD_BODY:
		load.took_ns[load.done++] = now_ns() - c->sent_ns;
		begin(c);
		break;
	case LOAD_QUIT:
		close(c->fd);
		load.open--;
		if (load.begun < load.messages)
			dial(c);
		break;
	}
}

/* Take the complete reply lines out of what was received. */
static void
take(struct conn *c)
{
	for (;;) {
		char *end = memchr(c->rx, '\n', c->rxlen);
		size_t n;

		if (end == NULL)
			return;
		n = (size_t)(end - c->rx) + 1;
		if (n < 5 || !is_expected(c))
			errx(1, "the server said: %.*s", (int)n, c->rx);
		if (c->rx[3] == ' ')
			c->waiting--;
		c->rxlen -= n;
		memmove(c->rx, end + 1, c->rxlen);
		if (c->waiting == 0) {
			bool last = c->state == LOAD_QUIT;

			advance(c);
			if (last)
				return;
		}
	}
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
	if (n <= 0)
		errx(1, "connection lost in state %d: %s", c->state, n < 0 ? strerror(errno) : "closed");
	c->rxlen += (size_t)n;
	take(c);
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void
report(uint64_t took_ns)
{
	double s = (double)took_ns / 1e9;

	qsort(load.took_ns, load.done, sizeof(*load.took_ns), by_value);
	printf("messages=%u connections=%u size=%u per_connection=%u pipelining=%s seconds=%.3f "
	       "messages_per_second=%.0f p50_ms=%.3f p99_ms=%.3f max_ms=%.3f\n",
	    load.done, load.connections, load.size, load.per_connection, load.pipelining ? "yes" : "no", s,
	    load.done / s, (double)load.took_ns[load.done / 2] / 1e6,
	    (double)load.took_ns[(uint64_t)load.done * 99 / 100] / 1e6, (double)load.took_ns[load.done - 1] / 1e6);
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

	while ((o = getopt(argc, argv, "h:p:d:c:n:m:s:r:PR")) != -1) {
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
		case 'P':
			load.pipelining = true;
			break;
		case 'R':
			load.refused = true;
			break;
		default:
			fputs("usage: load [-h HOST] [-p PORT] [-c CONNECTIONS] [-n MESSAGES] [-m MESSAGES A "
			      "CONNECTION, 0: all]\n"
			      "            [-s OCTETS] [-r RECIPIENTS: u0@DOMAIN...] [-d DOMAIN] [-P: pipelining] [-R: "
			      "refusals]\n",
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
	struct epoll_event ev[LOAD_EVENTS];
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct conn *conns;
	uint64_t began;
	int rc;

	options(argc, argv);
	rc = getaddrinfo(load.host, load.port, &hints, &load.ai);
	if (rc != 0)
		errx(1, "%s port %s: %s", load.host, load.port, gai_strerror(rc));
	make_body();
	conns = calloc(load.connections, sizeof(*conns));
	load.took_ns = calloc(load.messages, sizeof(*load.took_ns));
	load.ep = epoll_create1(EPOLL_CLOEXEC);
	if (conns == NULL || load.took_ns == NULL || load.ep < 0)
		err(1, "start");
	began = now_ns();
	for (unsigned i = 0; i < load.connections; i++)
		dial(&conns[i]);
	while (load.open > 0) {
		int n = epoll_wait(load.ep, ev, LOAD_EVENTS, 60000);

		if (n == 0)
			errx(1, "nothing happens for 60 s; %u messages done", load.done);
		for (int i = 0; i < n; i++)
			serve(ev[i].data.ptr, ev[i].events);
	}
	report(now_ns() - began);
	freeaddrinfo(load.ai);
	free(load.body);
	free(load.took_ns);
	free(conns);
	close(load.ep);
	return 0;
}
