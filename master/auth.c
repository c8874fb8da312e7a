/*
 * auth: see auth.h; keys.c's ways, with a file in place of certificates.
 */
#include "master/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/ipc.h"
#include "common/log.h"
#include "master/generation.h"
#include "master/process.h"
#include "master/state.h"

struct auth {
	LIST_ENTRY(auth) entry;
	struct generation *gen;
	int exe;  /* its program, held open */
	int file; /* the credentials as they were when the generation began; nobody changes that file again */
	int worker_end[CONF_WORKERS_MAX], auth_end[CONF_WORKERS_MAX];
	unsigned n;
	pid_t pid;   /* 0 when none runs */
	int control; /* -1 when closed */
	bool ready;
	unsigned deaths;
	int64_t began_ms, start_ms; /* start_ms: 0, or when to start the next one */
};

/* --- what it is made of --- */

/*
 * It is published by rename and never written again, so a descriptor of it is
 * enough: whoever is started later reads the same.  The master itself reads nothing of it.
 */
static int
take_file(struct auth *k, const char *path)
{
	struct stat st;

	k->file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (k->file < 0 || fstat(k->file, &st) != 0)
		return -1;
	if (S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)) == 0)
		return 0;
	errno = EPERM;
	return -1;
}

/* The worker's end does not block; the other side says with each call whether it waits. */
static int
make_channels(struct auth *k, unsigned n)
{
	for (; k->n < n; k->n++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
			return -1;
		k->worker_end[k->n] = pair[0];
		k->auth_end[k->n] = pair[1];
		if (fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) {
			k->n++;
			return -1;
		}
	}
	return 0;
}

int
auth_prepare(struct master *m, struct generation *gen, char *why, size_t cap)
{
	char path[PATH_MAX];
	struct auth *k;

	if (!conf_offers_auth(gen->conf))
		return 0;
	k = calloc(1, sizeof *k);
	if (k == NULL) {
		snprintf(why, cap, "cannot start: %s", strerror(errno));
		return EX_OSERR;
	}
	k->gen = gen;
	k->exe = k->file = k->control = -1;
	LIST_INSERT_HEAD(&m->auth, k, entry);
	gen->auth = k;
	k->exe = process_open_exe("letterplate-auth", path, sizeof path);
	if (k->exe < 0) {
		snprintf(why, cap, "\"%s\" cannot be run: %s; it must stand beside letterplate", path, strerror(errno));
		return EX_OSFILE;
	}
	if (take_file(k, gen->conf->credentials) != 0) {
		snprintf(why, cap, "credentials \"%s\" cannot be used: %s", gen->conf->credentials,
		    errno == EPERM ? "others may read it" : strerror(errno));
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
auth_free(struct auth *k)
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
		close(k->auth_end[i]);
	}
	if (k->control >= 0)
		close(k->control);
	if (k->file >= 0)
		close(k->file);
	if (k->exe >= 0)
		close(k->exe);
	free(k);
}

/* --- the process --- */

static int
start(struct master *m, struct auth *k)
{
	int fd[PROCESS_FDS_MAX] = { k->gen->conf_fd, -1, k->file };
	char number[3][24], name[] = "letterplate-auth";
	char *argv[] = { name, number[0], (char *)(uintptr_t)m->file, number[1], number[2], NULL };
	pid_t pid;

	for (unsigned i = 0; i < k->n; i++)
		fd[IPC_AUTH_FD_CHANNEL - IPC_FD_CONF + i] = k->auth_end[i];
	snprintf(number[0], sizeof number[0], "%u", (unsigned)IPC_LAYOUT);
	snprintf(number[1], sizeof number[1], "%" PRIu64, k->gen->number);
	snprintf(number[2], sizeof number[2], "%u", k->n);
	pid = process_start(k->exe, argv, fd, IPC_AUTH_FD_CHANNEL - IPC_FD_CONF + k->n, k->gen->log_fd, &k->control);
	if (pid < 0)
		return -1;
	k->pid = pid;
	k->ready = false;
	k->began_ms = master_now_ms();
	k->start_ms = 0;
	return 0;
}

int
auth_start(struct master *m, struct generation *gen)
{
	return gen->auth == NULL ? 0 : start(m, gen->auth);
}

bool
auth_ready(const struct auth *k)
{
	return k == NULL || k->ready;
}

void
auth_log_anew(struct auth *k, int fd)
{
	if (k != NULL && k->control >= 0 && fd >= 0 && ipc_send_with(k->control, IPC_LOGFD, 0, fd, "") != 0)
		log_msg(LOG_L_ERROR, "log", "letterplate-auth stays with the old log: %s", strerror(errno));
}

int
auth_channel(const struct auth *k, unsigned nth)
{
	return k->worker_end[nth];
}

/* --- life --- */

nfds_t
auth_poll(const struct master *m, struct pollfd *p)
{
	const struct auth *k;
	nfds_t n = 0;

	LIST_FOREACH(k, &m->auth, entry)
		if (k->control >= 0 && n < AUTH_POLL_MAX)
			p[n++] = (struct pollfd){ .fd = k->control, .events = POLLIN };
	return n;
}

static void
about(struct log_line *l, enum log_level level, const char *event, const struct auth *k, pid_t pid)
{
	log_begin(l, level, event);
	log_i64(l, "pid", pid);
	log_u64(l, "generation", k->gen->number);
}

