/*
 * state: see state.h.  Everything here runs twice for each upgrade, once to
 * rehearse: reading must change nothing outside this process.
 */
#include "master/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/tickets.h"
#include "master/helper.h"
#include "master/notify.h"
#include "master/process.h"
#include "master/segment.h"
#include "master/watch.h"

enum { CARRIED_MAX = 4096 };

static struct {
	int fd[CARRIED_MAX];
	unsigned n;
} carried;

/* --- descriptors --- */

void
state_put_fd(struct facts *f, const char *key, int fd)
{
	if (fd < 0)
		return;
	if (carried.n == CARRIED_MAX) {
		f->failed = true;
		return;
	}
	carried.fd[carried.n++] = fd;
	facts_i64(f, key, fd);
}

int
state_get_fd(const struct fact *f, const char *key)
{
	int fd = (int)facts_num(f, key, 3, INT32_MAX, -1);

	return fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
}

void
state_inherit(bool yes)
{
	for (unsigned i = 0; i < carried.n; i++)
		(void)fcntl(carried.fd[i], F_SETFD, yes ? 0 : FD_CLOEXEC);
}

/* --- writing --- */

static void
put_master(const struct master *m, struct facts *f, const char *reverted)
{
	facts_begin(f, "master");
	facts_str(f, "program", process_self());
	facts_str(f, "notify", notify_name());
	facts_i64(f, "since", m->since);
	facts_u64(f, "generations", m->generations);
	facts_u64(f, "log_level", m->log_level);
	facts_u64(f, "watchdog_us", m->watch.watchdog_us);
	facts_bool(f, "want_stop", m->want_stop);
	facts_bool(f, "want_drain", m->want_drain);
	facts_bool(f, "want_reload", m->want_reload);
	facts_str(f, "reverted", reverted);
	state_put_fd(f, "stats", m->stats_fd);
	facts_u64(f, "segment", m->segment);
	state_put_fd(f, "conns", m->conns_fd);
	state_put_fd(f, "tickets", m->tickets_fd);
	state_put_fd(f, "budgets", m->budget_fd);
	state_put_fd(f, "state_dir", m->state_fd);
	state_put_fd(f, "lock", m->lock_fd);
	state_put_fd(f, "predecessor", m->upgrade.predecessor);
	facts_end(f);
}

static void
put_listen(const struct master *m, struct facts *f)
{
	char hex[2 * sizeof(struct sockaddr_storage) + 1];

	for (unsigned i = 0; i < LISTEN_SOCKS_MAX; i++) {
		const struct listen_sock *s = &m->listen.sock[i];

		if (s->fd < 0)
			continue;
		for (socklen_t k = 0; k < s->len; k++)
			snprintf(hex + 2 * k, 3, "%02x", ((const uint8_t *)&s->ss)[k]);
		facts_begin(f, "listen");
		facts_u64(f, "index", i);
		state_put_fd(f, "fd", s->fd);
		facts_str(f, "address", hex);
		facts_u64(f, "dev", s->dev);
		facts_u64(f, "ino", s->ino);
		facts_str(f, "passed", s->passed[0] != '\0' ? s->passed : NULL);
		facts_end(f);
	}
}

static void
put_generation(const struct master *m, const struct generation *gen, struct facts *f)
{
	char key[16];

	facts_begin(f, "generation");
	facts_u64(f, "number", gen->number);
	facts_u64(f, "segment", gen->segment);
	facts_bool(f, "serving", gen == m->serving);
	facts_i64(f, "read", gen->read);
	facts_i64(f, "deadline", gen->deadline_ms);
	state_put_fd(f, "conf", gen->conf_fd);
	state_put_fd(f, "worker", gen->worker_exe);
	state_put_fd(f, "log", gen->log_fd);
	facts_u64(f, "nsock", gen->nsock);
	for (unsigned i = 0; i < gen->nsock; i++) {
		snprintf(key, sizeof key, "sock%u", i);
		facts_i64(f, key, gen->sock[i] - m->listen.sock);
	}
	facts_end(f);
	helper_put(gen, f);
}

static void
put_slots(const struct master *m, struct facts *f)
{
	for (unsigned i = 1; i < MASTER_SLOTS; i++) {
		const struct slot *s = &m->slot[i];

		if (s->state == WORKER_FREE)
			continue;
		facts_begin(f, "slot");
		facts_u64(f, "index", i);
		facts_u64(f, "generation", s->gen->number);
		facts_u64(f, "state", s->state);
		facts_i64(f, "pid", s->pid);
		state_put_fd(f, "control", s->control);
		facts_bool(f, "drained", s->drained);
		facts_u64(f, "nth", s->nth);
		facts_u64(f, "deaths", s->deaths);
		facts_i64(f, "began", s->began_ms);
		facts_i64(f, "start", s->start_ms);
		facts_i64(f, "kill", s->kill_ms);
		facts_end(f);
	}
}

