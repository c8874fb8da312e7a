/*
 * null: the ceiling of a measurement: a server that says yes and keeps nothing.
 * With a folder it writes each message into it and renames it, with -y it also
 * syncs the file before that, with -k it offers STARTTLS.  It speaks enough of
 * SMTP for tests/load/load and checks nothing: not for use.  Recipients that
 * begin with "nobody" are refused.
 *
 * System calls of a message of 10 KiB, one recipient, beside epoll_wait, which is
 * shared by all that is ready: 4 recv and 4 send (2 and 2 in a pipelined group);
 * with a folder also openat, write, close, renameat; with -y also fsync.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <bsd/stdlib.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/load/parts/tls.h"

enum { NULL_RX = 64 << 10, NULL_TX = 2048, NULL_EVENTS = 128, NULL_LINE = 1000, NULL_CONTENT = 2 << 20 };

struct client {
	int fd;
	SSL *ssl;
	bool starts;   /* STARTTLS was answered */
	bool content;  /* DATA was answered */
	uint32_t tail; /* the last four octets of content */
	size_t nline, ntx, nkept;
	char line[NULL_LINE], tx[NULL_TX];
	char *kept; /* content that is to be written */
};

static struct {
	int tmp, new, ep, listener;
	bool sync;
	unsigned long serial;
	long pid;
	char rx[NULL_RX];
} srv = { .tmp = -1, .new = -1 };

static void
say(struct client *c, const char *text)
{
	size_t n = strlen(text);

	if (n > sizeof(c->tx) - c->ntx)
		errx(1, "a client sends more commands at once than expected");
	memcpy(c->tx + c->ntx, text, n);
	c->ntx += n;
}

static void
store(struct client *c)
{
	char name[64];
	int fd;

	if (srv.tmp == -1)
		return;
	snprintf(name, sizeof(name), "%ld.%lu", srv.pid, srv.serial++);
	fd = openat(srv.tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1 || write(fd, c->kept, c->nkept) != (ssize_t)c->nkept || (srv.sync && fsync(fd) == -1) ||
	    close(fd) == -1 || renameat(srv.tmp, name, srv.new, name) == -1)
		err(1, "storing a message");
	c->nkept = 0;
}

