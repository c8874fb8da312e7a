/*
 * setup_write: the text of the config, and everything that is made: folders,
 * a first mailbox list and its directory, and last the config, so that where
 * it stands all that it names is there.  A file has its name only when it is
 * whole and synced, and never takes another one's unless told.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "master/setup.h"

/* --- the texts --- */

/* In double quotes, as letterplate.conf(5) has them. */
static void
put_quoted(FILE *f, const char *s, size_t n)
{
	putc('"', f);
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '"' || s[i] == '\\')
			putc('\\', f);
		putc(s[i], f);
	}
	putc('"', f);
}

static void
put_key(FILE *f, const char *prefix, const char *key, const char *value, const char *suffix)
{
	if (value == NULL || *value == '\0')
		return;
	fprintf(f, "%s%s = ", prefix, key);
	put_quoted(f, value, strlen(value));
	fputs(suffix, f);
}

static void
put_text(FILE *f, char *const *v)
{
	const char *listen = v[SETUP_LISTEN] != NULL ? v[SETUP_LISTEN] : "127.0.0.1:25", *w;
	bool tls = v[SETUP_CERTIFICATE] != NULL && *v[SETUP_CERTIFICATE] != '\0', first = true;
	size_t n;

	fputs("# Letterplate's config, made by letterplate setup.  letterplate.conf(5) has every key and its default.\n"
	      "# Check a change with letterplate -t -c FILE, and take it with letterplate ctl reload.\n\n",
	    f);
	put_key(f, "", "hostname", v[SETUP_HOSTNAME], "\n");
	put_key(f, "", "user", v[SETUP_USER], "\n");
	put_key(f, "", "state_dir", v[SETUP_STATE_DIR], "\n");
	put_key(f, "", "directory", v[SETUP_DIRECTORY], "\n");
	put_key(f, "", "postmaster", v[SETUP_POSTMASTER], "\n");
	fputs("\nlistener \"mx\" {\n\taddress = {", f);
	while ((w = setup_word(&listen, &n)) != NULL) {
		fputs(first ? "" : ", ", f);
		put_quoted(f, w, n);
		first = false;
	}
	fprintf(f, "}\n\ttls = \"%s\"\n}\n", tls ? "starttls" : "none");
	if (tls) {
		fputs("\ntls {\n", f);
		put_key(f, "\t", "certificate", v[SETUP_CERTIFICATE], "\n");
		/* Where one file alone is asked about, it stands for both. */
		put_key(f, "\t", "key", v[SETUP_KEY] != NULL ? v[SETUP_KEY] : v[SETUP_CERTIFICATE], "\n");
		fputs("}\n", f);
	}
	if (v[SETUP_STORE] != NULL)
		put_key(f, "\nstore \"maildir\" {\n\t", "path", v[SETUP_STORE], "\n}\n");
}

char *
setup_text(const struct setup *s)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	if (f == NULL)
		return NULL;
	put_text(f, s->value);
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

