/*
 * null: the ceiling of a measurement: a server that says yes and keeps nothing.
 * With a folder it writes each message into it and renames it, with -y it also
 * syncs both.  It speaks enough of SMTP for tests/load/load and checks nothing:
 * not for use.  Recipients that begin with "nobody" are refused.
 */
#include <sys/epoll.h>
#include <sys/prctl.h>
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

enum { NULL_RX = 64 << 10, NULL_TX = 2048, NULL_EVENTS = 128, NULL_LINE = 1000, NULL_CONTENT = 2 << 20 };

struct client {
	int fd;
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
	snprintf(name, sizeof(name), "%ld.%lu", (long)getpid(), srv.serial++);
	fd = openat(srv.tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1 || write(fd, c->kept, c->nkept) != (ssize_t)c->nkept || (srv.sync && fsync(fd) == -1) ||
	    close(fd) == -1 || renameat(srv.tmp, name, srv.new, name) == -1 || (srv.sync && fsync(srv.new) == -1))
		err(1, "storing a message");
	c->nkept = 0;
}

/* 1: the session is over. */
static int
command(struct client *c)
{
	const char *l = c->line;

	if (strncasecmp(l, "EHLO", 4) == 0)
		say(c, "250-null.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
	else if (strncasecmp(l, "RCPT", 4) == 0 && strncasecmp(l + 4, " TO:<nobody", 11) == 0)
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
serve(struct client *c)
{
	ssize_t n = recv(c->fd, srv.rx, sizeof(srv.rx), 0);
	bool over = n <= 0 && !(n == -1 && (errno == EAGAIN || errno == EINTR));

	if (n > 0)
		over = take(c, srv.rx, (size_t)n) != 0;
	if (c->ntx > 0 && send(c->fd, c->tx, c->ntx, MSG_NOSIGNAL) != (ssize_t)c->ntx)
		over = true;
	c->ntx = 0;
	if (over) {
		close(c->fd);
		free(c->kept);
		free(c);
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

int
main(int argc, char **argv)
{
	unsigned workers = 2;
	uint16_t port = 2525;
	char path[4096];
	int o;

	while ((o = getopt(argc, argv, "p:w:d:y")) != -1) {
		switch (o) {
		case 'p':
			port = (uint16_t)strtonum(optarg, 1, 65535, NULL);
			break;
		case 'w':
			workers = (unsigned)strtonum(optarg, 1, 64, NULL);
			break;
		case 'd':
			snprintf(path, sizeof(path), "%s/tmp", optarg);
			srv.tmp = folder(path);
			snprintf(path, sizeof(path), "%s/new", optarg);
			srv.new = folder(path);
			break;
		case 'y':
			srv.sync = true;
			break;
		default:
			fputs("usage: null [-p PORT] [-w WORKERS] [-d FOLDER with tmp/ and new/] [-y: sync]\n", stderr);
			return 64;
		}
	}
	for (unsigned i = 0; i < workers; i++)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			work(port);
		}
	while (wait(NULL) > 0)
		continue;
	return 1;
}
