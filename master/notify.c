/*
 * notify: datagrams to $NOTIFY_SOCKET, a path or an abstract name ("@...").
 */
#include "master/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <bsd/string.h>

#include "common/log.h"
#include "master/master.h"

enum {
	NOTIFY_TEXT_MAX = 512,   /* octets of a datagram, with a NUL */
	NOTIFY_WAITING_MAX = 16, /* datagrams */
	NOTIFY_AGAIN_MS = 100    /* between tries */
};

static struct sockaddr_un notify_to;
static socklen_t notify_len; /* 0: nobody listens */

const char *
notify_name(void)
{
	static char name[sizeof notify_to.sun_path + 1];

	if (notify_len == 0)
		return NULL;
	memcpy(name, notify_to.sun_path, sizeof notify_to.sun_path);
	if (name[0] == '\0')
		name[0] = '@';
	return name;
}

void
notify_set(const char *name)
{
	size_t n = name != NULL ? strlen(name) : 0;

	if (n > 1 && n < sizeof notify_to.sun_path && (name[0] == '/' || name[0] == '@')) {
		notify_to.sun_family = AF_UNIX;
		memcpy(notify_to.sun_path, name, n);
		/* An abstract name begins with a NUL and has no end but its length. */
		if (name[0] == '@')
			notify_to.sun_path[0] = '\0';
		notify_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/'));
	}
}

void
notify_init(void)
{
	notify_set(getenv("NOTIFY_SOCKET"));
	unsetenv("NOTIFY_SOCKET");
}

/* --- what waits because the manager does not read --- */

static struct {
	char text[NOTIFY_WAITING_MAX][NOTIFY_TEXT_MAX];
	unsigned n;
	int64_t next_ms; /* when it is tried again */
} waiting;

/* 0, or -1 with errno. */
static int
send_one(const char *text)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;
	ssize_t n;

	if (fd < 0)
		return -1;
	n = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&notify_to, notify_len);
	err = errno;
	close(fd);
	errno = err;
	return n < 0 ? -1 : 0;
}

static void
forget(unsigned i)
{
	memmove(waiting.text[i], waiting.text[i + 1], (--waiting.n - i) * sizeof *waiting.text);
}

/* A status is stale by now; READY, RELOADING and STOPPING are what the manager waits for. */
static bool
matters(const char *text)
{
	return strncmp(text, "STATUS=", 7) != 0 && strncmp(text, "WATCHDOG=", 9) != 0;
}

static void
lost(const char *text, const char *why)
{
	log_msg(LOG_L_WARN, "notify", "the service manager was not told %.*s: %s", (int)strcspn(text, "\n"), text, why);
}

static void
wait_with(const char *text)
{
	unsigned i = 0;

	if (waiting.n == 0)
		log_msg(LOG_L_WARN, "notify", "the service manager does not read; what it is told waits");
	if (waiting.n == NOTIFY_WAITING_MAX) {
		while (i < waiting.n - 1 && matters(waiting.text[i]))
			i++;
		/* All of them matter: the newest tells what is so now. */
		if (matters(waiting.text[i]))
			i = 0;
		lost(waiting.text[i], "too much waits");
		forget(i);
	}
	(void)strlcpy(waiting.text[waiting.n++], text, NOTIFY_TEXT_MAX);
	waiting.next_ms = master_now_ms() + NOTIFY_AGAIN_MS;
}

void
notify_due(void)
{
	if (waiting.n == 0 || master_now_ms() < waiting.next_ms)
		return;
	while (waiting.n > 0) {
		if (send_one(waiting.text[0]) != 0) {
			if (errno == EAGAIN || errno == ENOBUFS)
				break;
			lost(waiting.text[0], strerror(errno));
		}
		forget(0);
	}
	waiting.next_ms = master_now_ms() + NOTIFY_AGAIN_MS;
}

int64_t
notify_next_ms(void)
{
	return waiting.n > 0 ? waiting.next_ms : INT64_MAX;
}

void
notify_send(const char *fmt, ...)
{
	char text[NOTIFY_TEXT_MAX];
	va_list ap;
	int n;

	if (notify_len == 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	/* In order: a READY must not overtake the RELOADING before it.  A beat that would wait is none. */
	if (waiting.n == 0 && send_one(text) == 0)
		return;
	if (waiting.n == 0 && errno != EAGAIN && errno != ENOBUFS)
		lost(text, strerror(errno));
	else if (strncmp(text, "WATCHDOG=", 9) != 0)
		wait_with(text);
}

void
notify_reloading(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=reloading",
	    (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}
