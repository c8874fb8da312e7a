/*
 * drain: the end of a worker, in steps that only go forward: no new sessions;
 * idle ones are told 421; at the deadline the others too; commits under way
 * are waited for, because what is on its way to disk may be acknowledged yet.
 */
#include "worker/drain.h"

#include <sys/signalfd.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/accept.h"
#include "worker/session.h"

enum drain_step {
	DRAIN_SERVING,
	DRAIN_RETIRING, /* no new sessions; the old ones are left alone */
	DRAIN_STOPPING, /* idle sessions are told to go */
	DRAIN_EXPELLING /* all are */
};

static struct {
	struct worker *w;
	struct loop_src control, signals;
	struct loop_timer timer;
	enum drain_step step;
} drain = { .control.fd = IPC_FD_CONTROL, .signals.fd = -1 };

static void
drain_each(void (*tell)(struct session *s))
{
	struct session *s, *next;

	/* Telling one may end it, and the last one may end the worker; it never ends another. */
	for (s = LIST_FIRST(&drain.w->sessions); s != NULL; s = next) {
		next = LIST_NEXT(s, entry);
		tell(s);
	}
}

static void
drain_emptied(struct worker *w)
{
	drain_tell(IPC_DRAINED, 0);
	loop_stop(w->loop);
}

static void
drain_to(enum drain_step step)
{
	struct worker *w = drain.w;

	if (step <= drain.step)
		return;
	if (drain.step == DRAIN_SERVING) {
		accept_stop();
		w->emptied = drain_emptied;
	}
	drain.step = step;
	switch (step) {
	case DRAIN_SERVING:
	case DRAIN_RETIRING:
		break;
	case DRAIN_STOPPING:
		w->draining = true;
		drain_each(session_drain);
		break;
	case DRAIN_EXPELLING:
		drain_each(session_expel);
		break;
	}
	loop_timer_set(
	    w->loop, &drain.timer, step == DRAIN_EXPELLING ? (uint64_t)DRAIN_COMMIT_MS : w->conf->timeouts.drain_ms);
	if (w->nsessions == 0)
		drain_emptied(w);
}

static void
drain_timer(struct loop_timer *t)
{
	(void)t;
	switch (drain.step) {
	case DRAIN_SERVING:
		break;
	case DRAIN_RETIRING:
		drain_to(DRAIN_STOPPING);
		break;
	case DRAIN_STOPPING:
		drain_to(DRAIN_EXPELLING);
		break;
	case DRAIN_EXPELLING:
		log_msg(LOG_L_ERROR, "drain", "%u sessions still wait for the disk; leaving them unanswered",
		    (unsigned)drain.w->nsessions);
		loop_stop(drain.w->loop);
		break;
	}
}

static void
drain_master_gone(void)
{
	loop_unwatch(drain.w->loop, &drain.control);
	close(drain.control.fd);
	drain.control.fd = -1;
	if (drain.step < DRAIN_STOPPING)
		log_msg(LOG_L_WARN, "drain", "the master is gone; finishing what is under way");
	drain_to(DRAIN_STOPPING);
}

static void
drain_hear(const struct ipc_msg *m, const struct ipc_more *more)
{
	switch ((enum ipc_type)m->type) {
	case IPC_STOP:
		drain_to(DRAIN_STOPPING);
		break;
	case IPC_RETIRE:
		drain_to(DRAIN_RETIRING);
		break;
	case IPC_LOGLEVEL:
		if (m->arg <= LOG_L_DEBUG)
			log_set_level((enum log_level)m->arg);
		break;
	case IPC_TRACE:
		if (drain.w->trace != NULL)
			drain.w->trace(drain.w, more->fd, more->text);
		else
			close(more->fd);
		break;
	case IPC_LOGFD:
		if (log_reopened(more->fd) != 0)
			log_msg(LOG_L_ERROR, "log", "cannot go on in a new log: %s", strerror(errno));
		break;
	case IPC_READY:
	case IPC_FAILED:
	case IPC_DRAINED:
	case IPC_LOGLOST:
	case IPC_TYPES:
		break;
	}
}

static void
drain_control(struct loop_src *src, unsigned what)
{
	struct ipc_more more;
	struct ipc_msg m;

	(void)what;
	for (;;) {
		int got = ipc_recv_with(src->fd, &m, &more);

		if (got == 0)
			return;
		if (got < 0) {
			drain_master_gone();
			return;
		}
		drain_hear(&m, &more);
	}
}

static void
drain_signal(struct loop_src *src, unsigned what)
{
	struct signalfd_siginfo si;

	(void)what;
	while (read(src->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		drain_to(DRAIN_STOPPING);
}

void
drain_tell(enum ipc_type type, uint32_t arg)
{
	if (drain.control.fd != -1)
		(void)ipc_send(drain.control.fd, type, arg);
}

int
drain_start(struct worker *w, int control)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	drain.w = w;
	drain.timer.fire = drain_timer;
	drain.control = (struct loop_src){ control, drain_control };
	drain.signals = (struct loop_src){ signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), drain_signal };
	if (drain.signals.fd == -1)
		return -1;
	if (loop_watch_level(w->loop, &drain.control, false) != 0)
		return -1;
	return loop_watch_level(w->loop, &drain.signals, false);
}
