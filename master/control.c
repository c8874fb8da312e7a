/*
 * control: signals become flags, the flags are acted on in one place, once a
 * turn of the loop.
 */
#include "master/control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/tickets.h"
#include "master/generation.h"
#include "master/helper.h"
#include "master/logs.h"
#include "master/mend.h"
#include "master/nobody.h"
#include "master/notify.h"
#include "master/segment.h"
#include "master/spawn.h"
#include "master/upgrade.h"
#include "master/watch.h"

int64_t
master_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
control_hold(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
}

int
control_signals(void)
{
	static const int read_by_loop[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2 };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof read_by_loop / sizeof *read_by_loop; i++)
		sigaddset(&set, read_by_loop[i]);
	/* An ignored SIGCHLD, which a parent may leave to us, would reap for us. */
	(void)signal(SIGCHLD, SIG_DFL);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_SETMASK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
read_signals(struct master *m)
{
	struct signalfd_siginfo si;

	while (read(m->signal_fd, &si, sizeof si) == (ssize_t)sizeof si) {
		switch (si.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			m->want_now |= m->want_stop;
			m->want_stop = true;
			break;
		case SIGHUP:
			m->want_reload = true;
			break;
		case SIGUSR1:
			m->want_log = true;
			break;
		case SIGUSR2:
			m->want_upgrade = true;
			break;
		}
	}
}

/* IPC_STOP: idle sessions are told to go.  IPC_RETIRE: they end by themselves. */
static void
stop(struct master *m, enum ipc_type how)
{
	m->stopping = true;
	notify_send("STOPPING=1\nSTATUS=draining");
	log_msg(LOG_L_INFO, "stop", "draining %u workers", spawn_running(m));
	spawn_tell(m, NULL, how);
	if (m->serving != NULL)
		helper_dismiss(m->serving, IPC_STOP);
	listen_close_all(&m->listen);
	ctl_call_off(m, CTL_RELOAD);
	upgrade_call_off(m);
}

/* All that signals asked for. */
static void
act(struct master *m)
{
	if (m->want_stop && !m->stopped) {
		m->stopped = true;
		stop(m, IPC_STOP);
	} else if (m->want_drain && !m->stopping) {
		stop(m, IPC_RETIRE);
	}
	if (m->want_now) {
		m->want_now = false;
		log_msg(LOG_L_WARN, "stop", "asked twice: killed %u workers", spawn_kill(m, NULL));
	}
	logs_due(m);
	/* One that comes while a generation is starting is looked at when that is over. */
	if (m->serving == NULL || m->starting != NULL || m->stopping || upgrade_busy(m))
		return;
	if (m->want_upgrade && !m->again) {
		m->want_upgrade = false;
		upgrade_begin(m);
	} else if (generation_again(m)) {
		generation_reload(m);
	} else if (m->want_reload && !m->again) {
		m->want_reload = false;
		generation_reload(m);
	}
}

static int
timeout_ms(const struct master *m)
{
	int64_t next = spawn_next_ms(m), start = generation_next_ms(m), now = master_now_ms();

	if (start < next)
		next = start;
	if (helper_next_ms(m) < next)
		next = helper_next_ms(m);
	if (ctl_next_ms(m) < next)
		next = ctl_next_ms(m);
	if (upgrade_next_ms(m) < next)
		next = upgrade_next_ms(m);
	if (notify_next_ms() < next)
		next = notify_next_ms();
	if (nobody_next_ms(m) < next)
		next = nobody_next_ms(m);
	/* Once a second the master shows that it lives. */
	if (next > now + 1000)
		next = now + 1000;
	return next > now ? (int)(next - now) : 0;
}

static void
turn(struct master *m)
{
	struct pollfd p[MASTER_SLOTS + HELPER_POLL_MAX + CTL_POLL_MAX + 1 + CONF_ADDRESSES_MAX];
	unsigned slot[MASTER_SLOTS];
	nfds_t n = 0, nworkers;

	p[n++] = (struct pollfd){ .fd = m->signal_fd, .events = POLLIN };
	for (unsigned i = 1; i < MASTER_SLOTS; i++) {
		if (m->slot[i].control < 0)
			continue;
		slot[n] = i;
		p[n++] = (struct pollfd){ .fd = m->slot[i].control, .events = POLLIN };
	}
	nworkers = n;
	n += helper_poll(m, p + n);
	n += ctl_poll(m, p + n);
	n += upgrade_poll(m, p + n);
	n += nobody_poll(m, p + n);
	if (poll(p, n, timeout_ms(m)) < 0 && errno != EINTR) {
		log_msg(LOG_L_ERROR, "poll", "%s", strerror(errno));
		sleep(1);
	}
	read_signals(m);
	/* A slot may change hands below, so what it says is read before anything is done about it. */
	for (nfds_t k = 1; k < nworkers; k++)
		if (p[k].revents != 0 && m->slot[slot[k]].control == p[k].fd)
			spawn_hear(m, slot[k]);
	helper_hear(m);
	upgrade_hear(m);
	spawn_reap(m);
	/* Before anybody is started, and once a second at the least. */
	mend_listeners(&m->listen);
	ctl_hear(m);
	act(m);
	spawn_due(m);
	helper_due(m);
	if (m->tickets != NULL)
		tickets_turn(m->tickets, master_now_ms() / 1000);
	generation_due(m);
	upgrade_due(m);
	watch_due(m);
	segment_due(m, false);
	nobody_due(m);
	ctl_due(m);
	notify_due();
	stats_beat(m->stats, (uint64_t)time(NULL));
}

int
control_run(struct master *m)
{
	while (!m->stopping || spawn_running(m) > 0)
		turn(m);
	listen_close_all(&m->listen);
	/* Slots that were waiting for a replacement. */
	spawn_due(m);
	log_msg(LOG_L_INFO, "stopped", "all workers are gone");
	ctl_close(m);
	return m->code;
}
