/*
 * check: one thread takes the questions and counts them; scrypt has threads of
 * its own, since it takes long by design.
 */
#include "auth/check.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "auth/scram.h"
#include "auth/turns.h"
#include "common/saslprep.h"

enum { STACK = 256 << 10 };

_Static_assert((int)CHECK_QUEUE >= (int)CONF_WORKERS_MAX, "each worker has a place");

/* What a guess was counted for: keys of budget.h. */
struct guess {
	uint64_t ip, user, pair;
};

struct job {
	struct turn turn; /* first */
	int fd;
	struct guess guess;
	struct auth_ask ask;
};

static struct {
	pthread_mutex_t lock; /* of the queue */
	pthread_cond_t some;
	struct turns turns;
	const struct conf *conf;
	const struct credentials *list;
	struct budget *budget;
} check = { .lock = PTHREAD_MUTEX_INITIALIZER, .some = PTHREAD_COND_INITIALIZER };

static struct span
part(const struct auth_ask *a, unsigned i)
{
	size_t at = 0;

	for (unsigned k = 0; k < i; k++)
		at += a->n[k];
	return span_of(a->octets + at, a->n[i]);
}

bool
check_form(const struct auth_ask *a, size_t n)
{
	size_t all = AUTH_ASK_HEAD;

	if (n < AUTH_ASK_HEAD || a->what < AUTH_PASSWORD || a->what > AUTH_RIGHT || a->boot == 0)
		return false;
	if (a->what >= AUTH_GUESS)
		return n == AUTH_ASK_HEAD;
	for (unsigned i = 0; i < AUTH_PARTS; i++)
		all += a->n[i];
	return all == n && credential_user_ok(part(a, 0));
}

