/*
 * peers: milters and policy servers at the other ends of real sockets, in the
 * same process: they answer, or do not, in any way that the input says, and
 * what they say need not be what the protocol wants.
 */
#ifndef TESTS_FUZZ_PARTS_PEERS_H_
#define TESTS_FUZZ_PARTS_PEERS_H_

#include <sys/socket.h>
#include <sys/un.h>

#include <poll.h>
#include <unistd.h>

#include "tests/fuzz/parts/turn.h"
#include "worker/milter/packet.h"

enum { PEERS_CONNS = 16, PEERS_IN = 1 << 17 };

/* A server: a listening socket, whose abstract address a section of the config gets. */
struct peers_server {
	int                     fd;
	bool                    milter;
	struct sockaddr_storage ss;
	socklen_t               len;
};

struct peers_conn {
	int      fd; /* -1: free */
	bool     milter, owes;
	uint32_t steps;
	size_t   n;
	uint8_t  in[PEERS_IN];
};

static struct {
	struct peers_conn conn[PEERS_CONNS];
	uint32_t          version, actions, steps; /* what milters agree to */
} peers;

static void
peers_listen(struct peers_server *s, const char *name)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&s->ss;

	*s             = (struct peers_server){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0) };
	un->sun_family = AF_UNIX;
	s->len         = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1U);
	s->len += (socklen_t)snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, "fuzz-%d-%s", (int)getpid(), name);
	if (s->fd == -1 || bind(s->fd, (const struct sockaddr *)un, s->len) != 0 || listen(s->fd, 64) != 0)
		abort();
}

static void
peers_hang_up(struct peers_conn *k)
{
	if (k->fd != -1)
		close(k->fd);
	k->fd   = -1;
	k->n    = 0;
	k->owes = false;
}

