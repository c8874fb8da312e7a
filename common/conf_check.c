/*
 * conf_check: what the config names exists and may be used by whom it must.
 * Started as root it asks as the workers' user, in a child that has become it:
 * mode bits, groups, ACLs and the folders above are then the kernel's business
 * and not guessed here.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/conf_priv.h"
#include "common/credential.h"
#include "common/log.h"
#include "common/mdbfile.h"
#include "common/pem.h"

/* What a child may take beyond CONF_CHECK_S: then it cannot tell itself what hangs. */
enum { CHECK_GRACE_S = 3 };

enum { LINE_MAX_ = CONF_WHY_MAX + 2 * CONF_PATH_MAX + PATH_MAX };

/* Where reports go: to the caller, or through a pipe to the parent. */
struct check {
	const struct conf *cf;
	conf_report *report;
	void *arg;
	const char *who; /* "user \"x\"", or "this user" */
	bool failed;
};

void
conf_tell(
    const struct conf *cf, unsigned line, conf_report *report, void *arg, const char *what, const char *fmt, va_list ap)
{
	char text[LINE_MAX_];
	int n = snprintf(text, sizeof text, "%s:%u: %s", cf->file, line > 0 ? line : 1, what);

	if (n < 0 || (size_t)n >= sizeof text)
		return;
	vsnprintf(text + n, sizeof text - (size_t)n, fmt, ap);
	report(arg, text);
}

static void say(struct check *c, unsigned line, bool error, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void
say(struct check *c, unsigned line, bool error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conf_tell(c->cf, line, c->report, c->arg, "", fmt, ap);
	va_end(ap);
	c->failed |= error;
}

/* ${what} at ${path} must be a folder in which ${mode} (of access(2)) is allowed to whom we are. */
static bool
folder(struct check *c, unsigned line, const char *what, const char *path, int mode, const char *verb)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		if (errno == ENOENT)
			say(c, line, true, "%s \"%s\" does not exist; create it and give it to %s", what, path, c->who);
		else
			say(c, line, true, "%s \"%s\": %s cannot reach it: %s", what, path, c->who, strerror(errno));
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		say(c, line, true, "%s \"%s\" is not a folder", what, path);
		return false;
	}
	if (faccessat(AT_FDCWD, path, mode, AT_EACCESS) != 0) {
		say(c, line, true, "%s \"%s\": %s may not %s it: %s; change its owner or mode", what, path, c->who,
		    verb, strerror(errno));
		return false;
	}
	return true;
}

/* Who is asked by a unix socket may be started later: only a warning. */
static void
check_sockets(struct check *c)
{
	for (size_t i = 0; i < c->cf->nhandler; i++) {
		const struct conf_handler *h = &c->cf->handler[i];
		const char *path = ((const struct sockaddr_un *)&h->socket.ss)->sun_path;
		struct stat st;

		if ((h->kind != CONF_K_MILTER && h->kind != CONF_K_POLICY && h->kind != CONF_K_TOKENS) ||
		    h->socket.ss.ss_family != AF_UNIX)
			continue;
		if (stat(path, &st) != 0)
			say(c, h->socket.line, false,
			    "warning: \"%s\" has no socket at \"%s\": %s; start it, or correct the path", h->name, path,
			    strerror(errno));
		else if (!S_ISSOCK(st.st_mode))
			say(c, h->socket.line, false, "warning: \"%s\": \"%s\" is no socket; correct the path", h->name,
			    path);
		else if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0)
			say(c, h->socket.line, false,
			    "warning: \"%s\": %s may not write to \"%s\": %s; change its owner or mode", h->name,
			    c->who, path, strerror(errno));
	}
}

/* Folders that modules may write below: the sandbox is made of what is there, and without one there is none. */
static void
check_allowed(struct check *c)
{
	char what[CONF_WHY_MAX];

	for (size_t i = 0; i < c->cf->nhandler; i++) {
		const struct conf_handler *h = &c->cf->handler[i];

		snprintf(what, sizeof what, "handler \"%s\": what it is allowed,", h->name);
		for (size_t k = 0; h->kind == CONF_K_HANDLER && k < h->nallow; k++)
			if (strcmp(h->allow[k], "network") != 0)
				folder(c, h->line, what, h->allow[k], F_OK, "reach");
	}
}

