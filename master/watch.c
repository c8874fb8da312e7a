/*
 * watch: see watch.h.  The master beats while every loop turns: if a worker
 * hangs and cannot be replaced, the service manager is to look after it.
 */
#include "master/watch.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "common/log.h"
#include "master/blame.h"
#include "master/notify.h"
#include "master/process.h"
#include "master/segment.h"

void
watch_set(struct watch *w, uint64_t watchdog_us)
{
	int64_t half = (int64_t)(watchdog_us / 2000);

	w->watchdog_us = watchdog_us;
	w->hang_ms = WATCH_HANG_MS;
	if (watchdog_us > 0 && half < WATCH_HANG_MS)
		w->hang_ms = half > WATCH_HANG_MIN_MS ? half : WATCH_HANG_MIN_MS;
	w->turn_ms = 0;
	w->beat_ms = 0;
}

void
watch_init(struct watch *w)
{
	const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID"), *bad = NULL;
	uint64_t n = us != NULL ? (uint64_t)strtonum(us, 0, INT64_MAX, &bad) : 0;

	if (us == NULL || bad != NULL)
		n = 0;
	bad = NULL;
	if (pid != NULL && (pid_t)strtonum(pid, 1, INT_MAX, &bad) != getpid())
		n = 0;
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	watch_set(w, n);
}

static void
end(struct master *m, unsigned i, int64_t now)
{
	struct slot *s = &m->slot[i];
	char names[BLAME_MAX];
	struct log_line l;

	log_begin(&l, LOG_L_ERROR, "worker-hung");
	log_u64(&l, "slot", i);
	log_i64(&l, "pid", s->pid);
	log_u64(&l, "generation", s->gen->number);
	log_str(&l, "why", "its loop does not turn");
	log_str(&l, "in", blame_names(m, i, names));
	log_ms(&l, "ms", (uint64_t)s->late_ms * 1000);
	log_end(&l);
	stats_add(m->stats, STATS_WORKERS_HUNG, 1);
	/* Whoever has a debugger or wants a core sees where; a stopped one needs the second signal. */
	process_kill(s->pid, SIGABRT, s->gen->conf->user);
	s->hung = true;
	s->kill_ms = now + WATCH_ABORT_MS;
}

/* The longest lateness of those that are to be waited for. */
static int64_t
look(struct master *m, int64_t turn_ms, int64_t now)
{
	int64_t latest = 0;

	for (unsigned i = 1; i < MASTER_SLOTS; i++) {
		struct slot *s = &m->slot[i];
		uint64_t beat;

		if (s->state != WORKER_READY || s->pid == 0 || segment_beat(m, i, &beat) != 0)
			continue;
		if (beat != s->beat) {
			s->beat = beat;
			s->late_ms = 0;
			continue;
		}
		s->late_ms += turn_ms;
		if (s->late_ms >= m->watch.hang_ms && !s->hung)
			end(m, i, now);
		latest = s->late_ms > latest ? s->late_ms : latest;
	}
	return latest;
}

void
watch_due(struct master *m)
{
	struct watch *w = &m->watch;
	int64_t now = master_now_ms(), turn_ms = w->turn_ms > 0 ? now - w->turn_ms : 0, late;

	if (turn_ms > WATCH_TURN_MS)
		turn_ms = WATCH_TURN_MS;
	w->turn_ms = now;
	late = look(m, turn_ms, now);
	/* Three beats in an interval; none while somebody is half as late as would be his end. */
	if (w->watchdog_us == 0 || late > w->hang_ms / 2 || now - w->beat_ms < (int64_t)(w->watchdog_us / 3000))
		return;
	w->beat_ms = now;
	notify_send("WATCHDOG=1");
}
