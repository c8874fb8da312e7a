/*
 * maildirsize: a short file, read whole; a folder, counted by its file names.
 */
#include "common/maildirsize.h"

#include <sys/stat.h>

#include <bsd/stdlib.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	SETTLE_TRIES = 64, /* times to count what is delivered, while others count anew */
	TRIES = 8,         /* times to begin again because somebody else counted anew */
	LINE_MAX_ = 48,    /* octets of a line of ours */
	NAME_MAX_ = 64     /* octets of the name that a new file has first */
};

/* --- the file --- */

/*
 * Which file it is: by number and birth, because the number of one that was
 * removed is given to the next but one.  0: it is not there.
 */
static uint64_t
identity(int at, const char *name, int flags, bool *linked)
{
	struct statx sx;
	uint64_t birth;

	if (statx(at, name, flags | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME | STATX_NLINK, &sx) != 0)
		return 0;
	*linked = sx.stx_nlink > 0;
	birth = (uint64_t)sx.stx_btime.tv_sec * 1000000000 + sx.stx_btime.tv_nsec;
	return (sx.stx_ino ^ (birth << 20)) != 0 ? sx.stx_ino ^ (birth << 20) : 1;
}

/* A number with an optional minus at *p; false when there is none. */
static bool
read_number(const char **p, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(*p, &end, 10);
	if (end == *p || errno != 0 || **p == ' ' || **p == '+')
		return false;
	*p = end;
	return true;
}

/* "1000S,10C": octets and messages, in any order, either may be missing.  False when it is something else. */
static bool
read_limits(const char **p, struct quota_limit *limit)
{
	*limit = (struct quota_limit){ 0, 0 };
	while (**p != '\n') {
		int64_t v;

		if (!read_number(p, &v) || v < 0 || (**p != 'S' && **p != 'C'))
			return false;
		*(**p == 'S' ? &limit->octets : &limit->messages) = (uint64_t)v;
		(*p)++;
		if (**p == ',')
			(*p)++;
		else if (**p != '\n')
			return false;
	}
	(*p)++;
	return true;
}

static bool
read_lines(const char *p, struct maildirsize *out)
{
	while (*p != '\0') {
		int64_t octets, messages;

		if (!read_number(&p, &octets))
			return false;
		while (*p == ' ')
			p++;
		if (!read_number(&p, &messages))
			return false;
		while (*p == ' ')
			p++;
		if (*p++ != '\n' || __builtin_add_overflow(out->octets, octets, &out->octets) ||
		    __builtin_add_overflow(out->messages, messages, &out->messages))
			return false;
	}
	return true;
}

