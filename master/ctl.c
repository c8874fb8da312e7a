/*
 * ctl: see ctl.h.  Only root and the server's own user are heard, by the
 * kernel's word (SO_PEERCRED), whatever the socket's mode says.
 */
#include "master/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/ipc.h"
#include "common/log.h"
#include "master/command.h"
#include "master/master.h"
#include "master/spawn.h"
#include "master/state.h"

void
ctl_init(struct ctl *ctl)
{
	ctl->fd = -1;
	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++)
		ctl->client[i] = (struct ctl_client){ .fd = -1, .trace = -1 };
}

static bool
is_ours(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

/* By way of the folder's descriptor: state_dir may be longer than an address can be. */
static socklen_t
address(const struct master *m, struct sockaddr_un *sun)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(sun->sun_path, sizeof sun->sun_path, "/proc/self/fd/%d/" IPC_CTL_SOCKET, m->state_fd);
	return sizeof *sun;
}

bool
ctl_answers(const struct master *m)
{
	struct sockaddr_un sun;
	socklen_t len = address(m, &sun), size = sizeof(struct ucred);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred who = { .uid = (uid_t)-1 };
	struct stat st;
	bool yes;

	/* One that has too much to do (EAGAIN) is there as well. */
	if (fd < 0 || connect(fd, (const struct sockaddr *)&sun, len) != 0)
		yes = errno == EAGAIN;
	else
		yes = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
		    (is_ours(who.uid) || (fstat(m->state_fd, &st) == 0 && who.uid == st.st_uid));
	if (fd >= 0)
		close(fd);
	return yes;
}

int
ctl_open(struct master *m)
{
	struct sockaddr_un sun;
	socklen_t len = address(m, &sun);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -1;
	/* We hold the lock, so whatever is there is a dead one's. */
	if (unlinkat(m->state_fd, IPC_CTL_SOCKET, 0) != 0 && errno != ENOENT)
		goto fail;
	/* Before the bind, which takes the mode over: at no time may others connect. */
	if (fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)&sun, len) != 0 ||
	    listen(fd, CTL_CLIENTS_MAX) != 0)
		goto fail;
	m->ctl.fd = fd;
	return 0;
fail:
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