static void
hear(struct master *m, struct auth *k)
{
	struct log_line l;
	struct ipc_msg msg;
	int got = 0;

	while (k->control >= 0 && (got = ipc_recv(k->control, &msg)) > 0) {
		if (msg.type != IPC_READY)
			continue; /* IPC_FAILED: its exit status says the same */
		k->ready = true;
		about(&l, LOG_L_INFO, "auth-ready", k, k->pid);
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
auth_hear(struct master *m)
{
	struct auth *k, *next;

	for (k = LIST_FIRST(&m->auth); k != NULL; k = next) {
		next = LIST_NEXT(k, entry);
		hear(m, k);
	}
}

void
auth_tell(struct master *m, enum ipc_type type, uint32_t arg)
{
	const struct auth *k;

	LIST_FOREACH(k, &m->auth, entry)
		if (k->control >= 0)
			(void)ipc_send(k->control, type, arg);
}

static void
died(struct master *m, struct auth *k, pid_t pid, int status)
{
	int64_t now = master_now_ms();
	struct log_line l;
	char how[128];

	process_words(status, how, sizeof how);
	stats_add(m->stats, STATS_AUTH_DIED, 1);
	k->deaths = now - k->began_ms >= MASTER_LIVED_MS ? 1 : k->deaths + 1;
	k->start_ms = now + process_backoff_ms(k->deaths);
	about(&l, LOG_L_ERROR, "auth-died", k, pid);
	log_str(&l, "how", how);
	log_end(&l);
	generation_failed(m, k->gen, process_code(status));
}

bool
auth_ended(struct master *m, pid_t pid, int status)
{
	struct auth *k;

	LIST_FOREACH(k, &m->auth, entry) {
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

/* While a generation has workers it may have clients who say who they are; one that is dead has none. */
static bool
wanted(const struct auth *k)
{
	return k->pid == 0 && k->start_ms > 0 && k->gen->state != GENERATION_DEAD;
}

void
auth_due(struct master *m)
{
	int64_t now = master_now_ms();
	struct auth *k;

	LIST_FOREACH(k, &m->auth, entry) {
		if (!wanted(k) || now < k->start_ms)
			continue;
		if (start(m, k) != 0) {
			log_msg(LOG_L_ERROR, "fork", "cannot start letterplate-auth: %s", strerror(errno));
			k->deaths++;
			k->start_ms = now + process_backoff_ms(k->deaths + 1);
		}
	}
}

int64_t
auth_next_ms(const struct master *m)
{
	int64_t next = INT64_MAX;
	const struct auth *k;

	LIST_FOREACH(k, &m->auth, entry)
		if (wanted(k) && k->start_ms < next)
			next = k->start_ms;
	return next;
}

/* --- upgrade --- */

void
auth_put(const struct auth *k, struct facts *f)
{
	if (k == NULL)
		return;
	facts_begin(f, "auth");
	facts_u64(f, "generation", k->gen->number);
	state_put_fd(f, "exe", k->exe);
	state_put_fd(f, "file", k->file);
	state_put_fd(f, "control", k->control);
	facts_i64(f, "pid", k->pid);
	facts_bool(f, "ready", k->ready);
	facts_u64(f, "deaths", k->deaths);
	facts_i64(f, "began", k->began_ms);
	facts_i64(f, "start", k->start_ms);
	facts_end(f);
	for (unsigned i = 0; i < k->n; i++) {
		facts_begin(f, "auth-channel");
		facts_u64(f, "generation", k->gen->number);
		state_put_fd(f, "worker", k->worker_end[i]);
		state_put_fd(f, "auth", k->auth_end[i]);
		facts_end(f);
	}
}

int
auth_get(struct master *m, const struct fact *f, char *why, size_t cap)
{
	struct generation *gen = state_generation(m, f);
	struct auth *k = gen != NULL ? calloc(1, sizeof *k) : NULL;

	snprintf(why, cap, "letterplate-auth was not handed over");
	if (k == NULL)
		return -1;
	k->gen = gen;
	k->exe = state_get_fd(f, "exe");
	k->file = state_get_fd(f, "file");
	k->control = state_get_fd(f, "control");
	k->pid = (pid_t)facts_num(f, "pid", 0, INT32_MAX, 0);
	k->ready = facts_num(f, "ready", 0, 1, 0) == 1;
	k->deaths = (unsigned)facts_num(f, "deaths", 0, INT32_MAX, 0);
	k->began_ms = facts_num(f, "began", 0, INT64_MAX, 0);
	k->start_ms = facts_num(f, "start", 0, INT64_MAX, 0);
	LIST_INSERT_HEAD(&m->auth, k, entry);
	gen->auth = k;
	return k->exe >= 0 && k->file >= 0 ? 0 : -1;
}

int
auth_get_channel(struct master *m, const struct fact *f, char *why, size_t cap)
{
	struct generation *gen = state_generation(m, f);
	struct auth *k = gen != NULL ? gen->auth : NULL;
	int worker = state_get_fd(f, "worker"), end = state_get_fd(f, "auth");

	if (k == NULL || k->n == CONF_WORKERS_MAX || worker < 0 || end < 0) {
		snprintf(why, cap, "a channel to letterplate-auth was not handed over");
		return -1;
	}
	k->worker_end[k->n] = worker;
	k->auth_end[k->n++] = end;
	return 0;
}
