/*
 * ipc: what goes through the pair comes out, and nothing malformed does.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "common/ipc.h"
#include "tests/unit/suite.h"

static int a, b;

static void
setup(void)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	a = fd[0];
	b = fd[1];
}

static void
teardown(void)
{
	close(a);
	close(b);
}

START_TEST(every_type_arrives)
{
	static const enum ipc_type types[] = { IPC_READY, IPC_FAILED, IPC_DRAINED, IPC_STOP, IPC_RETIRE, IPC_LOGLEVEL };
	struct ipc_msg m;

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		ck_assert_int_eq(ipc_send(a, types[i], (uint32_t)i + 70), 0);
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		ck_assert_int_eq(ipc_recv(b, &m), 1);
		ck_assert_uint_eq(m.type, types[i]);
		ck_assert_uint_eq(m.arg, i + 70);
	}
	ck_assert_int_eq(ipc_recv(b, &m), 0);
}
END_TEST

/* Octets that are not exactly one known message, and what a peer may attach. */
static const struct {
	const char *name;
	uint32_t word[3];
	size_t n;
} malformed[] = {
	{ "an octet", { IPC_READY, 0, 0 }, 1 },
	{ "half", { IPC_READY, 0, 0 }, 4 },
	{ "seven", { IPC_READY, 0, 0 }, 7 },
	{ "nine", { IPC_READY, 0, 0 }, 9 },
	{ "twelve", { IPC_READY, 0, 0 }, 12 },
	{ "type 0", { 0, 0, 0 }, 8 },
	{ "a trace of nothing", { IPC_TRACE, 0, 0 }, 8 },
	{ "one type too many", { IPC_TYPES, 0, 0 }, 8 },
	{ "type all ones", { UINT32_MAX, 0, 0 }, 8 },
};

START_TEST(malformed_is_told)
{
	struct ipc_msg m = { 77, 77 };

	ck_assert_int_eq(send(a, malformed[_i].word, malformed[_i].n, 0), (ssize_t)malformed[_i].n);
	errno = 0;
	ck_assert_msg(ipc_recv(b, &m) == -1 && errno == EBADMSG, "%s was taken", malformed[_i].name);
	ck_assert_uint_eq(m.type, 77);
	ck_assert_uint_eq(m.arg, 77);
}
END_TEST

START_TEST(attached_descriptor_is_not_taken)
{
	struct ipc_msg out = { IPC_READY, 0 }, m;
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u = { .buf = { 0 } };
	struct iovec iov = { &out, sizeof out };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = sizeof u.buf };
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	int next;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &a, sizeof a);
	ck_assert_int_eq(sendmsg(a, &h, 0), (ssize_t)sizeof out);
	ck_assert_int_eq(next = dup(b), b + 1);
	close(next);
	ck_assert_int_eq(ipc_recv(b, &m), -1);
	ck_assert_int_eq(errno, EBADMSG);
	/* The lowest free descriptor is still free. */
	ck_assert_int_eq(next = dup(b), b + 1);
	close(next);
}
END_TEST

/* Whether no descriptor was left open: the lowest free one is still the one after b. */
static void
nothing_leaked(void)
{
	int next;

	ck_assert_int_eq(next = dup(b), b + 1);
	close(next);
}

