/*
 * stubworker: stands in for letterplate-worker in the tests of the master.
 * It does what the file "stub" beside the config says (a word a line), writes
 * down what it was given into "stub.SLOT.GENERATION", and greets every
 * connection with its slot and generation.  Words:
 *   fail=CODE      say IPC_FAILED and exit with it
 *   exit=CODE      exit before being ready
 *   die-after=MS   ready, then abort
 *   mute           never ready
 *   stubborn       ready, deaf to IPC_STOP, IPC_RETIRE and TERM
 *   garbage        ready, then a malformed message
 *   flood          ready, then it says so without end
 *   hangup         ready, then close the control socket and live on
 *   stuck          ready, but its loop does not turn
 *   linger=MS      after IPC_RETIRE or IPC_STOP, stay as long
 *   busy           count a session each 10 ms of that
 * "WORD@N" counts for generation N alone.
 * Called as the master is, with -c, it is a new program that is no good:
 *   master-exit=CODE  it ends
 *   master-hang       it says nothing
 *   master-noise      it says nonsense without end
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/ipc.h"
#include "common/stats.h"

extern char **environ;

static struct {
	const char *conf, *slot, *generation;
	int nlisten;
} arg;

/* DIR of the config, with ${name}. */
static void
beside(char *out, size_t cap, const char *name)
{
	const char *slash = strrchr(arg.conf, '/');

	snprintf(
	    out, cap, "%.*s/%s", slash != NULL ? (int)(slash - arg.conf) : 1, slash != NULL ? arg.conf : ".", name);
}

/* The value of ${word} for this generation: -1 not given, 0 given without one. */
static long
told(const char *word)
{
	char path[4096], line[128];
	size_t n = strlen(word);
	long found = -1;
	FILE *f;

	beside(path, sizeof path, "stub");
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		char *at;

		line[strcspn(line, "\n")] = '\0';
		at = strchr(line, '@');
		if (at != NULL && strcmp(at + 1, arg.generation) != 0)
			continue;
		if (at != NULL)
			*at = '\0';
		if (strncmp(line, word, n) == 0 && (line[n] == '=' || line[n] == '\0'))
			found = line[n] == '=' ? strtol(line + n + 1, NULL, 10) : 0;
	}
	if (f != NULL)
		fclose(f);
	return found;
}

