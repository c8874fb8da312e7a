/*
 * reports: starting, burying and restarting it.
 */
#include "master/reports.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "master/generation.h"
#include "master/process.h"
#include "master/state.h"

struct reports {
	LIST_ENTRY(reports) entry;
	struct generation *gen;
	int exe;     /* its program, held open */
	pid_t pid;   /* 0 when none runs */
	int control; /* -1 when closed */
	bool ready, told_to_end;
	unsigned deaths;
	int64_t began_ms, start_ms; /* start_ms: 0, or when to start the next one */
};

int
reports_prepare(struct master *m, struct generation *gen, char *why, size_t cap)
{
	char path[LISTEN_WHY_MAX / 2];
	struct reports *r;

	if (!conf_offers_dsn(gen->conf))
		return 0;
	r = calloc(1, sizeof *r);
	if (r == NULL) {
		snprintf(why, cap, "cannot start: %s", strerror(errno));
		return EX_OSERR;
	}
	r->exe =
	    generation_program(m, m->serving != NULL && m->serving->reports != NULL ? m->serving->reports->exe : -1,
		"letterplate-reports", path, sizeof path);
	if (r->exe < 0) {
		snprintf(why, cap, "\"%s\" cannot be run: %s; it must stand beside letterplate", path, strerror(errno));
		free(r);
		return EX_OSFILE;
	}
	r->gen = gen;
	r->control = -1;
	LIST_INSERT_HEAD(&m->reports, r, entry);
	gen->reports = r;
	return 0;
}

