/*
 * upgrade: see upgrade.h.  There is no moment in which nobody serves: workers
 * are children of the same process before and after, and hear of nothing.
 */
#include "master/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/tickets.h"
#include "common/version.h"
#include "master/generation.h"
#include "master/logs.h"
#include "master/notify.h"
#include "master/process.h"
#include "master/segment.h"
#include "master/state.h"

void
upgrade_init(struct upgrade *u)
{
	*u = (struct upgrade){ .pipe = -1, .exe = -1, .predecessor = -1 };
}

bool
upgrade_busy(const struct master *m)
{
	return m->upgrade.pid > 0 || m->upgrade.running;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* It came to nothing, and we are the ones who serve on. */
static void
refused(struct master *m, const char *why)
{
	log_msg(LOG_L_ERROR, "upgrade-refused", "%s; %s serves on", why,
	    m->upgrade.back ? "the new program, with the old workers," : "the old program");
	stats_add(m->stats, STATS_UPGRADES_FAILED, 1);
	segment_due(m, true);
	generation_say_serving(m, "; the last upgrade was refused, see the log");
	ctl_done(m, CTL_UPGRADE, EX_TEMPFAIL, why);
	close_fd(&m->upgrade.pipe);
	close_fd(&m->upgrade.exe);
	close_fd(&m->upgrade.predecessor);
	m->upgrade.back = false;
}

static void
refused_run(struct master *m, int err)
{
	char why[LISTEN_WHY_MAX];

	snprintf(why, sizeof why, "\"%.300s\" cannot be run: %s", process_self(), strerror(err));
	refused(m, why);
}

/* --- exec --- */

/* In a child or for good: become the program.  Returns only if that fails, with errno. */
static void
become(const struct master *m, int exe, int state, int rehearsal)
{
	char name[] = "letterplate", option[] = "-c", number[2][16];
	char *argv[] = { name, option, (char *)(uintptr_t)m->file, NULL };

	snprintf(number[0], sizeof number[0], "%d", state);
	snprintf(number[1], sizeof number[1], "%d", rehearsal);
	if (setenv(UPGRADE_STATE, number[0], 1) == 0 &&
	    (rehearsal < 0 || setenv(UPGRADE_REHEARSAL, number[1], 1) == 0)) {
		state_inherit(true);
		if (rehearsal >= 0)
			(void)fcntl(rehearsal, F_SETFD, 0);
		execveat(exe, "", argv, environ, AT_EMPTY_PATH);
		state_inherit(false);
	}
	unsetenv(UPGRADE_STATE);
}

static void
take_over(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	int exe = u->exe, state, err;

	u->exe = -1;
	/* Ours, whatever has become of the file: it is what is gone back to. */
	if (!u->back)
		u->predecessor = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	else
		close_fd(&u->predecessor);
	state = state_write(m, u->back ? u->reverted : NULL);
	if (state >= 0) {
		log_msg(LOG_L_INFO, "upgrade", "%s",
		    u->back ? "going back to the old program" : "the new program takes over");
		become(m, exe, state, -1);
		close(state);
	}
	err = errno;
	close(exe);
	refused_run(m, err);
}

/* --- the rehearsal, from our side --- */

static int
rehearse(struct master *m)
{
	struct upgrade *u = &m->upgrade;
	int out[2], state = state_write(m, u->back ? u->reverted : NULL);

	if (state < 0)
		return -1;
	if (pipe2(out, O_CLOEXEC) != 0) {
		close(state);
		return -1;
	}
	u->pid = fork();
	if (u->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		become(m, u->exe, state, out[1]);
		_exit(EX_OSERR);
	}
	close(out[1]);
	close(state);
	u->pipe = out[0];
	u->n = 0;
	u->passed = false;
	u->deadline_ms = master_now_ms() + UPGRADE_REHEARSE_MS;
	(void)fcntl(u->pipe, F_SETFL, O_NONBLOCK);
	if (u->pid > 0)
		return 0;
	u->pid = 0;
	return -1;
}

void
upgrade_begin(struct master *m)
{
	log_msg(LOG_L_INFO, "upgrade", "trying %s", process_self());
	notify_send("STATUS=upgrading");
	ctl_begin(m, CTL_UPGRADE);
	m->upgrade.exe = open(process_self(), O_PATH | O_CLOEXEC);
	if (m->upgrade.exe < 0 || access(process_self(), X_OK) != 0 || rehearse(m) != 0)
		refused_run(m, errno);
}

void
upgrade_call_off(struct master *m)
{
	if (m->upgrade.pid > 0)
		(void)kill(m->upgrade.pid, SIGKILL);
	ctl_call_off(m, CTL_UPGRADE);
}

nfds_t
upgrade_poll(const struct master *m, struct pollfd *p)
{
	*p = (struct pollfd){ .fd = m->upgrade.pipe, .events = POLLIN };
	return m->upgrade.pipe >= 0;
}

void
upgrade_hear(struct master *m)
{
	struct upgrade *u = &m->upgrade;

	while (u->pipe >= 0) {
		ssize_t n = read(u->pipe, u->said + u->n, sizeof u->said - 1 - u->n);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) /* also when it says more than there is room for */
			close_fd(&u->pipe);
		else
			u->n += (size_t)n;
	}
}

