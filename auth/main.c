/*
 * main: letterplate-auth, the one process that has the credentials.
 * The master starts one a generation, with the file already open.  It reads
 * it, gives up all that it could do but to answer workers, and ends when the
 * last of them has, or when it is told to.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "auth/check.h"
#include "common/child.h"
#include "common/log.h"
#include "worker/sandbox.h"

enum {
	FSIZE = 64 << 10, /* no file is written */
	FDS_FIXED = 16    /* descriptors beside the channels */
};

static struct conf *conf;
static struct credentials list;
static struct budget *budget;

static void
take_files(void)
{
	char why[128];

	/* Without passwords it is here to count guesses at tokens. */
	if (conf_offers_passwords(conf) && credential_list_read(IPC_AUTH_FD_FILE, &list, why, sizeof why) != 0) {
		log_msg(LOG_L_ERROR, "start", "credentials \"%s\": %s", conf->credentials, why);
		child_fail(EX_CONFIG);
	}
	close(IPC_AUTH_FD_FILE);
	budget = budget_map(IPC_AUTH_FD_BUDGET);
	if (budget == NULL) {
		log_msg(LOG_L_ERROR, "start", "cannot map the budgets: %s", strerror(errno));
		child_fail(errno == EPROTONOSUPPORT ? EX_PROTOCOL : EX_OSERR);
	}
	close(IPC_AUTH_FD_BUDGET);
}

/* What came on a channel.  False: it is not served any more. */
static bool
hear_worker(unsigned i)
{
	static struct auth_ask a;
	ssize_t n = recv(IPC_AUTH_FD_CHANNEL + (int)i, &a, sizeof a, MSG_DONTWAIT);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (n <= 0)
		return false;
	if (!check_form(&a, (size_t)n)) {
		explicit_bzero(&a, sizeof a);
		log_msg(LOG_L_ERROR, "channel", "worker %u sent something malformed: it is not served any more", i);
		shutdown(IPC_AUTH_FD_CHANNEL + (int)i, SHUT_RDWR);
		return false;
	}
	check_ask(i, IPC_AUTH_FD_CHANNEL + (int)i, &a);
	return true;
}

/* The master's word.  False: the end. */
static bool
hear_master(struct pollfd *p)
{
	struct ipc_msg m;
	int got = child_hear(&m);

	if (got < 0)
		p->fd = -1; /* it is gone; workers may still have clients */
	return got <= 0 || !child_ends(&m);
}

static void
serve(unsigned n)
{
	struct pollfd p[CONF_WORKERS_MAX + 1];
	unsigned left = n;

	for (unsigned i = 0; i < n; i++)
		p[i] = (struct pollfd){ .fd = IPC_AUTH_FD_CHANNEL + (int)i, .events = POLLIN };
	p[n] = (struct pollfd){ .fd = IPC_FD_CONTROL, .events = POLLIN };
	while (left > 0) {
		if (poll(p, n + 1, -1) < 0) {
			if (errno != EINTR)
				break;
			continue;
		}
		if (p[n].revents != 0 && !hear_master(&p[n]))
			return;
		for (unsigned i = 0; i < n; i++)
			if (p[i].fd >= 0 && p[i].revents != 0 && !hear_worker(i)) {
				p[i].fd = -1;
				left--;
			}
	}
}

int
main(int argc, char **argv, char **envp)
{
	struct sandbox sb = { .fsize_max = FSIZE, .master = getppid() };
	struct auth_answer hello = { .boot = 0 };
	struct credential nobody;
	struct child me = { .who = "auth", .channels = true };
	unsigned n, level;

	child_begin(&me, argc, argv, envp);
	n = me.n;
	/* The master's death sends TERM; serve() knows better when to go. */
	signal(SIGTERM, SIG_IGN);
	conf = child_conf("auth", argv[2]);
	take_files();
	sb.user = conf->user;
	sb.nofile = n + FDS_FIXED;
	/* libcrypto's first steps open files. */
	credential_nobody(&list, SPAN("x"), &nobody);
	(void)credential_check(NULL, SPAN("x"), &nobody);
	if (sandbox_drop(&sb, &level) != 0)
		child_fail(EX_NOPERM);
	if (check_start(conf, &list, budget, n) != 0 || log_thread_start() != 0) {
		log_msg(LOG_L_ERROR, "start", "cannot start threads: %s", strerror(errno));
		child_fail(EX_OSERR);
	}
	if (sandbox_close_keys(&level) != 0)
		child_fail(EX_NOPERM);
	/* What a predecessor had taken and not answered is lost. */
	for (unsigned i = 0; i < n; i++)
		(void)send(IPC_AUTH_FD_CHANNEL + (int)i, &hello, AUTH_ANSWER_HEAD, MSG_NOSIGNAL | MSG_DONTWAIT);
	log_msg(LOG_L_INFO, "ready", "%zu names, %u workers, sandbox level %u", list.n, n, level);
	(void)ipc_send(IPC_FD_CONTROL, IPC_READY, 0);
	serve(n);
	log_flush(1000);
	/* Not exit(): threads may be in the middle of a hash, and would find libcrypto cleaned up under them. */
	_exit(EX_OK);
}
