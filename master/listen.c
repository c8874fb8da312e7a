/*
 * listen: bind, share and close the listening sockets.
 * TCP sockets take SO_REUSEADDR (a restart must not wait for TIME_WAIT) but
 * never SO_REUSEPORT: with that, a killed worker's queue is lost with it.
 */
#include "master/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "master/master.h"
#include "master/passed.h"

void
listen_init(struct listen_table *t)
{
	for (size_t i = 0; i < sizeof t->sock / sizeof *t->sock; i++)
		t->sock[i].fd = -1;
}

/* Whether who connects gets there: the file of a unix socket may have been removed, or another's have taken its place. */
static bool
leads(const struct listen_sock *s)
{
	struct stat st;

	if (s->ss.ss_family != AF_UNIX)
		return true;
	if (lstat(((const struct sockaddr_un *)&s->ss)->sun_path, &st) != 0)
		return errno != ENOENT;
	return st.st_dev == s->dev && st.st_ino == s->ino;
}

static bool
same(const struct listen_sock *s, const struct conf_address *a)
{
	return s->fd >= 0 && s->passed[0] == '\0' && s->len == a->len && memcmp(&s->ss, &a->ss, a->len) == 0 &&
	    leads(s);
}

static struct listen_sock *
find(struct listen_table *t, const struct conf_address *a)
{
	for (size_t i = 0; i < sizeof t->sock / sizeof *t->sock; i++)
		if (same(&t->sock[i], a))
			return &t->sock[i];
	return NULL;
}

static struct listen_sock *
unused(struct listen_table *t)
{
	for (size_t i = 0; i < sizeof t->sock / sizeof *t->sock; i++)
		if (t->sock[i].fd < 0)
			return &t->sock[i];
	return NULL;
}

/* Remove the socket at the address if nobody answers there.  0, or -1 with errno: EADDRINUSE somebody does, ENOTSOCK it is something else. */
static int
unlink_stale(const struct conf_address *a)
{
	const char *path = ((const struct sockaddr_un *)&a->ss)->sun_path;
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISSOCK(st.st_mode)) {
		errno = ENOTSOCK;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	rc = connect(fd, (const struct sockaddr *)&a->ss, a->len);
	if (rc != 0 && errno == ECONNREFUSED) {
		close(fd);
		return unlink(path);
	}
	/* It answers, or is too busy to (EAGAIN), or is of another type (EPROTOTYPE): not ours to remove. */
	close(fd);
	errno = EADDRINUSE;
	return -1;
}

/* The socket file gets the socket's own mode: by its path, which may lead elsewhere by then, nothing is changed. */
static int
bind_open(int fd, const struct conf_address *a)
{
	mode_t mask = umask(0);
	int rc = bind(fd, (const struct sockaddr *)&a->ss, a->len), err = errno;

	umask(mask);
	errno = err;
	return rc;
}

static int
bind_unix(int fd, const struct conf_address *a, struct listen_sock *s)
{
	const char *path = ((const struct sockaddr_un *)&a->ss)->sun_path;
	struct stat st;

	/* Who may connect is said by the folder's mode: letterplate.conf(5). */
	if (fchmod(fd, 0666) != 0)
		return -1;
	if (bind_open(fd, a) != 0 && (errno != EADDRINUSE || unlink_stale(a) != 0 || bind_open(fd, a) != 0))
		return -1;
	/* Which file is to be removed in the end: none, if it was swapped already. */
	if (lstat(path, &st) != 0)
		return -1;
	s->dev = st.st_dev;
	s->ino = S_ISSOCK(st.st_mode) ? st.st_ino : 0;
	return 0;
}

static int
bind_one(const struct conf_address *a, struct listen_sock *s)
{
	static const int on = 1, sndbuf = LISTEN_SNDBUF;
	int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -1;
	if (a->ss.ss_family == AF_UNIX) {
		if (bind_unix(fd, a, s) != 0)
			goto fail;
	} else {
		if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
		    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf) != 0 ||
		    (a->ss.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0) ||
		    bind(fd, (const struct sockaddr *)&a->ss, a->len) != 0)
			goto fail;
	}
	if (listen(fd, LISTEN_BACKLOG) != 0)
		goto fail;
	s->fd = fd;
	s->ss = a->ss;
	s->len = a->len;
	s->fresh = true;
	return 0;
fail:
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