/* Who does not take its answers loses them: its clients hear that it cannot be told now. */
static void
answer(int fd, const struct auth_ask *a, enum auth_result result, const uint8_t *text, size_t n)
{
	struct auth_answer m = { .boot = a->boot, .id = a->id, .result = result, .n = (uint32_t)n };
	ssize_t sent;

	if (n > 0)
		memcpy(m.text, text, n);
	do
		sent = send(fd, &m, AUTH_ANSWER_HEAD + n, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
}

/* The name as the file has it.  One that cannot be prepared stands in no file, and is dealt with as it is. */
static struct span
name_of(const struct auth_ask *a, char out[CREDENTIAL_USER_MAX + 1])
{
	size_t n = credential_name(part(a, 0), false, out);

	return n > 0 ? span_of(out, n) : part(a, 0);
}

static int64_t
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static bool
take_address(const struct auth_ask *a, int64_t now)
{
	return budget_take(
	    check.budget, budget_address(check.budget, a->addr), check.conf->limits.auth_failures_per_ip, now);
}

/*
 * Whether it may guess; if so, it is counted as wrong until settle().  Where
 * the name was let in from before it has a count of its own: others' guesses
 * keep nobody out there.
 */
static enum auth_result
begin(const struct auth_ask *a, struct guess *g)
{
	char name[CREDENTIAL_USER_MAX + 1];
	struct span user = name_of(a, name);
	int64_t now = seconds();

	g->ip = budget_address(check.budget, a->addr);
	g->pair = budget_pair(check.budget, user, a->addr);
	g->user = budget_known(check.budget, g->pair, now) ? g->pair : budget_name(check.budget, user);
	if (!a->counted && !take_address(a, now))
		return AUTH_NO_IP;
	if (budget_take(check.budget, g->user, check.conf->limits.auth_failures_per_user, now))
		return AUTH_YES;
	budget_back(check.budget, g->ip);
	return AUTH_NO_USER;
}

/* It was not wrong. */
static void
settle(const struct guess *g, bool right)
{
	budget_back(check.budget, g->ip);
	budget_back(check.budget, g->user);
	if (right)
		budget_know(check.budget, g->pair, seconds());
}

/* A password that cannot be prepared is nobody's (RFC 4616 2), and costs as much. */
static bool
password_right(const struct auth_ask *a)
{
	char name[CREDENTIAL_USER_MAX + 1], password[CREDENTIAL_PW_MAX];
	struct span user = name_of(a, name), said = part(a, 1);
	ssize_t n = saslprep(said, password, sizeof password, false);
	struct credential nobody;
	bool ok;

	credential_nobody(check.list, user, &nobody);
	ok = credential_check(
	    credential_list_find(check.list, user), n > 0 ? span_of(password, (size_t)n) : said, &nobody);
	explicit_bzero(password, sizeof password);
	return ok && n > 0;
}

static void *
hash(void *arg)
{
	(void)arg;
	for (;;) {
		struct job *j;
		bool ok;

		pthread_mutex_lock(&check.lock);
		while ((j = (struct job *)turns_take(&check.turns)) == NULL)
			pthread_cond_wait(&check.some, &check.lock);
		pthread_mutex_unlock(&check.lock);
		ok = password_right(&j->ask);
		if (ok)
			settle(&j->guess, true);
		answer(j->fd, &j->ask, ok ? AUTH_YES : AUTH_NO, NULL, 0);
		explicit_bzero(j, sizeof *j);
		free(j);
	}
	return NULL;
}

int
check_start(const struct conf *cf, const struct credentials *l, struct budget *b, unsigned workers)
{
	pthread_attr_t attr;
	pthread_t t;

	check.conf = cf;
	check.list = l;
	turns_init(&check.turns, workers, CHECK_QUEUE);
	check.budget = b;
	errno = pthread_attr_init(&attr);
	if (errno == 0)
		errno = pthread_attr_setstacksize(&attr, STACK);
	for (int i = 0; i < CHECK_THREADS && errno == 0; i++)
		errno = pthread_create(&t, &attr, hash, NULL);
	return errno == 0 ? 0 : -1;
}

static bool
queue(unsigned worker, int fd, const struct auth_ask *a, const struct guess *g)
{
	struct job *j = calloc(1, sizeof *j);
	bool room;

	if (j == NULL)
		return false;
	j->fd = fd;
	j->ask = *a;
	j->guess = *g;
	pthread_mutex_lock(&check.lock);
	room = turns_put(&check.turns, worker, &j->turn);
	if (room)
		pthread_cond_signal(&check.some);
	pthread_mutex_unlock(&check.lock);
	if (!room) {
		explicit_bzero(j, sizeof *j);
		free(j);
	}
	return room;
}

static void
ask_password(unsigned worker, int fd, const struct auth_ask *a)
{
	struct guess g;
	enum auth_result r = begin(a, &g);

	if (r == AUTH_YES && queue(worker, fd, a, &g))
		return;
	if (r == AUTH_YES) {
		settle(&g, false);
		r = AUTH_BUSY;
	}
	answer(fd, a, r, NULL, 0);
}

/* AuthMessage: the three messages, commas between them (RFC 5802 3). */
static size_t
message(const struct auth_ask *a, uint8_t out[AUTH_OCTETS_MAX + 2])
{
	size_t n = 0;

	for (unsigned i = 1; i <= 3; i++) {
		struct span s = part(a, i);

		if (i > 1)
			out[n++] = ',';
		memcpy(out + n, s.p, s.n);
		n += s.n;
	}
	return n;
}

static void
ask_final(int fd, const struct auth_ask *a)
{
	uint8_t text[AUTH_OCTETS_MAX + 2], out[AUTH_TEXT_MAX];
	char name[CREDENTIAL_USER_MAX + 1];
	struct guess g;
	enum auth_result r = begin(a, &g);
	size_t n = 0;

	if (r == AUTH_YES) {
		bool ok = scram_final(
		    check.list, name_of(a, name), span_of(text, message(a, text)), part(a, 4), out, sizeof out, &n);

		if (ok)
			settle(&g, true);
		r = ok ? AUTH_YES : AUTH_NO;
	}
	answer(fd, a, r, out, n);
}

void
check_ask(unsigned worker, int fd, struct auth_ask *a)
{
	char name[CREDENTIAL_USER_MAX + 1];
	uint8_t out[AUTH_TEXT_MAX];
	size_t n;

	switch ((enum auth_what)a->what) {
	case AUTH_PASSWORD:
		ask_password(worker, fd, a);
		break;
	case AUTH_FIRST:
		n = scram_first(check.list, name_of(a, name), part(a, 1), out, sizeof out);
		answer(fd, a, n > 0 ? AUTH_YES : AUTH_NO, out, n);
		break;
	case AUTH_FINAL:
		ask_final(fd, a);
		break;
	case AUTH_GUESS:
		answer(fd, a, take_address(a, seconds()) ? AUTH_YES : AUTH_NO_IP, NULL, 0);
		break;
	case AUTH_RIGHT:
		budget_back(check.budget, budget_address(check.budget, a->addr));
		break;
	}
	explicit_bzero(a, sizeof *a);
}
