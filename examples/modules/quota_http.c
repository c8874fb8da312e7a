/*
 * quota_http: asks a web service whether a mailbox has room.  The argument is
 * "ADDRESS:PORT" (numbers: nothing looks names up inside the sandbox); the
 * config must say allow = {"network"}.  GET /quota?mailbox=ADDR is answered with
 * 200 (there is room) or 507; all else is "could not find out".  It blocks, so a
 * thread of the pool does it, and gives up after WEB_MS: the section's timeout
 * lets the client go on, but not the thread, and there are 16.  The socket
 * options for that are not to be had inside the sandbox, so poll(2) waits.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "worker/handlers/handler.h"

enum { WEB_MS = 5000 };

struct ask_web {
	struct handler_job job; /* first */
	struct sockaddr_in to;
	char request[2048];
};

static int
quota_open(const struct handler_env *env, void **ctx)
{
	struct sockaddr_in *to = calloc(1, sizeof(*to));
	char host[64];
	const char *colon = strrchr(env->argument, ':');

	if (to == NULL || colon == NULL || (size_t)(colon - env->argument) >= sizeof(host)) {
		free(to);
		errno = EINVAL;
		return -1;
	}
	memcpy(host, env->argument, (size_t)(colon - env->argument));
	host[colon - env->argument] = '\0';
	to->sin_family = AF_INET;
	to->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, host, &to->sin_addr) != 1) {
		free(to);
		errno = EINVAL;
		return -1;
	}
	*ctx = to;
	return 0;
}

static long long
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Whether ${fd} came to be ready for ${events} before ${due_ms}. */
static bool
ready(int fd, short events, long long due_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	long long left = due_ms - now_ms();

	return left > 0 && poll(&p, 1, (int)left) == 1;
}

/* Connect and ask: all of it fits the socket's buffer. */
static bool
web_send(int fd, const struct ask_web *a, long long due_ms)
{
	size_t n = strlen(a->request);

	if (connect(fd, (const struct sockaddr *)&a->to, sizeof(a->to)) == -1 && errno != EINPROGRESS)
		return false;
	return ready(fd, POLLOUT, due_ms) && send(fd, a->request, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* The status of the answer, or 0. */
static int
web_ask(const struct ask_web *a)
{
	char answer[512] = "";
	size_t n = 0;
	ssize_t got;
	long long due_ms = now_ms() + WEB_MS;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), status = 0;

	if (fd == -1)
		return 0;
	if (web_send(fd, a, due_ms))
		while (n < sizeof(answer) - 1 && ready(fd, POLLIN, due_ms) &&
		    (got = recv(fd, answer + n, sizeof(answer) - 1 - n, 0)) > 0)
			n += (size_t)got;
	close(fd);
	if (strncmp(answer, "HTTP/1.", 7) == 0 && n > 12)
		status = (int)strtol(answer + 9, NULL, 10);
	return status;
}

static void
web_run(struct handler_job *j)
{
	int status = web_ask((struct ask_web *)(void *)j);
	struct reply r;

	if (status == 200) {
		ask_answer(j->ask, V_NEXT, NULL);
	} else if (status == 507) {
		reply_set(&r, 452, ENH(4, 2, 2), "over-quota", "the mailbox has no room now, try again later");
		ask_answer(j->ask, V_REPLY, &r);
	} else {
		ask_answer(j->ask, V_FAIL, NULL);
	}
}

static void
web_done(struct handler_job *j)
{
	free(j);
}

/* Octets that stand in a URL as they are; all others as %XX. */
static size_t
url_escape(const char *s, size_t n, char *out, size_t cap)
{
	size_t w = 0;

	for (size_t i = 0; i < n && w + 4 < cap; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-')
			out[w++] = (char)c;
		else
			w += (size_t)snprintf(out + w, cap - w, "%%%02X", c);
	}
	out[w] = '\0';
	return w;
}

static enum verdict
quota_on_rcpt_to(void *ctx, const struct question *q, struct reply *r)
{
	struct ask_web *a = calloc(1, sizeof(*a));
	char text[ADDR_TEXT_MAX], mailbox[3 * ADDR_MAX];
	ssize_t n = addr_format(&q->rcpt->addr, text, sizeof(text));

	(void)r;
	if (a == NULL || n < 0) {
		free(a);
		return V_FAIL;
	}
	url_escape(text, (size_t)n, mailbox, sizeof(mailbox));
	snprintf(a->request, sizeof(a->request), "GET /quota?mailbox=%s HTTP/1.0\r\nHost: quota\r\n\r\n", mailbox);
	a->to = *(const struct sockaddr_in *)ctx;
	a->job.run = web_run;
	a->job.done = web_done;
	if (handler_pool(q, &a->job) == 0)
		return V_LATER;
	free(a);
	return V_FAIL;
}

const struct handler_ops letterplate_handler = {
	.abi = HANDLER_ABI,
	.name = "quota-http",
	.open = quota_open,
	.on_rcpt_to = quota_on_rcpt_to,
};