START_TEST(descriptor_and_text_arrive)
{
	char most[IPC_TEXT_MAX], octet = 0;
	struct ipc_more more;
	struct ipc_msg m;
	int pipes[2];

	memset(most, 'x', sizeof most);
	most[sizeof most - 1] = '\0';
	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(ipc_send_with(a, IPC_TRACE, 9, pipes[1], most), 0);
	ck_assert_int_eq(ipc_send_with(a, IPC_TRACE, 9, pipes[1], ""), 0);
	ck_assert_int_eq(ipc_send(a, IPC_RETIRE, 3), 0);
	ck_assert_int_eq(ipc_recv_with(b, &m, &more), 1);
	ck_assert_uint_eq(m.type, IPC_TRACE);
	ck_assert_uint_eq(m.arg, 9);
	ck_assert_str_eq(more.text, most);
	ck_assert_int_eq(write(more.fd, "!", 1), 1);
	ck_assert_int_eq(read(pipes[0], &octet, 1), 1);
	ck_assert_int_eq(fcntl(more.fd, F_GETFD), FD_CLOEXEC);
	close(more.fd);
	ck_assert_int_eq(ipc_recv_with(b, &m, &more), 1);
	ck_assert_str_eq(more.text, "");
	close(more.fd);
	ck_assert_int_eq(ipc_recv_with(b, &m, &more), 1);
	ck_assert_uint_eq(m.type, IPC_RETIRE);
	ck_assert_int_eq(more.fd, -1);
	ck_assert_int_eq(ipc_recv_with(b, &m, &more), 0);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

START_TEST(descriptor_where_none_belongs)
{
	struct ipc_more more;
	struct ipc_msg m;

	ck_assert_int_eq(ipc_send_with(a, IPC_STOP, 0, a, ""), 0);
	ck_assert_int_eq(ipc_recv_with(b, &m, &more), -1);
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_int_eq(more.fd, -1);
	nothing_leaked();
	ck_assert_int_eq(ipc_send_with(a, IPC_TRACE, 0, a, "all"), 0);
	ck_assert_int_eq(ipc_recv(b, &m), -1);
	ck_assert_int_eq(errno, EBADMSG);
	nothing_leaked();
	ck_assert_int_eq(ipc_send(a, IPC_TRACE, 0), 0);
	ck_assert_int_eq(ipc_recv_with(b, &m, &more), -1);
	ck_assert_int_eq(errno, EBADMSG);
}
END_TEST

/* Room for one is room for two where a pointer is 64 bits long. */
START_TEST(more_descriptors_than_one)
{
	struct ipc_msg out = { IPC_TRACE, 0 }, m;
	struct ipc_more more;
	union {
		char buf[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} u;
	struct iovec iov = { &out, sizeof out };

	for (size_t n = 2; n <= 3; n++) {
		const int fds[3] = { a, a, a };
		struct msghdr h = { .msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = u.buf,
			.msg_controllen = CMSG_SPACE(n * sizeof *fds) };
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);

		memset(&u, 0, sizeof u);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof *fds);
		memcpy(CMSG_DATA(c), fds, n * sizeof *fds);
		ck_assert_int_eq(sendmsg(a, &h, 0), (ssize_t)sizeof out);
		ck_assert_int_eq(ipc_recv_with(b, &m, &more), -1);
		ck_assert_int_eq(errno, EBADMSG);
		ck_assert_int_eq(more.fd, -1);
		nothing_leaked();
	}
}
END_TEST

START_TEST(text_that_is_too_long)
{
	char more_than_most[IPC_TEXT_MAX + 1];

	memset(more_than_most, 'x', sizeof more_than_most);
	more_than_most[IPC_TEXT_MAX] = '\0';
	ck_assert_int_eq(ipc_send_with(a, IPC_TRACE, 0, a, more_than_most), -1);
	ck_assert_int_eq(errno, EMSGSIZE);
}
END_TEST

START_TEST(gone_peer)
{
	struct ipc_msg m;

	ck_assert_int_eq(ipc_send(a, IPC_DRAINED, 0), 0);
	close(a);
	ck_assert_int_eq(ipc_recv(b, &m), 1);
	errno = EIO;
	ck_assert_int_eq(ipc_recv(b, &m), -1);
	ck_assert_int_eq(errno, 0);
	ck_assert_int_eq(ipc_send(b, IPC_STOP, 0), -1);
	ck_assert_int_eq(errno, EPIPE);
	a = dup(b);
}
END_TEST

START_TEST(peer_that_died_with_unread_messages)
{
	struct ipc_msg m;

	ck_assert_int_eq(ipc_send(b, IPC_STOP, 0), 0);
	close(a);
	errno = EIO;
	ck_assert_int_eq(ipc_recv(b, &m), -1);
	ck_assert_int_eq(errno, 0);
	a = dup(b);
}
END_TEST

START_TEST(full_pair_is_eagain)
{
	int n = 0;

	while (ipc_send(a, IPC_READY, 0) == 0)
		ck_assert_int_lt(n++, 100000);
	ck_assert_int_eq(errno, EAGAIN);
	ck_assert_int_gt(n, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ipc");
	TCase *t = tcase_create("pair");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, every_type_arrives);
	tcase_add_loop_test(t, malformed_is_told, 0, (int)(sizeof malformed / sizeof *malformed));
	tcase_add_test(t, attached_descriptor_is_not_taken);
	tcase_add_test(t, descriptor_and_text_arrive);
	tcase_add_test(t, descriptor_where_none_belongs);
	tcase_add_test(t, more_descriptors_than_one);
	tcase_add_test(t, text_that_is_too_long);
	tcase_add_test(t, gone_peer);
	tcase_add_test(t, peer_that_died_with_unread_messages);
	tcase_add_test(t, full_pair_is_eagain);
	suite_add_tcase(s, t);
	return suite_run(s);
}
