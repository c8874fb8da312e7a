/*
 * probe: does the sandbox of a worker hold?
 *   probe [USER]
 * For each try of attempts.c it forks a worker, which enters the sandbox as
 * the real one does, with a thread beside its loop, and makes the try there:
 * once in the main thread, once in the other.  Then what /proc says of such a
 * worker, its death with its master, and the ways in which it must not start.
 * Started as root it becomes USER (nobody); a TAP line a try.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sanitized.h"
#include "tests/sandbox/probe.h"
#include "worker/landlock.h"
#include "worker/sandbox.h"

enum { ENTERED = 'e', WORKED = 'w', FSIZE = 1 << 20, PATIENCE_MS = 5000, FAILURES_MAX = 10 };

static struct world world;
static char store_path[80], directory_path[80];
static const char *user = "nobody";
static int failures, passes;

static bool __attribute__((format(printf, 2, 3))) say(bool ok, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("%s sandbox: %s\n", ok ? "ok" : "not ok", text);
	if (ok)
		passes++;
	else
		failures++;
	return ok;
}

static void
need(bool ok, const char *what)
{
	if (ok)
		return;
	printf("not ok sandbox: probe cannot set up %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

/* --- the world a worker is put into --- */

static int
folder(const char *name, mode_t mode, char *path)
{
	int fd;

	snprintf(path, 80, "%s/%s", world.root, name);
	need(mkdir(path, mode) == 0 && chmod(path, mode) == 0, path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(fd != -1, path);
	return fd;
}

static void
file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	need(fd != -1 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, 0666) == 0, name);
	close(fd);
}

/* Something to connect to in the abstract name space; stays open as long as the probe. */
static void
listen_abstract(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(world.abstract, sizeof(world.abstract), "letterplate-probe-%ld", (long)getpid());
	memcpy(un.sun_path + 1, world.abstract, strlen(world.abstract));
	need(fd != -1 && bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(fd, 8) == 0,
	    "an abstract listener");
}

/* A filter to connect to; stays open as long as the probe. */
static void
listen_tcp(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t n = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	need(fd != -1 && bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 && listen(fd, 64) == 0 &&
		getsockname(fd, (struct sockaddr *)&in, &n) == 0,
	    "a TCP listener");
	world.port = ntohs(in.sin_port);
}

