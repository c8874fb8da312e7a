/*
 * mend: see mend.h.  A unix socket that was shut down cannot be mended, for
 * listen(2) leaves it so; the sandbox lets nobody do that.
 */
#include "master/mend.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "common/log.h"

enum { WHERE_MAX = sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1 };

/* Where it is, as the kernel knows it: a passed socket was bound by others. */
static const char *
where(int fd, char out[WHERE_MAX])
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;
	socklen_t len = sizeof ss;
	char host[INET6_ADDRSTRLEN] = "?";

	(void)getsockname(fd, (struct sockaddr *)&ss, &len);
	if (ss.ss_family == AF_INET && inet_ntop(AF_INET, &in->sin_addr, host, sizeof host) != NULL)
		snprintf(out, WHERE_MAX, "%s:%u", host, (unsigned)ntohs(in->sin_port));
	else if (ss.ss_family == AF_INET6 && inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host) != NULL)
		snprintf(out, WHERE_MAX, "[%s]:%u", host, (unsigned)ntohs(in6->sin6_port));
	else if (ss.ss_family == AF_UNIX)
		snprintf(out, WHERE_MAX, "%.*s", WHERE_MAX - 1, ((const struct sockaddr_un *)&ss)->sun_path);
	else
		snprintf(out, WHERE_MAX, "descriptor %d", fd);
	return out;
}

static void
say(int fd, const char *what, bool mended)
{
	char at[WHERE_MAX];

	log_msg(LOG_L_ERROR, "listener", "the socket at %s %s, which only a worker that was taken over does; %s%s",
	    where(fd, at), what, mended ? "mended" : "it cannot be mended: ", mended ? "" : strerror(errno));
}

/* It may be connected meanwhile: that has to end first.  Who was bound to a port keeps it over all this. */
static bool
listen_again(int fd)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	(void)connect(fd, &nobody, sizeof nobody);
	return listen(fd, LISTEN_BACKLOG) == 0;
}

void
mend_listeners(const struct listen_table *t)
{
	for (size_t i = 0; i < sizeof t->sock / sizeof *t->sock; i++) {
		int fd = t->sock[i].fd, flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1, listens = 1;
		socklen_t len = sizeof listens;

		if (flags == -1)
			continue;
		if ((flags & O_NONBLOCK) == 0)
			say(fd, "was made to block", fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && !listens)
			say(fd, "did not listen any more", listen_again(fd));
	}
}