/* What workers use, asked as who they will be. */
static void
check_worker(struct check *c)
{
	const struct conf *cf = c->cf;
	unsigned dir_line = conf_line(cf, "", "directory");
	char mdb[CONF_PATH_MAX + 32];

	check_sockets(c);
	check_allowed(c);
	folder(c, conf_line(cf, "store", "path"), "store path", cf->store.path, R_OK | W_OK | X_OK, "write in");
	if (!folder(c, dir_line, "directory", cf->directory, R_OK | X_OK, "read"))
		return;
	snprintf(mdb, sizeof mdb, "%s/mailboxes.mdb", cf->directory);
	if (mdbfile_look(mdb) == 0)
		return;
	if (errno == EBADMSG)
		say(c, dir_line, false,
		    "warning: \"%s\" is damaged: every recipient is answered 451 until letterplate-mailboxes loads a "
		    "list again, or its rollback puts the list before in its place",
		    mdb);
	else if (errno == ENOENT)
		say(c, dir_line, false,
		    "warning: there is no \"%s\" yet: every recipient is answered 451 until "
		    "letterplate-mailboxes has loaded a list",
		    mdb);
	else
		say(c, dir_line, true, "\"%s\": %s may not read it: %s", mdb, c->who, strerror(errno));
}

/* Where the log goes: asked, and nothing is made. */
static void
check_log(struct check *c)
{
	unsigned line = conf_line(c->cf, "log", "to");
	char dir[CONF_PATH_MAX + 1];
	enum log_to to;
	const char *path;
	struct stat st;
	int fd;

	if (log_to_parse(c->cf->log.to, &to, &path) != 0 || to == LOG_TO_STDERR)
		return;
	if (to != LOG_TO_FILE) {
		if ((fd = log_open(to, path)) == -1)
			say(c, line, true, "no one takes the log at \"%s\": %s", path, strerror(errno));
		else
			close(fd);
		return;
	}
	if (stat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			say(c, line, true, "the log \"%s\" is no regular file", path);
		else if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0)
			say(c, line, true, "the log \"%s\" cannot be written: %s", path, strerror(errno));
		return;
	}
	snprintf(dir, sizeof dir, "%s", path);
	*(strrchr(dir, '/') + (strrchr(dir, '/') == dir)) = '\0';
	folder(c, line, "the log's folder", dir, W_OK | X_OK, "write in");
}

/* Who is known, for letterplate-auth alone: it gets the file open, so no other user needs to read it. */
static void
check_credentials(struct check *c)
{
	const struct conf *cf = c->cf;
	unsigned line = conf_line(cf, "", "credentials");
	struct credentials l;
	char why[CONF_WHY_MAX];
	struct stat st;
	int fd;

	if (cf->tokens.line != 0 && !conf_offers_auth(cf))
		say(c, cf->tokens.line, false,
		    "warning: tokens are asked about by nobody: every listener says auth = \"off\"");
	if (cf->credentials[0] == '\0')
		return;
	if (!conf_offers_auth(cf)) {
		say(c, line, false, "warning: there are credentials, but every listener says auth = \"off\"");
		return;
	}
	fd = open(cf->credentials, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT) {
		say(c, line, true,
		    "credentials \"%s\" do not exist; \"letterplate-credentials -f %s add NAME\" makes them",
		    cf->credentials, cf->credentials);
	} else if (fd < 0 || fstat(fd, &st) != 0) {
		say(c, line, true, "credentials \"%s\" cannot be read: %s", cf->credentials, strerror(errno));
	} else if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0 || st.st_uid != geteuid()) {
		say(c, line, true, "credentials \"%s\" must be %s's alone: chown and chmod 600", cf->credentials,
		    geteuid() == 0 ? "root" : "this user");
	} else if (credential_list_read(fd, &l, why, sizeof why) != 0) {
		say(c, line, true, "credentials \"%s\": %s", cf->credentials, why);
	} else {
		if (l.n == 0)
			say(c, line, false, "warning: credentials \"%s\" know nobody", cf->credentials);
		credential_list_free(&l);
	}
	if (fd >= 0)
		close(fd);
}