void
ctl_due(struct master *m)
{
	struct ctl *ctl = &m->ctl;
	int64_t now = master_now_ms();
	int old = ctl->fd;
	struct stat st;

	if (old < 0 || now - ctl->look_ms < CTL_LOOK_MS)
		return;
	ctl->look_ms = now;
	if (fstatat(m->state_fd, IPC_CTL_SOCKET, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT) {
		ctl->told = false;
	} else if (ctl_open(m) == 0) {
		close(old);
		log_msg(LOG_L_WARN, "control-gone", "the control socket was removed; it is made anew");
	} else if (!ctl->told) {
		ctl->told = true;
		log_msg(LOG_L_ERROR, "control-gone",
		    "the control socket was removed, and cannot be made anew: %s; signals are heard", strerror(errno));
	}
}

static void
client_free(struct ctl_client *c)
{
	close(c->fd);
	if (c->trace >= 0)
		close(c->trace);
	free(c->filter);
	facts_free(&c->out);
	*c = (struct ctl_client){ .fd = -1, .trace = -1 };
}

/* Send what is there, as far as it goes. */
static void
client_send(struct ctl_client *c)
{
	while (c->sent < c->out.n) {
		size_t n = c->out.n - c->sent < CTL_RECORD ? c->out.n - c->sent : CTL_RECORD;
		ssize_t w = send(c->fd, c->out.text + c->sent, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EAGAIN)
			return;
		if (w < 0) {
			client_free(c);
			return;
		}
		c->sent += (size_t)w;
	}
	if (c->over)
		client_free(c);
}

static void
client_end(struct ctl_client *c, int code, const char *text)
{
	facts_begin(&c->out, "end");
	facts_i64(&c->out, "code", code);
	facts_str(&c->out, "text", text);
	facts_end(&c->out);
	c->wait = CTL_NOTHING;
	c->over = true;
	c->due_ms = master_now_ms() + CTL_PATIENCE_MS;
	if (c->out.failed)
		client_free(c);
	else
		client_send(c);
}

/* --- requests --- */

/* A request and the descriptor that may come with it.  Octets, 0 for a peer that has gone, -1 with errno. */
static ssize_t
receive(int from, char *text, size_t cap, int *fd)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u = { .room = { 0 } };
	struct iovec iov = { .iov_base = text, .iov_len = cap };
	/* Exactly one: see ipc_recv_with(). */
	struct msghdr h = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.room, .msg_controllen = CMSG_LEN(sizeof *fd)
	};
	ssize_t n = recvmsg(from, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	/* A record of no octets may bring one, too. */
	const struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&h) : NULL;

	*fd = -1;
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof *fd))
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
	if (n > 0 && (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
		return errno = EMSGSIZE, -1;
	return n;
}

static void
log_command(const struct ctl_client *c, const char *command)
{
	struct ucred who = { .pid = 0 };
	socklen_t len = sizeof who;
	struct log_line l;

	(void)getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
	log_begin(&l, LOG_L_INFO, "control");
	log_str(&l, "command", command);
	log_i64(&l, "pid", who.pid);
	log_u64(&l, "uid", who.uid);
	log_end(&l);
}

static void
answer(struct master *m, struct ctl_client *c, char *text, int fd)
{
	const struct command *cmd;
	struct fact request;
	const char *why = NULL;
	int code;

	if (facts_next(&text, &request) != 1 || *text != '\0' || (cmd = command_find(request.kind)) == NULL) {
		client_end(c, EX_PROTOCOL, "this server does not know what is asked for");
		return;
	}
	stats_add(m->stats, STATS_CONTROL_COMMANDS, 1);
	if (cmd->acts)
		log_command(c, cmd->name);
	if (cmd->wait == CTL_TRACE) {
		const char *filter = facts_get(&request, "filter");

		c->filter = strndup(filter != NULL ? filter : "", IPC_TEXT_MAX - 1);
		c->trace = fd >= 0 && c->filter != NULL ? dup(fd) : -1;
		if (c->trace < 0) {
			client_end(c, EX_PROTOCOL, "a trace needs a descriptor to write to");
			return;
		}
	}
	c->due_ms = INT64_MAX;
	c->wait = cmd->wait;
	code = cmd->run(m, &request, &c->out, &why);
	if (cmd->wait == CTL_NOTHING || code != EX_OK) {
		client_end(c, code, why);
	} else if (cmd->wait == CTL_TRACE) {
		for (unsigned i = 1; i < MASTER_SLOTS; i++)
			if (m->slot[i].state == WORKER_READY)
				spawn_trace(m, i, c->trace, c->filter);
	}
}

static void
client_hear(struct master *m, struct ctl_client *c)
{
	char text[CTL_REQUEST_MAX];
	int fd;
	ssize_t n = receive(c->fd, text, sizeof text - 1, &fd);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* One request a connection: whoever says more, or hangs up, is done. */
	if (n <= 0 || c->wait != CTL_NOTHING || c->over) {
		client_free(c);
	} else {
		text[n] = '\0';
		answer(m, c, text, fd);
	}
	if (fd >= 0)
		close(fd);
}

static struct ctl_client *
unused(struct ctl *ctl)
{
	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++)
		if (ctl->client[i].fd < 0)
			return &ctl->client[i];
	return NULL;
}

static void
welcome(struct master *m)
{
	int fd = accept4(m->ctl.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ctl_client *c = unused(&m->ctl);
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t len = sizeof who;

	if (fd < 0)
		return;
	if (c == NULL) {
		close(fd);
		return;
	}
	*c = (struct ctl_client){ .fd = fd, .due_ms = master_now_ms() + CTL_PATIENCE_MS, .trace = -1 };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 || !is_ours(who.uid))
		client_end(c, EX_NOPERM, "only root and the server's own user may");
}

/* --- the loop's side --- */

nfds_t
ctl_poll(const struct master *m, struct pollfd *p)
{
	nfds_t n = 0;

	if (m->ctl.fd >= 0)
		p[n++] = (struct pollfd){ .fd = m->ctl.fd, .events = POLLIN };
	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++) {
		const struct ctl_client *c = &m->ctl.client[i];

		if (c->fd >= 0)
			p[n++] = (struct pollfd){ .fd = c->fd,
				.events = (short)(POLLIN | (c->sent < c->out.n ? POLLOUT : 0)) };
	}
	return n;
}