/* errno of a failed bind in words, and the exit status that fits. */
static int
explain(const struct conf_listener *l, const struct conf_address *a, int err, char *why)
{
	const char *what = strerror(err), *advice = "";
	int code = EX_OSERR;

	switch (err) {
	case EADDRINUSE:
		what = "address already in use";
		advice = ": another server has it; stop that one or change the address";
		code = EX_UNAVAILABLE;
		break;
	case EADDRNOTAVAIL:
		what = "this machine has no such address";
		code = EX_UNAVAILABLE;
		break;
	case EAFNOSUPPORT:
		what = a->ss.ss_family == AF_INET6 ? "this machine has no IPv6" : what;
		code = EX_UNAVAILABLE;
		break;
	case EACCES:
	case EPERM:
		what = "no permission";
		advice = a->ss.ss_family == AF_UNIX ? ": the socket's folder must be writable by who starts the server"
						    : ": ports below 1024 need root or the capability "
						      "CAP_NET_BIND_SERVICE; start it as root (it drops what "
						      "it does not need), or by the systemd unit, or use a higher port";
		code = EX_NOPERM;
		break;
	case ENOENT:
	case ENOTDIR:
		what = "its folder does not exist";
		advice = ": create it or change the address";
		code = EX_CONFIG;
		break;
	case ENOTSOCK:
		what = "there is a file that is no socket";
		advice = ": remove it or change the address";
		code = EX_CONFIG;
		break;
	}
	snprintf(why, LISTEN_WHY_MAX, "listener \"%s\": %s: %s%s", l->name, a->text, what, advice);
	return code;
}

static int
bind_patiently(const struct conf_address *a, struct listen_sock *s, int64_t until_ms)
{
	static const struct timespec pause = { 0, 20 * 1000 * 1000 };

	while (bind_one(a, s) != 0) {
		if (errno != EADDRINUSE)
			return -1;
		if (master_now_ms() >= until_ms) {
			errno = EADDRINUSE;
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

int
listen_bind(struct listen_table *t, const struct conf *cf, int wait_ms, struct listen_sock **sock, char *why)
{
	int64_t until_ms = master_now_ms() + wait_ms;
	size_t n = 0;
	int code = passed_check(t, cf, why);

	if (code != 0)
		return code;
	for (size_t l = 0; l < cf->nlistener; l++) {
		for (size_t i = 0; i < cf->listener[l].naddress; i++) {
			const struct conf_address *a = &cf->listener[l].address[i];
			struct listen_sock *s = passed_find(t, cf->listener[l].name, i);

			if (s == NULL)
				s = find(t, a);
			if (s == NULL) {
				s = unused(t);
				if (s == NULL || bind_patiently(a, s, until_ms) != 0) {
					code = explain(&cf->listener[l], a, s == NULL ? ENFILE : errno, why);
					listen_drop_fresh(t);
					return code;
				}
			}
			sock[n++] = s;
		}
	}
	return 0;
}

static void
close_one(struct listen_sock *s)
{
	const char *path = ((const struct sockaddr_un *)&s->ss)->sun_path;
	struct stat st;

	if (s->fd < 0)
		return;
	/* Another server may have put its own socket there meanwhile. */
	if (s->ss.ss_family == AF_UNIX && s->passed[0] == '\0' && lstat(path, &st) == 0 && st.st_dev == s->dev &&
	    st.st_ino == s->ino)
		(void)unlink(path);
	close(s->fd);
	s->fd = -1;
	s->fresh = false;
	s->passed[0] = '\0';
}

void
listen_keep(struct listen_table *t, struct listen_sock *const *sock, size_t n)
{
	for (size_t i = 0; i < sizeof t->sock / sizeof *t->sock; i++) {
		/* The service manager has a passed one too: closed, it would still be connected to. */
		bool kept = t->sock[i].passed[0] != '\0';

		for (size_t k = 0; k < n; k++)
			kept |= sock[k] == &t->sock[i];
		if (kept)
			t->sock[i].fresh = false;
		else
			close_one(&t->sock[i]);
	}
}

void
listen_drop_fresh(struct listen_table *t)
{
	for (size_t i = 0; i < sizeof t->sock / sizeof *t->sock; i++)
		if (t->sock[i].fresh)
			close_one(&t->sock[i]);
}

void
listen_close_all(struct listen_table *t)
{
	for (size_t i = 0; i < sizeof t->sock / sizeof *t->sock; i++)
		close_one(&t->sock[i]);
}
