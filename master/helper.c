/*
 * helper: see helper.h: from the config to a process, its life, its death, and
 * over an upgrade.
 */
#include "master/helper.h"

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

#include "common/ipc.h"
#include "common/log.h"
#include "master/generation.h"
#include "master/helper_kind.h"
#include "master/process.h"
#include "master/segment.h"
#include "master/state.h"

struct helper {
	LIST_ENTRY(helper) entry;
	const struct helper_kind *kind;
	struct generation *gen;
	int exe;                    /* its program, held open */
	int file[HELPER_FILES_MAX]; /* -1: none */
	int worker_end[CONF_WORKERS_MAX], own_end[CONF_WORKERS_MAX];
	unsigned n;  /* channels */
	pid_t pid;   /* 0 when none runs */
	int control; /* -1 when closed */
	bool ready, dismissed;
	bool dropped; /* killed by us, for what it said */
	unsigned deaths;
	int64_t began_ms, start_ms; /* start_ms: 0, or when to start the next one */
};

/* --- what it is made of --- */

/* The worker's end does not block; the other side says with each call whether it waits. */
static int
make_channels(struct helper *h, unsigned n)
{
	for (; h->n < n; h->n++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
			return -1;
		h->worker_end[h->n] = pair[0];
		h->own_end[h->n] = pair[1];
		if (fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0) {
			h->n++;
			return -1;
		}
	}
	return 0;
}

static struct helper *new (struct master *m, struct generation *gen, enum helper_what what)
{
	struct helper *h = calloc(1, sizeof *h);

	if (h == NULL)
		return NULL;
	h->kind = &helper_kind[what];
	h->gen = gen;
	h->exe = h->control = -1;
	for (unsigned i = 0; i < HELPER_FILES_MAX; i++)
		h->file[i] = -1;
	LIST_INSERT_HEAD(&m->helper, h, entry);
	gen->helper[what] = h;
	return h;
}

static int
prepare(struct master *m, struct generation *gen, enum helper_what what, char *why, size_t cap)
{
	const struct helper *held = m->serving != NULL ? m->serving->helper[what] : NULL;
	struct helper *h = new (m, gen, what);
	char path[PATH_MAX];
	int code;

	if (h == NULL) {
		snprintf(why, cap, "cannot start: %s", strerror(errno));
		return EX_OSERR;
	}
	h->exe = generation_program(m, held != NULL ? held->exe : -1, h->kind->program, path, sizeof path);
	if (h->exe < 0) {
		snprintf(why, cap, "\"%s\" cannot be run: %s; it must stand beside letterplate", path, strerror(errno));
		return EX_OSFILE;
	}
	code = h->kind->take != NULL ? h->kind->take(m, gen->conf, h->file, why, cap) : 0;
	if (code == 0 && h->kind->channels && make_channels(h, gen->conf->workers) != 0) {
		snprintf(why, cap, "cannot make channels: %s", strerror(errno));
		code = EX_OSERR;
	}
	return code;
}

int
helper_prepare(struct master *m, struct generation *gen, char *why, size_t cap)
{
	int code = 0;

	for (int what = 0; what < HELPER_KINDS && code == 0; what++)
		if (helper_kind[what].offered(gen->conf))
			code = prepare(m, gen, (enum helper_what)what, why, cap);
	return code;
}