void
reports_free(struct reports *r)
{
	if (r == NULL)
		return;
	LIST_REMOVE(r, entry);
	if (r->pid > 0) {
		(void)kill(r->pid, SIGKILL);
		while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (r->control >= 0)
		close(r->control);
	close(r->exe);
	free(r);
}

/* --- the process --- */

static int
start(struct master *m, struct reports *r)
{
	int fd[PROCESS_FDS_MAX] = { r->gen->conf_fd, -1, m->stats_fd };
	char number[2][24], name[] = "letterplate-reports";
	char *argv[] = { name, number[0], (char *)(uintptr_t)m->file, number[1], NULL };
	pid_t pid;

	snprintf(number[0], sizeof number[0], "%u", (unsigned)IPC_LAYOUT);
	snprintf(number[1], sizeof number[1], "%" PRIu64, r->gen->number);
	pid = process_start(r->exe, argv, fd, IPC_REPORTS_FD_STATS - IPC_FD_CONF + 1, r->gen->log_fd, &r->control);
	if (pid < 0)
		return -1;
	r->pid = pid;
	r->ready = false;
	r->began_ms = master_now_ms();
	r->start_ms = 0;
	return 0;
}

int
reports_start(struct master *m, struct generation *gen)
{
	return gen->reports == NULL ? 0 : start(m, gen->reports);
}

void
reports_log_anew(struct reports *r, int fd)
{
	if (r != NULL && r->control >= 0 && fd >= 0 && ipc_send_with(r->control, IPC_LOGFD, 0, fd, "") != 0)
		log_msg(LOG_L_ERROR, "log", "letterplate-reports stays with the old log: %s", strerror(errno));
}

bool
reports_ready(const struct reports *r)
{
	return r == NULL || r->ready;
}

void
reports_tell(struct reports *r, enum ipc_type type)
{
	if (r == NULL)
		return;
	r->told_to_end = true;
	r->start_ms = 0;
	if (r->pid > 0 && (r->control < 0 || ipc_send(r->control, type, 0) != 0))
		(void)kill(r->pid, SIGKILL);
}

/* --- life --- */

nfds_t
reports_poll(const struct master *m, struct pollfd *p)
{
	const struct reports *r;
	nfds_t n = 0;

	LIST_FOREACH(r, &m->reports, entry)
		if (r->control >= 0 && n < REPORTS_POLL_MAX)
			p[n++] = (struct pollfd){ .fd = r->control, .events = POLLIN };
	return n;
}

static void
about(struct log_line *l, enum log_level level, const char *event, const struct reports *r, pid_t pid)
{
	log_begin(l, level, event);
	log_i64(l, "pid", pid);
	log_u64(l, "generation", r->gen->number);
}

static void
hear(struct master *m, struct reports *r)
{
	struct log_line l;
	struct ipc_msg msg;
	int got = 0;

	while (r->control >= 0 && (got = ipc_recv(r->control, &msg)) > 0) {
		if (msg.type != IPC_READY)
			continue; /* IPC_FAILED: its exit status says the same */
		r->ready = true;
		about(&l, LOG_L_INFO, "reports-ready", r, r->pid);
		log_end(&l);
		generation_ready(m, r->gen);
	}
	if (r->control >= 0 && got < 0) {
		close(r->control);
		r->control = -1;
		/* With leave it is about to end by itself. */
		if (r->pid > 0 && errno != 0)
			(void)kill(r->pid, SIGKILL);
	}
}

void
reports_hear(struct master *m)
{
	struct reports *r, *next;

	for (r = LIST_FIRST(&m->reports); r != NULL; r = next) {
		next = LIST_NEXT(r, entry);
		hear(m, r);
	}
}

static void
ended(struct master *m, struct reports *r, pid_t pid, int status)
{
	int64_t now = master_now_ms();
	struct log_line l;
	char how[128];

	if (r->told_to_end)
		return;
	r->deaths = now - r->began_ms >= MASTER_LIVED_MS ? 1 : r->deaths + 1;
	r->start_ms = now + 1 + process_backoff_ms(r->deaths);
	/* It wants to look its relay up anew. */
	if (r->ready && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	process_words(status, how, sizeof how);
	stats_add(m->stats, STATS_REPORTS_DIED, 1);
	about(&l, LOG_L_ERROR, "reports-died", r, pid);
	log_str(&l, "how", how);
	log_end(&l);
	generation_failed(m, r->gen, process_code(status));
}

bool
reports_ended(struct master *m, pid_t pid, int status)
{
	struct reports *r;

	LIST_FOREACH(r, &m->reports, entry) {
		if (r->pid != pid)
			continue;
		r->pid = 0;
		if (r->control >= 0)
			close(r->control);
		r->control = -1;
		ended(m, r, pid, status);
		r->ready = false;
		return true;
	}
	return false;
}

/* One that is ready needs it; one that retires has a successor. */
static bool
wanted(const struct master *m, const struct reports *r)
{
	return r->pid == 0 && r->start_ms > 0 && !r->told_to_end && !m->stopping && r->gen->state != GENERATION_DEAD &&
	    r->gen->state != GENERATION_RETIRING;
}

void
reports_due(struct master *m)
{
	int64_t now = master_now_ms();
	struct reports *r;

	LIST_FOREACH(r, &m->reports, entry) {
		if (!wanted(m, r) || now < r->start_ms)
			continue;
		if (start(m, r) != 0) {
			log_msg(LOG_L_ERROR, "fork", "cannot start letterplate-reports: %s", strerror(errno));
			r->deaths++;
			r->start_ms = now + 1 + process_backoff_ms(r->deaths + 1);
		}
	}
}

int64_t
reports_next_ms(const struct master *m)
{
	int64_t next = INT64_MAX;
	const struct reports *r;

	LIST_FOREACH(r, &m->reports, entry)
		if (wanted(m, r) && r->start_ms < next)
			next = r->start_ms;
	return next;
}

/* --- upgrade --- */

void
reports_put(const struct reports *r, struct facts *f)
{
	if (r == NULL)
		return;
	facts_begin(f, "reports");
	facts_u64(f, "generation", r->gen->number);
	state_put_fd(f, "exe", r->exe);
	state_put_fd(f, "control", r->control);
	facts_i64(f, "pid", r->pid);
	facts_bool(f, "ready", r->ready);
	facts_bool(f, "told_to_end", r->told_to_end);
	facts_u64(f, "deaths", r->deaths);
	facts_i64(f, "began", r->began_ms);
	facts_i64(f, "start", r->start_ms);
	facts_end(f);
}

int
reports_get(struct master *m, const struct fact *f, char *why, size_t cap)
{
	struct generation *gen = state_generation(m, f);
	struct reports *r = gen != NULL ? calloc(1, sizeof *r) : NULL;

	if (r == NULL) {
		snprintf(why, cap, "letterplate-reports was not handed over");
		return -1;
	}
	r->gen = gen;
	r->exe = state_get_fd(f, "exe");
	r->control = state_get_fd(f, "control");
	r->pid = (pid_t)facts_num(f, "pid", 0, INT32_MAX, 0);
	r->ready = facts_num(f, "ready", 0, 1, 0) == 1;
	r->told_to_end = facts_num(f, "told_to_end", 0, 1, 0) == 1;
	r->deaths = (unsigned)facts_num(f, "deaths", 0, INT32_MAX, 0);
	r->began_ms = facts_num(f, "began", 0, INT64_MAX, 0);
	r->start_ms = facts_num(f, "start", 0, INT64_MAX, 0);
	LIST_INSERT_HEAD(&m->reports, r, entry);
	gen->reports = r;
	return 0;
}
