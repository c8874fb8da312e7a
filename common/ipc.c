/*
 * ipc: messages between master and worker, both directions.
 * A message is one record of a SOCK_SEQPACKET pair, so there is no framing and
 * no partial one; whatever is not exactly a known message is malformed.
 */
#include "common/ipc.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

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

static bool
known(uint32_t type)
{
	return type >= IPC_READY && type <= IPC_RETIRE;
}

int
ipc_recv(int fd, struct ipc_msg *m)
{
	struct ipc_msg in = { 0, 0 };
	struct iovec iov = { .iov_base = &in, .iov_len = sizeof in };
	/* No room for control data: descriptors that a peer attaches are closed by the kernel (MSG_CTRUNC). */
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	do {
		n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		if (errno == EAGAIN)
			return 0;
		/* A peer that died with our messages unread resets the pair. */
		if (errno == ECONNRESET)
			errno = 0;
		return -1;
	}
	if (n == 0) {
		errno = 0;
		return -1;
	}
	if ((size_t)n != sizeof in || (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || !known(in.type)) {
		errno = EBADMSG;
		return -1;
	}
	*m = in;
	return 1;
}
