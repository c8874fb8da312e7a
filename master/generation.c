/*
 * generation: the first start and every reload.
 * A generation serves when all its workers are ready, or not at all: the first
 * one that dies before that takes the others with it.
 */
#include "master/generation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "master/caps.h"
#include "master/helper.h"
#include "master/logs.h"
#include "master/nobody.h"
#include "master/notify.h"
#include "master/process.h"
#include "master/segment.h"
#include "master/spawn.h"
#include "master/upgrade.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

/* The config's text where nobody can change it any more: a descriptor, or -1 with errno. */
static int
sealed(const char *text, size_t n)
{
	int fd = memfd_create("letterplate.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL), err;
	size_t done = 0;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("letterplate.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	while (done < n) {
		ssize_t w = write(fd, text + done, n - done);

		if (w < 0 && errno != EINTR)
			goto fail;
		done += w > 0 ? (size_t)w : 0;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
		return fd;
fail:
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

static void
generation_free(struct generation *gen)
{
	if (gen->conf_fd >= 0)
		close(gen->conf_fd);
	if (gen->worker_exe >= 0)
		close(gen->worker_exe);
	if (gen->log_fd >= 0) {
		log_leave(gen->log_fd);
		close(gen->log_fd);
	}
	LIST_REMOVE(gen, entry);
	helper_free(gen);
	conf_free(gen->conf);
	free(gen);
}

static struct generation *
generation_new(struct master *m, struct conf *conf, const char *text, size_t n)
{
	struct generation *gen = calloc(1, sizeof *gen);

	if (gen == NULL)
		return NULL;
	gen->conf_fd = sealed(text, n);
	if (gen->conf_fd < 0) {
		free(gen);
		return NULL;
	}
	LIST_INSERT_HEAD(&m->generation, gen, entry);
	gen->worker_exe = gen->log_fd = -1;
	gen->conf = conf;
	gen->read = time(NULL);
	gen->number = ++m->generations;
	gen->segment = m->segment;
	gen->state = GENERATION_STARTING;
	gen->deadline_ms = master_now_ms() + MASTER_START_MS;
	for (size_t l = 0; l < conf->nlistener; l++)
		gen->nsock += (unsigned)conf->listener[l].naddress;
	return gen;
}

int
generation_program(const struct master *m, int held, const char *name, char *path, size_t cap)
{
	if (!m->hold || held < 0)
		return process_open_exe(name, path, cap);
	snprintf(path, cap, "%s", name);
	return fcntl(held, F_DUPFD_CLOEXEC, 3);
}

int
generation_prepare(struct master *m, struct conf *conf, const char *text, size_t n, int wait_ms, char *why)
{
	struct generation *gen;
	char path[LISTEN_WHY_MAX / 2];
	unsigned room = spawn_free_slots(m);
	int code;

	if (room < conf->workers) {
		snprintf(why, LISTEN_WHY_MAX,
		    "%u workers are wanted and there is room for %u: earlier generations still drain", conf->workers,
		    room);
		conf_free(conf);
		return EX_TEMPFAIL;
	}
	gen = generation_new(m, conf, text, n);
	if (gen == NULL) {
		snprintf(why, LISTEN_WHY_MAX, "cannot start: %s", strerror(errno));
		conf_free(conf);
		return EX_OSERR;
	}
	gen->worker_exe = generation_program(
	    m, m->serving != NULL ? m->serving->worker_exe : -1, "letterplate-worker", path, sizeof path);
	if (gen->worker_exe < 0) {
		snprintf(why, LISTEN_WHY_MAX, "\"%s\" cannot be run: %s; it must stand beside letterplate", path,
		    strerror(errno));
		generation_free(gen);
		return EX_OSFILE;
	}
	if (logs_open(gen, why) != 0) {
		generation_free(gen);
		return EX_UNAVAILABLE;
	}
	code = listen_bind(&m->listen, conf, wait_ms, gen->sock, why);
	if (code != 0) {
		generation_free(gen);
		return code;
	}
	code = helper_prepare(m, gen, why, LISTEN_WHY_MAX);
	if (code != 0) {
		listen_drop_fresh(&m->listen);
		generation_free(gen);
		return code;
	}
	m->starting = gen;
	return 0;
}

int
generation_launch(struct master *m, char *why)
{
	struct generation *gen = m->starting;

	if (helper_start(m, gen) == 0 && spawn_generation(m, gen, gen->conf->workers) == 0)
		return 0;
	snprintf(why, LISTEN_WHY_MAX, "cannot start workers: %s", strerror(errno));
	m->starting = NULL;
	listen_drop_fresh(&m->listen);
	gen->state = GENERATION_DEAD;
	if (spawn_kill(m, gen) == 0)
		generation_free(gen);
	return EX_OSERR;
}

void
generation_say_serving(const struct master *m, const char *more)
{
	if (m->nobody.on)
		notify_send("READY=1\nSTATUS=" NOBODY_STATUS "%s", more);
	else
		notify_send("READY=1\nSTATUS=serving with %u workers, generation %llu%s", m->serving->conf->workers,
		    (unsigned long long)m->serving->number, more);
}

/* A reload came to nothing. */
static void
refused(struct master *m, const char *why)
{
	if (m->upgrade.running) {
		upgrade_failed(m, why);
		return;
	}
	log_msg(LOG_L_ERROR, "reload-refused", "%s; the old config stays in force", why);
	stats_add(m->stats, STATS_RELOADS_FAILED, 1);
	generation_say_serving(m, "; the last reload was refused, see the log");
	ctl_done(m, CTL_RELOAD, EX_TEMPFAIL, why);
}

/* All are ready: serve, and let the predecessors go. */
static void
commit(struct master *m, struct generation *gen)
{
	struct generation *old = m->serving;
	struct log_line l;

	gen->state = GENERATION_SERVING;
	m->serving = gen;
	m->starting = NULL;
	if (old != NULL) {
		old->state = GENERATION_RETIRING;
		if (!m->upgrade.running)
			stats_add(m->stats, STATS_RELOADS, 1);
		spawn_tell(m, old, IPC_RETIRE);
		helper_dismiss(old, IPC_RETIRE);
	}
	listen_keep(&m->listen, gen->sock, gen->nsock);
	m->log_level = (enum log_level)gen->conf->log.level;
	log_init("master", -1, gen->conf->log.format == CONF_LOG_JSON, m->log_level);
	logs_use(gen);
	log_begin(&l, LOG_L_INFO, m->upgrade.running ? "upgraded" : old != NULL ? "reloaded" : "ready");
	log_u64(&l, "generation", gen->number);
	log_u64(&l, "workers", gen->conf->workers);
	log_u64(&l, "addresses", gen->nsock);
	log_end(&l);
	generation_say_serving(m, "");
	ctl_done(m, CTL_RELOAD, EX_OK, NULL);
	if (m->upgrade.running)
		upgrade_serves(m);
}

void
generation_ready(struct master *m, struct generation *gen)
{
	unsigned ready = 0;

	if (gen->state != GENERATION_STARTING || m->stopping)
		return;
	for (unsigned i = 1; i < MASTER_SLOTS; i++)
		ready += m->slot[i].gen == gen && m->slot[i].state == WORKER_READY;
	if (ready == gen->conf->workers && helper_ready(gen))
		commit(m, gen);
}

/* A package was installed over us, and then came the HUP of its certificate's hook: that must go well all the same. */
static void
newer(struct master *m)
{
	static const char words[] = "the programs on disk are of another build; the config goes to those that run; "
				    "\"letterplate ctl upgrade\" (USR2) takes the new ones";

	log_msg(LOG_L_WARN, "reload", "%s", words);
	ctl_note(m, CTL_RELOAD, words);
	m->again = true;
}

bool
generation_again(const struct master *m)
{
	const struct generation *gen;

	/* Their slots are needed. */
	LIST_FOREACH(gen, &m->generation, entry)
		if (gen->state == GENERATION_DEAD)
			return false;
	return m->again;
}

/* ${why} ends in no period. */
static void
failed(struct master *m, struct generation *gen, int code, const char *why)
{
	if (gen->state != GENERATION_STARTING)
		return;
	gen->state = GENERATION_DEAD;
	m->starting = NULL;
	(void)spawn_kill(m, gen);
	if (m->stopping)
		return;
	listen_drop_fresh(&m->listen);
	if (m->serving != NULL && code == EX_PROTOCOL && !m->hold && !m->upgrade.running) {
		newer(m);
		return;
	}
	if (m->serving != NULL) {
		refused(m, why);
		return;
	}
	log_msg(LOG_L_ERROR, "start-failed", "%s; exit status %d", why, code);
	m->code = code;
	m->stopping = true;
}

void
generation_failed(struct master *m, struct generation *gen, int code)
{
	failed(m, gen, code, "the new workers could not start, their own lines say why");
}

void
generation_left(struct master *m, struct generation *gen)
{
	if (gen->live > 0 || gen == m->serving || gen == m->starting)
		return;
	if (gen->state == GENERATION_RETIRING)
		log_msg(LOG_L_INFO, "retired", "generation %llu is gone", (unsigned long long)gen->number);
	generation_free(gen);
}

void
generation_due(struct master *m)
{
	char why[64];

	if (m->starting == NULL || m->stopping || master_now_ms() < m->starting->deadline_ms)
		return;
	snprintf(why, sizeof why, "the new workers were not ready within %d seconds", MASTER_START_MS / 1000);
	failed(m, m->starting, EX_UNAVAILABLE, why);
}

void
generation_end(struct master *m)
{
	generation_free(m->serving);
	m->serving = NULL;
}

int64_t
generation_next_ms(const struct master *m)
{
	return m->starting != NULL && !m->stopping ? m->starting->deadline_ms : INT64_MAX;
}

/* --- reload --- */

static void
report(void *arg, const char *line)
{
	log_msg(strstr(line, ": warning: ") != NULL ? LOG_L_WARN : LOG_L_ERROR, "config", "%s", line);
	ctl_note(arg, CTL_RELOAD, line);
}

void
generation_reload(struct master *m)
{
	char why[LISTEN_WHY_MAX], hint[CAPS_WHY_MAX], *text = NULL;
	struct conf *conf = NULL;
	size_t n;

	m->hold = m->again;
	m->again = false;
	log_msg(LOG_L_INFO, "reload", "reading %s%s", m->file, m->hold ? " once more" : "");
	notify_reloading();
	ctl_begin(m, CTL_RELOAD);
	segment_due(m, true);
	if (conf_read(m->file, &text, &n) != 0) {
		int err = errno;

		snprintf(why, sizeof why, "%s: cannot be read: %s%s", m->file, strerror(err),
		    caps_refused(err == EACCES ? m->file : NULL, hint, sizeof hint));
		refused(m, why);
		return;
	}
	if (conf_parse(m->file, text, n, report, m, &conf) != 0) {
		refused(m, "the config has mistakes");
	} else if (conf_check(conf, report, m) != 0) {
		snprintf(why, sizeof why, "what the config names cannot be used%s",
		    caps_refused_by(conf, hint, sizeof hint));
		refused(m, why);
		conf_free(conf);
	} else if (strcmp(conf->state_dir, m->serving->conf->state_dir) != 0) {
		refused(m, "state_dir has changed, which needs a restart");
		conf_free(conf);
	} else if (generation_prepare(m, conf, text, n, 0, why) != 0 || generation_launch(m, why) != 0) {
		refused(m, why);
	}
	free(text);
}
