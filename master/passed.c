/*
 * passed: see passed.h.
 */
#include "master/passed.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

enum { PASSED_FIRST = 3 }; /* SD_LISTEN_FDS_START */

/* A decimal in the environment, or 0. */
static int
number(const char *name)
{
	const char *text = getenv(name), *bad = NULL;
	int n = text != NULL ? (int)strtonum(text, 0, INT_MAX, &bad) : 0;

	return bad == NULL ? n : 0;
}

static int
option(int fd, int name)
{
	int v = -1;
	socklen_t len = sizeof v;

	return getsockopt(fd, SOL_SOCKET, name, &v, &len) == 0 ? v : -1;
}

static int
take(struct listen_sock *s, int fd, char *why)
{
	int sndbuf = LISTEN_SNDBUF, family = option(fd, SO_DOMAIN), flags = fcntl(fd, F_GETFL);

	if ((family != AF_INET && family != AF_INET6 && family != AF_UNIX) || option(fd, SO_TYPE) != SOCK_STREAM ||
	    option(fd, SO_ACCEPTCONN) != 1) {
		snprintf(why, LISTEN_WHY_MAX,
		    "the descriptor %d, passed as \"%s\", is no stream socket that listens: the socket unit wants "
		    "ListenStream= and Accept=no",
		    fd, s->passed);
		return EX_CONFIG;
	}
	s->len = sizeof s->ss;
	if (getsockname(fd, (struct sockaddr *)&s->ss, &s->len) != 0 || flags < 0 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
		snprintf(
		    why, LISTEN_WHY_MAX, "the descriptor %d, passed as \"%s\": %s", fd, s->passed, strerror(errno));
		return EX_OSERR;
	}
	if (family != AF_UNIX)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf);
	s->fd = fd;
	return 0;
}

/* The next of "a:b:c" into ${out}; false when there is none. */
static bool
next_name(const char **at, char out[LISTEN_NAME_MAX])
{
	size_t n;

	if (*at == NULL)
		return false;
	n = strcspn(*at, ":");
	snprintf(out, LISTEN_NAME_MAX, "%.*s", n < LISTEN_NAME_MAX ? (int)n : LISTEN_NAME_MAX - 1, *at);
	*at = (*at)[n] == ':' ? *at + n + 1 : NULL;
	return true;
}

int
passed_take(struct listen_table *t, char *why)
{
	const char *names = getenv("LISTEN_FDNAMES");
	int n = number("LISTEN_PID") == (int)getpid() ? number("LISTEN_FDS") : 0, code = 0;

	if (n > CONF_ADDRESSES_MAX) {
		snprintf(why, LISTEN_WHY_MAX, "%d sockets are passed, %d is the most", n, CONF_ADDRESSES_MAX);
		code = EX_CONFIG;
	}
	for (int i = 0; i < n && code == 0; i++) {
		struct listen_sock *s = &t->sock[i];

		/* What systemd says when the unit says nothing. */
		if (!next_name(&names, s->passed) || s->passed[0] == '\0')
			(void)strlcpy(s->passed, "unknown", sizeof s->passed);
		code = take(s, PASSED_FIRST + i, why);
	}
	/* The process that we become at an upgrade has our pid. */
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return code;
}

struct listen_sock *
passed_find(struct listen_table *t, const char *name, size_t nth)
{
	for (size_t i = 0; i < LISTEN_SOCKS_MAX; i++) {
		struct listen_sock *s = &t->sock[i];

		if (s->fd >= 0 && s->passed[0] != '\0' && strcmp(s->passed, name) == 0 && nth-- == 0)
			return s;
	}
	return NULL;
}

static const struct conf_listener *
of_name(const struct conf *cf, const char *name)
{
	for (size_t l = 0; l < cf->nlistener; l++)
		if (strcmp(cf->listener[l].name, name) == 0)
			return &cf->listener[l];
	return NULL;
}

/* The ${nth} passed socket of the listener ${l}; whether it can be its ${nth} address. */
static int
fits(const struct conf_listener *l, const struct listen_sock *s, size_t nth, char *why)
{
	bool local = s->ss.ss_family == AF_UNIX;

	if (nth >= l->naddress) {
		snprintf(why, LISTEN_WHY_MAX,
		    "listener \"%s\" has %zu address%s, and more sockets are passed by its name", l->name, l->naddress,
		    l->naddress == 1 ? "" : "es");
		return EX_CONFIG;
	}
	if (local != (l->address[nth].ss.ss_family == AF_UNIX)) {
		snprintf(why, LISTEN_WHY_MAX,
		    "listener \"%s\": the socket passed for %s is %s: the socket unit names them in the order of the "
		    "addresses",
		    l->name, l->address[nth].text, local ? "a unix socket" : "no unix socket");
		return EX_CONFIG;
	}
	return 0;
}

int
passed_check(const struct listen_table *t, const struct conf *cf, char *why)
{
	size_t seen[CONF_ADDRESSES_MAX] = { 0 };
	int code;

	for (size_t i = 0; i < LISTEN_SOCKS_MAX; i++) {
		const struct listen_sock *s = &t->sock[i];
		const struct conf_listener *l;

		if (s->fd < 0 || s->passed[0] == '\0')
			continue;
		l = of_name(cf, s->passed);
		if (l == NULL) {
			snprintf(why, LISTEN_WHY_MAX,
			    "a socket is passed by the name \"%s\", and no listener has it: FileDescriptorName= of the "
			    "socket unit says the listener's, as \"%s\"",
			    s->passed, cf->listener[0].name);
			return EX_CONFIG;
		}
		code = fits(l, s, seen[l - cf->listener]++, why);
		if (code != 0)
			return code;
	}
	for (size_t l = 0; l < cf->nlistener; l++)
		if (seen[l] > 0 && seen[l] < cf->listener[l].naddress) {
			snprintf(why, LISTEN_WHY_MAX,
			    "listener \"%s\" has %zu addresses, and %zu %s passed by its name", cf->listener[l].name,
			    cf->listener[l].naddress, seen[l], seen[l] == 1 ? "is" : "are");
			return EX_CONFIG;
		}
	return 0;
}
