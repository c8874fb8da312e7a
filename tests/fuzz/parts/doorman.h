/*
 * doorman: who stands in the place of letterplate-auth, at the other end of the
 * worker's channel: what the input says of it is right, wrong, late, lost,
 * malformed, or the last word that it says.  What it is asked is held against
 * common/authask.h.  Included once, by the target: what is of the process in
 * handlers/credentials is of a run here.
 */
#ifndef TESTS_FUZZ_PARTS_DOORMAN_H_
#define TESTS_FUZZ_PARTS_DOORMAN_H_

#include <sys/socket.h>

#include "tests/fuzz/parts/login.h"

#define heard credentials_heard
#include "worker/handlers/credentials.c" /* NOLINT(bugprone-suspicious-include) */
#undef heard

enum { DOORMAN_OWES = 8, DOORMAN_LATE_US = 20000000 };

static struct {
	int             fd; /* -1: it left, or was never there */
	struct auth_ask owed[DOORMAN_OWES];
	uint64_t        due_us[DOORMAN_OWES]; /* 0: not owed */
	uint64_t        last;                 /* the question that came last */
} doorman = { .fd = -1 };

static void
doorman_come(struct loop *l, bool others)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd) != 0)
		abort();
	doorman.fd = fd[0];
	memset(doorman.due_us, 0, sizeof(doorman.due_us));
	chan.gone = chan.met = false;
	if (credentials_open(l, fd[1], others) == NULL)
		abort();
}

static void
doorman_leave(void)
{
	if (doorman.fd != -1)
		close(doorman.fd);
	doorman.fd = -1;
}

/* The run is over. */
static void
doorman_rest(struct loop *l)
{
	doorman_leave();
	if (chan.src.fd == -1)
		return;
	if (chan.n != 0 || !TAILQ_EMPTY(&chan.list))
		breach("%u questions to letterplate-auth are left", chan.n);
	loop_unwatch(l, &chan.src);
	close(chan.src.fd);
	chan.src.fd = -1;
}

/* --- answers --- */