static void
peers_say(struct peers_conn *k, const void *p, size_t n)
{
	if (k->fd != -1 && send(k->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
		peers_hang_up(k);
}

/* --- milters --- */

static void
peers_packet(struct peers_conn *k, uint8_t what, const void *data, size_t n)
{
	uint8_t packet[1024] = { 0, 0, (uint8_t)((n + 1) >> 8), (uint8_t)(n + 1), what };

	if (n > 0)
		memcpy(packet + MILTER_HEAD, data, n);
	peers_say(k, packet, MILTER_HEAD + n);
}

static void
peers_agree(struct peers_conn *k)
{
	uint8_t d[12];

	for (unsigned i = 0; i < 4; i++) {
		d[i]     = (uint8_t)(peers.version >> (24 - 8 * i));
		d[4 + i] = (uint8_t)(peers.actions >> (24 - 8 * i));
		d[8 + i] = (uint8_t)(peers.steps >> (24 - 8 * i));
	}
	k->steps = peers.steps;
	peers_packet(k, MILTER_R_OPTNEG, d, sizeof(d));
}

#define PEERS_SAY(what, text) \
	{ \
		what, sizeof(text) - 1, text \
	}

static const struct peers_answer {
	uint8_t     what;
	size_t      n;
	const char *data;
} peers_answers[] = {
	PEERS_SAY(MILTER_R_CONTINUE, ""),
	PEERS_SAY(MILTER_R_ACCEPT, ""),
	PEERS_SAY(MILTER_R_REJECT, ""),
	PEERS_SAY(MILTER_R_TEMPFAIL, ""),
	PEERS_SAY(MILTER_R_DISCARD, ""),
	PEERS_SAY(MILTER_R_SKIP, ""),
	PEERS_SAY(MILTER_R_SHUTDOWN, ""),
	PEERS_SAY(MILTER_R_CONN_FAIL, ""),
	PEERS_SAY(MILTER_R_REPLYCODE, "550 5.7.1 no\0"),
	PEERS_SAY(MILTER_R_REPLYCODE, "421 4.7.0 go away\0"),
	PEERS_SAY(MILTER_R_REPLYCODE, "451-4.7.1 not\r\n451 4.7.1 now\0"),
	PEERS_SAY(MILTER_R_REPLYCODE, "250 fine\0"),
	PEERS_SAY(MILTER_R_PROGRESS, ""), /* and the next octet's */
	PEERS_SAY(MILTER_R_ADDHEADER, "X-Added\0by a milter\0"),
	PEERS_SAY(MILTER_R_INSHEADER, "\0\0\0\1X-Inserted\0folded\n\tvalue\0"),
	PEERS_SAY(MILTER_R_CHGHEADER, "\0\0\0\1Subject\0another\0"),
	PEERS_SAY(MILTER_R_CHGHEADER, "\0\0\0\1Subject\0\0"),
	PEERS_SAY(MILTER_R_ADDRCPT, "<bob@example.org>\0"),
	PEERS_SAY(MILTER_R_ADDRCPT, "<nobody@example.org>\0"),
	PEERS_SAY(MILTER_R_DELRCPT, "<alice@example.org>\0"),
	PEERS_SAY(MILTER_R_CHGFROM, "<new@sender.example>\0"),
	PEERS_SAY(MILTER_R_REPLBODY, "another body\r\n"),
	PEERS_SAY(MILTER_R_QUARANTINE, "why not\0"),
	PEERS_SAY(MILTER_R_ADDHEADER, "Bad Name\0v\0"),
	PEERS_SAY(0, "noise"),
};

enum { PEERS_ANSWERS = sizeof(peers_answers) / sizeof(peers_answers[0]) };

/* Up to 16 packets: what is not the last word is followed by another one. */
static void
peers_answer(struct peers_conn *k)
{
	for (unsigned i = 0; i < 16; i++) {
		uint8_t                    x = says_next() % (PEERS_ANSWERS + 3);
		const struct peers_answer *a = &peers_answers[x % PEERS_ANSWERS];

		if (x == PEERS_ANSWERS)
			peers_hang_up(k);
		if (x == PEERS_ANSWERS + 1)
			k->owes = true;
		if (x >= PEERS_ANSWERS)
			return;
		peers_packet(k, a->what, a->data, a->n);
		if (x < 12)
			return;
	}
}

static bool
peers_answers_to(const struct peers_conn *k, uint8_t cmd)
{
	static const struct {
		uint8_t  cmd;
		uint32_t unless;
	} row[] = { { MILTER_C_CONNECT, MILTER_P_NR_CONN }, { MILTER_C_HELO, MILTER_P_NR_HELO },
		{ MILTER_C_MAIL, MILTER_P_NR_MAIL }, { MILTER_C_RCPT, MILTER_P_NR_RCPT },
		{ MILTER_C_DATA, MILTER_P_NR_DATA }, { MILTER_C_HEADER, MILTER_P_NR_HDR },
		{ MILTER_C_EOH, MILTER_P_NR_EOH }, { MILTER_C_BODY, MILTER_P_NR_BODY }, { MILTER_C_EOM, 0 },
		{ MILTER_C_UNKNOWN, MILTER_P_NR_UNKN } };

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		if (row[i].cmd == cmd)
			return (k->steps & row[i].unless) == 0;
	return false;
}

/* The packets that are here. */
static void
peers_milter(struct peers_conn *k)
{
	struct span data, in = span_of(k->in, k->n);
	uint8_t     cmd;
	ssize_t     n;

	while (k->fd != -1 && (n = milter_frame(in, MILTER_CHUNK, &cmd, &data)) > 0) {
		in = span_skip(in, (size_t)n);
		if (cmd == MILTER_C_OPTNEG)
			peers_agree(k);
		else if (cmd == MILTER_C_QUIT)
			peers_hang_up(k);
		else if (peers_answers_to(k, cmd))
			peers_answer(k);
	}
	if (k->fd != -1 && in.n > 0 && n == MILTER_FRAME_BAD)
		breach("a milter hears no packet");
	memmove(k->in, in.p, in.n);
	k->n = k->fd != -1 ? in.n : 0;
}

/* --- policy servers --- */

static const char *const peers_actions[] = { "DUNNO", "OK", "REJECT", "REJECT 5.7.9 no %s", "450 4.7.1 later", "550 no",
	"421 4.7.0 away", "521 away", "DEFER", "DEFER_IF_PERMIT 4.7.5 perhaps", "DEFER_IF_REJECT", "DISCARD", "HOLD",
	"PREPEND X-Policy: yes", "PREPEND Bad Header: x", "WARN look", "INFO\tlook", "FILTER smtp:x",
	"REDIRECT bob@example.org", "BCC bob@example.org", "BCC not an address", "nonsense \x01", "250", "299 fine",
	"" };

enum { PEERS_ACTIONS = sizeof(peers_actions) / sizeof(peers_actions[0]) };

static void
peers_policy(struct peers_conn *k)
{
	char    line[128];
	uint8_t x;

	if (k->n < 2 || memcmp(k->in + k->n - 2, "\n\n", 2) != 0)
		return;
	if (memchr(k->in, '\0', k->n) != NULL || memchr(k->in, '\r', k->n) != NULL || k->in[0] == '\n' ||
	    (const uint8_t *)memmem(k->in, k->n, "\n\n", 2) != k->in + k->n - 2)
		breach("a policy server is asked in another form");
	k->n = 0;
	x    = says_next() % (PEERS_ACTIONS + 3);
	if (x < PEERS_ACTIONS)
		peers_say(k, line, (size_t)snprintf(line, sizeof(line), "action=%s\n\n", peers_actions[x]));
	else if (x == PEERS_ACTIONS)
		peers_hang_up(k);
	else if (x == PEERS_ACTIONS + 1)
		k->owes = true;
}

/* --- both --- */

static void
peers_accept(const struct peers_server *s)
{
	int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK);

	if (fd == -1)
		return;
	for (unsigned i = 0; i < PEERS_CONNS; i++)
		if (peers.conn[i].fd == -1) {
			peers.conn[i].fd     = fd;
			peers.conn[i].milter = s->milter;
			peers.conn[i].steps  = 0;
			return;
		}
	close(fd);
}

static void
peers_read(struct peers_conn *k)
{
	ssize_t n = recv(k->fd, k->in + k->n, sizeof(k->in) - k->n, 0);

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			peers_hang_up(k);
		return;
	}
	k->n += (size_t)n;
	if (k->milter)
		peers_milter(k);
	else
		peers_policy(k);
	if (k->n == sizeof(k->in))
		breach("a question has no end");
}