void
ctl_hear(struct master *m)
{
	int64_t now = master_now_ms();

	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++) {
		struct ctl_client *c = &m->ctl.client[i];

		if (c->fd >= 0)
			client_hear(m, c);
		if (c->fd >= 0)
			client_send(c);
		if (c->fd >= 0 && now >= c->due_ms)
			client_free(c);
	}
	if (m->ctl.fd >= 0)
		welcome(m);
}

int64_t
ctl_next_ms(const struct master *m)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++)
		if (m->ctl.client[i].fd >= 0 && m->ctl.client[i].due_ms < next)
			next = m->ctl.client[i].due_ms;
	return next;
}

void
ctl_begin(struct master *m, enum ctl_wait wait)
{
	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++)
		if (m->ctl.client[i].fd >= 0 && m->ctl.client[i].wait == wait)
			m->ctl.client[i].begun = true;
}

void
ctl_note(struct master *m, enum ctl_wait wait, const char *line)
{
	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++) {
		struct ctl_client *c = &m->ctl.client[i];

		if (c->fd < 0 || c->wait != wait || !c->begun)
			continue;
		facts_begin(&c->out, "note");
		facts_str(&c->out, "text", line);
		facts_end(&c->out);
	}
}

void
ctl_done(struct master *m, enum ctl_wait wait, int code, const char *text)
{
	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++) {
		struct ctl_client *c = &m->ctl.client[i];

		if (c->fd >= 0 && c->wait == wait && (c->begun || wait == CTL_END))
			client_end(c, code, text);
	}
}

void
ctl_call_off(struct master *m, enum ctl_wait wait)
{
	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++)
		if (m->ctl.client[i].fd >= 0 && m->ctl.client[i].wait == wait)
			client_end(&m->ctl.client[i], EX_TEMPFAIL, "the server is stopping");
}

void
ctl_traces(struct master *m, unsigned i)
{
	for (unsigned k = 0; k < CTL_CLIENTS_MAX; k++) {
		const struct ctl_client *c = &m->ctl.client[k];

		if (c->fd >= 0 && c->wait == CTL_TRACE)
			spawn_trace(m, i, c->trace, c->filter);
	}
}

void
ctl_put(const struct master *m, struct facts *f)
{
	facts_begin(f, "client");
	state_put_fd(f, "listens", m->ctl.fd);
	facts_end(f);
	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++) {
		const struct ctl_client *c = &m->ctl.client[i];

		/* One that has not taken its answer yet sees us hang up. */
		if (c->fd < 0 || c->over || c->sent < c->out.n)
			continue;
		facts_begin(f, "client");
		state_put_fd(f, "fd", c->fd);
		facts_u64(f, "wait", c->wait);
		facts_bool(f, "begun", c->begun);
		facts_i64(f, "due", c->due_ms);
		state_put_fd(f, "trace", c->trace);
		facts_str(f, "filter", c->filter);
		facts_end(f);
	}
}

void
ctl_get(struct master *m, const struct fact *f)
{
	struct ctl_client *c = unused(&m->ctl);
	const char *filter = facts_get(f, "filter");

	if (facts_get(f, "listens") != NULL) {
		m->ctl.fd = state_get_fd(f, "listens");
		return;
	}
	if (c == NULL)
		return;
	*c = (struct ctl_client){
		.fd = state_get_fd(f, "fd"),
		.wait = (enum ctl_wait)facts_num(f, "wait", CTL_NOTHING, CTL_TRACE, CTL_NOTHING),
		.begun = facts_num(f, "begun", 0, 1, 0) == 1,
		.due_ms = facts_num(f, "due", 0, INT64_MAX, INT64_MAX),
		.trace = state_get_fd(f, "trace"),
		.filter = filter != NULL ? strdup(filter) : NULL,
	};
	if (c->wait == CTL_TRACE && (c->trace < 0 || c->filter == NULL))
		client_free(c);
}

void
ctl_close(struct master *m)
{
	if (m->ctl.fd < 0)
		return;
	/* The lock goes with the process: nobody else's socket can be there yet. */
	(void)unlinkat(m->state_fd, IPC_CTL_SOCKET, 0);
	close(m->ctl.fd);
	m->ctl.fd = -1;
	ctl_done(m, CTL_END, m->code, NULL);
	for (unsigned i = 0; i < CTL_CLIENTS_MAX; i++)
		if (m->ctl.client[i].fd >= 0)
			client_free(&m->ctl.client[i]);
}
