/*
 * main: letterplate-credentials, who may authenticate.
 * Each change is a whole new file beside the old one, synced and renamed over
 * it: letterplate-auth sees the one or the other.  Passwords come by standard
 * input or a prompt, never by an argument, which others could read.
 */
#include <bsd/readpassphrase.h>
#include <bsd/string.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/credential.h"
#include "common/saslprep.h"

#define DEFAULT_FILE "/var/lib/letterplate/credentials"

static struct {
	const char *file;
	char fresh[PATH_MAX];
	struct credentials list;
	bool no_scram;
	unsigned line; /* of standard input, 0: it is no list */
} me = { .file = DEFAULT_FILE };

static _Noreturn void
usage(void)
{
	fputs("usage: letterplate-credentials [-P] [-f FILE | -d DIR] add NAME | passwd NAME | remove NAME | list | "
	      "import\n",
	    stderr);
	exit(EX_USAGE);
}

/* What is wrong with what was given, and where it stands in a list. */
static _Noreturn __attribute__((format(printf, 1, 2))) void
bad(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (me.line > 0)
		errx(EX_DATAERR, "standard input:%u: %s; nothing was changed", me.line, text);
	errx(EX_DATAERR, "%s", text);
}

/* As it is compared, in place of what was given. */
static struct span
name_of(const char *given)
{
	static char name[CREDENTIAL_USER_MAX + 1];
	size_t n = credential_name(span_str(given), true, name);

	if (n == 0)
		bad("a name has 1 to %d octets of UTF-8 without blanks and controls", CREDENTIAL_USER_MAX);
	return span_of(name, n);
}

/* ${must}: it has to be there. */
static void
read_list(bool must)
{
	int fd = open(me.file, O_RDONLY | O_CLOEXEC);
	char why[128];

	if (fd < 0 && errno == ENOENT && must)
		errx(EX_NOINPUT, "%s: %s; letterplate-credentials add makes it", me.file, strerror(errno));
	if (fd < 0 && errno == ENOENT) {
		credential_list_init(&me.list);
		return;
	}
	if (fd < 0)
		err(EX_NOINPUT, "%s", me.file);
	if (credential_list_read(fd, &me.list, why, sizeof why) != 0)
		errx(EX_DATAERR, "%s: %s", me.file, why);
	close(fd);
}

/* What ends before its time leaves no file that nobody wants. */
static void
abandon(void)
{
	if (me.fresh[0] != '\0')
		unlink(me.fresh);
}

static void
on_signal(int sig)
{
	abandon();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void
tidy_up(void)
{
	static const int sigs[] = { SIGHUP, SIGINT, SIGTERM };

	atexit(abandon);
	for (size_t i = 0; i < sizeof sigs / sizeof *sigs; i++)
		if (signal(sigs[i], on_signal) == SIG_IGN)
			signal(sigs[i], SIG_IGN);
}

/* One at a time: the file that is to be is the lock too. */
static int
lock(void)
{
	char fresh[PATH_MAX];
	int n = snprintf(fresh, sizeof fresh, "%s.new", me.file), fd;
	struct stat opened, there;

	if (n < 0 || (size_t)n >= sizeof fresh)
		errx(EX_USAGE, "%s: name too long", me.file);
	fd = open(fresh, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		err(EX_CANTCREAT, "%s", fresh);
	/* Another may have published what was opened here: that file must not be touched again. */
	if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &opened) != 0 || lstat(fresh, &there) != 0 ||
	    opened.st_ino != there.st_ino || opened.st_dev != there.st_dev)
		errx(EX_TEMPFAIL, "another letterplate-credentials is at work on %s", me.file);
	memcpy(me.fresh, fresh, sizeof fresh);
	tidy_up();
	if (ftruncate(fd, 0) != 0 || fchmod(fd, 0600) != 0)
		err(EX_CANTCREAT, "%s", fresh);
	return fd;
}

static void
sync_folder(void)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(me.file, '/');
	int fd;

	snprintf(dir, sizeof dir, "%.*s",
	    slash == NULL          ? 1
		: slash == me.file ? 1
				   : (int)(slash - me.file),
	    slash == NULL ? "." : me.file);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		err(EX_IOERR, "%s", dir);
	close(fd);
}

static void
publish(int fd)
{
	FILE *to = fdopen(fd, "w");

	if (to == NULL || credential_list_write(&me.list, to) != 0 || fsync(fd) != 0 || rename(me.fresh, me.file) != 0)
		err(EX_IOERR, "%s", me.file);
	/* From here on that name may be another one's lock. */
	me.fresh[0] = '\0';
	fclose(to);
	sync_folder();
}

