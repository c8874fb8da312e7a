/*
 * keys: see keys.h.  The master never has a private key in its memory: the
 * kernel copies it from the file to the memfd that the key process gets.
 */
#include "master/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/bundle.h"
#include "common/ipc.h"
#include "common/log.h"
#include "common/tickets.h"
#include "master/generation.h"
#include "master/process.h"
#include "master/state.h"

struct keys {
	LIST_ENTRY(keys) entry;
	struct generation *gen;
	int certs_fd, keys_fd;
	int worker_end[CONF_WORKERS_MAX], key_end[CONF_WORKERS_MAX];
	unsigned n;
	pid_t pid;   /* 0 when none runs */
	int control; /* -1 when closed */
	bool ready;
	unsigned deaths;
	int64_t began_ms, start_ms; /* start_ms: 0, or when to start the next one */
};

/* --- what it is made of --- */

/* The two bundles.  -1 with errno and the path at fault. */
static int
take_files(struct keys *k, const struct conf *cf, const char **bad)
{
	const char *certs[2 * CONF_LISTENERS_MAX], *keys[CONF_LISTENERS_MAX];

	for (size_t i = 0; i < cf->ntls; i++) {
		certs[2 * i] = cf->tls[i].certificate;
		certs[2 * i + 1] = cf->tls[i].ocsp;
		keys[i] = cf->tls[i].key;
	}
	k->certs_fd = bundle_make("letterplate.certificates", certs, 2 * cf->ntls, bad);
	if (k->certs_fd < 0)
		return -1;
	k->keys_fd = bundle_make("letterplate.keys", keys, cf->ntls, bad);
	return k->keys_fd < 0 ? -1 : 0;
}

/* The worker's end does not block, the key process's does: a thread of it does nothing but wait there. */
static int
make_channels(struct keys *k, unsigned n)
{
	for (; k->n < n; k->n++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
			return -1;
		k->worker_end[k->n] = pair[0];
		k->key_end[k->n] = pair[1];
		if (fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) {
			k->n++;
			return -1;
		}
	}
	return 0;
}

int
keys_prepare(struct master *m, struct generation *gen, char *why, size_t cap)
{
	const char *bad = NULL;
	char path[PATH_MAX];
	struct keys *k;

	if (!conf_offers_tls(gen->conf))
		return 0;
	gen->keys_exe = generation_program(
	    m, m->serving != NULL ? m->serving->keys_exe : -1, "letterplate-keys", path, sizeof path);
	if (gen->keys_exe < 0) {
		snprintf(why, cap, "\"%s\" cannot be run: %s; it must stand beside letterplate", path, strerror(errno));
		return EX_OSFILE;
	}
	if (m->tickets_fd < 0)
		m->tickets_fd = tickets_create(&m->tickets);
	k = calloc(1, sizeof *k);
	if (k == NULL || m->tickets_fd < 0) {
		snprintf(why, cap, "cannot start: %s", strerror(errno));
		free(k);
		return EX_OSERR;
	}
	k->gen = gen;
	k->certs_fd = k->keys_fd = k->control = -1;
	LIST_INSERT_HEAD(&m->keys, k, entry);
	gen->keys = k;
	if (take_files(k, gen->conf, &bad) != 0) {
		snprintf(why, cap, "%s cannot be read: %s", bad != NULL ? bad : "certificates", strerror(errno));
		return EX_CONFIG;
	}
	if (make_channels(k, gen->conf->workers) != 0) {
		snprintf(why, cap, "cannot make channels: %s", strerror(errno));
		return EX_OSERR;
	}
	return 0;
}

