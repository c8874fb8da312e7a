/*
 * lookup: getaddrinfo(3) in a child.
 */
#include "reports/lookup.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"

/* What the child writes, and what is taken from it: whole ones alone. */
struct found {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* "host:port" or "[address]:port", which the config's parser has checked. */
static void
split(const char *relay, char host[static LOOKUP_HOST_MAX], char port[static 8])
{
	const char *colon = strrchr(relay, ':');

	snprintf(host, LOOKUP_HOST_MAX, "%.*s", colon != NULL ? (int)(colon - relay) : 0, relay);
	strlcpy(port, colon != NULL ? colon + 1 : "25", 8);
	if (host[0] == '[') {
		memmove(host, host + 1, strlen(host));
		host[strcspn(host, "]")] = '\0';
	}
}

static struct addrinfo *
ask(const char *host, const char *port, int flags, int *why)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV
	};
	struct addrinfo *all = NULL;

	*why = getaddrinfo(host, port, &hints, &all);
	return *why == 0 ? all : NULL;
}

static void __attribute__((noreturn)) child(const char *host, const char *port, const char *user, int to)
{
	const struct passwd *pw = geteuid() == 0 ? getpwnam(user) : NULL;
	struct addrinfo *all;
	int why;

	if (geteuid() == 0 &&
	    (pw == NULL || setgroups(1, &pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0))
		_exit(1);
	all = ask(host, port, 0, &why);
	if (all == NULL)
		log_msg(LOG_L_WARN, "relay", "%s has no address now: %s", host, gai_strerror(why));
	for (const struct addrinfo *a = all; a != NULL; a = a->ai_next) {
		struct found f = { .len = a->ai_addrlen };

		if (a->ai_addrlen > sizeof(f.ss))
			continue;
		memcpy(&f.ss, a->ai_addr, a->ai_addrlen);
		if (write(to, &f, sizeof(f)) != (ssize_t)sizeof(f))
			break;
	}
	_exit(0);
}

static void
collect(int from, struct lookup *out)
{
	struct pollfd p = { .fd = from, .events = POLLIN };
	struct found f;

	while (out->n < LOOKUP_MAX && poll(&p, 1, LOOKUP_MS) == 1 && read(from, &f, sizeof(f)) == (ssize_t)sizeof(f)) {
		if (f.len > sizeof(f.ss) || (f.ss.ss_family != AF_INET && f.ss.ss_family != AF_INET6))
			continue;
		out->ss[out->n] = f.ss;
		out->len[out->n++] = f.len;
	}
}

/* An address is no question for the DNS. */
static bool
numeric(const char *host, const char *port, struct lookup *out)
{
	int why;
	struct addrinfo *a = ask(host, port, AI_NUMERICHOST, &why);

	if (a == NULL)
		return false;
	memcpy(&out->ss[0], a->ai_addr, a->ai_addrlen);
	out->len[0] = a->ai_addrlen;
	out->n = 1;
	out->literal = true;
	freeaddrinfo(a);
	return true;
}

void
lookup(const char *relay, const char *user, struct lookup *out)
{
	char port[8];
	const char *bad = NULL;
	int fd[2];
	pid_t pid;

	*out = (struct lookup){ .literal = relay[0] == '\0' };
	if (out->literal)
		return;
	split(relay, out->host, port);
	out->port = (uint16_t)strtonum(port, 1, 65535, &bad);
	if (bad != NULL || numeric(out->host, port, out) || pipe(fd) != 0)
		return;
	pid = fork();
	if (pid == 0)
		child(out->host, port, user, fd[1]);
	close(fd[1]);
	if (pid > 0)
		collect(fd[0], out);
	close(fd[0]);
	if (pid <= 0)
		return;
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
