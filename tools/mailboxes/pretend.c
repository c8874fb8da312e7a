/*
 * pretend: what would a sender hear?  Runs the server's own worker for one
 * session (worker/pretend.h) and is its client.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <bsd/string.h>
#include <bsd/unistd.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/mailboxes/tool.h"

enum {
	FD_CONF = 3, /* as worker/pretend.h has them */
	FD_CLIENT = 4,
	FD_ANSWERS = 5,
	FD_ASIDE = 20, /* above those while they are put in place */
	LINE = 2048,
	REFUSED = 1
};

struct talk {
	pid_t pid;
	int answers;
	FILE *in, *out;
	int rc; /* the worst so far: 0, EX_TEMPFAIL, REFUSED */
};

static const char made_up[] = "From: check\nSubject: a message that nobody gets\n\nNothing.\n";

/* The worker stands where this program does. */
static _Noreturn void
run_worker(const struct tool_pretend *o, int conf, int client, int answers)
{
	char self[PATH_MAX], worker[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int from[] = { conf, client, answers };

	self[n > 0 ? n : 0] = '\0';
	if (strrchr(self, '/') != NULL)
		strrchr(self, '/')[1] = '\0';
	if (strlcpy(worker, self, sizeof(worker)) >= sizeof(worker) ||
	    strlcat(worker, "letterplate-worker", sizeof(worker)) >= sizeof(worker))
		errx(EX_OSFILE, "%s: too long a path", self);
	for (int i = 0; i < 3; i++)
		if ((from[i] = fcntl(from[i], F_DUPFD, FD_ASIDE)) == -1)
			err(EX_OSERR, "descriptors");
	for (int i = 0; i < 3; i++)
		if (dup2(from[i], FD_CONF + i) == -1)
			err(EX_OSERR, "descriptors");
	closefrom(FD_ANSWERS + 1);
	execl(worker, "letterplate-worker", "-p", o->conf, o->address, o->listener, NULL);
	err(EX_OSFILE, "%s", worker);
}

static int
start(struct talk *t, const struct tool_pretend *o)
{
	int conf = open(o->conf, O_RDONLY | O_CLOEXEC), pair[2], tell[2], again;

	if (conf == -1) {
		warn("%s", o->conf);
		return EX_NOINPUT;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1 || pipe2(tell, O_CLOEXEC) == -1 ||
	    (t->pid = fork()) == -1)
		goto err;
	if (t->pid == 0)
		run_worker(o, conf, pair[1], tell[1]);
	close(conf);
	close(pair[1]);
	close(tell[1]);
	t->answers = tell[0];
	if (fcntl(tell[0], F_SETFL, O_NONBLOCK) == -1 || (again = fcntl(pair[0], F_DUPFD_CLOEXEC, 0)) == -1 ||
	    (t->in = fdopen(pair[0], "r")) == NULL || (t->out = fdopen(again, "w")) == NULL)
		goto err;
	return 0;
err:
	warn("cannot start a session");
	return EX_OSERR;
}

/* What handlers answered until now: it was written before the reply. */
static void
show_answers(const struct talk *t)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(t->answers, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
}

/* The last line of a reply, printed; its code, or -1: the session is over. */
static int
reply(struct talk *t)
{
	char line[LINE];
	bool told = false;

	while (fgets(line, sizeof(line), t->in) != NULL) {
		if (!told)
			show_answers(t);
		told = true;
		line[strcspn(line, "\r\n")] = '\0';
		printf("< %s\n", line);
		if (strlen(line) >= 3 && line[3] != '-')
			return (int)strtol(line, NULL, 10);
	}
	show_answers(t);
	return -1;
}

/* 4xx and 5xx count; true to go on. */
static bool
judge(struct talk *t, int code)
{
	if (code >= 200 && code < 400)
		return true;
	if (code >= 500)
		t->rc = REFUSED;
	else if (t->rc == 0)
		t->rc = EX_TEMPFAIL;
	return false;
}

static bool __attribute__((format(printf, 2, 3))) say(struct talk *t, const char *fmt, ...)
{
	char line[LINE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	printf("> %s\n", line);
	fprintf(t->out, "%s\r\n", line);
	fflush(t->out);
	return judge(t, reply(t));
}

/* Lines end in CRLF, and one that begins with a dot gets another (RFC 5321 4.5.2). */
static void
send_content(struct talk *t, FILE *f)
{
	bool begins = true;
	int c, before = '\n';

	while ((c = f != NULL ? getc(f) : EOF) != EOF) {
		if (begins && c == '.')
			putc('.', t->out);
		if (c == '\n' && before != '\r')
			putc('\r', t->out);
		putc(c, t->out);
		begins = c == '\n';
		before = c;
	}
	fputs(begins ? ".\r\n" : "\r\n.\r\n", t->out);
	fflush(t->out);
}

/* Octets of what send_content() sends, as SIZE counts them (RFC 1870 5): CRLF, without added dots. */
static unsigned long long
size_of(FILE *f)
{
	unsigned long long n = 0;
	int c, before = '\n';

	while ((c = getc(f)) != EOF) {
		n += c == '\n' && before != '\r' ? 2 : 1;
		before = c;
	}
	rewind(f);
	return before == '\n' ? n : n + 2;
}

static FILE *
memory(void)
{
	int fd = memfd_create("message", MFD_CLOEXEC);
	FILE *f = fd != -1 ? fdopen(fd, "w+") : NULL;

	if (f == NULL && fd != -1)
		close(fd);
	return f;
}

/* The message, from its beginning, in something that can be read twice; NULL after a message. */
static FILE *
take_message(const char *file)
{
	char buf[4096];
	size_t n;
	FILE *f;

	if (file == NULL)
		f = fmemopen((void *)(uintptr_t)made_up, sizeof(made_up) - 1, "r");
	else if (strcmp(file, "-") != 0)
		f = fopen(file, "r");
	else if ((f = memory()) != NULL) {
		while ((n = fread(buf, 1, sizeof(buf), stdin)) > 0 && fwrite(buf, 1, n, f) == n)
			;
		if (ferror(stdin) || ferror(f) || fflush(f) == EOF) {
			warn("standard input");
			fclose(f);
			return NULL;
		}
		rewind(f);
	}
	if (f == NULL)
		warn("%s", file != NULL ? file : "memory");
	return f;
}

static void
session(struct talk *t, const struct tool_pretend *o, FILE *f)
{
	bool any = false;

	printf("connection from %s\n", o->address);
	if (!judge(t, reply(t)) || !say(t, "EHLO %s", o->helo) ||
	    !say(t, "MAIL FROM:<%s> SIZE=%llu", o->from, size_of(f)))
		return;
	for (size_t i = 0; i < o->nto; i++)
		any |= say(t, "RCPT TO:<%s>", o->to[i]);
	if (!any || !say(t, "DATA"))
		return;
	puts("> (the message)");
	send_content(t, f);
	(void)judge(t, reply(t));
}

/* A line of ours must stay one line. */
static bool
is_one_line(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

int
tool_pretend(const struct tool_pretend *o)
{
	struct talk t = { .rc = 0 };
	uint8_t any[sizeof(struct in6_addr)];
	FILE *f;
	int rc, status;

	for (size_t i = 0; i < o->nto; i++)
		if (!is_one_line(o->to[i]))
			goto usage;
	if (!is_one_line(o->helo) || !is_one_line(o->from))
		goto usage;
	if (inet_pton(AF_INET, o->address, any) != 1 && inet_pton(AF_INET6, o->address, any) != 1) {
		warnx("--ip %s is no IP address; write it like 192.0.2.7 or 2001:db8::7", o->address);
		return EX_USAGE;
	}
	if ((f = take_message(o->file)) == NULL)
		return EX_NOINPUT;
	signal(SIGPIPE, SIG_IGN);
	fflush(stdout);
	if ((rc = start(&t, o)) != 0)
		return rc;
	session(&t, o, f);
	fputs("QUIT\r\n", t.out);
	fflush(t.out);
	shutdown(fileno(t.out), SHUT_RDWR);
	if (waitpid(t.pid, &status, 0) == t.pid && !WIFEXITED(status)) {
		warnx("the worker did not come to an end by itself");
		return EX_SOFTWARE;
	}
	/* What it ends with it has said why. */
	return WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : t.rc;
usage:
	warnx("a name or an address has a control character");
	return EX_USAGE;
}