/* The caller has the last pointer to it. */
void
keys_free(struct keys *k)
{
	if (k == NULL)
		return;
	LIST_REMOVE(k, entry);
	if (k->pid > 0) {
		(void)kill(k->pid, SIGKILL);
		while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	for (unsigned i = 0; i < k->n; i++) {
		close(k->worker_end[i]);
		close(k->key_end[i]);
	}
	if (k->control >= 0)
		close(k->control);
	if (k->certs_fd >= 0)
		close(k->certs_fd);
	if (k->keys_fd >= 0)
		close(k->keys_fd);
	free(k);
}

/* --- the process --- */

static int
start(struct master *m, struct keys *k)
{
	int fd[PROCESS_FDS_MAX] = { k->gen->conf_fd, -1, k->certs_fd, k->keys_fd };
	char number[3][24], name[] = "letterplate-keys";
	char *argv[] = { name, number[0], (char *)(uintptr_t)m->file, number[1], number[2], NULL };
	pid_t pid;

	for (unsigned i = 0; i < k->n; i++)
		fd[IPC_KEYS_FD_CHANNEL - IPC_FD_CONF + i] = k->key_end[i];
	snprintf(number[0], sizeof number[0], "%u", (unsigned)IPC_LAYOUT);
	snprintf(number[1], sizeof number[1], "%" PRIu64, k->gen->number);
	snprintf(number[2], sizeof number[2], "%u", k->n);
	pid = process_start(
	    k->gen->keys_exe, argv, fd, IPC_KEYS_FD_CHANNEL - IPC_FD_CONF + k->n, k->gen->log_fd, &k->control);
	if (pid < 0)
		return -1;
	k->pid = pid;
	k->ready = false;
	k->began_ms = master_now_ms();
	k->start_ms = 0;
	return 0;
}

int
keys_start(struct master *m, struct generation *gen)
{
	return gen->keys == NULL ? 0 : start(m, gen->keys);
}

bool
keys_ready(const struct keys *k)
{
	return k == NULL || k->ready;
}

void
keys_log_anew(struct keys *k, int fd)
{
	if (k != NULL && k->control >= 0 && fd >= 0 && ipc_send_with(k->control, IPC_LOGFD, 0, fd, "") != 0)
		log_msg(LOG_L_ERROR, "log", "the key process stays with the old log: %s", strerror(errno));
}

int
keys_channel(const struct keys *k, unsigned nth)
{
	return k->worker_end[nth];
}

int
keys_certs(const struct keys *k)
{
	return k->certs_fd;
}

/* --- life --- */

nfds_t
keys_poll(const struct master *m, struct pollfd *p)
{
	const struct keys *k;
	nfds_t n = 0;

	LIST_FOREACH(k, &m->keys, entry)
		if (k->control >= 0 && n < KEYS_POLL_MAX)
			p[n++] = (struct pollfd){ .fd = k->control, .events = POLLIN };
	return n;
}

static void
about(struct log_line *l, enum log_level level, const char *event, const struct keys *k, pid_t pid)
{
	log_begin(l, level, event);
	log_i64(l, "pid", pid);
	log_u64(l, "generation", k->gen->number);
}

static void
hear(struct master *m, struct keys *k)
{
	struct log_line l;
	struct ipc_msg msg;
	int got = 0;

	while (k->control >= 0 && (got = ipc_recv(k->control, &msg)) > 0) {
		if (msg.type != IPC_READY)
			continue; /* IPC_FAILED: its exit status says the same */
		k->ready = true;
		about(&l, LOG_L_INFO, "keys-ready", k, k->pid);
		log_end(&l);
		generation_ready(m, k->gen);
	}
	if (k->control >= 0 && got < 0) {
		close(k->control);
		k->control = -1;
		if (k->pid > 0)
			(void)kill(k->pid, SIGKILL);
	}
}

void
keys_hear(struct master *m)
{
	struct keys *k, *next;

	for (k = LIST_FIRST(&m->keys); k != NULL; k = next) {
		next = LIST_NEXT(k, entry);
		hear(m, k);
	}
}

void
keys_tell(struct master *m, enum ipc_type type, uint32_t arg)
{
	const struct keys *k;

	LIST_FOREACH(k, &m->keys, entry)
		if (k->control >= 0)
			(void)ipc_send(k->control, type, arg);
}

static void
died(struct master *m, struct keys *k, pid_t pid, int status)
{
	int64_t now = master_now_ms();
	struct log_line l;
	char how[128];

	process_words(status, how, sizeof how);
	stats_add(m->stats, STATS_KEYS_DIED, 1);
	k->deaths = now - k->began_ms >= MASTER_LIVED_MS ? 1 : k->deaths + 1;
	k->start_ms = now + process_backoff_ms(k->deaths);
	about(&l, LOG_L_ERROR, "keys-died", k, pid);
	log_str(&l, "how", how);
	log_end(&l);
	generation_failed(m, k->gen, process_code(status));
}

bool
keys_ended(struct master *m, pid_t pid, int status)
{
	struct keys *k;

	LIST_FOREACH(k, &m->keys, entry) {
		if (k->pid != pid)
			continue;
		k->pid = 0;
		k->ready = false;
		if (k->control >= 0)
			close(k->control);
		k->control = -1;
		died(m, k, pid, status);
		return true;
	}
	return false;
}

/* While a generation has workers it has handshakes; one that is dead has none. */
static bool
wanted(const struct keys *k)
{
	return k->pid == 0 && k->start_ms > 0 && k->gen->state != GENERATION_DEAD;
}

void
keys_due(struct master *m)
{
	int64_t now = master_now_ms();
	struct keys *k;

	LIST_FOREACH(k, &m->keys, entry) {
		if (!wanted(k) || now < k->start_ms)
			continue;
		if (start(m, k) != 0) {
			log_msg(LOG_L_ERROR, "fork", "cannot start the key process: %s", strerror(errno));
			k->deaths++;
			k->start_ms = now + process_backoff_ms(k->deaths + 1);
		}
	}
	if (m->tickets != NULL)
		tickets_turn(m->tickets, now / 1000);
}

int64_t
keys_next_ms(const struct master *m)
{
	int64_t next = INT64_MAX;
	const struct keys *k;

	LIST_FOREACH(k, &m->keys, entry)
		if (wanted(k) && k->start_ms < next)
			next = k->start_ms;
	return next;
}

/* --- upgrade --- */

void
keys_put(const struct keys *k, struct facts *f)
{
	if (k == NULL)
		return;
	facts_begin(f, "keys");
	facts_u64(f, "generation", k->gen->number);
	state_put_fd(f, "certs", k->certs_fd);
	state_put_fd(f, "keys", k->keys_fd);
	state_put_fd(f, "control", k->control);
	facts_i64(f, "pid", k->pid);
	facts_bool(f, "ready", k->ready);
	facts_u64(f, "deaths", k->deaths);
	facts_i64(f, "began", k->began_ms);
	facts_i64(f, "start", k->start_ms);
	facts_end(f);
	for (unsigned i = 0; i < k->n; i++) {
		facts_begin(f, "channel");
		facts_u64(f, "generation", k->gen->number);
		state_put_fd(f, "worker", k->worker_end[i]);
		state_put_fd(f, "keys", k->key_end[i]);
		facts_end(f);
	}
}

int
keys_get(struct master *m, const struct fact *f, char *why, size_t cap)
{
	struct generation *gen = state_generation(m, f);
	struct keys *k = gen != NULL ? calloc(1, sizeof *k) : NULL;

	snprintf(why, cap, "a key process was not handed over");
	if (k == NULL)
		return -1;
	k->gen = gen;
	k->certs_fd = state_get_fd(f, "certs");
	k->keys_fd = state_get_fd(f, "keys");
	k->control = state_get_fd(f, "control");
	k->pid = (pid_t)facts_num(f, "pid", 0, INT32_MAX, 0);
	k->ready = facts_num(f, "ready", 0, 1, 0) == 1;
	k->deaths = (unsigned)facts_num(f, "deaths", 0, INT32_MAX, 0);
	k->began_ms = facts_num(f, "began", 0, INT64_MAX, 0);
	k->start_ms = facts_num(f, "start", 0, INT64_MAX, 0);
	LIST_INSERT_HEAD(&m->keys, k, entry);
	gen->keys = k;
	return k->certs_fd >= 0 && k->keys_fd >= 0 ? 0 : -1;
}

int
keys_get_channel(struct master *m, const struct fact *f, char *why, size_t cap)
{
	struct generation *gen = state_generation(m, f);
	struct keys *k = gen != NULL ? gen->keys : NULL;
	int worker = state_get_fd(f, "worker"), keys = state_get_fd(f, "keys");

	if (k == NULL || k->n == CONF_WORKERS_MAX || worker < 0 || keys < 0) {
		snprintf(why, cap, "a channel to a key process was not handed over");
		return -1;
	}
	k->worker_end[k->n] = worker;
	k->key_end[k->n++] = keys;
	return 0;
}
