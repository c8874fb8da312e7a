/*
 * input: zlib reads plain files as well as compressed ones.
 */
#include "tools/log/input.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
#include <zlib.h>

#include "tools/log/line.h"

/* A file without a name.  Its descriptor, or -1 with errno. */
static int
nameless(void)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/letterplate-log.XXXXXX", dir != NULL && dir[0] == '/' ? dir : "/tmp");
	if ((fd = mkostemp(path, O_CLOEXEC)) != -1)
		unlink(path);
	return fd;
}

/* All of ${from} into ${to}.  0, or -1 with errno. */
static int
copy(int from, int to)
{
	char b[65536];
	ssize_t n;

	while ((n = read(from, b, sizeof(b))) != 0) {
		if (n == -1 && errno != EINTR)
			return -1;
		for (ssize_t done = 0, w; done < n; done += w)
			if ((w = write(to, b + done, (size_t)(n - done))) == -1)
				return -1;
	}
	return 0;
}

/* Take ${fd} over, or a copy of what it gives if it cannot be wound back. */
static int
add_fd(struct input *in, const char *name, int fd)
{
	struct stat st;
	int kept, r;

	if (in->n == INPUT_FILES_MAX) {
		close(fd);
		warnx("more than %d files", INPUT_FILES_MAX);
		return EX_USAGE;
	}
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		close(fd);
		warnx("%s: is a folder", name);
		return EX_NOINPUT;
	}
	if (!S_ISREG(st.st_mode)) {
		kept = nameless();
		r = kept != -1 ? copy(fd, kept) : -1;
		close(fd);
		if (r != 0) {
			warn("keeping what %s gives", name);
			if (kept != -1)
				close(kept);
			return EX_IOERR;
		}
		fd = kept;
	}
	in->file[in->n].cut = false;
	in->file[in->n].name = name;
	in->file[in->n++].fd = fd;
	return EX_OK;
}

int
input_add(struct input *in, const char *path)
{
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd == -1) {
		warn("%s", path);
		return errno == EACCES ? EX_NOPERM : EX_NOINPUT;
	}
	return add_fd(in, standard ? "standard input" : path, fd);
}

int
input_add_journal(struct input *in, const char *unit)
{
	int pair[2], r, status = 0;
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) != 0 || (pid = fork()) == -1) {
		warn("journalctl");
		return EX_OSERR;
	}
	if (pid == 0) {
		if (dup2(pair[1], STDOUT_FILENO) == -1)
			_exit(EX_OSERR);
		execlp("journalctl", "journalctl", "--no-pager", "--quiet", "-o", "cat", "-u", unit, (char *)NULL);
		warn("journalctl");
		_exit(EX_UNAVAILABLE);
	}
	close(pair[1]);
	r = add_fd(in, "the journal", pair[0]);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (r == EX_OK && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
		warnx("journalctl did not end well; name the log's file instead?");
		r = EX_UNAVAILABLE;
	}
	return r;
}

static int
each_of(gzFile z, const char *name, bool *cut, void (*line)(void *arg, const char *p, size_t n), void *arg)
{
	static char b[LINE_OCTETS_MAX];
	bool inside = false; /* the rest of a line that was too long */
	int err;

	while (gzgets(z, b, sizeof(b)) != NULL) {
		size_t n = strlen(b);

		if (!inside && n > 0)
			line(arg, b, n);
		inside = n == sizeof(b) - 1 && b[n - 1] != '\n';
	}
	gzerror(z, &err);
	/* A file that ends within its compressed part is one that is being written, or was cut: what it has is taken. */
	if (err == Z_BUF_ERROR) {
		if (!*cut)
			warnx("%s: ends before its end", name);
		*cut = true;
	} else if (err != Z_OK && err != Z_STREAM_END) {
		warnx("%s: is damaged", name);
		return EX_DATAERR;
	}
	return EX_OK;
}

int
input_each(struct input *in, void (*line)(void *arg, const char *p, size_t n), void *arg)
{
	int r = EX_OK, fd;
	gzFile z;

	for (size_t i = 0; i < in->n && r == EX_OK; i++) {
		if (lseek(in->file[i].fd, 0, SEEK_SET) == -1 || (fd = dup(in->file[i].fd)) == -1) {
			warn("%s", in->file[i].name);
			return EX_IOERR;
		}
		if ((z = gzdopen(fd, "r")) == NULL) {
			close(fd);
			warnx("%s: out of memory", in->file[i].name);
			return EX_OSERR;
		}
		r = each_of(z, in->file[i].name, &in->file[i].cut, line, arg);
		gzclose(z);
	}
	return r;
}

bool
input_cut(const struct input *in)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->file[i].cut)
			return true;
	return false;
}

void
input_close(struct input *in)
{
	for (size_t i = 0; i < in->n; i++)
		close(in->file[i].fd);
	in->n = 0;
}
