/*
 * log_open: where a log can go, and a descriptor of it.
 * Opened by the master alone: a worker gets the descriptor and no way to the
 * path.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

enum { SOCKET_BUFFER = 1 << 20 }; /* octets; the kernel allows less unless an administrator said more */

static const struct {
	const char *word, *path;
	enum log_to to;
	bool must; /* have a path */
} way[] = {
	{ "stderr", "", LOG_TO_STDERR, false },
	{ "file", "", LOG_TO_FILE, true },
	{ "journal", "/run/systemd/journal/socket", LOG_TO_JOURNAL, false },
	{ "syslog", "/dev/log", LOG_TO_SYSLOG, false },
};

int
log_to_parse(const char *text, enum log_to *to, const char **path)
{
	size_t word = strcspn(text, ":");
	bool has_path = text[word] == ':';

	for (size_t i = 0; i < sizeof(way) / sizeof(*way); i++) {
		if (strlen(way[i].word) != word || strncmp(way[i].word, text, word) != 0)
			continue;
		if (has_path != way[i].must && (way[i].must || way[i].to == LOG_TO_STDERR))
			return -1;
		if (has_path && text[word + 1] != '/')
			return -1;
		*to = way[i].to;
		*path = has_path ? text + word + 1 : way[i].path;
		return 0;
	}
	return -1;
}

void
log_to_inherited(const char *text)
{
	enum log_to to;
	const char *path;

	if (log_to_parse(text, &to, &path) == 0 && to != LOG_TO_STDERR)
		log_to(to, STDOUT_FILENO);
}

static int
open_socket(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, err, buffer = SOCKET_BUFFER;

	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >= sizeof(sun.sun_path))
		return errno = ENAMETOOLONG, -1;
	if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1)
		return -1;
	if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) != 0) {
		err = errno;
		close(fd);
		errno = err;
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	return fd;
}

static int
open_file(const char *path)
{
	struct stat st;
	/* O_NONBLOCK: a FIFO with nobody behind it must not hold us. */
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);

	if (fd != -1 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		return errno = EINVAL, -1;
	}
	return fd;
}

int
log_open(enum log_to to, const char *path)
{
	switch (to) {
	case LOG_TO_FILE:
		return open_file(path);
	case LOG_TO_JOURNAL:
	case LOG_TO_SYSLOG:
		return open_socket(path);
	case LOG_TO_STDERR:
		break;
	}
	return errno = EINVAL, -1;
}