/* Take what was said, and answer.  True when there was something, for the peers or for ${fd} (-1: nobody's). */
static bool
peers_serve(const struct peers_server *s, unsigned n, int fd)
{
	struct pollfd      at[PEERS_CONNS + 4];
	struct peers_conn *who[PEERS_CONNS];
	unsigned           k = 0, c = 0;

	if (fd != -1)
		at[k++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	for (unsigned i = 0; i < n; i++)
		at[k++] = (struct pollfd){ .fd = s[i].fd, .events = POLLIN };
	for (unsigned i = 0; i < PEERS_CONNS; i++)
		if (peers.conn[i].fd != -1) {
			who[c++] = &peers.conn[i];
			at[k++]  = (struct pollfd){ .fd = peers.conn[i].fd, .events = POLLIN };
		}
	if (poll(at, k, 0) <= 0)
		return false;
	for (unsigned i = 0; i < c; i++)
		if (at[k - c + i].revents != 0)
			peers_read(who[i]);
	for (unsigned i = 0; i < n; i++)
		if (at[k - c - n + i].revents != 0)
			peers_accept(&s[i]);
	return true;
}

/* Time goes by: whoever owes an answer gives it. */
static void
peers_pay(void)
{
	for (unsigned i = 0; i < PEERS_CONNS; i++) {
		struct peers_conn *k = &peers.conn[i];

		if (k->fd == -1 || !k->owes)
			continue;
		k->owes = false;
		if (k->milter)
			peers_packet(k, MILTER_R_CONTINUE, "", 0);
		else
			peers_say(k, "action=DUNNO\n\n", 14);
	}
}
#endif