int
maildirsize_read(int home, struct maildirsize *out)
{
	char text[MAILDIRSIZE_MAX + 1024];
	const char *p = text;
	struct stat st;
	uint64_t id;
	bool linked;
	ssize_t n;
	int fd = openat(home, MAILDIRSIZE_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	if (fd == -1)
		return -1;
	n = fstat(fd, &st) == 0 ? pread(fd, text, sizeof(text) - 1, 0) : -1;
	id = identity(fd, "", AT_EMPTY_PATH, &linked);
	close(fd);
	if (n < 0)
		return -1;
	text[n] = '\0';
	*out = (struct maildirsize){ .id = id, .changed = st.st_mtime, .too_long = n > MAILDIRSIZE_MAX };
	if (!S_ISREG(st.st_mode) || strlen(text) != (size_t)n || strchr(text, '\n') == NULL ||
	    (size_t)n == sizeof(text) - 1 || !read_limits(&p, &out->limit) || !read_lines(p, out)) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

/* Append a line to the file, if it is still ${id} (0: whichever).  Which it was, or 0 with errno. */
static uint64_t
add_line(int home, int64_t octets, int64_t messages, uint64_t id)
{
	char line[LINE_MAX_];
	int n = snprintf(line, sizeof(line), "%lld %lld\n", (long long)octets, (long long)messages);
	int fd = openat(home, MAILDIRSIZE_FILE, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	bool linked = false;
	uint64_t at;

	if (fd == -1)
		return 0;
	at = identity(fd, "", AT_EMPTY_PATH, &linked);
	if ((id == 0 || at == id) && write(fd, line, (size_t)n) != n) {
		at = 0;
	} else if ((id != 0 && at != id) || identity(fd, "", AT_EMPTY_PATH, &linked) == 0 || !linked) {
		/* It is another one, or was replaced behind our back: the line is nowhere. */
		errno = ESTALE;
		at = 0;
	}
	close(fd);
	return at;
}

/* --- counting --- */

/* Octets of a message: as its name says (",S=123"), else as the file is. */
static int64_t
count_one(int at, const char *name)
{
	const char *s = strstr(name, ",S=");
	struct stat st;
	int64_t v;

	if (s != NULL && (s += 3, read_number(&s, &v)) && v >= 0 && (*s == '\0' || *s == ',' || *s == ':'))
		return v;
	return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_size : 0;
}

static DIR *
open_folder(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;

	if (d == NULL && fd != -1)
		close(fd);
	return d;
}

static int
count_messages(int at, const char *name, struct maildirsize *out)
{
	DIR *d = open_folder(at, name);
	const struct dirent *e;

	if (d == NULL)
		return errno == ENOENT ? 0 : -1;
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		out->octets += count_one(dirfd(d), e->d_name);
		out->messages++;
	}
	closedir(d);
	return 0;
}

/* The mailbox, and its sub-folders ".NAME". */
static int
count_all(int home, struct maildirsize *out)
{
	DIR *d;
	const struct dirent *e;
	int rc = 0;

	if (count_messages(home, "new", out) != 0 || count_messages(home, "cur", out) != 0)
		return -1;
	d = open_folder(home, ".");
	if (d == NULL)
		return -1;
	while (rc == 0 && (e = readdir(d)) != NULL) {
		int sub;

		if (e->d_name[0] != '.' || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		sub = openat(home, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub == -1)
			continue;
		rc = count_messages(sub, "new", out) != 0 || count_messages(sub, "cur", out) != 0 ? -1 : 0;
		close(sub);
	}
	closedir(d);
	return rc;
}

/* Fill the new file and give it its name.  0, 1 when somebody was faster, or -1 with errno. */
static int
write_anew(int home, int fd, const char *name, const struct quota_limit *limit, const struct maildirsize *m)
{
	char text[3 * LINE_MAX_], messages[LINE_MAX_] = "";
	int n;

	/* As Dovecot writes it: what is not limited is left out, but for a line without anything. */
	if (limit->messages != 0)
		snprintf(messages, sizeof(messages), "%lluC", (unsigned long long)limit->messages);
	if (limit->octets != 0 || limit->messages == 0)
		n = snprintf(text, sizeof(text), "%lluS%s%s\n%lld %lld\n", (unsigned long long)limit->octets,
		    limit->messages != 0 ? "," : "", messages, (long long)m->octets, (long long)m->messages);
	else
		n = snprintf(
		    text, sizeof(text), "%s\n%lld %lld\n", messages, (long long)m->octets, (long long)m->messages);

	if (write(fd, text, (size_t)n) != n)
		return -1;
	if (renameat2(home, name, home, MAILDIRSIZE_FILE, RENAME_NOREPLACE) == 0)
		return 0;
	return errno == EEXIST ? 1 : -1;
}

int
maildirsize_recalculate(int home, const struct quota_limit *limit, struct maildirsize *out)
{
	struct maildirsize m = { .octets = 0 };
	char name[NAME_MAX_];
	int fd, rc, error;

	/* The new one is there before the old one goes: two files never have the same number. */
	snprintf(
	    name, sizeof(name), "tmp/%s.%08x%08x", MAILDIRSIZE_FILE, (unsigned)arc4random(), (unsigned)arc4random());
	fd = openat(home, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return -1;
	/* Gone before the count begins: who counted a message in it sees so, and counts it in the new one. */
	rc = unlinkat(home, MAILDIRSIZE_FILE, 0) == 0 || errno == ENOENT ? count_all(home, &m) : -1;
	if (rc == 0)
		rc = write_anew(home, fd, name, limit, &m);
	error = errno;
	close(fd);
	(void)unlinkat(home, name, 0);
	errno = error;
	return rc != -1 && maildirsize_read(home, out) == 0 ? rc : -1;
}

/* --- room --- */

/* Whether ${more} on top of ${have} is more than ${limit}.  Nothing there, or less than nothing: only what is too large by itself. */
static bool
over(int64_t have, uint64_t more, uint64_t limit)
{
	uint64_t sum = more;

	return limit != 0 && ((have > 0 && __builtin_add_overflow((uint64_t)have, more, &sum)) || sum > limit);
}

static bool
has_room(const struct maildirsize *m, const struct quota_limit *limit, uint64_t octets, uint64_t messages)
{
	return !over(m->octets, octets, limit->octets) && !over(m->messages, messages, limit->messages);
}

/* The file's word, after it was counted anew if need be. */
static int
current(int home, const struct quota_limit *limit, uint64_t octets, struct maildirsize *m)
{
	bool unread = maildirsize_read(home, m) != 0;

	if (unread && errno != ENOENT && errno != EBADMSG)
		return -1;
	if (unread || m->limit.octets != limit->octets || m->limit.messages != limit->messages || m->too_long ||
	    (!has_room(m, limit, octets, 1) && time(NULL) - m->changed >= MAILDIRSIZE_STALE_S))
		return maildirsize_recalculate(home, limit, m) == -1 ? -1 : 0;
	return 0;
}

int
maildirsize_room(int home, const struct quota_limit *limit, uint64_t octets, uint64_t *id)
{
	struct maildirsize m;

	for (int i = 0; i < TRIES; i++) {
		uint64_t at;

		if (current(home, limit, octets, &m) != 0) {
			if (errno == ENOENT)
				continue; /* somebody else counts just now */
			return -1;
		}
		if (!has_room(&m, limit, octets, 1)) {
			errno = EDQUOT;
			return -1;
		}
		if (id == NULL)
			return 0;
		at = add_line(home, (int64_t)octets, 1, m.id);
		if (at == 0 && (errno == ENOENT || errno == ESTALE))
			continue;
		if (at == 0)
			return -1;
		/* All that was counted before our line, and maybe more: it decides. */
		if (maildirsize_read(home, &m) != 0 || m.id != at)
			continue;
		*id = at;
		if (has_room(&m, limit, 0, 0))
			return 0;
		maildirsize_release(home, octets, at);
		errno = EDQUOT;
		return -1;
	}
	errno = EAGAIN;
	return -1;
}

void
maildirsize_settle(int home, uint64_t octets, uint64_t id)
{
	static const struct quota_limit none;
	struct maildirsize m;
	bool linked;

	if (identity(home, MAILDIRSIZE_FILE, 0, &linked) == id)
		return;
	for (int i = 0; i < SETTLE_TRIES; i++) {
		if (add_line(home, (int64_t)octets, 1, 0) != 0)
			return;
		/* Being counted: a count of our own, which begins now, sees what is delivered; another's may not. */
		if (errno == ENOENT && maildirsize_recalculate(home, &none, &m) == 0)
			return;
	}
}

void
maildirsize_release(int home, uint64_t octets, uint64_t id)
{
	(void)add_line(home, -(int64_t)octets, -1, id);
}
