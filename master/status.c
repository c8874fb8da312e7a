/*
 * status: facts alone; how they look is the business of whoever asked.
 */
#include "master/status.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/version.h"
#include "master/expiry.h"
#include "master/master.h"
#include "master/process.h"

static const char *const level_name[] = { "error", "warn", "info", "debug" };

/* Whether any worker takes mail, or has, as it says good-bye. */
static bool
any_ready(const struct master *m)
{
	for (unsigned i = 1; i < MASTER_SLOTS; i++)
		if (m->slot[i].state == WORKER_READY)
			return true;
	return false;
}

bool
status_failing(const struct master *m)
{
	if (m->serving == NULL || m->stopping)
		return false;
	for (unsigned i = 1; i < MASTER_SLOTS; i++)
		if (m->slot[i].state == WORKER_READY && m->slot[i].gen->state != GENERATION_RETIRING)
			return false;
	return true;
}

const char *
status_word(const struct master *m)
{
	return m->stopping        ? "draining"
	    : status_failing(m)   ? "failing"
	    : m->serving == NULL  ? "starting"
	    : m->starting != NULL ? "reloading"
				  : "serving";
}

/* Whether the program's file is another one than what runs. */
static bool
replaced(void)
{
	struct stat now, runs;

	if (stat("/proc/self/exe", &runs) != 0 || stat(process_self(), &now) != 0)
		return true;
	return now.st_dev != runs.st_dev || now.st_ino != runs.st_ino;
}

static void
write_server(const struct master *m, struct facts *f)
{
	facts_begin(f, "server");
	facts_str(f, "version", LETTERPLATE_VERSION);
	facts_i64(f, "pid", getpid());
	facts_str(f, "state", status_word(m));
	facts_i64(f, "since", m->since);
	facts_i64(f, "now", time(NULL));
	facts_str(f, "program", process_self());
	facts_bool(f, "program_replaced", replaced());
	facts_u64(f, "generation", m->serving != NULL ? m->serving->number : 0);
	facts_str(f, "log_level", level_name[m->log_level]);
	facts_end(f);
}

/* Whether the file says something else than what ${gen} runs with. */
static bool
changed(const struct master *m, const struct generation *gen, bool *readable)
{
	char *file = NULL, *runs = malloc(CONF_TEXT_MAX);
	size_t n;
	ssize_t had = runs != NULL ? pread(gen->conf_fd, runs, CONF_TEXT_MAX, 0) : -1;
	bool same;

	*readable = conf_read(m->file, &file, &n) == 0;
	same = *readable && had >= 0 && n == (size_t)had && memcmp(file, runs, n) == 0;
	free(file);
	free(runs);
	return !same;
}

static void
write_config(const struct master *m, const struct generation *gen, struct facts *f)
{
	bool readable, differs = changed(m, gen, &readable);

	facts_begin(f, "config");
	facts_str(f, "file", m->file);
	facts_i64(f, "read", gen->read);
	facts_bool(f, "changed", differs);
	facts_bool(f, "readable", readable);
	facts_str(f, "state_dir", gen->conf->state_dir);
	facts_end(f);
}

static const char *
worker_word(const struct slot *s)
{
	switch (s->state) {
	case WORKER_STARTING:
		return "starting";
	case WORKER_READY:
		return s->gen->state == GENERATION_RETIRING ? "retiring" : "serving";
	case WORKER_WAITING:
		return "waiting";
	case WORKER_FREE:
		break;
	}
	return "free";
}

static uint64_t
sessions_of(const struct stats_sum *sum, unsigned slot)
{
	for (size_t i = 0; i < sum->nworker; i++)
		if (sum->worker[i].slot == slot)
			return sum->worker[i].sessions_open;
	return 0;
}

static void
write_workers(const struct master *m, const struct stats_sum *sum, struct facts *f)
{
	int64_t now = master_now_ms();

	for (unsigned i = 1; i < MASTER_SLOTS; i++) {
		const struct slot *s = &m->slot[i];

		if (s->state == WORKER_FREE)
			continue;
		facts_begin(f, "worker");
		facts_u64(f, "slot", i);
		facts_i64(f, "pid", s->pid);
		facts_u64(f, "generation", s->gen->number);
		facts_str(f, "state", worker_word(s));
		facts_i64(f, "since", time(NULL) - (now - s->began_ms) / 1000);
		facts_u64(f, "sessions", sessions_of(sum, i));
		facts_end(f);
	}
}

