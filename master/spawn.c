/*
 * spawn: workers in their slots: started, heard, replaced, ended.
 */
#include "master/spawn.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "common/conns.h"
#include "common/log.h"
#include "master/blame.h"
#include "master/generation.h"
#include "master/helper.h"
#include "master/logs.h"
#include "master/process.h"
#include "master/segment.h"
#include "master/upgrade.h"

unsigned
spawn_free_slots(const struct master *m)
{
	unsigned n = 0;

	for (unsigned i = 1; i < MASTER_SLOTS; i++)
		n += m->slot[i].state == WORKER_FREE;
	return n;
}

static int
start(struct master *m, unsigned i)
{
	struct slot *s = &m->slot[i];
	const struct generation *gen = s->gen;
	int fd[PROCESS_FDS_MAX] = { gen->conf_fd, -1, segment_of(m, gen), m->conns_fd, m->null, m->null, m->null,
		m->null };
	char number[4][24], name[] = "letterplate-worker";
	char *argv[] = { name, number[0], (char *)(uintptr_t)m->file, number[1], number[2], number[3], NULL };

	if (gen->helper[HELPER_KEYS] != NULL) {
		fd[IPC_FD_SIGN - IPC_FD_CONF] = helper_channel(gen, HELPER_KEYS, s->nth);
		fd[IPC_FD_CERTS - IPC_FD_CONF] = helper_file(gen, HELPER_KEYS, 0);
		fd[IPC_FD_TICKETS - IPC_FD_CONF] = m->tickets_fd;
	}
	if (gen->helper[HELPER_AUTH] != NULL)
		fd[IPC_FD_AUTH - IPC_FD_CONF] = helper_channel(gen, HELPER_AUTH, s->nth);
	for (unsigned k = 0; k < gen->nsock; k++)
		fd[IPC_FD_LISTEN - IPC_FD_CONF + k] = gen->sock[k]->fd;
	snprintf(number[0], sizeof number[0], "%u", (unsigned)IPC_LAYOUT);
	snprintf(number[1], sizeof number[1], "%u", i);
	snprintf(number[2], sizeof number[2], "%" PRIu64, gen->number);
	snprintf(number[3], sizeof number[3], "%u", gen->nsock);
	s->pid = process_start(
	    gen->worker_exe, argv, fd, IPC_FD_LISTEN - IPC_FD_CONF + gen->nsock, gen->log_fd, &s->control);
	if (s->pid < 0) {
		s->pid = 0;
		return -1;
	}
	s->state = WORKER_STARTING;
	s->drained = s->hung = s->killed = s->dropped = false;
	s->late_ms = 0;
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

static void
free_slot(struct master *m, unsigned i)
{
	struct generation *gen = m->slot[i].gen;

	m->slot[i] = (struct slot){ .state = WORKER_FREE, .control = -1 };
	gen->live--;
	generation_left(m, gen);
}

static void
died(struct master *m, unsigned i, pid_t pid, int status, const char *in)
{
	struct slot *s = &m->slot[i];
	bool replace = s->gen->state == GENERATION_SERVING && !m->stopping;
	int64_t now = master_now_ms();
	char how[128];
	struct log_line l;

	process_words(status, how, sizeof how);
	stats_add(m->stats, STATS_WORKERS_DIED, 1);
	s->start_ms =
	    process_again_ms(!process_was_killed(status) || s->hung || s->dropped, s->began_ms, now, &s->deaths);
	about(&l, LOG_L_ERROR, "worker-died", s, i, pid);
	log_str(&l, "how", how);
	log_str(&l, "in", in);
	if (replace)
		log_ms(&l, "replaced_in_ms", (uint64_t)(s->start_ms - now) * 1000);
	log_end(&l);
	if (replace) {
		s->state = WORKER_WAITING;
		return;
	}
	if (s->gen->state == GENERATION_STARTING)
		generation_failed(m, s->gen, process_code(status));
	free_slot(m, i);
}

static void
ended(struct master *m, unsigned i, int status)
{
	struct slot *s = &m->slot[i];
	pid_t pid = s->pid;
	bool asked = m->stopping || s->gen->state == GENERATION_RETIRING || s->gen->state == GENERATION_DEAD;
	char names[BLAME_MAX];
	const char *in = blame_names(m, i, names); /* before the slot is cleared */
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
	} else if (asked && ((WIFEXITED(status) && WEXITSTATUS(status) == 0) || s->killed)) {
		about(&l, LOG_L_INFO, "worker-ended", s, i, pid);
		log_str(&l, "in", in);
		log_end(&l);
		free_slot(m, i);
	} else {
		died(m, i, pid, status, in);
	}
}