int
state_write(const struct master *m, const char *reverted)
{
	struct facts f = { .text = NULL };
	const struct generation *written = NULL;
	int fd = -1;

	carried.n = 0;
	put_master(m, &f, reverted);
	segment_put(m, &f);
	put_listen(m, &f);
	/* A generation has a slot at least; they are met in no order, and each but once. */
	for (uint64_t number = 1; number <= m->generations; number++) {
		for (unsigned i = 1; i < MASTER_SLOTS; i++) {
			const struct generation *gen = m->slot[i].gen;

			if (gen == NULL || gen->number != number || gen == written)
				continue;
			put_generation(m, gen, &f);
			written = gen;
		}
	}
	put_slots(m, &f);
	ctl_put(m, &f);
	fd = f.failed ? (errno = ENOMEM, -1) : memfd_create("letterplate.state", MFD_CLOEXEC);
	if (fd >= 0 && write(fd, f.text, f.n) != (ssize_t)f.n) {
		close(fd);
		errno = ENOSPC;
		fd = -1;
	}
	if (fd >= 0 && carried.n == CARRIED_MAX) {
		close(fd);
		errno = EMFILE;
		fd = -1;
	}
	if (fd >= 0)
		carried.fd[carried.n++] = fd;
	facts_free(&f);
	return fd;
}

/* --- reading --- */

