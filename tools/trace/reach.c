/*
 * reach: see reach.h.  The protocol is master/ctl.h's: one request with a
 * descriptor, which the master hands to its workers; it answers nothing while
 * the trace goes on, and the trace ends when we hang up.
 */
#include "tools/trace/reach.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/facts.h"
#include "common/ipc.h"

enum {
	ANSWER_MAX = 4096,
	/* octets that wait in the kernel for us, more than an unprivileged process may have by default (212,992) */
	ROOM = 1 << 20
};

static void
report(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s\n", line);
}

char *
reach_state_dir(const char *file)
{
	char *dir, *text;
	size_t n;

	if (conf_read(file, &text, &n) != 0)
		err(EX_CONFIG, "%s", file);
	dir = conf_state_dir(file, text, n, report, NULL);
	if (dir == NULL)
		errx(EX_CONFIG, "the config does not tell its state_dir; -d STATE_DIR reaches the server without it");
	free(text);
	return dir;
}

int
reach_server(const char *dir)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int d = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	/* So a long path has room too. */
	snprintf(sun.sun_path, sizeof(sun.sun_path), "/proc/self/fd/%d/" IPC_CTL_SOCKET, d);
	if (d < 0 || fd < 0 || connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) != 0)
		err(errno == EACCES || errno == EPERM ? EX_NOPERM : EX_UNAVAILABLE,
		    "no server answers at %s/" IPC_CTL_SOCKET, dir);
	close(d);
	return fd;
}

int
reach_trace(int control, const char *filter)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u = { .room = { 0 } };
	struct facts f = { .text = NULL };
	struct iovec iov;
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.room, .msg_controllen = sizeof(u.room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	int pair[2], room = ROOM;

	if (strlen(filter) >= IPC_TEXT_MAX)
		errx(EX_USAGE, "the networks, recipients and listeners together are too long");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		err(EX_OSERR, "socketpair");
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	facts_begin(&f, "trace");
	facts_str(&f, "filter", filter);
	facts_end(&f);
	if (f.failed)
		errx(EX_OSERR, "out of memory");
	iov = (struct iovec){ .iov_base = f.text, .iov_len = f.n };
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &pair[1], sizeof(int));
	/* What the server said instead, if it hung up, reach_end() finds. */
	if (sendmsg(control, &h, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
		err(EX_IOERR, "sendmsg");
	close(pair[1]);
	facts_free(&f);
	return pair[0];
}

int
reach_end(int control)
{
	char text[ANSWER_MAX], *at = text;
	ssize_t n = recv(control, text, sizeof(text) - 1, 0);
	struct fact line;
	const char *said;

	if (n <= 0)
		return EX_IOERR;
	text[n] = '\0';
	if (facts_next(&at, &line) != 1 || strcmp(line.kind, "end") != 0)
		return EX_PROTOCOL;
	said = facts_get(&line, "text");
	warnx("%s", said != NULL ? said : "the server ends the trace");
	return (int)facts_num(&line, "code", 1, 255, EX_PROTOCOL);
}
