/*
 * logs: a new file takes the old one's descriptor by dup3(2), here and in
 * each process, so that at no time there is none.
 */
#include "master/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/ipc.h"
#include "common/log.h"
#include "master/caps.h"
#include "master/helper.h"

enum { LOST_MS = 1000 }; /* between two looks for a daemon */

int
logs_open(struct generation *gen, char *why)
{
	enum log_to to;
	const char *path;
	char hint[CAPS_WHY_MAX];
	int err;

	if (log_to_parse(gen->conf->log.to, &to, &path) != 0 || to == LOG_TO_STDERR)
		return 0;
	gen->log_fd = log_open(to, path);
	if (gen->log_fd >= 0)
		return 0;
	err = errno;
	snprintf(why, LISTEN_WHY_MAX, "cannot log to \"%.200s\": %s%s", path,
	    err == EINVAL ? "it is no regular file" : strerror(err),
	    err == EACCES ? caps_refused_by(gen->conf, hint, sizeof hint) : "");
	return -1;
}

void
logs_use(const struct generation *gen)
{
	enum log_to to;
	const char *path;

	if (log_to_parse(gen->conf->log.to, &to, &path) == 0)
		log_to(to, gen->log_fd);
}

void
logs_lost(struct master *m)
{
	m->want_log |= master_now_ms() - m->log_ms >= LOST_MS;
}

/* ${gen}'s descriptor becomes one of a file just opened.  Else that is said, and the old one goes on: false. */
static bool
reopen(struct generation *gen)
{
	char why[LISTEN_WHY_MAX];
	int old = gen->log_fd, fd;
	bool done;

	if (old < 0)
		return true;
	if (logs_open(gen, why) != 0) {
		log_msg(LOG_L_ERROR, "log", "%s; the old one stays in use", why);
		gen->log_fd = old;
		return false;
	}
	fd = gen->log_fd;
	gen->log_fd = old;
	done = dup3(fd, old, O_CLOEXEC) >= 0;
	if (!done)
		log_msg(LOG_L_ERROR, "log", "cannot go on in a new log: %s", strerror(errno));
	close(fd);
	return done;
}

/* Whether all of them could be opened. */
static bool
owe_all(struct master *m)
{
	const struct generation *done[MASTER_SLOTS + 2] = { NULL };
	unsigned n = 0;
	bool all = true;

	for (unsigned i = 0; i < MASTER_SLOTS + 2; i++) {
		struct generation *gen = i < MASTER_SLOTS ? m->slot[i].gen
		    : i == MASTER_SLOTS                   ? m->serving
							  : m->starting;
		bool seen = gen == NULL;

		for (unsigned k = 0; k < n && !seen; k++)
			seen = done[k] == gen;
		if (seen)
			continue;
		done[n++] = gen;
		all &= reopen(gen);
		helper_log_anew(gen, gen->log_fd);
	}
	for (unsigned i = 1; i < MASTER_SLOTS; i++)
		m->slot[i].log_owed = m->slot[i].control >= 0 && m->slot[i].gen->log_fd >= 0;
	return all;
}

void
logs_due(struct master *m)
{
	if (m->want_log) {
		m->want_log = false;
		m->log_ms = master_now_ms();
		if (owe_all(m))
			log_msg(LOG_L_INFO, "log", "opened anew");
	}
	for (unsigned i = 1; i < MASTER_SLOTS; i++) {
		struct slot *s = &m->slot[i];

		/* A pair that is full just now gets it on a later turn. */
		if (s->log_owed &&
		    (s->control < 0 || ipc_send_with(s->control, IPC_LOGFD, 0, s->gen->log_fd, "") == 0 ||
			errno != EAGAIN))
			s->log_owed = false;
	}
}