static void
write_listeners(const struct conf *cf, struct facts *f)
{
	static const char *const tls_name[] = { "none", "starttls", "required", "implicit" };

	for (size_t i = 0; i < cf->nlistener; i++) {
		const struct conf_listener *l = &cf->listener[i];

		for (size_t k = 0; k < l->naddress; k++) {
			facts_begin(f, "listener");
			facts_str(f, "name", l->name);
			facts_str(f, "address", l->address[k].text);
			facts_str(f, "protocol", l->protocol == CONF_LMTP ? "lmtp" : "smtp");
			facts_str(f, "tls", tls_name[l->tls]);
			facts_end(f);
		}
	}
}

static void
write_certificates(const struct generation *gen, struct facts *f)
{
	const struct conf *cf = gen->conf;
	int64_t at[CONF_LISTENERS_MAX], now = time(NULL);

	expiry_read(gen, at);
	for (size_t i = 0; i < cf->ntls; i++) {
		facts_begin(f, "certificate");
		facts_str(f, "name", cf->tls[i].name);
		facts_str(f, "file", cf->tls[i].certificate);
		/* Rounded down: with a day and a half left it is a day. */
		if (at[i] != 0) {
			facts_i64(f, "expires", at[i]);
			facts_i64(f, "days", at[i] > now ? (at[i] - now) / 86400 : 0);
		}
		facts_end(f);
	}
}

/* What workers report; nothing, where none is that could have. */
static void
write_rest(const struct conf *cf, const struct stats_sum *sum, bool reported, struct facts *f)
{
	if (conf_offers_tls(cf)) {
		facts_begin(f, "tls");
		facts_u64(f, "first_expires", sum->gauge[STATS_CERTIFICATE_EXPIRES]);
		facts_u64(f, "days", sum->gauge[STATS_CERTIFICATE_DAYS]);
		facts_end(f);
	}
	facts_begin(f, "directory");
	facts_str(f, "path", cf->directory);
	if (reported) {
		facts_u64(f, "made", sum->gauge[STATS_DIRECTORY_MADE]);
		facts_u64(f, "entries", sum->gauge[STATS_DIRECTORY_ENTRIES]);
		facts_bool(f, "newest", sum->gauge[STATS_DIRECTORY_NEWEST] != 0);
	}
	facts_end(f);
	facts_begin(f, "store");
	facts_str(f, "kind", cf->store.kind);
	facts_str(f, "path", cf->store.path);
	facts_u64(f, "commits_pending", sum->gauge[STATS_COMMITS_PENDING]);
	facts_u64(f, "errors", sum->counter[STATS_STORE_ERRORS]);
	facts_end(f);
	facts_begin(f, "sandbox");
	if (reported) {
		facts_u64(f, "level", sum->gauge[STATS_SANDBOX_LEVEL]);
		facts_bool(f, "uid", (sum->gauge[STATS_SANDBOX_LEVEL] & 1) != 0);
		facts_bool(f, "landlock", (sum->gauge[STATS_SANDBOX_LEVEL] & 2) != 0);
		facts_bool(f, "seccomp", (sum->gauge[STATS_SANDBOX_LEVEL] & 4) != 0);
	}
	facts_end(f);
	facts_begin(f, "mail");
	facts_u64(f, "sessions_open", sum->gauge[STATS_SESSIONS_OPEN]);
	facts_u64(f, "sessions_total", sum->counter[STATS_SESSIONS_TOTAL]);
	facts_u64(f, "messages", sum->counter[STATS_MESSAGES]);
	facts_u64(f, "workers_died", sum->counter[STATS_WORKERS_DIED]);
	facts_end(f);
}

void
status_write(const struct master *m, struct facts *f)
{
	const struct generation *gen = m->serving != NULL ? m->serving : m->starting;
	struct stats_sum *sum = calloc(1, sizeof *sum);
	struct stats_map *map;

	write_server(m, f);
	if (gen == NULL || sum == NULL) {
		free(sum);
		return;
	}
	if (stats_open_fd(m->stats_fd, &map) == 0) {
		if (stats_read(map, sum) != 0)
			memset(sum, 0, sizeof *sum);
		stats_close(map);
	}
	write_config(m, gen, f);
	write_workers(m, sum, f);
	write_listeners(gen->conf, f);
	write_certificates(gen, f);
	write_rest(gen->conf, sum, any_ready(m), f);
	stats_sum_free(sum);
	free(sum);
}