/* What we were given, for the test to look at. */
static void
write_down(void)
{
	char path[4096], name[64];
	unsigned n = 0;
	sigset_t blocked;
	struct sigaction sa;
	FILE *f;
	int open_fd[64], nopen = 0;

	for (int fd = 0; fd < 1024 && nopen < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			open_fd[nopen++] = fd;
	snprintf(name, sizeof name, "stub.%s.%s", arg.slot, arg.generation);
	beside(path, sizeof path, name);
	f = fopen(path, "w");
	if (f == NULL)
		abort();
	fprintf(f, "pid=%d\nppid=%d\nnlisten=%d\nfds=", (int)getpid(), (int)getppid(), arg.nlisten);
	for (int i = 0; i < nopen; i++)
		fprintf(f, "%d ", open_fd[i]);
	while (environ[n] != NULL)
		n++;
	fprintf(f, "\numask=%o\nenviron=%u\nseals=%d\n", (unsigned)umask(077), n, fcntl(IPC_FD_CONF, F_GET_SEALS));
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	for (int sig = 1; sig < 32; sig++) {
		if (sigismember(&blocked, sig) == 1)
			fprintf(f, "blocked=%d\n", sig);
		if (sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
			fprintf(f, "ignored=%d\n", sig);
	}
	for (int i = 0; i < arg.nlisten; i++) {
		int fd = IPC_FD_LISTEN + i, listening = 0, flags = fcntl(fd, F_GETFL);
		socklen_t len = sizeof listening;

		getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len);
		fprintf(
		    f, "listen%d=%s%s\n", i, listening ? "listening" : "NOT", flags & O_NONBLOCK ? "" : " blocking");
	}
	fclose(f);
}

static void
greet(int listener, struct stats_slot *slot)
{
	char text[64];
	int c = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ssize_t n;

	if (c < 0)
		return;
	/* Counted before it can be seen, as the tests compare. */
	if (slot != NULL) {
		stats_add(slot, STATS_SESSIONS_TOTAL, 1);
		stats_reply(slot, 220, 2u << 20, "stub");
		stats_observe(slot, STATS_H_SESSION, 1000);
		stats_answer(slot, stats_handler(slot, "stub"), STATS_A_ASKED);
		stats_answer_time(slot, stats_handler(slot, "stub"), 1000);
		stats_tag(slot, "stub");
		stats_tls_failed(slot, "stub");
	}
	n = write(c, text, (size_t)snprintf(text, sizeof text, "stub %s %s\r\n", arg.slot, arg.generation));
	(void)n;
	close(c);
}

/* Tell whoever traces that we are one who was told. */
static void
trace(const struct ipc_more *more)
{
	dprintf(more->fd, "stub %s %s %s\n", arg.slot, arg.generation, more->text);
	close(more->fd);
}

/* After STOP or RETIRE; who lingers goes on counting, a session each 10 ms. */
static void
leave(struct stats_slot *slot)
{
	long ms = told("linger");
	bool busy = told("busy") >= 0;

	for (; ms > 0; ms -= 10) {
		nanosleep(&(struct timespec){ 0, 10 * 1000000 }, NULL);
		if (slot != NULL && busy)
			stats_add(slot, STATS_SESSIONS_TOTAL, 1);
	}
	ipc_send(IPC_FD_CONTROL, IPC_DRAINED, 0);
	exit(0);
}

static void
serve(void)
{
	struct pollfd p[80];
	struct stats_slot *slot = stats_slot_map(
	    IPC_FD_STATS, (unsigned)strtol(arg.slot, NULL, 10), (uint64_t)strtol(arg.generation, NULL, 10));
	struct ipc_more more;
	struct ipc_msg m;
	bool stubborn = told("stubborn") >= 0;
	int n = 0, got;

	p[n++] = (struct pollfd){ .fd = IPC_FD_CONTROL, .events = POLLIN };
	for (int i = 0; i < arg.nlisten && n < 80; i++)
		p[n++] = (struct pollfd){ .fd = IPC_FD_LISTEN + i, .events = POLLIN };
	for (;;) {
		if (slot != NULL)
			stats_beat(slot, (uint64_t)time(NULL));
		if (poll(p, (nfds_t)n, 500) <= 0)
			continue;
		for (int i = 1; i < n; i++)
			if (p[i].revents != 0)
				greet(p[i].fd, slot);
		if (p[0].revents == 0)
			continue;
		got = ipc_recv_with(IPC_FD_CONTROL, &m, &more);
		if (got < 0)
			exit(errno == 0 ? 0 : 1);
		if (got > 0 && m.type == IPC_TRACE)
			trace(&more);
		else if (got > 0 && m.type == IPC_LOGLEVEL)
			fprintf(stderr, "stub %s level %u\n", arg.slot, m.arg);
		else if (got > 0 && !stubborn)
			leave(slot);
	}
}

/* Hears nothing any more, not even that its master is gone: a test that fails must not leave it behind. */
static _Noreturn void
deaf(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

/* What it is to do once it is ready: the test may take the words back as soon as it hears that. */
struct words {
	long die_after, garbage, flood, stuck, hangup;
};

static void
misbehave(const struct words *w)
{
	if (w->die_after >= 0) {
		nanosleep(&(struct timespec){ w->die_after / 1000, w->die_after % 1000 * 1000000 }, NULL);
		abort();
	}
	if (w->garbage >= 0 && send(IPC_FD_CONTROL, "garbage", 7, 0) < 0)
		abort();
	while (w->flood >= 0)
		ipc_send(IPC_FD_CONTROL, IPC_READY, 0);
	if (w->stuck >= 0) {
		struct stats_slot *slot = stats_slot_map(
		    IPC_FD_STATS, (unsigned)strtol(arg.slot, NULL, 10), (uint64_t)strtol(arg.generation, NULL, 10));

		if (slot != NULL)
			stats_running(slot, stats_handler(slot, "stub"), 1);
		deaf();
	}
	if (w->hangup >= 0) {
		close(IPC_FD_CONTROL);
		deaf();
	}
}

/* In the place of letterplate, at an upgrade. */
static int
bad_master(const char *conf)
{
	const char *out = getenv("LETTERPLATE_REHEARSAL");

	arg.conf = conf;
	arg.generation = "";
	if (told("master-hang") >= 0)
		deaf();
	while (told("master-noise") >= 0 && out != NULL)
		if (write((int)strtol(out, NULL, 10), "nonsense ", 9) < 0)
			return 1;
	return (int)told("master-exit");
}

int
main(int argc, char **argv)
{
	struct words w;

	if (argc == 3 && strcmp(argv[1], "-c") == 0)
		return bad_master(argv[2]);
	if (argc != 6 || !ipc_layout_is_ours(argv[1]))
		return 64;
	arg.conf = argv[2];
	arg.slot = argv[3];
	arg.generation = argv[4];
	arg.nlisten = (int)strtol(argv[5], NULL, 10);
	write_down();
	if (told("fail") >= 0) {
		fprintf(stderr, "stub: cannot start\n");
		ipc_send(IPC_FD_CONTROL, IPC_FAILED, (uint32_t)told("fail"));
		return (int)told("fail");
	}
	if (told("exit") >= 0)
		return (int)told("exit");
	if (told("mute") >= 0)
		deaf();
	if (told("stubborn") >= 0)
		signal(SIGTERM, SIG_IGN);
	w = (struct words){ told("die-after"), told("garbage"), told("flood"), told("stuck"), told("hangup") };
	ipc_send(IPC_FD_CONTROL, IPC_READY, 0);
	misbehave(&w);
	serve();
}