/* As a worker has its slot: a page of everybody's memory. */
static void
share_page(void)
{
	int fd = memfd_create("probe", MFD_CLOEXEC);

	need(fd != -1 && ftruncate(fd, (off_t)2 * PROBE_PAGE) == 0, "shared memory");
	world.own = mmap(NULL, PROBE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	need(world.own != MAP_FAILED, "a page of it");
	close(fd);
}

/* Everything may be done by anybody as far as modes go, so that a refusal is the sandbox's. */
static void
set_up(void)
{
	char outside[80], path[108];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct passwd *pw;

	umask(0);
	snprintf(world.root, sizeof(world.root), "/tmp/letterplate-probe.XXXXXX");
	need(mkdtemp(world.root) != NULL && chmod(world.root, 0755) == 0, "a scratch folder");
	world.store = folder("store", 0777, store_path);
	world.directory = folder("directory", 0777, directory_path);
	world.outside = folder("outside", 0777, outside);
	file(world.outside, "secret", "secret\n");
	file(world.outside, "victim", "victim\n");
	file(world.directory, "snapshot", "snapshot\n");
	file(world.store, "message", "message\n");
	file(world.store, "other", "other\n");
	need(mkdirat(world.store, "folder", 0777) == 0, "store/folder");
	need(symlinkat("../outside/secret", world.store, "escape") == 0, "store/escape");
	world.secret = openat(world.outside, "secret", O_RDONLY | O_CLOEXEC);
	world.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	world.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	world.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(path, sizeof(path), "%s/socket", world.root);
	memcpy(un.sun_path, path, strlen(path));
	file(world.outside, "log", "line\n");
	world.log = openat(world.outside, "log", O_WRONLY | O_APPEND | O_CLOEXEC);
	need(world.secret != -1 && world.log != -1 && world.tcp != -1 && world.udp != -1 && world.listener != -1,
	    "descriptors");
	need(bind(world.listener, (struct sockaddr *)&un, sizeof(un)) == 0 && chmod(path, 0777) == 0 &&
		listen(world.listener, 8) == 0,
	    "a listener");
	listen_abstract();
	listen_tcp();
	share_page();
	world.master = getpid();
	world.sibling = fork();
	if (world.sibling == 0) {
		/* Of the worker's user, so that it is the sandbox that protects it. */
		if (geteuid() == 0 && (pw = getpwnam(user)) != NULL &&
		    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) != 0)
			_exit(EXIT_FAILURE);
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	need(world.sibling != -1, "a sibling");
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static void
tear_down(void)
{
	kill(world.sibling, SIGKILL);
	waitpid(world.sibling, NULL, 0);
	nftw(world.root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- a worker --- */

struct job {
	const struct attempt *attempt; /* NULL: none, just stay */
	int report;                    /* gets ENTERED, then WORKED or nothing and errno's octet */
};

static void
make_try(const struct job *j)
{
	int rc = j->attempt->run(&world);
	char answer[2] = { rc == 0 ? WORKED : (char)(errno & 0x7f), 0 };

	(void)!write(j->report, answer, 1);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t closed = PTHREAD_COND_INITIALIZER;
static bool is_closed;

/* A pool thread: starts between the two steps and makes its try when it is let go. */
static void *
other_thread(void *arg)
{
	const struct job *j = arg;

	pthread_mutex_lock(&lock);
	while (!is_closed)
		pthread_cond_wait(&closed, &lock);
	pthread_mutex_unlock(&lock);
	if (j != NULL)
		make_try(j);
	return NULL;
}

static struct sandbox
sandbox_of(pid_t master, unsigned out)
{
	struct sandbox sb = { .user = user,
		.store_path = store_path,
		.directory = directory_path,
		.fsize_max = FSIZE,
		.nofile = PROBE_NOFILE,
		.master = master,
		.out.kinds = out };

	if ((out & SANDBOX_OUT_TCP) != 0)
		sb.out.port[sb.out.nport++] = (uint16_t)world.port;
	return sb;
}

/* The life of a worker: enters the sandbox, makes the try in the one or the other thread, waits to be let go. */
static _Noreturn void
worker(const struct job *j, pid_t master, bool in_thread)
{
	struct sandbox sb = sandbox_of(master, j->attempt != NULL ? j->attempt->out : 0);
	unsigned level;
	pthread_t t;
	char entered[2] = { ENTERED, 0 };

	if (sandbox_drop(&sb, &level) != 0 ||
	    pthread_create(&t, NULL, other_thread, in_thread ? (void *)(uintptr_t)j : NULL) != 0)
		_exit(EXIT_FAILURE);
	if ((j->attempt == NULL || !j->attempt->before_seccomp) && sandbox_close(&sb, &level) != 0)
		_exit(EXIT_FAILURE);
	entered[1] = (char)level;
	(void)!write(j->report, entered, 2);
	if (j->attempt == NULL)
		for (;;)
			poll(NULL, 0, -1); /* with its thread waiting */
	if (!in_thread)
		make_try(j);
	pthread_mutex_lock(&lock);
	is_closed = true;
	pthread_cond_broadcast(&closed);
	pthread_mutex_unlock(&lock);
	pthread_join(t, NULL);
	_exit(EXIT_SUCCESS);
}

/* Read with a deadline; -1 at the end or when patience is. */
static ssize_t
hear(int fd, char *buf, size_t n)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t got = poll(&p, 1, PATIENCE_MS) == 1 ? read(fd, buf, n) : -1;

	return got > 0 ? got : -1;
}

/* A client for accept4, and an octet for recv. */
static int
connect_client(int pair)
{
	char path[108];
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(path, sizeof(path), "%s/socket", world.root);
	memcpy(un.sun_path, path, strlen(path));
	need(fd != -1 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0, "a client");
	need(write(pair, "x", 1) == 1, "a peer");
	return fd;
}

/* --- judging a try --- */

struct outcome {
	bool entered, worked, refused;
	int err, status; /* errno of a refusal; of waitpid */
};

/* The status of a worker once it has ended; one that lives on without a reason is killed, which no try expects. */
static int
end_of(pid_t pid, int report)
{
	struct pollfd p = { .fd = report, .events = POLLIN };
	int status;

	if (poll(&p, 1, PATIENCE_MS) != 1)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return status;
}

static struct outcome
try_once(const struct attempt *a, bool in_thread)
{
	struct outcome o = { .entered = false };
	int report[2], pair[2], client = -1;
	char got[3];
	ssize_t n;
	pid_t pid;

	need(pipe2(report, O_CLOEXEC) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "a pipe");
	if (strcmp(a->name, "need_session") == 0)
		client = connect_client(pair[0]);
	fflush(stdout);
	pid = fork();
	need(pid != -1, "a worker");
	if (pid == 0) {
		struct job j = { a, report[1] };

		world.pair = pair[1];
		close(pair[0]);
		close(report[0]);
		worker(&j, world.master, in_thread);
	}
	close(report[1]);
	n = hear(report[0], got, 2);
	o.entered = n == 2 && got[0] == ENTERED;
	if (o.entered && hear(report[0], got, 1) == 1) {
		o.worked = got[0] == WORKED;
		o.refused = !o.worked;
		o.err = got[0];
	}
	o.status = end_of(pid, report[0]);
	close(report[0]);
	close(pair[0]);
	close(pair[1]);
	if (client != -1)
		close(client);
	return o;
}

static const char *
in_words(const struct outcome *o, char *buf, size_t n)
{
	if (!o->entered)
		snprintf(buf, n, "the worker did not enter the sandbox (status %#x)", (unsigned)o->status);
	else if (o->worked)
		snprintf(buf, n, "it worked");
	else if (o->refused)
		snprintf(buf, n, "refused: %s", strerror(o->err));
	else if (WIFSIGNALED(o->status))
		snprintf(buf, n, "killed by %s", strsignal(WTERMSIG(o->status)));
	else
		snprintf(buf, n, "no answer");
	return buf;
}

static bool
is_as_expected(const struct attempt *a, const struct outcome *o)
{
	if (!o->entered)
		return false;
	switch (a->expect) {
	case KILLED:
		return !o->worked && !o->refused && WIFSIGNALED(o->status) && WTERMSIG(o->status) == SIGSYS;
	case REFUSED:
		/* ENOENT and the like would mean that the try itself is broken. */
		return o->refused && (o->err == EACCES || o->err == EPERM || o->err == EXDEV);
	case WORKS:
		return o->worked && WIFEXITED(o->status) && WEXITSTATUS(o->status) == 0;
	}
	abort();
}

static void
try_all(void)
{
	int abi = landlock_abi();

	for (size_t i = 0; i < attempts_n && failures < FAILURES_MAX; i++) {
		const struct attempt *a = &attempts[i];

		for (int in_thread = 0; in_thread < 2; in_thread++) {
			struct outcome o;
			char words[128];

			if (abi < a->abi) {
				printf("skip sandbox: %s: Landlock ABI %d, needs %d\n", a->name, abi, a->abi);
				continue;
			}
			o = try_once(a, in_thread);
			say(is_as_expected(a, &o), "%s in the %s thread: %s", a->name, in_thread ? "pool's" : "main",
			    in_words(&o, words, sizeof(words)));
		}
	}
}

/* --- what stands in /proc --- */

static bool
read_file(const char *path, char *buf, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd == -1)
		return false;
	n = read(fd, buf, cap - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The value of "KEY:\tVALUE" in /proc/PID/status, or "". */
static const char *
field(const char *status, const char *key, char *buf, size_t cap)
{
	const char *p = strstr(status, key);
	size_t n;

	buf[0] = '\0';
	if (p == NULL)
		return buf;
	p += strlen(key);
	p += strspn(p, ":\t ");
	n = strcspn(p, "\n");
	if (n >= cap)
		n = cap - 1;
	memcpy(buf, p, n);
	buf[n] = '\0';
	return buf;
}

/* ${n} numbers in a row; 0 for what is none. */
static void
numbers(const char *p, unsigned long *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *end;

		out[i] = strtoul(p, &end, 10);
		p = end;
	}
}

/* A line of status with a real, effective, saved and file system id: all the same, and not root's. */
static void
check_ids(const char *status, const char *key, const char *which)
{
	char v[128];
	unsigned long u[4];

	numbers(field(status, key, v, sizeof(v)), u, 4);
	say(u[0] != 0 && u[0] == u[1] && u[0] == u[2] && u[0] == u[3], "%s: %s is %s", which, key + 1, v);
}

static void
check_status(const char *path, const char *which, bool was_root)
{
	static const char *const want[][2] = { { "\nCapInh", "0000000000000000" }, { "\nCapPrm", "0000000000000000" },
		{ "\nCapEff", "0000000000000000" }, { "\nCapAmb", "0000000000000000" }, { "\nNoNewPrivs", "1" },
		{ "\nSeccomp:", "2" }, { "\nCapBnd", "0000000000000000" } };
	char status[8192], v[128], gid[128];

	if (!say(read_file(path, status, sizeof(status)), "%s: status can be read", which))
		return;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		if (strcmp(want[i][0], "\nCapBnd") == 0 && !was_root)
			continue; /* only root can empty it; no_new_privs makes it worthless */
		field(status, want[i][0], v, sizeof(v));
		say(strcmp(v, want[i][1]) == 0, "%s: %s is %s", which, want[i][0] + 1, v);
	}
	check_ids(status, "\nUid", which);
	check_ids(status, "\nGid", which);
	if (was_root) {
		field(status, "\nGroups", v, sizeof(v));
		say(strtoul(v, NULL, 10) == strtoul(field(status, "\nGid", gid, sizeof(gid)), NULL, 10) &&
			strchr(v, ' ') == v + strlen(v) - 1,
		    "%s: Groups is %s", which, v);
	}
}

static void
check_limits(pid_t pid)
{
	static const struct {
		const char *name;
		unsigned long max;
	} want[] = { { "Max core file size", 0 }, { "Max open files", PROBE_NOFILE }, { "Max file size", FSIZE },
		{ "Max processes", 0 } };
	char path[64], text[4096];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%ld/limits", (long)pid);
	if (!say(read_file(path, text, sizeof(text)), "limits can be read"))
		return;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		const char *p = strstr(text, want[i].name);
		unsigned long lim[2] = { 99, 99 };

		if (strcmp(want[i].name, "Max file size") == 0 && fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode))
			continue; /* not set: the log is a file */
		if (p != NULL)
			numbers(p + strlen(want[i].name), lim, 2);
		say(lim[0] == want[i].max && lim[1] == want[i].max, "%s is %lu, %lu", want[i].name, lim[0], lim[1]);
	}
}

/* A worker that stays; its pid, with *report at its mouth. */
static pid_t
start_staying(int *report)
{
	int p[2];
	pid_t pid;

	need(pipe2(p, O_CLOEXEC) == 0, "a pipe");
	fflush(stdout);
	pid = fork();
	need(pid != -1, "a worker");
	if (pid == 0) {
		struct job j = { NULL, p[1] };

		close(p[0]);
		worker(&j, getppid(), false);
	}
	close(p[1]);
	*report = p[0];
	return pid;
}

static void
check_proc(bool was_root)
{
	int report, threads = 0;
	char got[2], path[300], which[32];
	pid_t pid = start_staying(&report);
	struct dirent *d;
	DIR *dir;

	if (say(hear(report, got, 2) == 2, "a worker that stays")) {
		unsigned want = SANDBOX_UID | SANDBOX_SECCOMP;

		if (landlock_abi() >= LANDLOCK_ABI_MIN)
			want |= SANDBOX_LANDLOCK;
		say((unsigned char)got[1] == want, "the level is %u", (unsigned char)got[1]);
		snprintf(path, sizeof(path), "/proc/%ld/task", (long)pid);
		dir = opendir(path);
		need(dir != NULL, path);
		while ((d = readdir(dir)) != NULL) {
			if (d->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "/proc/%ld/task/%s/status", (long)pid, d->d_name);
			snprintf(which, sizeof(which), "thread %d", ++threads);
			check_status(path, which, was_root);
		}
		closedir(dir);
		say(threads == 2, "%d threads were looked at", threads);
		check_limits(pid);
		snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
		if (was_root && stat(path, &(struct stat){ .st_mode = 0 }) == 0) {
			struct stat st;

			/* What is not dumpable belongs to root in /proc. */
			snprintf(path, sizeof(path), "/proc/%ld/environ", (long)pid);
			say(stat(path, &st) == 0 && st.st_uid == 0, "not dumpable");
		}
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(report);
}

/* --- life and death --- */

/* A master that dies takes its workers along. */
static void
check_parent_death(void)
{
	int p[2];
	char got[2];
	pid_t master;

	need(pipe2(p, O_CLOEXEC) == 0, "a pipe");
	fflush(stdout);
	master = fork();
	need(master != -1, "a master");
	if (master == 0) {
		struct job j = { NULL, p[1] };
		pid_t me = getpid();

		close(p[0]);
		if (fork() == 0)
			worker(&j, me, false);
		close(p[1]);
		for (;;)
			pause();
	}
	close(p[1]);
	say(hear(p[0], got, 2) == 2, "a worker below another master");
	kill(master, SIGKILL);
	waitpid(master, NULL, 0);
	{
		struct pollfd pfd = { .fd = p[0], .events = POLLIN };

		say(poll(&pfd, 1, PATIENCE_MS) == 1 && read(p[0], got, 1) == 0, "a worker ends with its master");
	}
	close(p[0]);
}

/* A broken invariant is SIGABRT, not an attack. */
static int
run_abort(const struct world *w)
{
	(void)w;
	abort();
}

static void
check_abort(void)
{
	static const struct attempt a = { "abort", WORKS, 0, run_abort, false, 0 };

	for (int in_thread = 0; in_thread < 2; in_thread++) {
		struct outcome o = try_once(&a, in_thread);

		say(o.entered && WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGABRT,
		    "abort in the %s thread is SIGABRT", in_thread ? "pool's" : "main");
	}
}

/* sandbox_drop() with a mistake in *sb must say -1. */
static void
check_refuses(const char *what, struct sandbox sb)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	need(pid != -1, "a worker");
	if (pid == 0) {
		unsigned level;
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		dup2(null, STDERR_FILENO); /* the lines are expected */
		_exit(sandbox_drop(&sb, &level) == -1 ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	waitpid(pid, &status, 0);
	say(WIFEXITED(status) && WEXITSTATUS(status) == 0, "no start with %s", what);
}

static void
check_bad_starts(bool was_root)
{
	struct sandbox sb = sandbox_of(1 << 22, 0);

	check_refuses("another master", sb);
	if (landlock_abi() >= LANDLOCK_ABI_MIN) {
		sb = sandbox_of(world.master, 0);
		sb.store_path = "/nonexistent";
		check_refuses("no store", sb);
		sb = sandbox_of(world.master, 0);
		sb.directory = "/nonexistent";
		check_refuses("no directory", sb);
	}
	if (!was_root) {
		printf("skip sandbox: bad users: not root\n");
		return;
	}
	sb = sandbox_of(world.master, 0);
	sb.user = "no-such-user-here";
	check_refuses("a user that is not", sb);
	sb.user = "root";
	check_refuses("root as the user", sb);
}

int
main(int argc, char **argv)
{
	bool was_root = geteuid() == 0;

	if (argc > 1)
		user = argv[1];
	if (SANITIZED) {
		printf("skip sandbox: built with a sanitizer, for which it gives way\n");
		return 0;
	}
	log_init("probe", -1, false, LOG_L_WARN);
	set_up();
	try_all();
	check_abort();
	check_proc(was_root);
	check_parent_death();
	check_bad_starts(was_root);
	tear_down();
	printf("# %d passed, %d failed\n", passes, failures);
	return failures == 0 && passes > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