static void
shut(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* The caller has the last pointer to it. */
static void
end(struct helper *h)
{
	LIST_REMOVE(h, entry);
	if (h->pid > 0) {
		process_kill(h->pid, SIGKILL, h->gen->conf->user);
		while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	for (unsigned i = 0; i < h->n; i++) {
		close(h->worker_end[i]);
		close(h->own_end[i]);
	}
	for (unsigned i = 0; i < HELPER_FILES_MAX; i++)
		shut(h->file[i]);
	shut(h->control);
	shut(h->exe);
	free(h);
}

void
helper_free(struct generation *gen)
{
	for (int what = 0; what < HELPER_KINDS; what++)
		if (gen->helper[what] != NULL)
			end(gen->helper[what]);
}

/* --- the process --- */

static int
start(struct master *m, struct helper *h)
{
	int fd[PROCESS_FDS_MAX] = { h->gen->conf_fd, -1 };
	char number[3][24], name[32];
	char *argv[] = { name, number[0], (char *)(uintptr_t)m->file, number[1], h->kind->channels ? number[2] : NULL,
		NULL };
	unsigned n = 2;
	pid_t pid;

	for (unsigned i = 0; i < h->kind->nfiles; i++)
		fd[n++] = h->file[i];
	if (h->kind->counts)
		fd[n++] = segment_of(m, h->gen);
	for (unsigned i = 0; i < h->n; i++)
		fd[n++] = h->own_end[i];
	snprintf(name, sizeof name, "%s", h->kind->program);
	snprintf(number[0], sizeof number[0], "%u", (unsigned)IPC_LAYOUT);
	snprintf(number[1], sizeof number[1], "%" PRIu64, h->gen->number);
	snprintf(number[2], sizeof number[2], "%u", h->n);
	pid = process_start(h->exe, argv, fd, n, h->gen->log_fd, &h->control);
	if (pid < 0)
		return -1;
	h->pid = pid;
	h->ready = h->dropped = false;
	h->began_ms = master_now_ms();
	h->start_ms = 0;
	return 0;
}

int
helper_start(struct master *m, struct generation *gen)
{
	for (int what = 0; what < HELPER_KINDS; what++)
		if (gen->helper[what] != NULL && start(m, gen->helper[what]) != 0)
			return -1;
	return 0;
}

bool
helper_ready(const struct generation *gen)
{
	for (int what = 0; what < HELPER_KINDS; what++)
		if (gen->helper[what] != NULL && !gen->helper[what]->ready)
			return false;
	return true;
}

int
helper_channel(const struct generation *gen, enum helper_what what, unsigned nth)
{
	const struct helper *h = gen->helper[what];

	return h != NULL && nth < h->n ? h->worker_end[nth] : -1;
}

int
helper_file(const struct generation *gen, enum helper_what what, unsigned i)
{
	return gen->helper[what] != NULL ? gen->helper[what]->file[i] : -1;
}

void
helper_log_anew(const struct generation *gen, int fd)
{
	for (int what = 0; what < HELPER_KINDS; what++) {
		const struct helper *h = gen->helper[what];

		if (h != NULL && h->control >= 0 && fd >= 0 && ipc_send_with(h->control, IPC_LOGFD, 0, fd, "") != 0)
			log_msg(LOG_L_ERROR, "log", "%s stays with the old log: %s", h->kind->program, strerror(errno));
	}
}

/* --- life --- */

nfds_t
helper_poll(const struct master *m, struct pollfd *p)
{
	const struct helper *h;
	nfds_t n = 0;

	LIST_FOREACH(h, &m->helper, entry)
		if (h->control >= 0 && n < HELPER_POLL_MAX)
			p[n++] = (struct pollfd){ .fd = h->control, .events = POLLIN };
	return n;
}

static void
about(struct log_line *l, enum log_level level, const char *event, const struct helper *h, pid_t pid)
{
	log_begin(l, level, event);
	log_i64(l, "pid", pid);
	log_u64(l, "generation", h->gen->number);
}

static void
hear(struct master *m, struct helper *h)
{
	struct log_line l;
	struct ipc_msg msg;
	int got = 0;

	while (h->control >= 0 && (got = ipc_recv(h->control, &msg)) > 0) {
		if (msg.type != IPC_READY)
			continue; /* IPC_FAILED: its exit status says the same */
		h->ready = true;
		about(&l, LOG_L_INFO, h->kind->event_ready, h, h->pid);
		log_end(&l);
		generation_ready(m, h->gen);
	}
	if (h->control < 0 || got >= 0)
		return;
	close(h->control);
	h->control = -1;
	/* One that may leave is about to end by itself. */
	h->dropped = errno != 0;
	if (h->pid > 0 && (h->dropped || !h->kind->leaves))
		process_kill(h->pid, SIGKILL, h->gen->conf->user);
}

void
helper_hear(struct master *m)
{
	struct helper *h, *next;

	for (h = LIST_FIRST(&m->helper); h != NULL; h = next) {
		next = LIST_NEXT(h, entry);
		hear(m, h);
	}
}

void
helper_tell(struct master *m, enum ipc_type type, uint32_t arg)
{
	const struct helper *h;

	LIST_FOREACH(h, &m->helper, entry)
		if (h->control >= 0)
			(void)ipc_send(h->control, type, arg);
}

void
helper_dismiss(struct generation *gen, enum ipc_type type)
{
	for (int what = 0; what < HELPER_KINDS; what++) {
		struct helper *h = gen->helper[what];

		if (h == NULL || !h->kind->leaves)
			continue;
		h->dismissed = true;
		h->start_ms = 0;
		if (h->pid > 0 && (h->control < 0 || ipc_send(h->control, type, 0) != 0))
			process_kill(h->pid, SIGKILL, h->gen->conf->user);
	}
}

static void
died(struct master *m, struct helper *h, pid_t pid, int status)
{
	bool left = h->kind->leaves && h->ready && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	struct log_line l;
	char how[128];

	h->ready = false;
	if (h->dismissed)
		return;
	h->start_ms = 1 +
	    process_again_ms(
		!left && (!process_was_killed(status) || h->dropped), h->began_ms, master_now_ms(), &h->deaths);
	if (left)
		return;
	process_words(status, how, sizeof how);
	stats_add(m->stats, h->kind->died, 1);
	about(&l, LOG_L_ERROR, h->kind->event_died, h, pid);
	log_str(&l, "how", how);
	log_end(&l);
	generation_failed(m, h->gen, process_code(status));
}

bool
helper_ended(struct master *m, pid_t pid, int status)
{
	struct helper *h;

	LIST_FOREACH(h, &m->helper, entry) {
		if (h->pid != pid)
			continue;
		h->pid = 0;
		shut(h->control);
		h->control = -1;
		died(m, h, pid, status);
		return true;
	}
	return false;
}

/* While a generation has workers they have sessions that may need it; one that they do not need has a successor when they retire. */
static bool
wanted(const struct master *m, const struct helper *h)
{
	if (h->pid != 0 || h->start_ms == 0 || h->dismissed || h->gen->state == GENERATION_DEAD)
		return false;
	return !h->kind->leaves || (!m->stopping && h->gen->state != GENERATION_RETIRING);
}

void
helper_due(struct master *m)
{
	int64_t now = master_now_ms();
	struct helper *h;

	LIST_FOREACH(h, &m->helper, entry) {
		if (!wanted(m, h) || now < h->start_ms)
			continue;
		if (start(m, h) != 0) {
			log_msg(LOG_L_ERROR, "fork", "cannot start %s: %s", h->kind->program, strerror(errno));
			h->deaths++;
			h->start_ms = now + 1 + process_backoff_ms(h->deaths + 1);
		}
	}
}

int64_t
helper_next_ms(const struct master *m)
{
	int64_t next = INT64_MAX;
	const struct helper *h;

	LIST_FOREACH(h, &m->helper, entry)
		if (wanted(m, h) && h->start_ms < next)
			next = h->start_ms;
	return next;
}

/* --- upgrade --- */

static void
put(const struct helper *h, struct facts *f)
{
	facts_begin(f, "helper");
	facts_u64(f, "generation", h->gen->number);
	facts_str(f, "kind", h->kind->word);
	state_put_fd(f, "exe", h->exe);
	for (unsigned i = 0; i < h->kind->nfiles; i++)
		state_put_fd(f, h->kind->file[i], h->file[i]);
	state_put_fd(f, "control", h->control);
	facts_i64(f, "pid", h->pid);
	facts_bool(f, "ready", h->ready);
	facts_bool(f, "dismissed", h->dismissed);
	facts_u64(f, "deaths", h->deaths);
	facts_i64(f, "began", h->began_ms);
	facts_i64(f, "start", h->start_ms);
	facts_end(f);
	for (unsigned i = 0; i < h->n; i++) {
		facts_begin(f, "helper-channel");
		facts_u64(f, "generation", h->gen->number);
		facts_str(f, "kind", h->kind->word);
		state_put_fd(f, "worker", h->worker_end[i]);
		state_put_fd(f, "own", h->own_end[i]);
		facts_end(f);
	}
}

void
helper_put(const struct generation *gen, struct facts *f)
{
	for (int what = 0; what < HELPER_KINDS; what++)
		if (gen->helper[what] != NULL)
			put(gen->helper[what], f);
}

/* HELPER_KINDS: none of ours. */
static enum helper_what
kind_of(const struct fact *f)
{
	const char *word = facts_get(f, "kind");
	int what = 0;

	while (what < HELPER_KINDS && (word == NULL || strcmp(word, helper_kind[what].word) != 0))
		what++;
	return (enum helper_what)what;
}

static int
get(struct master *m, struct generation *gen, enum helper_what what, const struct fact *f)
{
	struct helper *h = gen->helper[what] == NULL ? new (m, gen, what) : NULL;
	bool all;

	if (h == NULL)
		return -1;
	h->exe = state_get_fd(f, "exe");
	all = h->exe >= 0;
	for (unsigned i = 0; i < h->kind->nfiles; i++) {
		h->file[i] = state_get_fd(f, h->kind->file[i]);
		all = all && h->file[i] >= 0;
	}
	h->control = state_get_fd(f, "control");
	h->pid = (pid_t)facts_num(f, "pid", 0, INT32_MAX, 0);
	h->ready = facts_num(f, "ready", 0, 1, 0) == 1;
	h->dismissed = facts_num(f, "dismissed", 0, 1, 0) == 1;
	h->deaths = (unsigned)facts_num(f, "deaths", 0, INT32_MAX, 0);
	h->began_ms = facts_num(f, "began", 0, INT64_MAX, 0);
	h->start_ms = facts_num(f, "start", 0, INT64_MAX, 0);
	return all ? 0 : -1;
}

static int
get_channel(struct helper *h, const struct fact *f)
{
	int worker = state_get_fd(f, "worker"), own = state_get_fd(f, "own");

	if (h == NULL || h->n == CONF_WORKERS_MAX || worker < 0 || own < 0)
		return -1;
	h->worker_end[h->n] = worker;
	h->own_end[h->n++] = own;
	return 0;
}

int
helper_get(struct master *m, const struct fact *f, char *why, size_t cap)
{
	bool channel = strcmp(f->kind, "helper-channel") == 0;
	struct generation *gen = state_generation(m, f);
	enum helper_what what = kind_of(f);
	int rc = -1;

	if (!channel && strcmp(f->kind, "helper") != 0)
		return 1;
	if (gen != NULL && what < HELPER_KINDS)
		rc = channel ? get_channel(gen->helper[what], f) : get(m, gen, what, f);
	if (rc != 0)
		snprintf(why, cap, "%s%s was not handed over", channel ? "a channel to " : "",
		    what < HELPER_KINDS ? helper_kind[what].program : "a process");
	return rc;
}
