/*
 * spawn: fork and exec of workers, and what becomes of them.
 * fork, so that the descriptors and signals of a worker are set by us; exec,
 * so that each has an address layout of its own.
 */
#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/conns.h"
#include "common/log.h"
#include "master/generation.h"
#include "master/keys.h"

int
spawn_open_exe(const char *name, char *path, size_t cap)
{
	char self[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	snprintf(path, cap, "%s", name);
	if (n < 0)
		return -1;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL) {
		errno = ENOENT;
		return -1;
	}
	*slash = '\0';
	snprintf(path, cap, "%s/%s", self, name);
	if (access(path, X_OK) != 0)
		return -1;
	return open(path, O_PATH | O_CLOEXEC);
}

unsigned
spawn_free_slots(const struct master *m)
{
	unsigned n = 0;

	for (unsigned i = 1; i < MASTER_SLOTS; i++)
		n += m->slot[i].state == WORKER_FREE;
	return n;
}

/* --- the child, between fork and exec --- */

/* Signals as a fresh process has them. */
static void
reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Bring fd[i] to the number IPC_FD_CONF + i: first all of them out of the way, for any may stand on another's number. */
static int
place(const int *fd, unsigned n)
{
	int high[SPAWN_FDS_MAX];

	for (unsigned i = 0; i < n; i++)
		if ((high[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, IPC_FD_CONF + (int)n)) < 0)
			return -1;
	for (unsigned i = 0; i < n; i++)
		if (dup2(high[i], IPC_FD_CONF + (int)i) < 0)
			return -1;
	/* Whatever may be open beyond, ours or inherited, ends with the exec. */
	return close_range((unsigned)IPC_FD_CONF + n, UINT_MAX, CLOSE_RANGE_CLOEXEC);
}

#if defined(__SANITIZE_ADDRESS__)
#define SPAWN_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPAWN_SANITIZED 1
#endif
#endif

/* Empty; only a build with a sanitizer has options that its workers must know too. */
static char **
environment(void)
{
	static char *env[2];
#ifdef SPAWN_SANITIZED
	static char options[512];
	const char *v = getenv("ASAN_OPTIONS");

	if (v != NULL) {
		snprintf(options, sizeof options, "ASAN_OPTIONS=%s", v);
		env[0] = options;
	}
#endif
	return env;
}

void
spawn_exec(const struct master *m, int exe, char **argv, const int *fd, unsigned n)
{
	umask(077);
	reset_signals();
	/* No higher than it must be: RLIMIT_NOFILE may be as small as 64. */
	exe = fcntl(exe, F_DUPFD_CLOEXEC, IPC_FD_CONF + (int)n);
	if (argv[1] != NULL && exe >= 0 && dup2(m->null, STDIN_FILENO) >= 0 && dup2(m->null, STDOUT_FILENO) >= 0 &&
	    place(fd, n) == 0)
		execveat(exe, "", argv, environment(), AT_EMPTY_PATH);
	log_msg(LOG_L_ERROR, "exec", "cannot run %s: %s", argv[0], strerror(errno));
	_exit(EX_OSERR);
}

static void __attribute__((noreturn)) child(const struct master *m, unsigned slot, int control)
{
	const struct generation *gen = m->slot[slot].gen;
	int fd[SPAWN_FDS_MAX] = { gen->conf_fd, control, m->stats_fd, m->conns_fd, m->null, m->null, m->null };
	char number[3][24], name[] = "letterplate-worker", *argv[6] = { name };

	if (gen->keys != NULL) {
		fd[IPC_FD_SIGN - IPC_FD_CONF] = keys_channel(gen->keys, m->slot[slot].nth);
		fd[IPC_FD_CERTS - IPC_FD_CONF] = keys_certs(gen->keys);
		fd[IPC_FD_TICKETS - IPC_FD_CONF] = m->tickets_fd;
	}
	for (unsigned i = 0; i < gen->nsock; i++)
		fd[IPC_FD_LISTEN - IPC_FD_CONF + i] = gen->sock[i]->fd;
	snprintf(number[0], sizeof number[0], "%u", slot);
	snprintf(number[1], sizeof number[1], "%" PRIu64, gen->number);
	snprintf(number[2], sizeof number[2], "%u", gen->nsock);
	argv[1] = strdup(m->file);
	argv[2] = number[0];
	argv[3] = number[1];
	argv[4] = number[2];
	spawn_exec(m, m->worker_exe, argv, fd, IPC_FD_LISTEN - IPC_FD_CONF + gen->nsock);
}

/* --- the parent --- */

static int
start(struct master *m, unsigned i)
{
	struct slot *s = &m->slot[i];
	int pair[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return -1;
	pid = fork();
	if (pid == 0)
		child(m, i, pair[1]);
	err = errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		errno = err;
		return -1;
	}
	s->pid = pid;
	s->control = pair[0];
	s->state = WORKER_STARTING;
	s->drained = false;
	s->began_ms = master_now_ms();
	s->kill_ms = s->began_ms + MASTER_START_MS;
	stats_add(m->stats, STATS_WORKERS_STARTED, 1);
	return 0;
}

