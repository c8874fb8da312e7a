/*
 * handshakes: full TLS handshakes for a while, and how many a second.
 *	handshakes PORT SECONDS THREADS 1.2|1.3
 * Each on a connection of its own, without resumption; prints one number.
 */
#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64 };

static SSL_CTX *ctx;
static struct sockaddr_in to = { .sin_family = AF_INET };
static _Atomic unsigned long done, failed;
static _Atomic int over;

static bool
one(void)
{
	struct linger reset = { 1, 0 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL *s = SSL_new(ctx);
	bool ok = fd >= 0 && s != NULL && connect(fd, (struct sockaddr *)&to, sizeof to) == 0 &&
	    SSL_set_fd(s, fd) == 1 && SSL_connect(s) == 1;

	SSL_free(s);
	/* Or the ports run out. */
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		close(fd);
	}
	return ok;
}

static void *
work(void *arg)
{
	(void)arg;
	while (!over)
		if (one())
			done++;
		else
			failed++;
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t thread[THREADS_MAX];
	struct timespec t0, t1;
	int n = argc == 5 ? (int)strtol(argv[3], NULL, 10) : 0;
	int version = argc == 5 && strcmp(argv[4], "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;

	if (n < 1 || n > THREADS_MAX) {
		fputs("usage: handshakes PORT SECONDS THREADS 1.2|1.3\n", stderr);
		return 64;
	}
	to.sin_port = htons((uint16_t)strtol(argv[1], NULL, 10));
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (int i = 0; i < n; i++)
		pthread_create(&thread[i], NULL, work, NULL);
	sleep((unsigned)strtol(argv[2], NULL, 10));
	over = 1;
	for (int i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	printf("%lu %.1f %lu\n", done,
	    (double)done / ((double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9), failed);
	return 0;
}
