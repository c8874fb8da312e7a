/*
 * conf_later: what the config names, and need not be there yet: an address of
 * this machine's, a relay's address, who gets the postmaster's mail.  Warnings
 * alone, for whoever asks for a check; a start and a reload do not wait for DNS.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/conf_priv.h"

enum {
	LATER_S = 5,          /* what DNS, and a directory, may take */
	LATER_HOST_MAX = 256, /* octets of a host's name with a NUL */
	LATER_LINE_MAX = 1024
};

struct later {
	const struct conf *cf;
	conf_report *report;
	void *arg;
};

static void warn(const struct later *l, unsigned line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void
warn(const struct later *l, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	conf_tell(l->cf, line, l->report, l->arg, "warning: ", fmt, ap);
	va_end(ap);
}

/* A child whose standard output is *from; it ends in LATER_S, whatever hangs, or with us.  0 in it, -1 with errno. */
static pid_t
apart(FILE **from)
{
	int fd[2];
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		(void)signal(SIGALRM, SIG_DFL);
		(void)alarm(LATER_S);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd[1], STDOUT_FILENO);
		return 0;
	}
	close(fd[1]);
	*from = pid > 0 ? fdopen(fd[0], "r") : NULL;
	if (*from == NULL)
		close(fd[0]);
	return pid;
}

/* Whether it ended by itself. */
static bool
ended(pid_t pid, FILE *from)
{
	int status = 0;

	if (from != NULL)
		fclose(from);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status);
}

/* --- addresses --- */

/* The port is somebody's business that is bound to it now, perhaps this very server's. */
static void
look_address(const struct later *l, const struct conf_address *a)
{
	struct sockaddr_storage ss = a->ss;
	int fd, err = 0;

	if (ss.ss_family == AF_INET)
		((struct sockaddr_in *)&ss)->sin_port = 0;
	else if (ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&ss)->sin6_port = 0;
	else
		return;
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&ss, a->len) != 0)
		err = errno;
	if (fd >= 0)
		close(fd);
	if (err == EADDRNOTAVAIL)
		warn(l, a->line, "address = \"%s\": this machine has no such address now; without it there is no start",
		    a->text);
	else if (err == EAFNOSUPPORT)
		warn(l, a->line, "address = \"%s\": this machine has no IPv6 now; without it there is no start",
		    a->text);
}

/* --- the relay --- */

static void __attribute__((noreturn)) ask_relay(const char *host)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *all;
	int why = getaddrinfo(host, NULL, &hints, &all);

	if (why != 0)
		puts(gai_strerror(why));
	fflush(stdout);
	_exit(0);
}

static void
look_relay(const struct later *l)
{
	const char *relay = l->cf->dsn_relay, *colon = strrchr(relay, ':');
	char host[LATER_HOST_MAX], why[LATER_LINE_MAX] = "";
	FILE *from;
	pid_t pid;

	if (colon == NULL)
		return;
	/* "host:port" or "[address]:port", which the parser has checked. */
	snprintf(host, sizeof host, "%.*s", (int)(colon - relay), relay);
	if (host[0] == '[') {
		memmove(host, host + 1, strlen(host));
		host[strcspn(host, "]")] = '\0';
	}
	if ((pid = apart(&from)) < 0)
		return;
	if (pid == 0)
		ask_relay(host);
	if (from != NULL && fgets(why, sizeof why, from) != NULL)
		why[strcspn(why, "\n")] = '\0';
	if (!ended(pid, from))
		snprintf(why, sizeof why, "no answer within %d seconds", LATER_S);
	if (why[0] != '\0')
		warn(l, conf_line(l->cf, "", "dsn_relay"),
		    "dsn_relay = \"%s\": it has no address now: %s; reports to foreign senders wait until it has",
		    relay, why);
}

/* --- the postmaster --- */

/* The program beside this one knows LMDB, which has no place in the master. */
static void __attribute__((noreturn)) ask_directory(const struct conf *cf)
{
	char exe[PATH_MAX], tool[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	exe[n > 0 ? n : 0] = '\0';
	if (strrchr(exe, '/') == NULL || null < 0)
		_exit(0);
	*strrchr(exe, '/') = '\0';
	snprintf(tool, sizeof tool, "%s/letterplate-mailboxes", exe);
	dup2(null, STDERR_FILENO);
	execl(tool, "letterplate-mailboxes", "-d", cf->directory, "show", "--delimiters", cf->recipient_delimiters,
	    "--hostname", cf->hostname, "--", cf->postmaster, (char *)NULL);
	_exit(0);
}

/* What is not known, for want of a directory or of an answer in time, is conf_check()'s to tell. */
static void
look_postmaster(const struct later *l)
{
	static const char refused[] = "refused: ";
	char line[LATER_LINE_MAX], told[LATER_LINE_MAX] = "";
	FILE *from;
	pid_t pid = apart(&from);

	if (pid < 0)
		return;
	if (pid == 0)
		ask_directory(l->cf);
	while (from != NULL && fgets(line, sizeof line, from) != NULL)
		if (strncmp(line, refused, sizeof refused - 1) == 0)
			snprintf(told, sizeof told, "%.*s", (int)strcspn(line, "\r\n") - (int)sizeof refused + 1,
			    line + sizeof refused - 1);
	if (ended(pid, from) && told[0] != '\0')
		warn(l, conf_line(l->cf, "", "postmaster"),
		    "postmaster = \"%s\": the mailbox directory refuses it: %s; list it, or name another",
		    l->cf->postmaster, told);
}

void
conf_check_later(const struct conf *cf, conf_report *report, void *arg)
{
	struct later l = { cf, report, arg };

	for (size_t i = 0; i < cf->nlistener; i++)
		for (size_t k = 0; k < cf->listener[i].naddress; k++)
			look_address(&l, &cf->listener[i].address[k]);
	if (cf->dsn_relay[0] != '\0')
		look_relay(&l);
	if (cf->postmaster[0] != '\0')
		look_postmaster(&l);
}
