/*
 * main: letterplate-keys, the one process that has the private keys.
 * The master starts one a generation.  It reads the keys, gives up all that it
 * could do with them but to sign, and signs for the workers: a thread for each
 * of them, so that one which floods or does not listen holds up nobody else.
 * It ends when the last of them has, or when it is told to.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/child.h"
#include "common/log.h"
#include "common/pem.h"
#include "keys/key.h"
#include "worker/sandbox.h"

enum {
	STACK = 256 << 10, /* octets of a thread's stack */
	FSIZE = 64 << 10,  /* no file is written */
	FDS_FIXED = 16,    /* descriptors beside the channels */
	LINES_MAX = 20     /* refusals of one worker that are logged */
};

static struct conf *conf;
static pthread_t thread[CONF_WORKERS_MAX];

static void
read_keys(void)
{
	struct bundle certs, keys;

	if (pem_init() != 0 || bundle_open(IPC_KEYS_FD_CERTS, &certs) != 0 ||
	    bundle_open(IPC_KEYS_FD_KEYS, &keys) != 0) {
		log_msg(LOG_L_ERROR, "start", "cannot read the keys: %s", strerror(errno));
		child_fail(EX_OSERR);
	}
	if (key_load(&certs, &keys) != 0)
		child_fail(EX_CONFIG);
	bundle_close(&certs);
	bundle_close(&keys);
	close(IPC_KEYS_FD_CERTS);
	close(IPC_KEYS_FD_KEYS);
}

/* --- a worker's channel --- */

static void
refused(unsigned channel, unsigned *lines, const struct sign_ask *ask, const char *why)
{
	struct log_line l;

	if ((*lines)++ >= LINES_MAX)
		return;
	log_begin(&l, LOG_L_ERROR, "sign-refused");
	log_u64(&l, "channel", channel);
	log_u64(&l, "section", ask->section);
	log_u64(&l, "scheme", ask->scheme);
	log_u64(&l, "octets", ask->n);
	log_str(&l, "why", why);
	log_end(&l);
}

static bool
send_answer(int fd, const struct sign_answer *a)
{
	ssize_t n;

	do
		n = send(fd, a, SIGN_ANSWER_HEAD + a->n, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n > 0;
}

static void *
serve(void *arg)
{
	unsigned channel = (unsigned)(uintptr_t)arg, lines = 0;
	int fd = IPC_KEYS_FD_CHANNEL + (int)channel;
	struct sign_answer a = { .id = 0 };
	struct sign_ask ask;
	ssize_t n;

	/* What a predecessor had taken and not answered is asked again. */
	if (!send_answer(fd, &a))
		return NULL;
	for (;;) {
		const char *why;

		n = recv(fd, &ask, sizeof ask, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if ((size_t)n < SIGN_ASK_HEAD || ask.n > SIGN_TEXT_MAX || (size_t)n != SIGN_ASK_HEAD + ask.n) {
			log_msg(LOG_L_ERROR, "channel", "worker %u sent something malformed: it is not served any more",
			    channel);
			break;
		}
		a.id = ask.id;
		a.n = key_sign(&ask, a.octets, &why);
		if (a.n == 0)
			refused(channel, &lines, &ask, why);
		if (!send_answer(fd, &a))
			break;
	}
	shutdown(fd, SHUT_RDWR);
	return NULL;
}

static void
start_threads(unsigned n)
{
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);

	if (err == 0)
		err = pthread_attr_setstacksize(&attr, STACK);
	for (unsigned i = 0; i < n && err == 0; i++)
		err = pthread_create(&thread[i], &attr, serve, (void *)(uintptr_t)i);
	if (err != 0 || log_thread_start() != 0) {
		log_msg(LOG_L_ERROR, "start", "cannot start threads: %s", strerror(err != 0 ? err : errno));
		child_fail(EX_OSERR);
	}
}

/* --- life --- */

/* Until the master says stop.  If it is gone, workers may still have handshakes to do: until the last of them is gone too. */
static void
wait_end(unsigned n)
{
	struct pollfd p = { .fd = IPC_FD_CONTROL, .events = POLLIN };
	struct ipc_msg m;

	for (;;) {
		int got;

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			break;
		got = child_hear(&m);
		if (got > 0 && child_ends(&m))
			return;
		if (got < 0)
			break;
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
}

int
main(int argc, char **argv, char **envp)
{
	struct sandbox sb = { .fsize_max = FSIZE, .master = getppid() };
	struct child me = { .who = "keys", .channels = true };
	unsigned n, level;

	child_begin(&me, argc, argv, envp);
	n = me.n;
	/* The master's death sends TERM; wait_end() knows better when to go. */
	signal(SIGTERM, SIG_IGN);
	conf = child_conf("keys", argv[2]);
	read_keys();
	sb.user = conf->user;
	sb.nofile = n + FDS_FIXED;
	if (sandbox_drop(&sb, &level) != 0)
		child_fail(EX_NOPERM);
	start_threads(n);
	if (sandbox_close_keys(&level) != 0)
		child_fail(EX_NOPERM);
	log_msg(LOG_L_INFO, "ready", "%zu keys, %u workers, sandbox level %u", key_count(), n, level);
	(void)ipc_send(IPC_FD_CONTROL, IPC_READY, 0);
	wait_end(n);
	log_flush(1000);
	return EX_OK;
}