static void
doorman_say(const struct auth_answer *m, size_t n)
{
	if (doorman.fd != -1)
		(void)send(doorman.fd, m, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* server-first-message, or server-final-message, for what was asked. */
static void
doorman_text(const struct auth_ask *a, struct auth_answer *m)
{
	struct span    first = span_of(a->octets + a->n[0], a->n[1]);
	const uint8_t *r     = memmem(first.p, first.n, ",r=", 3);
	struct span    nonce = r != NULL ? span_skip(first, (size_t)(r + 3 - first.p)) : span_head(first, 0);
	const uint8_t *comma = nonce.n > 0 ? memchr(nonce.p, ',', nonce.n) : NULL;

	if (comma != NULL)
		nonce.n = (size_t)(comma - nonce.p);
	if (a->what == AUTH_FIRST)
		m->n = (uint32_t)snprintf(
		    (char *)m->text, sizeof(m->text), "r=%.*sours,s=QUJD,i=4096", (int)nonce.n, (const char *)nonce.p);
	else if (a->what == AUTH_FINAL)
		m->n = (uint32_t)snprintf((char *)m->text, sizeof(m->text), "v=QUJD");
	else
		m->n = 0;
}

/* As letterplate-auth has it, with ${result}. */
static void
doorman_answer(const struct auth_ask *a, uint32_t result, uint8_t x)
{
	struct auth_answer m = { .boot = a->boot, .id = a->id, .result = result };

	if (result == AUTH_YES)
		doorman_text(a, &m);
	/* A text where none is wanted, none where one is, or one that is too long. */
	if (x / 16 == 1)
		m.n = 5;
	else if (x / 16 == 2)
		m.n = 0;
	else if (x / 16 == 3)
		m.n = AUTH_TEXT_MAX;
	if (result == AUTH_YES && a->id == doorman.last &&
	    ((a->what == AUTH_PASSWORD && m.n == 0) || (a->what == AUTH_FINAL && m.n > 0)))
		login.yes = true;
	doorman_say(&m, AUTH_ANSWER_HEAD + m.n);
}

static void
doorman_owe(const struct auth_ask *a)
{
	for (unsigned i = 0; i < DOORMAN_OWES; i++)
		if (doorman.due_us[i] == 0) {
			doorman.owed[i]   = *a;
			doorman.due_us[i] = turn_us + DOORMAN_LATE_US;
			return;
		}
}

/* What the input wants of ${a}; behind its end they are right. */
static void
doorman_think(const struct auth_ask *a)
{
	struct auth_answer m = { .boot = a->boot, .id = a->id, .result = AUTH_YES };
	uint8_t            x = says_next();

	switch (x % 16) {
	case 1:
	case 2:
	case 3:
	case 4:
		doorman_answer(a, x % 16, x);
		break;
	case 5:
	case 6:
		doorman_owe(a);
		break;
	case 7:
		break;
	case 8:
		doorman_leave();
		break;
	case 9:
		doorman_say(&m, x / 16 % 2 == 0 ? AUTH_ANSWER_HEAD - 1 : AUTH_ANSWER_HEAD + 1);
		break;
	case 10:
		m.n = x / 16 % 2 == 0 ? UINT32_MAX : AUTH_TEXT_MAX + 1;
		doorman_say(&m, sizeof(m));
		break;
	case 11:
		m.boot++;
		doorman_say(&m, AUTH_ANSWER_HEAD);
		break;
	case 12:
		m.id += x / 16 % 2 == 0 ? 1 : (uint64_t)-1;
		doorman_say(&m, AUTH_ANSWER_HEAD);
		break;
	case 13:
		m.boot = 0;
		doorman_say(&m, AUTH_ANSWER_HEAD);
		doorman_answer(a, AUTH_YES, x);
		break;
	case 14:
		m.result = AUTH_BUSY + 1U + x;
		doorman_say(&m, AUTH_ANSWER_HEAD);
		break;
	default:
		doorman_answer(a, AUTH_YES, x);
		break;
	}
}

/* --- questions --- */

static void
doorman_check(const struct auth_ask *a, size_t n)
{
	size_t all = AUTH_ASK_HEAD;

	for (unsigned i = 0; n >= AUTH_ASK_HEAD && i < AUTH_PARTS; i++)
		all += a->n[i];
	if (n < AUTH_ASK_HEAD || n != all || a->boot == 0 || a->what < AUTH_PASSWORD || a->what > AUTH_RIGHT)
		breach("letterplate-auth is asked something malformed");
	if (a->what <= AUTH_FINAL && (a->n[0] == 0 || a->n[1] == 0))
		breach("letterplate-auth is asked about nobody, or nothing");
	if (a->what == AUTH_FINAL && (a->n[2] == 0 || a->n[3] == 0 || a->n[4] != SASL_PROOF))
		breach("letterplate-auth is asked about no proof");
	/* There is no TLS here that anybody could be bound to: "p=" in base64. */
	if (a->what == AUTH_FINAL && memmem(a->octets, n - AUTH_ASK_HEAD, "c=cD", 4) != NULL)
		breach("letterplate-auth is asked about another channel");
	if (a->what == AUTH_RIGHT ? a->id != 0 : a->id <= doorman.last)
		breach("a question to letterplate-auth has the number of another one");
}

/* Take what was asked, and answer.  True when there was something. */
static bool
doorman_serve(void)
{
	struct auth_ask a;
	bool            any = false;
	ssize_t         n;

	while (doorman.fd != -1 && (n = recv(doorman.fd, &a, sizeof(a), MSG_DONTWAIT)) > 0) {
		any = true;
		doorman_check(&a, (size_t)n);
		if (a.what == AUTH_RIGHT)
			continue;
		doorman.last = a.id;
		if (a.what != AUTH_GUESS)
			login.yes = false;
		doorman_think(&a);
	}
	return any;
}

/* Time goes by: what is due is said. */
static void
doorman_pay(void)
{
	for (unsigned i = 0; i < DOORMAN_OWES; i++)
		if (doorman.due_us[i] != 0 && doorman.due_us[i] <= turn_us) {
			doorman.due_us[i] = 0;
			doorman_answer(&doorman.owed[i], AUTH_YES, says_next());
		}
}
#endif
