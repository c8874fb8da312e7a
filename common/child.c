/*
 * child: see child.h.
 */
#include "common/child.h"

#include <bsd/stdlib.h>
#include <bsd/unistd.h>
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"

void
child_begin(struct child *c, int argc, char **argv, char **envp)
{
	const char *bad = "", *worse = NULL;

	setproctitle_init(argc, argv, envp);
	log_init(c->who, -1, false, LOG_L_INFO);
	if (argc > 1 && !ipc_layout_is_ours(argv[1])) {
		log_msg(LOG_L_ERROR, "start", "this letterplate-%s is of another build than the letterplate that runs",
		    c->who);
		exit(EX_PROTOCOL);
	}
	if (argc == 4 + c->channels) {
		c->generation = (uint64_t)strtonum(argv[3], 0, INT64_MAX, &bad);
		if (c->channels)
			c->n = (unsigned)strtonum(argv[4], 1, CONF_WORKERS_MAX, &worse);
	}
	if (bad != NULL || worse != NULL) {
		log_msg(LOG_L_ERROR, "start", "letterplate-%s is started by letterplate alone", c->who);
		exit(EX_USAGE);
	}
	setproctitle("generation %s", argv[3]);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

void
child_fail(int code)
{
	(void)ipc_send(IPC_FD_CONTROL, IPC_FAILED, (uint32_t)code);
	log_flush(1000);
	exit(code);
}

static void
report(void *arg, const char *line)
{
	(void)arg;
	log_msg(LOG_L_ERROR, "config", "%s", line);
}

int
child_read(const char *file, struct conf **out)
{
	char *text = malloc(CONF_TEXT_MAX);
	ssize_t n;
	int code = EX_OK;

	if (text == NULL)
		return EX_OSERR;
	n = pread(IPC_FD_CONF, text, CONF_TEXT_MAX, 0);
	close(IPC_FD_CONF);
	if (n < 0 || conf_parse(file, text, (size_t)n, report, NULL, out) != 0)
		code = EX_CONFIG;
	free(text);
	return code;
}

void
child_log(const struct conf *cf, const char *who, int slot, bool inherited)
{
	log_init(who, slot, cf->log.format == CONF_LOG_JSON, (enum log_level)cf->log.level);
	log_set_rate(cf->log.rate);
	if (inherited)
		log_to_inherited(cf->log.to);
}

struct conf *
child_conf(const char *who, const char *file)
{
	struct conf *cf;
	int code = child_read(file, &cf);

	if (code != EX_OK)
		child_fail(code);
	child_log(cf, who, -1, true);
	return cf;
}

int
child_hear(struct ipc_msg *m)
{
	struct ipc_more more;
	int got = ipc_recv_with(IPC_FD_CONTROL, m, &more);

	if (got > 0 && m->type == IPC_LOGFD)
		(void)log_reopened(more.fd);
	else if (got > 0 && more.fd >= 0)
		close(more.fd);
	if (got > 0 && m->type == IPC_LOGLEVEL && m->arg <= LOG_L_DEBUG)
		log_set_level((enum log_level)m->arg);
	return got;
}

bool
child_ends(const struct ipc_msg *m)
{
	return m->type == IPC_STOP || m->type == IPC_RETIRE;
}