static int
get_master(struct master *m, const struct fact *f, char *why, size_t cap)
{
	const char *program = facts_get(f, "program");

	if (program != NULL)
		process_set_self(program);
	notify_set(facts_get(f, "notify"));
	m->since = facts_num(f, "since", 0, INT64_MAX, m->since);
	m->generations = (uint64_t)facts_num(f, "generations", 0, INT64_MAX, 0);
	m->log_level = (enum log_level)facts_num(f, "log_level", LOG_L_ERROR, LOG_L_DEBUG, LOG_L_INFO);
	watch_set(&m->watch, (uint64_t)facts_num(f, "watchdog_us", 0, INT64_MAX, 0));
	m->want_stop = facts_num(f, "want_stop", 0, 1, 0) == 1;
	m->want_drain = facts_num(f, "want_drain", 0, 1, 0) == 1;
	m->want_reload = facts_num(f, "want_reload", 0, 1, 0) == 1;
	m->stats_fd = state_get_fd(f, "stats");
	m->segment = (uint64_t)facts_num(f, "segment", 0, INT64_MAX, 0);
	m->conns_fd = state_get_fd(f, "conns");
	m->tickets_fd = state_get_fd(f, "tickets");
	m->budget_fd = state_get_fd(f, "budgets");
	m->state_fd = state_get_fd(f, "state_dir");
	m->lock_fd = state_get_fd(f, "lock");
	m->upgrade.predecessor = state_get_fd(f, "predecessor");
	if (facts_get(f, "reverted") != NULL)
		m->upgrade.reverted = strdup(facts_get(f, "reverted"));
	if (m->stats_fd >= 0 && m->state_fd >= 0 && m->generations > 0)
		return 0;
	snprintf(why, cap, "the counters or the state_dir were not handed over");
	return -1;
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int
get_listen(struct master *m, const struct fact *f, char *why, size_t cap)
{
	unsigned i = (unsigned)facts_num(f, "index", 0, LISTEN_SOCKS_MAX - 1, 0);
	struct listen_sock *s = &m->listen.sock[i];
	const char *hex = facts_get(f, "address"), *passed = facts_get(f, "passed");

	s->fd = state_get_fd(f, "fd");
	if (s->fd < 0 || hex == NULL || strlen(hex) > 2 * sizeof s->ss) {
		snprintf(why, cap, "listening socket %u was not handed over", i);
		return -1;
	}
	for (s->len = 0; hex_digit(hex[0]) >= 0 && hex_digit(hex[1]) >= 0; hex += 2)
		((uint8_t *)&s->ss)[s->len++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
	s->dev = (dev_t)facts_num(f, "dev", 0, INT64_MAX, 0);
	s->ino = (ino_t)facts_num(f, "ino", 0, INT64_MAX, 0);
	snprintf(s->passed, sizeof s->passed, "%s", passed != NULL ? passed : "");
	return 0;
}

struct report {
	char *why;
	size_t cap;
};

static void
report(void *arg, const char *line)
{
	const struct report *r = arg;

	snprintf(r->why, r->cap, "the config that runs is not taken: %s", line);
}

/* The config of a generation out of its memfd. */
static struct conf *
get_conf(const struct master *m, int fd, char *why, size_t cap)
{
	struct report r = { why, cap };
	struct conf *conf = NULL;
	char *text = malloc(CONF_TEXT_MAX);
	ssize_t n = text != NULL ? pread(fd, text, CONF_TEXT_MAX, 0) : -1;

	snprintf(why, cap, "a config was not handed over");
	if (n < 0 || conf_parse(m->file, text, (size_t)n, report, &r, &conf) != 0)
		conf = NULL;
	free(text);
	return conf;
}

static int
get_generation(struct master *m, const struct fact *f, char *why, size_t cap)
{
	struct generation *gen = calloc(1, sizeof *gen);
	char key[16];

	if (gen == NULL)
		return -1;
	LIST_INSERT_HEAD(&m->generation, gen, entry);
	gen->number = (uint64_t)facts_num(f, "number", 1, INT64_MAX, 1);
	gen->segment = (uint64_t)facts_num(f, "segment", 0, INT64_MAX, 0);
	gen->read = facts_num(f, "read", 0, INT64_MAX, 0);
	gen->deadline_ms = facts_num(f, "deadline", 0, INT64_MAX, 0);
	gen->conf_fd = state_get_fd(f, "conf");
	gen->worker_exe = state_get_fd(f, "worker");
	gen->log_fd = state_get_fd(f, "log");
	gen->conf = get_conf(m, gen->conf_fd, why, cap);
	if (gen->conf == NULL)
		return -1;
	gen->nsock = (unsigned)facts_num(f, "nsock", 0, CONF_ADDRESSES_MAX, 0);
	for (unsigned i = 0; i < gen->nsock; i++) {
		snprintf(key, sizeof key, "sock%u", i);
		gen->sock[i] = &m->listen.sock[facts_num(f, key, 0, LISTEN_SOCKS_MAX - 1, 0)];
	}
	gen->state = facts_num(f, "serving", 0, 1, 0) == 1 ? GENERATION_SERVING : GENERATION_RETIRING;
	if (gen->state == GENERATION_SERVING)
		m->serving = gen;
	return 0;
}

struct generation *
state_generation(const struct master *m, const struct fact *f)
{
	uint64_t number = (uint64_t)facts_num(f, "generation", 1, INT64_MAX, 0);
	struct generation *gen;

	LIST_FOREACH(gen, &m->generation, entry)
		if (gen->number == number)
			return gen;
	return NULL;
}

static int
get_slot(struct master *m, const struct fact *f, char *why, size_t cap)
{
	unsigned i = (unsigned)facts_num(f, "index", 1, MASTER_SLOTS - 1, 0);
	struct generation *gen = state_generation(m, f);

	if (i == 0 || gen == NULL) {
		snprintf(why, cap, "there is no room for a worker in slot %s", facts_get(f, "index"));
		return -1;
	}
	m->slot[i] = (struct slot){
		.state = (enum worker_state)facts_num(f, "state", WORKER_STARTING, WORKER_WAITING, WORKER_READY),
		.gen = gen,
		.pid = (pid_t)facts_num(f, "pid", 0, INT32_MAX, 0),
		.control = state_get_fd(f, "control"),
		.drained = facts_num(f, "drained", 0, 1, 0) == 1,
		.nth = (unsigned)facts_num(f, "nth", 0, CONF_WORKERS_MAX - 1, 0),
		.deaths = (unsigned)facts_num(f, "deaths", 0, INT32_MAX, 0),
		.began_ms = facts_num(f, "began", 0, INT64_MAX, 0),
		.start_ms = facts_num(f, "start", 0, INT64_MAX, 0),
		.kill_ms = facts_num(f, "kill", 0, INT64_MAX, 0),
	};
	gen->live++;
	return 0;
}

static int
get_line(struct master *m, const struct fact *f, char *why, size_t cap)
{
	if (strcmp(f->kind, "master") == 0)
		return get_master(m, f, why, cap);
	if (strcmp(f->kind, "segment") == 0)
		return segment_get(m, f, why, cap);
	if (strcmp(f->kind, "listen") == 0)
		return get_listen(m, f, why, cap);
	if (strcmp(f->kind, "generation") == 0)
		return get_generation(m, f, why, cap);
	if (strcmp(f->kind, "slot") == 0)
		return get_slot(m, f, why, cap);
	if (strcmp(f->kind, "client") == 0)
		ctl_get(m, f);
	return helper_get(m, f, why, cap) < 0 ? -1 : 0;
}

int
state_read(struct master *m, int fd, char *why, size_t cap)
{
	char *text = malloc(FACTS_MAX + 1), *at = text;
	ssize_t n = text != NULL ? pread(fd, text, FACTS_MAX, 0) : -1;
	struct fact line;
	int got = -1;

	snprintf(why, cap, "the state cannot be read");
	if (n > 0) {
		text[n] = '\0';
		while ((got = facts_next(&at, &line)) == 1)
			if (get_line(m, &line, why, cap) != 0)
				break;
	}
	if (got == 0 && m->serving == NULL) {
		snprintf(why, cap, "no generation was handed over");
		got = -1;
	}
	free(text);
	return got == 0 ? 0 : -1;
}