void
spawn_reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (helper_ended(m, pid, status) || upgrade_ended(m, pid, status))
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
	process_kill(s->pid, SIGKILL, s->gen->conf->user);
	s->dropped = true;
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
		/* A replacement goes on as its predecessor did; a new generation begins with its config's level. */
		if (s->gen == m->serving && m->log_level != (enum log_level)s->gen->conf->log.level)
			(void)ipc_send(s->control, IPC_LOGLEVEL, m->log_level);
		ctl_traces(m, i);
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
	case IPC_LOGLOST:
		logs_lost(m);
		break;
	case IPC_STOP:
	case IPC_RETIRE:
	case IPC_LOGFD:
	case IPC_LOGLEVEL:
	case IPC_TRACE:
	case IPC_TYPES:
		drop(s, i, "it sent what only the master may send");
		break;
	}
}

/* One that says more than any worker has to say keeps the master from all else. */
static bool
speaks_on(struct slot *s)
{
	int64_t now = master_now_ms();

	if (now - s->second_ms >= 1000) {
		s->second_ms = now;
		s->said = 0;
	}
	return ++s->said > MASTER_HEAR_MAX;
}

void
spawn_hear(struct master *m, unsigned i)
{
	struct slot *s = &m->slot[i];
	struct ipc_msg msg;
	int got = 0;

	while (s->control >= 0 && (got = ipc_recv(s->control, &msg)) > 0 && !speaks_on(s))
		heard(m, i, &msg);
	if (s->control < 0 || got == 0)
		return;
	if (got > 0)
		drop(s, i, "it speaks without end");
	else if (errno != 0)
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
	char names[BLAME_MAX];
	struct log_line l;

	for (unsigned i = 1; i < MASTER_SLOTS; i++) {
		struct slot *s = &m->slot[i];

		if (s->pid > 0 && s->kill_ms > 0 && now >= s->kill_ms) {
			about(&l, LOG_L_WARN, "worker-killed", s, i, s->pid);
			log_str(&l, "why", "it did not end in time");
			log_str(&l, "in", blame_names(m, i, names));
			log_end(&l);
			process_kill(s->pid, SIGKILL, s->gen->conf->user);
			s->dropped = true;
			s->kill_ms = now + MASTER_KILL_MS;
		}
		if (s->state != WORKER_WAITING || now < s->start_ms)
			continue;
		if (m->stopping || s->gen->state != GENERATION_SERVING) {
			free_slot(m, i);
		} else if (start(m, i) != 0) {
			log_msg(LOG_L_ERROR, "fork", "cannot start worker %u: %s", i, strerror(errno));
			s->deaths++;
			s->start_ms = now + process_backoff_ms(s->deaths + 1);
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
			process_kill(s->pid, SIGTERM, s->gen->conf->user);
		/* A retired worker leaves its sessions alone for one drain and ends them within another. */
		s->kill_ms =
		    now + MASTER_KILL_MS + (type == IPC_RETIRE ? 2 : 1) * (int64_t)s->gen->conf->timeouts.drain_ms;
	}
}

void
spawn_loglevel(struct master *m, unsigned level)
{
	m->log_level = (enum log_level)level;
	log_set_level(m->log_level);
	for (unsigned i = 1; i < MASTER_SLOTS; i++)
		if (m->slot[i].control >= 0)
			(void)ipc_send(m->slot[i].control, IPC_LOGLEVEL, level);
	helper_tell(m, IPC_LOGLEVEL, level);
}

void
spawn_trace(struct master *m, unsigned i, int fd, const char *filter)
{
	if (m->slot[i].control >= 0 && ipc_send_with(m->slot[i].control, IPC_TRACE, 0, fd, filter) != 0)
		log_msg(LOG_L_WARN, "trace", "worker %u does not hear of a trace: %s", i, strerror(errno));
}

unsigned
spawn_kill(struct master *m, const struct generation *gen)
{
	unsigned n = 0;

	for (unsigned i = 1; i < MASTER_SLOTS; i++) {
		struct slot *s = &m->slot[i];

		if (s->pid > 0 && (gen == NULL || s->gen == gen)) {
			process_kill(s->pid, SIGKILL, s->gen->conf->user);
			s->killed = true;
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
