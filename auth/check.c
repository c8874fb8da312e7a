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

#include "auth/budget.h"
#include "auth/scram.h"

enum { STACK = 256 << 10 };

struct job {
	struct job *next;
	int fd;
	struct auth_ask ask;
};

static struct {
	pthread_mutex_t lock; /* of the queue and the budgets */
	pthread_cond_t some;
	struct job *head, **tail;
	unsigned n;
	const struct conf *conf;
	const struct credentials *list;
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

	if (n < AUTH_ASK_HEAD || a->what < AUTH_PASSWORD || a->what > AUTH_FINAL || a->boot == 0)
		return false;
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

static int64_t
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Whether it may guess; if so, it is counted as wrong until settle(). */
static enum auth_result
begin(const struct auth_ask *a)
{
	uint64_t ip = budget_address(a->addr);
	enum auth_result r = AUTH_YES;
	int64_t now = seconds();

	pthread_mutex_lock(&check.lock);
	if (!budget_take(ip, check.conf->limits.auth_failures_per_ip, now)) {
		r = AUTH_NO_IP;
	} else if (!budget_take(budget_name(part(a, 0)), check.conf->limits.auth_failures_per_user, now)) {
		budget_back(ip);
		r = AUTH_NO_USER;
	}
	pthread_mutex_unlock(&check.lock);
	return r;
}

static void
settle(const struct auth_ask *a, bool wrong)
{
	if (wrong)
		return;
	pthread_mutex_lock(&check.lock);
	budget_back(budget_address(a->addr));
	budget_back(budget_name(part(a, 0)));
	pthread_mutex_unlock(&check.lock);
}

static void *
hash(void *arg)
{
	(void)arg;
	for (;;) {
		struct job *j;
		bool ok;

		pthread_mutex_lock(&check.lock);
		while (check.head == NULL)
			pthread_cond_wait(&check.some, &check.lock);
		j = check.head;
		check.head = j->next;
		if (check.head == NULL)
			check.tail = &check.head;
		check.n--;
		pthread_mutex_unlock(&check.lock);
		ok = credential_check(credential_list_find(check.list, part(&j->ask, 0)), part(&j->ask, 1));
		settle(&j->ask, !ok);
		answer(j->fd, &j->ask, ok ? AUTH_YES : AUTH_NO, NULL, 0);
		explicit_bzero(j, sizeof *j);
		free(j);
	}
	return NULL;
}

int
check_start(const struct conf *cf, const struct credentials *l)
{
	pthread_attr_t attr;
	pthread_t t;

	check.conf = cf;
	check.list = l;
	check.tail = &check.head;
	if (budget_init() != 0)
		return -1;
	errno = pthread_attr_init(&attr);
	if (errno == 0)
		errno = pthread_attr_setstacksize(&attr, STACK);
	for (int i = 0; i < CHECK_THREADS && errno == 0; i++)
		errno = pthread_create(&t, &attr, hash, NULL);
	return errno == 0 ? 0 : -1;
}

static bool
queue(int fd, const struct auth_ask *a)
{
	struct job *j = calloc(1, sizeof *j);
	bool room = false;

	if (j == NULL)
		return false;
	j->fd = fd;
	j->ask = *a;
	pthread_mutex_lock(&check.lock);
	if (check.n < CHECK_QUEUE) {
		room = true;
		*check.tail = j;
		check.tail = &j->next;
		check.n++;
		pthread_cond_signal(&check.some);
	}
	pthread_mutex_unlock(&check.lock);
	if (!room) {
		explicit_bzero(j, sizeof *j);
		free(j);
	}
	return room;
}

static void
ask_password(int fd, const struct auth_ask *a)
{
	enum auth_result r = begin(a);

	if (r == AUTH_YES && queue(fd, a))
		return;
	if (r == AUTH_YES) {
		settle(a, false);
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
	enum auth_result r = begin(a);
	size_t n = 0;

	if (r == AUTH_YES) {
		bool ok = scram_final(
		    check.list, part(a, 0), span_of(text, message(a, text)), part(a, 4), out, sizeof out, &n);

		settle(a, !ok);
		r = ok ? AUTH_YES : AUTH_NO;
	}
	answer(fd, a, r, out, n);
}

void
check_ask(int fd, struct auth_ask *a)
{
	uint8_t out[AUTH_TEXT_MAX];
	size_t n;

	switch ((enum auth_what)a->what) {
	case AUTH_PASSWORD:
		ask_password(fd, a);
		break;
	case AUTH_FIRST:
		n = scram_first(check.list, part(a, 0), part(a, 1), out, sizeof out);
		answer(fd, a, n > 0 ? AUTH_YES : AUTH_NO, out, n);
		break;
	case AUTH_FINAL:
		ask_final(fd, a);
		break;
	}
	explicit_bzero(a, sizeof *a);
}