/* What it said: lines about the config, then a verdict. */
static void
judge(struct master *m, char *why, size_t cap)
{
	struct upgrade *u = &m->upgrade;
	char *at = u->said;
	struct fact line;

	u->said[u->n] = '\0';
	while (facts_next(&at, &line) == 1) {
		const char *text = facts_get(&line, "text");

		if (text == NULL)
			text = "it gives no reason";
		if (strcmp(line.kind, "note") == 0) {
			log_msg(LOG_L_ERROR, "config", "%s", text);
			ctl_note(m, CTL_UPGRADE, text);
		} else if (strcmp(line.kind, "end") == 0) {
			u->passed = facts_num(&line, "code", 0, 255, EX_PROTOCOL) == EX_OK;
			snprintf(why, cap, "the new program declines: %s", text);
		}
	}
}

bool
upgrade_ended(struct master *m, pid_t pid, int status)
{
	struct upgrade *u = &m->upgrade;
	char how[128], why[LISTEN_WHY_MAX];

	if (u->pid == 0 || pid != u->pid)
		return false;
	u->pid = 0;
	process_words(status, how, sizeof how);
	snprintf(why, sizeof why, "the new program %s", u->deadline_ms == 0 ? "did not answer in time" : how);
	upgrade_hear(m);
	judge(m, why, sizeof why);
	close_fd(&u->pipe);
	if (m->stopping)
		close_fd(&u->exe);
	else if (u->passed && WIFEXITED(status) && WEXITSTATUS(status) == EX_OK)
		take_over(m);
	else
		refused(m, why);
	return true;
}

void
upgrade_due(struct master *m)
{
	struct upgrade *u = &m->upgrade;

	if (u->pid == 0 || u->deadline_ms == 0 || master_now_ms() < u->deadline_ms)
		return;
	u->deadline_ms = 0;
	(void)kill(u->pid, SIGKILL);
}

int64_t
upgrade_next_ms(const struct master *m)
{
	return m->upgrade.pid > 0 && m->upgrade.deadline_ms > 0 ? m->upgrade.deadline_ms : INT64_MAX;
}

/* --- in the new program --- */

void
upgrade_serves(struct master *m)
{
	m->upgrade.running = false;
	close_fd(&m->upgrade.predecessor);
	stats_add(m->stats, STATS_UPGRADES, 1);
	segment_due(m, true);
	ctl_done(m, CTL_UPGRADE, EX_OK, NULL);
}

/* Back to who could do it.  He rehearses too: a program that cannot read our state would end the service. */
void
upgrade_failed(struct master *m, const char *why)
{
	struct upgrade *u = &m->upgrade;

	u->running = false;
	u->back = true;
	free(u->reverted);
	u->reverted = strdup(why);
	u->exe = u->predecessor;
	u->predecessor = -1;
	log_msg(LOG_L_ERROR, "upgrade", "%s", why);
	if (u->reverted == NULL || u->exe < 0 || rehearse(m) != 0)
		refused(m, why);
}

static void
note(void *arg, const char *line)
{
	struct facts *f = arg;

	if (strstr(line, ": warning: ") != NULL)
		return;
	facts_begin(f, "note");
	facts_str(f, "text", line);
	facts_end(f);
}

/* Whether the config on disk, which our first generation will have, will do. */
static const char *
try_config(const struct master *m, struct facts *f)
{
	const char *why = NULL;
	struct conf *conf;
	char *text;
	size_t n;

	if (conf_read(m->file, &text, &n) != 0)
		return "the config cannot be read";
	if (conf_parse(m->file, text, n, note, f, &conf) != 0) {
		why = "the config has mistakes";
	} else {
		if (conf_check(conf, note, f) != 0)
			why = "what the config names cannot be used";
		conf_free(conf);
	}
	free(text);
	return why;
}

void
upgrade_rehearse(struct master *m, int fd, int out)
{
	struct facts f = { .text = NULL };
	char text[LISTEN_WHY_MAX], path[LISTEN_WHY_MAX / 2];
	const char *why = NULL;

	if (state_read(m, fd, text, sizeof text) != 0 || segment_fits(m, text, sizeof text) != 0)
		why = text;
	if (why == NULL && m->upgrade.reverted == NULL)
		why = try_config(m, &f);
	if (why == NULL && process_open_exe("letterplate-worker", path, sizeof path) < 0) {
		snprintf(text, sizeof text, "\"%s\" cannot be run: %s", path, strerror(errno));
		why = text;
	}
	facts_begin(&f, "end");
	facts_i64(&f, "code", why == NULL ? EX_OK : EX_CONFIG);
	facts_str(&f, "text", why);
	facts_end(&f);
	_exit(!f.failed && write(out, f.text, f.n) == (ssize_t)f.n ? EX_OK : EX_IOERR);
}

int
upgrade_resume(struct master *m, int fd, char *why, size_t cap)
{
	struct tickets *tickets;

	if (state_read(m, fd, why, cap) != 0)
		return -1;
	close(fd);
	log_init("master", -1, m->serving->conf->log.format == CONF_LOG_JSON, m->log_level);
	logs_use(m->serving);
	if (segment_resume(m) != 0) {
		snprintf(why, cap, "the counters cannot be mapped: %s", strerror(errno));
		return -1;
	}
	if (m->tickets_fd >= 0) {
		int fresh = tickets_succeed(m->tickets_fd, &tickets);

		if (fresh >= 0) {
			close(m->tickets_fd);
			m->tickets_fd = fresh;
			m->tickets = tickets;
		}
	}
	return 0;
}

void
upgrade_proceed(struct master *m)
{
	if (m->upgrade.reverted != NULL) {
		refused(m, m->upgrade.reverted);
		free(m->upgrade.reverted);
		m->upgrade.reverted = NULL;
		return;
	}
	log_msg(LOG_L_INFO, "upgrade", "letterplate " LETTERPLATE_VERSION " has taken over");
	m->upgrade.running = true;
	generation_reload(m);
}
