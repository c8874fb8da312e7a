/*
 * handshakes: sessions that do a TLS handshake, for a while, and how many a second.
 *	handshakes [-S] [-r] [-v 1.2|1.3] [-t SECONDS] [-c CONNECTIONS] -p PORT
 * -S: by STARTTLS, with EHLO before and after and QUIT at the end; otherwise TLS
 * from the first octet and nothing else.  -r: each resumes the session before
 * it; one that was not resumed is a failure.  Otherwise each is full, and one
 * that was resumed is a failure.  Prints sessions, failed, per_second.
 */
#include <sys/socket.h>

#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <bsd/stdlib.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, REPLY_MAX = 2048 };

static SSL_CTX *ctx;
static struct sockaddr_in to = { .sin_family = AF_INET };
static bool starttls, resume;
static _Atomic unsigned long done, failed;
static _Atomic int over;

/* A reply, whole, of CODE; in TLS if S is not NULL. */
static bool
reply_is(int fd, SSL *s, const char *code)
{
	char b[REPLY_MAX];
	size_t n = 0, line = 0;

	for (;;) {
		ssize_t k = s != NULL ? SSL_read(s, b + n, (int)(sizeof(b) - n)) : recv(fd, b + n, sizeof(b) - n, 0);
		char *end;

		if (k <= 0)
			return false;
		n += (size_t)k;
		while ((end = memchr(b + line, '\n', n - line)) != NULL) {
			if (end - (b + line) < 4 || memcmp(b + line, code, 3) != 0)
				return false;
			if (b[line + 3] == ' ')
				return end + 1 == b + n;
			line = (size_t)(end - b) + 1;
		}
	}
}

static bool
ask(int fd, SSL *s, const char *command, const char *code)
{
	size_t n = strlen(command);
	ssize_t k = s != NULL ? SSL_write(s, command, (int)n) : send(fd, command, n, MSG_NOSIGNAL);

	return k == (ssize_t)n && reply_is(fd, s, code);
}

/* One session, resuming *BEFORE and leaving itself there.  The first of a thread has nothing to resume. */
static bool
session(int fd, SSL *s, SSL_SESSION **before)
{
	bool again = resume && *before != NULL, ok;

	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		return false;
	if (starttls &&
	    (!reply_is(fd, NULL, "220") || !ask(fd, NULL, "EHLO load.example\r\n", "250") ||
		!ask(fd, NULL, "STARTTLS\r\n", "220")))
		return false;
	if (again)
		SSL_set_session(s, *before);
	if (SSL_set_fd(s, fd) != 1 || SSL_connect(s) != 1 || (SSL_session_reused(s) == 1) != again)
		return false;
	ok = !starttls || ask(fd, s, "EHLO load.example\r\n", "250");
	if (resume) {
		SSL_SESSION_free(*before);
		*before = SSL_get1_session(s); /* with the ticket that came in front of the reply */
	}
	return ok && (!starttls || ask(fd, s, "QUIT\r\n", "221"));
}

static void *
work(void *arg)
{
	struct linger reset = { 1, 0 };
	SSL_SESSION *before = NULL;
	int one = 1;

	(void)arg;
	while (!over) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		SSL *s = SSL_new(ctx);

		if (fd < 0 || s == NULL)
			err(1, "socket");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (session(fd, s, &before))
			done++;
		else
			failed++;
		SSL_set_shutdown(s, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or its session is not resumed */
		SSL_free(s);
		/* Or the ports run out. */
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	SSL_SESSION_free(before);
	return NULL;
}

static void
usage(void)
{
	fputs("usage: handshakes [-S] [-r] [-v 1.2|1.3] [-t SECONDS] [-c CONNECTIONS] -p PORT\n", stderr);
	exit(64);
}

static unsigned
number(const char *text, unsigned max)
{
	const char *why;
	long long v = strtonum(text, 1, max, &why);

	if (why != NULL)
		errx(64, "%s is %s", text, why);
	return (unsigned)v;
}

int
main(int argc, char **argv)
{
	unsigned seconds = 2, threads = 8;
	int version = TLS1_3_VERSION, o;
	pthread_t thread[THREADS_MAX];
	struct timespec t0, t1;
	double took;

	while ((o = getopt(argc, argv, "Srv:t:c:p:")) != -1) {
		switch (o) {
		case 'S':
			starttls = true;
			break;
		case 'r':
			resume = true;
			break;
		case 'v':
			version = strcmp(optarg, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
			break;
		case 't':
			seconds = number(optarg, 3600);
			break;
		case 'c':
			threads = number(optarg, THREADS_MAX);
			break;
		case 'p':
			to.sin_port = htons((uint16_t)number(optarg, 65535));
			break;
		default:
			usage();
		}
	}
	if (to.sin_port == 0 || (resume && !starttls))
		usage();
	signal(SIGPIPE, SIG_IGN);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if ((ctx = SSL_CTX_new(TLS_client_method())) == NULL)
		errx(1, "no memory for TLS");
	if (!resume)
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, work, NULL) != 0)
			errx(1, "pthread_create");
	sleep(seconds);
	over = 1;
	for (unsigned i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	took = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
	printf("sessions=%lu failed=%lu per_second=%.1f\n", done, failed, (double)done / took);
	SSL_CTX_free(ctx);
	return failed > 0;
}