/* A list with the postmaster alone, in every domain: each is ours from then on. */
static char *
list_text(const struct setup *s)
{
	const char *pm = s->value[SETUP_POSTMASTER], *rest = s->value[SETUP_DOMAINS], *w;
	char *text = NULL, made[SETUP_VALUE_MAX];
	size_t n;
	FILE *f = open_memstream(&text, &n);

	if (f == NULL)
		return NULL;
	fprintf(f,
	    "# The mailboxes, an entry a line; all forms: letterplate-mailboxes(8).  Load it after a change:\n"
	    "#   letterplate-mailboxes -d %s load THIS-FILE\n\n%s\n",
	    s->value[SETUP_DIRECTORY], pm);
	while ((w = setup_word(&rest, &n)) != NULL) {
		snprintf(made, sizeof(made), "postmaster@%.*s", (int)n, w);
		if (strcasecmp(made, pm) != 0)
			fprintf(f, "%s alias=%s\n", made, pm);
	}
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

/* --- files and folders --- */

static int
fail(const char *path)
{
	fprintf(stderr, "letterplate setup: cannot make %s: %s\n", path, strerror(errno));
	return EX_CANTCREAT;
}

/*
 * Make ${name} in the folder ${at} and give it away: it itself, and nothing that
 * took its place meanwhile, for others may write where it is made (/var/mail).
 * 0, or -1 with errno.
 */
static int
make_in(int at, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	struct stat st;
	int fd, rc, err;

	if (mkdirat(at, name, 0700) != 0)
		return -1;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	rc = fstat(fd, &st);
	if (rc == 0 && st.st_uid != geteuid()) {
		errno = EEXIST;
		rc = -1;
	}
	/* The owner first: at no time is it another one's with this mode. */
	if (rc == 0 && (fchown(fd, uid, gid) != 0 || fchmod(fd, mode) != 0))
		rc = -1;
	err = errno;
	close(fd);
	errno = err;
	return rc;
}

/* Make a folder and those above it, which get mode 0755; one that is there is left as it is. */
static int
make_folder(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	char *up, *last;
	int rc = 0, at = -1;

	if (access(path, F_OK) == 0)
		return 0;
	up = strdup(path);
	last = strdup(path);
	if (up == NULL || last == NULL)
		rc = fail(path);
	else if (strcmp(dirname(up), path) != 0)
		rc = make_folder(up, 0755, geteuid(), getegid());
	if (rc == 0 &&
	    ((at = open(up, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
		make_in(at, basename(last), mode, uid, gid) != 0))
		rc = fail(path);
	else if (rc == 0)
		printf("made %s\n", path);
	if (at >= 0)
		close(at);
	free(up);
	free(last);
	return rc;
}

static int
make_folders(const struct setup *s)
{
	const struct passwd *pw = s->root ? getpwnam(s->value[SETUP_USER]) : NULL;
	uid_t uid = pw != NULL ? pw->pw_uid : geteuid();
	gid_t gid = pw != NULL ? pw->pw_gid : getegid();
	int rc = make_folder(s->value[SETUP_STORE], 0700, uid, gid);

	/* Workers read it, root writes it, and who has which address is nobody else's business. */
	if (rc == 0)
		rc = make_folder(s->value[SETUP_DIRECTORY], s->root ? 0750 : 0755, geteuid(), gid);
	if (rc == 0)
		rc = make_folder(s->value[SETUP_STATE_DIR], 0755, geteuid(), getegid());
	return rc;
}

/* All of ${text} to ${fd}, and to the disk.  0, or -1 with errno. */
static int
write_all(int fd, const char *text)
{
	size_t n = strlen(text);

	while (n > 0) {
		ssize_t w = write(fd, text, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return -1;
		text += w;
		n -= (size_t)w;
	}
	return fsync(fd);
}

/* ${fresh} takes the name; the one before is kept as NAME.old if ${replace}, else the name must be free. */
static int
take_name(int dir, const char *fresh, const char *name, bool replace)
{
	char old[NAME_MAX + 1];

	if (!replace)
		return linkat(dir, fresh, dir, name, 0) != 0 || unlinkat(dir, fresh, 0) != 0 ? -1 : 0;
	snprintf(old, sizeof(old), "%.200s.old", name);
	if ((unlinkat(dir, old, 0) != 0 && errno != ENOENT) || (linkat(dir, name, dir, old, 0) != 0 && errno != ENOENT))
		return -1;
	return renameat(dir, fresh, dir, name);
}

/* Write a file whole: it has its name when it is on disk.  0 or an exit code. */
static int
write_file(const char *path, const char *text, mode_t mode, bool replace)
{
	char *up = strdup(path), *last = strdup(path), fresh[NAME_MAX + 1];
	const char *name = last != NULL ? basename(last) : "";
	int dir = up != NULL ? open(dirname(up), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, fd = -1, rc = 0;

	snprintf(fresh, sizeof(fresh), "%.200s.new", name);
	if (dir >= 0) {
		(void)unlinkat(dir, fresh, 0); /* one that was killed has left it */
		fd = openat(dir, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	}
	if (fd < 0 || fchmod(fd, mode) != 0 || write_all(fd, text) != 0 || take_name(dir, fresh, name, replace) != 0 ||
	    fsync(dir) != 0) {
		rc = fail(path);
		if (fd >= 0)
			(void)unlinkat(dir, fresh, 0);
	} else {
		printf("wrote %s\n", path);
	}
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
	free(up);
	free(last);
	return rc;
}

/* --- the mailbox directory --- */

/* letterplate-mailboxes, which stands beside this program, loads the list. */
static int
load(const struct setup *s, const char *list)
{
	char self[PATH_MAX], tool[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int status;
	pid_t pid;

	self[n > 0 ? n : 0] = '\0';
	snprintf(tool, sizeof(tool), "%s/letterplate-mailboxes", dirname(self));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execl(tool, "letterplate-mailboxes", "-d", s->value[SETUP_DIRECTORY], "load", list, (char *)NULL);
		fprintf(stderr, "letterplate setup: %s: %s\n", tool, strerror(errno));
		_exit(EX_OSFILE);
	}
	if (pid < 0)
		return fail(s->value[SETUP_DIRECTORY]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}

/* A list and a directory where there is none of the kind. */
static int
make_directory(const struct setup *s, const char *list)
{
	char mdb[SETUP_VALUE_MAX + 32], *text;
	int rc = 0;

	snprintf(mdb, sizeof(mdb), "%s/mailboxes.mdb", s->value[SETUP_DIRECTORY]);
	if (access(mdb, F_OK) == 0) {
		printf("%s is there already and stays\n", mdb);
		return 0;
	}
	if (access(list, F_OK) != 0) {
		text = list_text(s);
		rc = text != NULL ? write_file(list, text, 0600, false) : EX_OSERR;
		free(text);
	}
	return rc != 0 ? rc : load(s, list);
}

/* --- the whole --- */

static void
tell(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s\n", line);
}

/* 0 or EX_CONFIG.  *cf may be NULL then. */
static int
parse(const struct setup *s, const char *text, struct conf **cf)
{
	if (conf_parse(s->value[SETUP_CONFIG], text, strlen(text), tell, NULL, cf) == 0)
		return 0;
	fputs(
	    "letterplate setup: these mistakes are of the config that would come of it; nothing was written\n", stderr);
	return EX_CONFIG;
}

/* A port that is taken does not keep a config from being right: it is often the old server's. */
static void
warn_taken(const struct conf *cf)
{
	for (size_t i = 0; i < cf->listener[0].naddress; i++) {
		const struct conf_address *a = &cf->listener[0].address[i];
		int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

		if (a->ss.ss_family == AF_UNIX || fd < 0) {
			if (fd >= 0)
				close(fd);
			continue;
		}
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (a->ss.ss_family == AF_INET6)
			(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		if (bind(fd, (const struct sockaddr *)&a->ss, a->len) != 0)
			fprintf(stderr, "letterplate setup: warning: %s: %s; %s\n", a->text, strerror(errno),
			    errno == EADDRINUSE ? "stop the server that has it before you start this one"
						: "the server could not listen there");
		close(fd);
	}
}

static void
tell_next(const struct setup *s, const char *list)
{
	const char *conf = s->value[SETUP_CONFIG], *dir = s->value[SETUP_DIRECTORY];

	printf("\nNext:\n"
	       "  mailboxes:     edit %s, then: letterplate-mailboxes -d %s load %s\n"
	       "  from Postfix:  letterplate-mailboxes -d %s import postfix --main-cf /etc/postfix/main.cf\n",
	    list, dir, list, dir);
	if (s->root && s->under == NULL && strcmp(conf, "/etc/letterplate/letterplate.conf") == 0)
		puts("  start:         systemctl enable --now letterplate");
	else
		printf("  start:         letterplate -c %s\n", conf);
	printf("  look:          letterplate ctl -c %s status\n"
	       "                 letterplate-stats -s %s/stats --watch\n",
	    conf, s->value[SETUP_STATE_DIR]);
}

int
setup_write(const struct setup *s)
{
	char *text = setup_text(s), *up = strdup(s->value[SETUP_CONFIG]), list[SETUP_VALUE_MAX + 32];
	struct conf *cf = NULL;
	int rc = text != NULL && up != NULL ? parse(s, text, &cf) : EX_OSERR;

	if (rc == 0) {
		snprintf(list, sizeof(list), "%s/mailboxes.list", dirname(up));
		rc = make_folder(up, 0755, geteuid(), getegid());
	}
	if (rc == 0 && (rc = make_folders(s)) == 0 && (rc = make_directory(s, list)) == 0 &&
	    conf_check(cf, tell, NULL) != 0) {
		fprintf(stderr, "letterplate setup: %s was not written: mend what these lines say, and call it again\n",
		    s->value[SETUP_CONFIG]);
		rc = EX_CONFIG;
	}
	if (rc == 0)
		rc = write_file(s->value[SETUP_CONFIG], text, 0644, s->force);
	if (rc == 0) {
		warn_taken(cf);
		tell_next(s, list);
	}
	conf_free(cf);
	free(text);
	free(up);
	return rc;
}