int
spawn_generation(struct master *m, struct generation *gen, unsigned n)
{
	for (unsigned i = 1; i < MASTER_SLOTS && n > 0; i++) {
		struct slot *s = &m->slot[i];

		if (s->state != WORKER_FREE)
			continue;
		*s = (struct slot){ .gen = gen, .control = -1, .nth = gen->live };
		if (start(m, i) != 0) {
			s->gen = NULL;
			return -1;
		}
		gen->live++;
		n--;
	}
	return n == 0 ? 0 : (errno = EAGAIN, -1);
}

/* Who wrote a line, in the log's fields. */
static void
about(struct log_line *l, enum log_level level, const char *event, const struct slot *s, unsigned i, pid_t pid)
{
	log_begin(l, level, event);
	log_u64(l, "slot", i);
	log_i64(l, "pid", pid);
	log_u64(l, "generation", s->gen->number);
}

int64_t
spawn_backoff_ms(unsigned deaths)
{
	int64_t ms = MASTER_BACKOFF_FIRST_MS;

	if (deaths <= MASTER_DEATHS_FREE)
		return 0;
	for (unsigned i = MASTER_DEATHS_FREE + 1; i < deaths && ms < MASTER_BACKOFF_MAX_MS; i++)
		ms *= 2;
	return ms < MASTER_BACKOFF_MAX_MS ? ms : MASTER_BACKOFF_MAX_MS;
}

void
spawn_words(int status, char *out, size_t cap)
{
	if (WIFSIGNALED(status))
		snprintf(out, cap, "killed by signal %d (%s)%s", WTERMSIG(status), strsignal(WTERMSIG(status)),
		    WTERMSIG(status) == SIGSYS ? ": a system call that its sandbox forbids" : "");
	else
		snprintf(out, cap, "ended with status %d", WEXITSTATUS(status));
}

static void
free_slot(struct master *m, unsigned i)
{
	struct generation *gen = m->slot[i].gen;

	m->slot[i] = (struct slot){ .state = WORKER_FREE, .control = -1 };
	gen->live--;
	generation_left(m, gen);
}

static void
died(struct master *m, unsigned i, pid_t pid, int status)
{
	struct slot *s = &m->slot[i];
	bool replace = s->gen->state == GENERATION_SERVING && !m->stopping;
	int64_t now = master_now_ms();
	char how[128];
	struct log_line l;

	spawn_words(status, how, sizeof how);
	stats_add(m->stats, STATS_WORKERS_DIED, 1);
	s->deaths = now - s->began_ms >= MASTER_LIVED_MS ? 1 : s->deaths + 1;
	s->start_ms = now + spawn_backoff_ms(s->deaths);
	about(&l, LOG_L_ERROR, "worker-died", s, i, pid);
	log_str(&l, "how", how);
	if (replace)
		log_ms(&l, "replaced_in_ms", (uint64_t)(s->start_ms - now) * 1000);
	log_end(&l);
	if (replace) {
		s->state = WORKER_WAITING;
		return;
	}
	if (s->gen->state == GENERATION_STARTING)
		generation_failed(m, s->gen,
		    WIFEXITED(status) && WEXITSTATUS(status) >= EX__BASE ? WEXITSTATUS(status) : EX_SOFTWARE);
	free_slot(m, i);
}

static void
ended(struct master *m, unsigned i, int status)
{
	struct slot *s = &m->slot[i];
	pid_t pid = s->pid;
	bool asked = m->stopping || s->gen->state == GENERATION_RETIRING || s->gen->state == GENERATION_DEAD;
	struct log_line l;

	/* What it said last may say why. */
	if (s->control >= 0)
		spawn_hear(m, i);
	if (s->control >= 0)
		close(s->control);
	s->control = -1;
	s->pid = 0;
	s->kill_ms = 0;
	if (stats_slot_clear(m->stats_fd, i) != 0 || conns_clear(m->conns_fd, i) != 0)
		log_msg(LOG_L_ERROR, "shared", "cannot clear slot %u: %s", i, strerror(errno));
	if (s->gen->state == GENERATION_DEAD) {
		/* We killed it ourselves, or it could not start: that is told already. */
		free_slot(m, i);
	} else if (asked && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		about(&l, LOG_L_INFO, "worker-ended", s, i, pid);
		log_end(&l);
		free_slot(m, i);
	} else {
		died(m, i, pid, status);
	}
}

void
spawn_reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (keys_ended(m, pid, status))
			continue;
		for (unsigned i = 1; i < MASTER_SLOTS; i++)
			if (m->slot[i].pid == pid) {
				ended(m, i, status);
				break;
			}
	}
}