/* 1: the session is over. */
static int
command(struct client *c)
{
	const char *l = c->line;

	if (strncasecmp(l, "EHLO", 4) == 0)
		say(c,
		    tls_is_on() && c->ssl == NULL
			? "250-null.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 8BITMIME\r\n"
			: "250-null.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
	else if (strncasecmp(l, "STARTTLS", 8) == 0 && tls_is_on() && c->ssl == NULL) {
		say(c, "220 2.0.0 Go on\r\n");
		c->starts = true;
	} else if (strncasecmp(l, "RCPT", 4) == 0 && strncasecmp(l + 4, " TO:<nobody", 11) == 0)
		say(c, "550 5.1.1 No such mailbox\r\n");
	else if (strncasecmp(l, "DATA", 4) == 0) {
		say(c, "354 Go on\r\n");
		c->content = true;
		c->tail = ('\r' << 8) | '\n';
	} else if (strncasecmp(l, "QUIT", 4) == 0) {
		say(c, "221 2.0.0 Bye\r\n");
		return 1;
	} else
		say(c, "250 2.0.0 Ok\r\n");
	return 0;
}

/* Content up to its end, CRLF "." CRLF.  Octets used. */
static size_t
take_content(struct client *c, const char *p, size_t n)
{
	static const uint32_t mark = ('\n' << 24) | ('.' << 16) | ('\r' << 8) | '\n';
	size_t i;

	for (i = 0; i < n && c->content; i++) {
		c->tail = (c->tail << 8) | (uint8_t)p[i];
		c->content = c->tail != mark;
	}
	if (srv.tmp != -1) {
		if ((c->kept == NULL && (c->kept = malloc(NULL_CONTENT)) == NULL) || i > NULL_CONTENT - c->nkept)
			errx(1, "no room for a message");
		memcpy(c->kept + c->nkept, p, i);
		c->nkept += i;
	}
	if (!c->content) {
		store(c);
		say(c, "250 2.0.0 Ok\r\n");
	}
	return i;
}

static int
take(struct client *c, const char *p, size_t n)
{
	int over = 0;

	while (n > 0 && !over) {
		const char *end;
		size_t use;

		if (c->content) {
			use = take_content(c, p, n);
		} else {
			end = memchr(p, '\n', n);
			use = end != NULL ? (size_t)(end - p) + 1 : n;
			if (use >= sizeof(c->line) - c->nline)
				errx(1, "a client sends a line that is too long");
			memcpy(c->line + c->nline, p, use);
			c->nline += use;
			c->line[c->nline] = '\0';
			if (end != NULL) {
				over = command(c);
				c->nline = 0;
			}
		}
		p += use;
		n -= use;
	}
	return over;
}

static void
let_go(struct client *c)
{
	SSL_free(c->ssl);
	close(c->fd);
	free(c->kept);
	free(c);
}

/* Once what the socket has; in TLS until nothing is left, as what OpenSSL has taken wakes nobody. */
static void
serve(struct client *c)
{
	bool over = false;
	ssize_t n;

	do {
		n = c->ssl != NULL ? tls_receive(c->ssl, srv.rx, sizeof(srv.rx))
				   : recv(c->fd, srv.rx, sizeof(srv.rx), 0);
		if (n > 0)
			over = take(c, srv.rx, (size_t)n) != 0;
		else
			over = n == 0 || (errno != EAGAIN && errno != EINTR);
		if (c->ntx > 0 &&
		    (c->ssl != NULL ? tls_send(c->ssl, c->tx, c->ntx) : send(c->fd, c->tx, c->ntx, MSG_NOSIGNAL)) !=
			(ssize_t)c->ntx)
			over = true;
		c->ntx = 0;
	} while (n > 0 && !over && c->ssl != NULL);
	if (over) {
		let_go(c);
	} else if (c->starts) {
		c->starts = false;
		c->ssl = tls_begin(c->fd);
	}
}

static void
welcome(void)
{
	struct client *c;
	int fd, one = 1;

	while ((fd = accept4(srv.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) != -1) {
		struct epoll_event ev = { .events = EPOLLIN };

		if ((c = calloc(1, sizeof(*c))) == NULL)
			err(1, "client");
		c->fd = fd;
		ev.data.ptr = c;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (epoll_ctl(srv.ep, EPOLL_CTL_ADD, fd, &ev) == -1)
			err(1, "epoll_ctl");
		say(c, "220 null.example ESMTP\r\n");
		(void)send(fd, c->tx, c->ntx, MSG_NOSIGNAL);
		c->ntx = 0;
	}
}

static void
work(uint16_t port)
{
	struct sockaddr_in sin = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	struct epoll_event ev[NULL_EVENTS] = { { .events = EPOLLIN } };
	int one = 1;

	srv.pid = (long)getpid();
	srv.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	srv.ep = epoll_create1(EPOLL_CLOEXEC);
	(void)setsockopt(srv.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)setsockopt(srv.listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(srv.listener, (struct sockaddr *)&sin, sizeof(sin)) == -1 || listen(srv.listener, 4096) == -1 ||
	    epoll_ctl(srv.ep, EPOLL_CTL_ADD, srv.listener, ev) == -1)
		err(1, "port %u", port);
	for (;;) {
		int n = epoll_wait(srv.ep, ev, NULL_EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == NULL)
				welcome();
			else
				serve(ev[i].data.ptr);
		}
	}
}

static int
folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		err(1, "%s", path);
	return fd;
}

static void
usage(void)
{
	fputs("usage: null [-p PORT] [-w WORKERS] [-d FOLDER with tmp/ and new/ [-y: sync]]\n"
	      "            [-k CERTIFICATE and KEY, files: CERTIFICATE,KEY [-t: tickets]]\n",
	    stderr);
	exit(64);
}

static void
offer_tls(char *files, bool tickets)
{
	char *key = strchr(files, ',');

	if (key == NULL)
		usage();
	*key = '\0';
	tls_init(files, key + 1, tickets);
}

static void
store_in(const char *where)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/tmp", where);
	srv.tmp = folder(path);
	snprintf(path, sizeof(path), "%s/new", where);
	srv.new = folder(path);
}

/* A client that has many sessions open needs as many descriptors here. */
static void
raise_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

int
main(int argc, char **argv)
{
	char *tls_files = NULL;
	bool tickets = false;
	unsigned workers = 2;
	uint16_t port = 2525;
	int o;

	while ((o = getopt(argc, argv, "p:w:d:yk:t")) != -1) {
		switch (o) {
		case 'p':
			port = (uint16_t)strtonum(optarg, 1, 65535, NULL);
			break;
		case 'w':
			workers = (unsigned)strtonum(optarg, 1, 64, NULL);
			break;
		case 'd':
			store_in(optarg);
			break;
		case 'y':
			srv.sync = true;
			break;
		case 'k':
			tls_files = optarg;
			break;
		case 't':
			tickets = true;
			break;
		default:
			usage();
		}
	}
	if (tls_files != NULL)
		offer_tls(tls_files, tickets); /* before the fork: all know each other's tickets */
	raise_descriptors();
	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < workers; i++)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			work(port);
		}
	while (wait(NULL) > 0)
		continue;
	return 1;
}
