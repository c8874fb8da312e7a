/*
 * milter: one that has no objection and says so at once, to measure what asking
 * costs.  As rspamd it wants to hear of all steps and answers at the end of a
 * message alone; "every" answers each step but single fields.  With a number it
 * thinks so many milliseconds at the end of each message.  A thread a connection.
 *   milter PORT [every] [MILLISECONDS]
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <bsd/stdlib.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PACKET_MAX = 1 << 20, BACKLOG = 4096, STACK = 128 << 10 };

static long think_ms;
static bool every;

static int
take(FILE *in, uint8_t *p, size_t n)
{
	return fread(p, 1, n, in) == n ? 0 : -1;
}

static int
answer(int fd, const void *p, size_t n)
{
	return send(fd, p, n, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -1;
}

/* All actions, all steps; no answers (SMFIP_NR_*), or no answer to single fields (SMFIP_NR_HDR). */
static const uint8_t at_end[] = { 0, 0, 0, 13, 'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x0f, 0xf0, 0x80 };
static const uint8_t at_every[] = { 0, 0, 0, 13, 'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0, 0, 0x80 };
static const uint8_t go_on[] = { 0, 0, 0, 1, 'c' };

static int
command(int fd, uint8_t cmd)
{
	switch (cmd) {
	case 'O':
		return answer(fd, every ? at_every : at_end, sizeof(at_end));
	case 'Q':
		return -1;
	case 'A':
	case 'D':
	case 'K':
	case 'L':
		return 0;
	default:
		if (cmd != 'E' && !every)
			return 0;
		if (cmd == 'E' && think_ms > 0)
			nanosleep(&(struct timespec){ think_ms / 1000, think_ms % 1000 * 1000000 }, NULL);
		return answer(fd, go_on, sizeof(go_on));
	}
}

static void *
serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	FILE *in = fdopen(fd, "rb");
	uint8_t *p = malloc(PACKET_MAX);

	while (in != NULL && p != NULL && take(in, p, 4) == 0) {
		uint32_t n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

		if (n == 0 || n > PACKET_MAX || take(in, p, n) != 0 || command(fd, p[0]) != 0)
			break;
	}
	free(p);
	if (in != NULL)
		fclose(in);
	return NULL;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	const char *bad = NULL;
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	pthread_attr_t attr;
	pthread_t t;

	if (argc < 2)
		errx(EXIT_FAILURE, "usage: milter PORT [every] [MILLISECONDS]");
	at.sin_port = htons((uint16_t)strtonum(argv[1], 1, UINT16_MAX, &bad));
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	every = argc > 2 && strcmp(argv[2], "every") == 0;
	if (argc > 2 + every)
		think_ms = (long)strtonum(argv[2 + every], 0, 60000, &bad);
	if (bad != NULL)
		errx(EXIT_FAILURE, "a number is %s", bad);
	signal(SIGPIPE, SIG_IGN);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (s == -1 || bind(s, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(s, BACKLOG) != 0)
		err(EXIT_FAILURE, "port %s", argv[1]);
	for (;;) {
		int fd = accept(s, NULL, NULL);

		if (fd == -1)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (pthread_create(&t, &attr, serve, (void *)(intptr_t)fd) != 0)
			close(fd);
	}
}