static bool
conf_checks_any(const struct conf_checks *k)
{
	return k->helo_full || k->helo_literal || k->helo_own || k->sender_full || k->sender_own || k->sender_domain;
}

/* A dead server's socket is removed at the start, and nothing else. */
static void
check_free(struct check *c, const struct conf_address *a)
{
	struct stat st;

	if (lstat(((const struct sockaddr_un *)&a->ss)->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
		say(c, a->line, true, "\"%s\": there is a file that is no socket: remove it or change the address",
		    a->text);
}

/* What the master itself uses. */
static void
check_master(struct check *c)
{
	const struct conf *cf = c->cf;

	folder(c, conf_line(cf, "", "state_dir"), "state_dir", cf->state_dir, W_OK | X_OK, "write in");
	check_log(c);
	for (size_t l = 0; l < cf->nlistener; l++) {
		for (size_t i = 0; i < cf->listener[l].naddress; i++) {
			const struct conf_address *a = &cf->listener[l].address[i];
			char path[sizeof(struct sockaddr_un)];
			char *slash;

			if (a->ss.ss_family != AF_UNIX)
				continue;
			snprintf(path, sizeof path, "%s", ((const struct sockaddr_un *)&a->ss)->sun_path);
			slash = strrchr(path, '/');
			slash[slash == path] = '\0';
			folder(c, a->line, "the folder of a unix socket", path, W_OK | X_OK, "write in");
			check_free(c, a);
		}
	}
	if (strchr(cf->hostname, '.') == NULL)
		say(c, conf_line(cf, "", "hostname"), false,
		    "warning: hostname \"%s\" is no full name; senders may "
		    "refuse to talk to it",
		    cf->hostname);
	if (cf->checks.line != 0 && !conf_checks_any(&cf->checks))
		say(c, cf->checks.line, false,
		    "warning: section checks switches none of its checks on; write e.g. sender_domain = yes");
	if (cf->dsn && cf->dsn_relay[0] == '\0')
		say(c, conf_line(cf, "", "dsn"), false,
		    "warning: without dsn_relay reports to foreign senders are given up; set it, or leave dsn off");
}

/* A line of the child's: its verdict in the first octet. */
static void
write_report(void *arg, const char *line)
{
	FILE *to = arg;

	fprintf(to, "%s\n", line);
}

/* As whom, and what, to check in a child. */
typedef void check_what(struct check *c);

/*
 * In a child: end in ${s} seconds, or with who waits for us.  The kernel sees to it, also after an exec: whatever hangs, a
 * module or a file system, the master does not.
 */
static void
limit(unsigned s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	(void)signal(SIGALRM, SIG_DFL);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)alarm(s);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void __attribute__((noreturn)) child(struct check *c, const struct passwd *pw, check_what *what, int fd)
{
	FILE *to = fdopen(fd, "w");

	if (to == NULL)
		_exit(EXIT_FAILURE);
	c->report = write_report;
	c->arg = to;
	c->failed = false;
	limit(CONF_CHECK_S + CHECK_GRACE_S);
	if (pw != NULL &&
	    (initgroups(pw->pw_name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0))
		say(c, conf_line(c->cf, "", "user"), true, "cannot become %s: %s", c->who, strerror(errno));
	else
		what(c);
	if (fclose(to) != 0)
		_exit(EXIT_FAILURE);
	_exit(c->failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* A child (*pid is 0 in it) and a pipe from it.  0, or -1 with errno. */
static int
begin(int fd[2], pid_t *pid)
{
	int err;

	if (pipe2(fd, O_CLOEXEC) != 0)
		return -1;
	if ((*pid = fork()) >= 0)
		return 0;
	err = errno;
	close(fd[0]);
	close(fd[1]);
	errno = err;
	return -1;
}

/* ${pw} NULL: as whom we are.  ${name}: what that is about. */
static void
apart(struct check *c, const struct passwd *pw, check_what *what, const char *name)
{
	char *line = NULL;
	size_t cap = 0, told = 0;
	ssize_t n;
	int fd[2], status = 0;
	pid_t pid;
	FILE *from;

	if (begin(fd, &pid) != 0) {
		say(c, 0, true, "cannot check: %s", strerror(errno));
		return;
	}
	if (pid == 0)
		child(c, pw, what, fd[1]);
	close(fd[1]);
	from = fdopen(fd[0], "r");
	while (from != NULL && (n = getline(&line, &cap, from)) > 0) {
		line[n - 1] = '\0';
		c->report(c->arg, line);
		told++;
	}
	free(line);
	if (from != NULL)
		fclose(from);
	else
		close(fd[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
		return;
	c->failed = true;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		say(c, 0, true, "cannot check %s: no answer within %d seconds", name, CONF_CHECK_S + CHECK_GRACE_S);
	else if (told == 0)
		say(c, 0, true, "cannot check: the child that asks has died");
}

/* --- certificates and keys --- */

static char *
read_pem(struct check *c, const struct conf_tls_section *t, const char *what, const char *path, size_t *n)
{
	char *text = NULL;

	*n = 0;
	if (path[0] == '\0' || conf_read(path, &text, n) == 0)
		return text;
	say(c, t->line, true, "tls %s \"%s\" cannot be read: %s", what, path, strerror(errno));
	return NULL;
}

static void
check_section(struct check *c, const struct conf_tls_section *t)
{
	size_t ncert, nkey, nocsp;
	char *cert = read_pem(c, t, "certificate", t->certificate, &ncert);
	char *key = read_pem(c, t, "key", t->key, &nkey);
	char *ocsp = read_pem(c, t, "ocsp", t->ocsp, &nocsp);
	char why[PEM_WHY_MAX];
	struct stat st;
	int rc;

	if (cert != NULL && key != NULL && (ocsp != NULL || t->ocsp[0] == '\0')) {
		rc = pem_check(
		    span_of(cert, ncert), span_of(key, nkey), span_of(ocsp, nocsp), time(NULL), why, sizeof why);
		if (rc != 0)
			say(c, t->line, rc<0, "%stls \"%s\": %s", rc> 0 ? "warning: " : "", t->certificate, why);
		if (rc >= 0 && stat(t->key, &st) == 0 && (st.st_mode & S_IROTH) != 0)
			say(c, t->line, false, "warning: tls key \"%s\" can be read by everybody", t->key);
	}
	if (cert != NULL && t->name[0] != '\0' && pem_is_of(span_of(cert, ncert), t->name) == 0)
		say(c, t->line, false, "warning: tls \"%s\": \"%s\" is not for that name", t->name, t->certificate);
	free(cert);
	free(key);
	free(ocsp);
}

/* In a child: neither keys nor libcrypto's state are to be in the master, which lives long and starts everybody else. */
static void
check_tls(struct check *c)
{
	if (pem_init() != 0)
		say(c, 0, true, "OpenSSL cannot start");
	for (size_t i = 0; i < c->cf->ntls; i++)
		check_section(c, &c->cf->tls[i]);
	if (c->cf->ntls > 0 && !conf_offers_tls(c->cf))
		say(c, c->cf->tls[0].line, false,
		    "warning: there is a certificate, but every listener says tls = \"none\"");
}

/* Whoever may write a module runs code as the workers. */
static void
check_owner(struct check *c, const struct conf_handler *h)
{
	struct stat st, conf;
	bool ours = stat(c->cf->file, &conf) == 0;

	if (stat(h->module, &st) != 0)
		say(c, h->line, true, "handler \"%s\": \"%s\": %s", h->name, h->module, strerror(errno));
	else if (st.st_uid != 0 && !(ours && st.st_uid == conf.st_uid))
		say(c, h->line, true,
		    "handler \"%s\": \"%s\" belongs to neither root nor the owner of the config, who could run code as "
		    "the workers do",
		    h->name, h->module);
	else if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		say(c, h->line, true,
		    "handler \"%s\": \"%s\" can be written by others than its owner, who could run code as the workers "
		    "do; chmod go-w it",
		    h->name, h->module);
}

/* The worker beside this program loads it, in a process of its own.  Where there is none, it is left to the start. */
static void
check_loads(struct check *c, const struct conf_handler *h, unsigned seconds)
{
	char exe[PATH_MAX], worker[PATH_MAX + 32], line[CONF_WHY_MAX] = "";
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	int fd[2], status = 0;
	FILE *from;
	pid_t pid;

	exe[n > 0 ? n : 0] = '\0';
	if (strrchr(exe, '/') == NULL)
		return;
	*strrchr(exe, '/') = '\0';
	snprintf(worker, sizeof worker, "%s/letterplate-worker", exe);
	if (access(worker, X_OK) != 0 || pipe2(fd, O_CLOEXEC) != 0)
		return;
	pid = fork();
	if (pid == 0) {
		limit(seconds);
		dup2(fd[1], STDOUT_FILENO);
		execl(worker, "letterplate-worker", "-m", h->module, (char *)NULL);
		_exit(EXIT_FAILURE);
	}
	close(fd[1]);
	from = fdopen(fd[0], "r");
	if (from != NULL && fgets(line, sizeof line, from) != NULL)
		line[strcspn(line, "\n")] = '\0';
	if (from != NULL)
		fclose(from);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		say(c, h->line, true, "handler \"%s\": \"%s\" is not loaded within %u second%s", h->name, h->module,
		    seconds, seconds == 1 ? "" : "s");
	else if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		say(c, h->line, true, "handler \"%s\": %s", h->name, line[0] != '\0' ? line : "it kills who loads it");
}

static int64_t
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* All of them have CONF_CHECK_S, and those behind one that hangs what is left, a second at the least. */
static void
check_modules(struct check *c)
{
	int64_t until_s = now_s() + CONF_CHECK_S, left;

	for (size_t i = 0; i < c->cf->nhandler; i++) {
		const struct conf_handler *h = &c->cf->handler[i];
		bool failed = c->failed;

		if (h->kind != CONF_K_HANDLER)
			continue;
		c->failed = false;
		check_owner(c, h);
		if (!c->failed)
			check_loads(c, h, (left = until_s - now_s()) > 1 ? (unsigned)left : 1);
		c->failed |= failed;
	}
}

int
conf_check(const struct conf *cf, conf_report *report, void *arg)
{
	struct check c = { .cf = cf, .report = report, .arg = arg, .who = "this user" };
	char who[64];
	const struct passwd *pw;

	check_master(&c);
	if (cf->ntls > 0)
		apart(&c, NULL, check_tls, "the certificates");
	/* In a child, as keys: the master never has them in its memory. */
	apart(&c, NULL, check_credentials, "the credentials");
	apart(&c, NULL, check_modules, "the modules");
	if (geteuid() != 0) {
		check_worker(&c);
		return c.failed ? -1 : 0;
	}
	pw = getpwnam(cf->user);
	snprintf(who, sizeof who, "user \"%s\"", cf->user);
	c.who = who;
	if (pw == NULL)
		say(&c, conf_line(cf, "", "user"), true, "%s does not exist; create it or set another", who);
	else if (pw->pw_uid == 0)
		say(&c, conf_line(cf, "", "user"), true, "%s is root; workers must not be: set another", who);
	else
		apart(&c, pw, check_worker, "what workers use");
	return c.failed ? -1 : 0;
}

int
conf_read(const char *file, char **text, size_t *n)
{
	char *buf = malloc(CONF_TEXT_MAX + 1);
	size_t have = 0;
	ssize_t got = -1;
	struct stat st;
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (buf == NULL || fd < 0 || fstat(fd, &st) != 0)
		goto fail;
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		goto fail;
	}
	while (have <= CONF_TEXT_MAX && (got = read(fd, buf + have, CONF_TEXT_MAX + 1 - have)) != 0) {
		if (got < 0 && errno != EINTR)
			goto fail;
		have += got > 0 ? (size_t)got : 0;
	}
	if (have > CONF_TEXT_MAX) {
		errno = EFBIG;
		goto fail;
	}
	close(fd);
	*text = buf;
	*n = have;
	return 0;
fail:
	got = errno;
	free(buf);
	if (fd >= 0)
		close(fd);
	errno = (int)got;
	return -1;
}
