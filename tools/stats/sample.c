/*
 * sample: the segment at one moment, and who of its processes lives.
 * Numbers in it come from outside: a pid is checked before kill(2) sees it.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>

#include "common/reply.h"
#include "tools/stats/show.h"

enum { PID_LIMIT = 1 << 22 }; /* the kernel's PID_MAX_LIMIT */

bool
sample_alive(uint64_t pid)
{
	if (pid == 0 || pid > PID_LIMIT)
		return false;
	return kill((pid_t)pid, 0) == 0 || errno == EPERM;
}

uint64_t
sample_beat_age(const struct sample *s, const struct stats_worker *w)
{
	return w->beat < s->now ? s->now - w->beat : 0;
}

uint64_t
sample_replies(const struct stats_sum *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < STATS_CODES; i++)
		if (__builtin_add_overflow(n, s->reply[i], &n))
			return UINT64_MAX;
	return n;
}

bool
sample_continues(const struct sample *a, const struct sample *b)
{
	if (a->sum.started != b->sum.started)
		return false;
	for (size_t i = 0; i < STATS_NCOUNTERS; i++)
		if (b->sum.counter[i] < a->sum.counter[i])
			return false;
	for (size_t i = 0; i < STATS_CODES; i++)
		if (b->sum.reply[i] < a->sum.reply[i])
			return false;
	return true;
}

void
show_enh(uint32_t enh, char out[SHOW_ENH_MAX])
{
	out[0] = '\0';
	if (enh != 0)
		snprintf(out, SHOW_ENH_MAX, "%u.%u.%u", ENH_CLASS(enh), ENH_SUBJECT(enh), ENH_DETAIL(enh));
}

static int
explain(const char *path, int e, char *err)
{
	const char *why = strerror(e);
	int code = EX_IOERR;

	if (e == ENOENT || e == ENOTDIR) {
		why = "no such file: is state_dir right, has the server ever run? One that runs makes a lost one anew "
		      "within seconds";
		code = EX_NOINPUT;
	} else if (e == EACCES || e == EPERM) {
		why = "permission denied: may this user read it, and enter its folder?";
		code = EX_NOPERM;
	} else if (e == EBADMSG) {
		why = "is not a stats segment of Letterplate, or is damaged";
		code = EX_DATAERR;
	} else if (e == EPROTONOSUPPORT) {
		why = "was written by another version of Letterplate: use the letterplate-stats that came with it";
		code = EX_DATAERR;
	} else if (e == ENOMEM) {
		code = EX_OSERR;
	}
	snprintf(err, SHOW_ERROR_MAX, "%.300s: %s", path, why);
	return code;
}

static void
look_around(struct sample *s)
{
	struct timespec mono = { 0 };

	s->now = (uint64_t)time(NULL);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	s->at_us = (uint64_t)mono.tv_sec * 1000000 + (uint64_t)mono.tv_nsec / 1000;
	for (size_t i = 0; i < s->sum.nworker; i++) {
		const struct stats_worker *w = &s->sum.worker[i];

		if (w->slot == 0) {
			s->master = w->pid;
			s->master_alive = sample_alive(w->pid);
		} else {
			s->nworker += sample_alive(w->pid);
		}
	}
}

int
sample_take(const char *path, struct sample *s, char *err)
{
	char *inside = NULL;
	struct stat st;
	int e = 0;

	*s = (struct sample){ 0 };
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		if (asprintf(&inside, "%s/%s", path, STATS_FILE) == -1)
			return explain(path, ENOMEM, err);
		path = inside;
	}
	if (stats_look(path, &s->sum) != 0)
		e = errno;
	if (e != 0)
		e = explain(path, e, err);
	else
		look_around(s);
	free(inside);
	return e;
}

void
sample_free(struct sample *s)
{
	stats_sum_free(&s->sum);
}