/* A worker that does not keep to the protocol, or hung up without ending. */
static void
drop(struct slot *s, unsigned i, const char *why)
{
	struct log_line l;

	about(&l, LOG_L_ERROR, "worker-dropped", s, i, s->pid);
	log_str(&l, "why", why);
	log_end(&l);
	(void)kill(s->pid, SIGKILL);
}

static void
heard(struct master *m, unsigned i, const struct ipc_msg *msg)
{
	struct slot *s = &m->slot[i];
	struct log_line l;

	switch ((enum ipc_type)msg->type) {
	case IPC_READY:
		if (s->state != WORKER_STARTING)
			break;
		s->state = WORKER_READY;
		s->kill_ms = 0;
		about(&l, LOG_L_INFO, "worker-ready", s, i, s->pid);
		log_end(&l);
		generation_ready(m, s->gen);
		break;
	case IPC_FAILED:
		/* Afterwards it exits with that status; the reason is in its own line. */
		if (s->gen->state == GENERATION_STARTING)
			generation_failed(
			    m, s->gen, msg->arg >= EX__BASE && msg->arg <= EX__MAX ? (int)msg->arg : EX_SOFTWARE);
		break;
	case IPC_DRAINED:
		s->drained = true;
		break;
	case IPC_STOP:
	case IPC_RETIRE:
		drop(s, i, "it sent what only the master may send");
		break;
	}
}

void
spawn_hear(struct master *m, unsigned i)
{
	struct slot *s = &m->slot[i];
	struct ipc_msg msg;
	int got = 0;

	while (s->control >= 0 && (got = ipc_recv(s->control, &msg)) > 0)
		heard(m, i, &msg);
	if (s->control < 0 || got == 0)
		return;
	if (errno != 0)
		drop(s, i, errno == EBADMSG ? "it sent something malformed" : strerror(errno));
	/* Gone, or about to be: it has closed its end without leave otherwise. */
	close(s->control);
	s->control = -1;
	s->kill_ms = master_now_ms() + MASTER_KILL_MS;
}

void
spawn_due(struct master *m)
{
	int64_t now = master_now_ms();
	struct log_line l;

	for (unsigned i = 1; i < MASTER_SLOTS; i++) {
		struct slot *s = &m->slot[i];

		if (s->pid > 0 && s->kill_ms > 0 && now >= s->kill_ms) {
			about(&l, LOG_L_WARN, "worker-killed", s, i, s->pid);
			log_str(&l, "why", "it did not end in time");
			log_end(&l);
			(void)kill(s->pid, SIGKILL);
			s->kill_ms = now + MASTER_KILL_MS;
		}
		if (s->state != WORKER_WAITING || now < s->start_ms)
			continue;
		if (m->stopping || s->gen->state != GENERATION_SERVING) {
			free_slot(m, i);
		} else if (start(m, i) != 0) {
			log_msg(LOG_L_ERROR, "fork", "cannot start worker %u: %s", i, strerror(errno));
			s->deaths++;
			s->start_ms = now + spawn_backoff_ms(s->deaths + 1);
		}
	}
}

int64_t
spawn_next_ms(const struct master *m)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 1; i < MASTER_SLOTS; i++) {
		const struct slot *s = &m->slot[i];

		if (s->pid > 0 && s->kill_ms > 0 && s->kill_ms < next)
			next = s->kill_ms;
		if (s->state == WORKER_WAITING && s->start_ms < next)
			next = s->start_ms;
	}
	return next;
}

void
spawn_tell(struct master *m, const struct generation *gen, enum ipc_type type)
{
	int64_t now = master_now_ms();

	for (unsigned i = 1; i < MASTER_SLOTS; i++) {
		struct slot *s = &m->slot[i];

		if (s->state == WORKER_FREE || (gen != NULL && s->gen != gen))
			continue;
		/* Nobody is there to be told: spawn_due() frees the slot. */
		if (s->state == WORKER_WAITING)
			s->start_ms = 0;
		if (s->pid == 0)
			continue;
		if (s->control < 0 || ipc_send(s->control, type, 0) != 0)
			(void)kill(s->pid, SIGTERM);
		/* A retired worker leaves its sessions alone for one drain and ends them within another. */
		s->kill_ms =
		    now + MASTER_KILL_MS + (type == IPC_RETIRE ? 2 : 1) * (int64_t)s->gen->conf->timeouts.drain_ms;
	}
}

unsigned
spawn_kill(struct master *m, const struct generation *gen)
{
	unsigned n = 0;

	for (unsigned i = 1; i < MASTER_SLOTS; i++) {
		struct slot *s = &m->slot[i];

		if (s->pid > 0 && (gen == NULL || s->gen == gen)) {
			(void)kill(s->pid, SIGKILL);
			n++;
		}
	}
	return n;
}

unsigned
spawn_running(const struct master *m)
{
	unsigned n = 0;

	for (unsigned i = 1; i < MASTER_SLOTS; i++)
		n += m->slot[i].pid > 0;
	return n;
}
