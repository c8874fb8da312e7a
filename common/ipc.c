/*
 * ipc: messages between master and worker, both directions.
 * A message is one record of a SOCK_SEQPACKET pair, so there is no framing and
 * no partial one; whatever is not exactly a known message is malformed.
 */
#include "common/ipc.h"

#include <bsd/string.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	char room[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int
ipc_send(int fd, enum ipc_type type, uint32_t arg)
{
	const struct ipc_msg m = { .type = (uint32_t)type, .arg = arg };
	ssize_t n;

	do {
		n = send(fd, &m, sizeof m, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

int
ipc_send_with(int fd, enum ipc_type type, uint32_t arg, int passed, const char *text)
{
	struct ipc_msg m = { .type = (uint32_t)type, .arg = arg };
	char copy[IPC_TEXT_MAX];
	size_t n = strlen(text);
	struct iovec iov[2] = { { .iov_base = &m, .iov_len = sizeof m }, { .iov_base = copy, .iov_len = n } };
	union control u = { .room = { 0 } };
	const struct msghdr h = {
		.msg_iov = iov, .msg_iovlen = 2, .msg_control = u.room, .msg_controllen = sizeof u.room
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	ssize_t sent;

	if (n >= sizeof copy)
		return errno = EMSGSIZE, -1;
	strlcpy(copy, text, sizeof copy);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof passed);
	memcpy(CMSG_DATA(c), &passed, sizeof passed);
	do {
		sent = sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

bool
ipc_layout_is_ours(const char *text)
{
	char ours[16];

	snprintf(ours, sizeof ours, "%u", (unsigned)IPC_LAYOUT);
	return strcmp(text, ours) == 0;
}

static bool
brings(uint32_t type)
{
	return type == IPC_TRACE || type == IPC_LOGFD;
}

static bool
known(uint32_t type)
{
	return type >= IPC_READY && type < IPC_TYPES;
}

/* Octets received, 0 when nothing is there, -1 with errno as ipc_recv(). */
static ssize_t
receive(int fd, struct msghdr *h)
{
	ssize_t n;

	do {
		n = recvmsg(fd, h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n < 0 && errno == EAGAIN)
		return 0;
	/* A peer that died with our messages unread resets the pair. */
	if (n == 0 || errno == ECONNRESET)
		errno = 0;
	return -1;
}

int
ipc_recv(int fd, struct ipc_msg *m)
{
	struct ipc_msg in = { 0, 0 };
	struct iovec iov = { .iov_base = &in, .iov_len = sizeof in };
	/* No room for control data: descriptors that a peer attaches are closed by the kernel (MSG_CTRUNC). */
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = receive(fd, &h);

	if (n <= 0)
		return (int)n;
	if ((size_t)n != sizeof in || (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || !known(in.type) ||
	    brings(in.type)) {
		errno = EBADMSG;
		return -1;
	}
	*m = in;
	return 1;
}

/* The one descriptor that came, or -1. */
static int
attached(struct msghdr *h)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(h);
	int fd = -1;

	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	return fd;
}

int
ipc_recv_with(int fd, struct ipc_msg *m, struct ipc_more *more)
{
	struct ipc_msg in = { 0, 0 };
	struct iovec iov[2] = { { .iov_base = &in, .iov_len = sizeof in },
		{ .iov_base = more->text, .iov_len = sizeof more->text - 1 } };
	union control u = { .room = { 0 } };
	/* Not all of the room: what fills it up to the next pointer would hold a second descriptor.  The kernel closes those (MSG_CTRUNC). */
	struct msghdr h = {
		.msg_iov = iov, .msg_iovlen = 2, .msg_control = u.room, .msg_controllen = CMSG_LEN(sizeof(int))
	};
	ssize_t n = receive(fd, &h);

	more->fd = -1;
	if (n <= 0)
		return (int)n;
	more->fd = attached(&h);
	if ((size_t)n < sizeof in || (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || !known(in.type) ||
	    brings(in.type) != (more->fd >= 0) || (!brings(in.type) && (size_t)n != sizeof in)) {
		if (more->fd >= 0)
			close(more->fd);
		more->fd = -1;
		errno = EBADMSG;
		return -1;
	}
	more->text[(size_t)n - sizeof in] = '\0';
	*m = in;
	return 1;
}
