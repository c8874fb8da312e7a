/*
 * command: a table of them.  What takes time sets the same flags as a signal
 * does, and is done in the same place.
 */
#include "master/command.h"

#include <string.h>
#include <sysexits.h>

#include "common/log.h"
#include "master/master.h"
#include "master/spawn.h"
#include "master/status.h"

static int
run_status(struct master *m, const struct fact *request, struct facts *out, const char **why)
{
	(void)request;
	status_write(m, out);
	if (status_failing(m))
		return *why = "no worker serves; the log says why they end", EX_TEMPFAIL;
	return EX_OK;
}

static int
run_reload(struct master *m, const struct fact *request, struct facts *out, const char **why)
{
	(void)request;
	(void)out;
	if (m->stopping)
		return *why = "the server is stopping", EX_TEMPFAIL;
	m->want_reload = true;
	return EX_OK;
}

static int
run_upgrade(struct master *m, const struct fact *request, struct facts *out, const char **why)
{
	(void)request;
	(void)out;
	if (m->stopping)
		return *why = "the server is stopping", EX_TEMPFAIL;
	m->want_upgrade = true;
	return EX_OK;
}

static int
run_drain(struct master *m, const struct fact *request, struct facts *out, const char **why)
{
	(void)request;
	(void)out;
	(void)why;
	m->want_drain = true;
	return EX_OK;
}

/* Once more, like a second TERM, ends it at once. */
static int
run_stop(struct master *m, const struct fact *request, struct facts *out, const char **why)
{
	(void)out;
	(void)why;
	m->want_now |= facts_num(request, "now", 0, 1, 0) == 1;
	m->want_stop = true;
	return EX_OK;
}

static int
run_loglevel(struct master *m, const struct fact *request, struct facts *out, const char **why)
{
	static const char *const name[] = { "error", "warn", "info", "debug" };
	const char *asked = facts_get(request, "level");

	(void)out;
	for (unsigned i = 0; i < sizeof name / sizeof *name; i++) {
		if (asked == NULL || strcmp(asked, name[i]) != 0)
			continue;
		spawn_loglevel(m, i);
		return EX_OK;
	}
	*why = "the level is one of error, warn, info, debug";
	return EX_USAGE;
}

static int
run_trace(struct master *m, const struct fact *request, struct facts *out, const char **why)
{
	(void)m;
	(void)request;
	(void)out;
	(void)why;
	return EX_OK;
}

static const struct command table[] = {
	{ "status", false, CTL_NOTHING, run_status },
	{ "reload", true, CTL_RELOAD, run_reload },
	{ "upgrade", true, CTL_UPGRADE, run_upgrade },
	{ "drain", true, CTL_END, run_drain },
	{ "stop", true, CTL_END, run_stop },
	{ "loglevel", true, CTL_NOTHING, run_loglevel },
	{ "trace", true, CTL_TRACE, run_trace },
};

const struct command *
command_find(const char *name)
{
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}