static void
set(struct span user, struct span password)
{
	char prepared[CREDENTIAL_PW_MAX];
	ssize_t n = password.n <= CREDENTIAL_PW_MAX ? saslprep(password, prepared, sizeof prepared, true) : -1;
	struct credential *c;

	if (n < 0)
		bad("a password has 1 to %d octets, of UTF-8 without controls (SASLprep, RFC 4013)", CREDENTIAL_PW_MAX);
	c = credential_list_add(&me.list, user);
	if (c == NULL)
		err(EX_OSERR, "%s", me.file);
	if (credential_set(c, span_of(prepared, (size_t)n), !me.no_scram) != 0)
		errx(EX_SOFTWARE, "OpenSSL cannot hash");
	explicit_bzero(prepared, sizeof prepared);
}

static void
set_asked(struct span user)
{
	char password[CREDENTIAL_PW_MAX + 2], again[CREDENTIAL_PW_MAX + 2];
	int flags = isatty(STDIN_FILENO) ? RPP_REQUIRE_TTY : RPP_STDIN;

	if (readpassphrase("Password: ", password, sizeof password, flags) == NULL)
		errx(EX_NOINPUT, "no password");
	if (flags == RPP_REQUIRE_TTY &&
	    (readpassphrase("Once more: ", again, sizeof again, flags) == NULL || strcmp(password, again) != 0))
		errx(EX_DATAERR, "the two differ");
	set(user, span_str(password));
	explicit_bzero(password, sizeof password);
	explicit_bzero(again, sizeof again);
}

/* What ${line} begins with, ended by a NUL; *line is moved to what stands behind the blanks after it. */
static char *
first_word(char **line)
{
	char *word = *line + strspn(*line, " \t");

	*line = word + strcspn(word, " \t");
	if (**line != '\0')
		*(*line)++ = '\0';
	*line += strspn(*line, " \t");
	return word;
}

/* One line: NAME, blanks, and all the rest of it is the password.  Empty ones and comments say nothing. */
static void
import_line(char *line, size_t n)
{
	char *name, *password = line;

	if (memchr(line, '\0', n) != NULL)
		bad("there is a NUL in it");
	if (me.line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
		password += 3;
	name = first_word(&password);
	if (*name == '\0' || *name == '#')
		return;
	if (*password == '\0')
		bad("a line is NAME, blanks, PASSWORD: give it a password, or make it a comment by #");
	set(name_of(name), span_str(password));
}

static void
import(void)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		size_t end = (size_t)n;

		me.line++;
		end -= line[end - 1] == '\n';
		end -= end > 0 && line[end - 1] == '\r';
		line[end] = '\0';
		import_line(line, end);
		explicit_bzero(line, cap);
	}
	if (ferror(stdin))
		err(EX_IOERR, "standard input");
	free(line);
}

static void
list(void)
{
	for (size_t i = 0; i < me.list.n; i++)
		printf("%s\t%s\n", me.list.c[i].user,
		    me.list.c[i].iterations > 0 ? "PLAIN LOGIN SCRAM-SHA-256" : "PLAIN LOGIN");
	if (fflush(stdout) != 0 || ferror(stdout))
		err(EX_IOERR, "standard output");
}

static void
change(const char *verb, const char *name)
{
	struct span user = name_of(name);
	struct credential *c = credential_list_find(&me.list, user);

	if (strcmp(verb, "add") == 0 && c != NULL)
		errx(EX_DATAERR, "%s is there already; see passwd", name);
	if (strcmp(verb, "add") != 0 && c == NULL)
		errx(EX_NOUSER, "there is no %s", name);
	/* In a list it would be a comment. */
	if (strcmp(verb, "add") == 0 && name[0] == '#')
		bad("a name does not begin with #");
	if (strcmp(verb, "remove") == 0)
		credential_list_remove(&me.list, c);
	else
		set_asked(user);
}

int
main(int argc, char **argv)
{
	static char path[PATH_MAX];
	bool named;
	int c, fd;

	while ((c = getopt(argc, argv, "Pd:f:")) != -1) {
		if (c == 'P')
			me.no_scram = true;
		else if (c == 'f')
			me.file = optarg;
		else if (c == 'd' && snprintf(path, sizeof path, "%s/credentials", optarg) < (int)sizeof path)
			me.file = path;
		else
			usage();
	}
	argc -= optind;
	argv += optind;
	if (argc == 1 && strcmp(argv[0], "list") == 0) {
		read_list(true);
		list();
		return EX_OK;
	}
	named = argc == 2 &&
	    (strcmp(argv[0], "add") == 0 || strcmp(argv[0], "passwd") == 0 || strcmp(argv[0], "remove") == 0);
	if (!named && !(argc == 1 && strcmp(argv[0], "import") == 0))
		usage();
	umask(077);
	fd = lock();
	read_list(false);
	if (named)
		change(argv[0], argv[1]);
	else
		import();
	publish(fd);
	credential_list_free(&me.list);
	return EX_OK;
}
