/*
 * process: fork and exec of workers and key processes.
 * fork, so that the descriptors and signals of a child are set by us; exec,
 * so that each has an address layout of its own.
 */
#include "master/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <bsd/string.h>

#include "common/ipc.h"
#include "common/log.h"
#include "common/sanitized.h"
#include "master/master.h"

static char self[PATH_MAX];

void
process_set_self(const char *path)
{
	(void)strlcpy(self, path, sizeof self);
}

const char *
process_self(void)
{
	ssize_t n;

	if (self[0] == '\0' && (n = readlink("/proc/self/exe", self, sizeof self - 1)) > 0)
		self[n] = '\0';
	return self;
}

int
process_open_exe(const char *name, char *path, size_t cap)
{
	const char *slash = strrchr(process_self(), '/');

	snprintf(path, cap, "%s", name);
	if (slash == NULL) {
		errno = ENOENT;
		return -1;
	}
	snprintf(path, cap, "%.*s/%s", (int)(slash - self), self, name);
	if (access(path, X_OK) != 0)
		return -1;
	return open(path, O_PATH | O_CLOEXEC);
}

/* --- the child, between fork and exec --- */

/* Signals as a fresh process has them. */
static void
reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Bring fd[i] to the number IPC_FD_CONF + i: first all of them out of the way, for any may stand on another's number. */
static int
place(const int *fd, unsigned n)
{
	int high[PROCESS_FDS_MAX];

	for (unsigned i = 0; i < n; i++)
		if ((high[i] = fcntl(fd[i], F_DUPFD_CLOEXEC, IPC_FD_CONF + (int)n)) < 0)
			return -1;
	for (unsigned i = 0; i < n; i++)
		if (dup2(high[i], IPC_FD_CONF + (int)i) < 0)
			return -1;
	/* Whatever may be open beyond, ours or inherited, ends with the exec. */
	return close_range((unsigned)IPC_FD_CONF + n, UINT_MAX, CLOSE_RANGE_CLOEXEC);
}

/* Empty; only a build with a sanitizer has options that its workers must know too. */
static char **
environment(void)
{
	static const char *const names[] = { "ASAN_OPTIONS", "TSAN_OPTIONS" };
	static char *env[3], options[2][512];

	for (unsigned i = 0, n = 0; SANITIZED && i < 2; i++) {
		const char *v = getenv(names[i]);

		if (v == NULL)
			continue;
		snprintf(options[n], sizeof options[n], "%s=%s", names[i], v);
		env[n] = options[n];
		n++;
	}
	return env;
}

static _Noreturn void
child(int exe, char *const *argv, const int *fd, unsigned n, int out)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	umask(077);
	reset_signals();
	/* No higher than it must be: RLIMIT_NOFILE may be as small as 64. */
	exe = fcntl(exe, F_DUPFD_CLOEXEC, IPC_FD_CONF + (int)n);
	if (null >= 0 && exe >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(out >= 0 ? out : null, STDOUT_FILENO) >= 0 &&
	    place(fd, n) == 0)
		execveat(exe, "", argv, environment(), AT_EMPTY_PATH);
	log_msg(LOG_L_ERROR, "exec", "cannot run %s: %s", argv[0], strerror(errno));
	_exit(EX_OSERR);
}

/* --- the parent --- */

pid_t
process_start(int exe, char *const *argv, const int *fd, unsigned n, int out, int *control)
{
	int pair[2], given[PROCESS_FDS_MAX], err;
	pid_t pid;

	if (n > PROCESS_FDS_MAX)
		return errno = E2BIG, -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return -1;
	memcpy(given, fd, n * sizeof *fd);
	given[IPC_FD_CONTROL - IPC_FD_CONF] = pair[1];
	pid = fork();
	if (pid == 0)
		child(exe, argv, given, n, out);
	err = errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		errno = err;
		return -1;
	}
	*control = pair[0];
	return pid;
}

/* Whoever waits for children meets this one, and knows nothing of it. */
void
process_kill(pid_t pid, int sig, const char *user)
{
	const struct passwd *pw;
	pid_t child;

	if (pid <= 0 || kill(pid, sig) == 0 || errno != EPERM)
		return;
	child = fork();
	if (child < 0)
		log_msg(LOG_L_ERROR, "fork", "cannot signal process %d: %s", (int)pid, strerror(errno));
	if (child != 0)
		return;
	pw = getpwnam(user);
	if (pw == NULL || pw->pw_uid == 0 || setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0 ||
	    kill(pid, sig) != 0) {
		if (errno != ESRCH)
			log_msg(
			    LOG_L_ERROR, "kill", "cannot signal process %d as %s: %s", (int)pid, user, strerror(errno));
		_exit(1);
	}
	_exit(0);
}

void
process_words(int status, char *out, size_t cap)
{
	if (WIFSIGNALED(status))
		snprintf(out, cap, "killed by signal %d (%s)%s", WTERMSIG(status), strsignal(WTERMSIG(status)),
		    WTERMSIG(status) == SIGSYS ? ": a system call that its sandbox forbids" : "");
	else
		snprintf(out, cap, "ended with status %d", WEXITSTATUS(status));
}

int
process_code(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) >= EX__BASE ? WEXITSTATUS(status) : EX_SOFTWARE;
}

int64_t
process_backoff_ms(unsigned deaths)
{
	int64_t ms = MASTER_BACKOFF_FIRST_MS;

	if (deaths <= 1)
		return 0;
	for (unsigned i = 2; i < deaths && ms < MASTER_BACKOFF_MAX_MS; i++)
		ms *= 2;
	return ms < MASTER_BACKOFF_MAX_MS ? ms : MASTER_BACKOFF_MAX_MS;
}

bool
process_was_killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

int64_t
process_again_ms(bool to_blame, int64_t began_ms, int64_t now_ms, unsigned *deaths)
{
	if (!to_blame) {
		*deaths = 0;
		return now_ms > began_ms + MASTER_AGAIN_MS ? now_ms : began_ms + MASTER_AGAIN_MS;
	}
	*deaths = now_ms - began_ms >= MASTER_LIVED_MS ? 1 : *deaths + 1;
	return now_ms + process_backoff_ms(*deaths);
}
