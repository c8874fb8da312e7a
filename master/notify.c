/*
 * notify: datagrams to $NOTIFY_SOCKET, a path or an abstract name ("@...").
 */
#include "master/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"

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

void
notify_send(const char *fmt, ...)
{
	/* A reader that hangs may cost a second, not the master. */
	static const struct timeval patience = { .tv_sec = 1 };
	char text[512];
	va_list ap;
	int n, fd;

	if (notify_len == 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (fd < 0 ||
	    sendto(fd, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, MSG_NOSIGNAL,
		(const struct sockaddr *)&notify_to, notify_len) < 0)
		log_msg(LOG_L_WARN, "notify", "the service manager was not told %.*s: %s", (int)strcspn(text, "\n"),
		    text, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void
notify_reloading(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	notify_send("RELOADING=1\nMONOTONIC_USEC=%" PRId64 "\nSTATUS=reloading",
	    (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}
