/*
 * maildirsize: a short file, read whole and added to.  Who counts the mailbox
 * anew is maildirsize_anew.c.
 */
#include "common/maildirsize.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	TRIES = 8,     /* times to begin again because somebody else counted anew */
	LINE_MAX_ = 48 /* octets of a line of ours */
};

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

uint64_t
maildirsize_id(int home)
{
	bool linked;

	return identity(home, MAILDIRSIZE_FILE, 0, &linked);
}

/* --- what it says --- */

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

/* The open file ${fd}.  0, or -1 with errno; ${out}'s id is set in any case. */
static int
read_file(int fd, struct maildirsize *out)
{
	char text[MAILDIRSIZE_MAX + 1024];
	const char *p = text;
	struct stat st;
	bool linked;
	ssize_t n = fstat(fd, &st) == 0 ? pread(fd, text, sizeof(text) - 1, 0) : -1;

	*out = (struct maildirsize){ .id = identity(fd, "", AT_EMPTY_PATH, &linked) };
	if (n < 0)
		return -1;
	text[n] = '\0';
	out->changed = st.st_mtime;
	out->too_long = n > MAILDIRSIZE_MAX;
	if (!S_ISREG(st.st_mode) || strlen(text) != (size_t)n || strchr(text, '\n') == NULL ||
	    (size_t)n == sizeof(text) - 1 || !read_limits(&p, &out->limit) || !read_lines(p, out)) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

static int
open_file(int home, int how)
{
	return openat(home, MAILDIRSIZE_FILE, how | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
}

static void
close_file(int fd)
{
	int error = errno;

	if (fd != -1)
		close(fd);
	errno = error;
}

int
maildirsize_read(int home, struct maildirsize *out)
{
	int fd = open_file(home, O_RDONLY), rc = -1;

	*out = (struct maildirsize){ .id = 0 };
	if (fd != -1)
		rc = read_file(fd, out);
	close_file(fd);
	return rc;
}

/* --- a line more --- */

/* Append a line.  0, or -1 with errno; ESTALE: the file was replaced behind our back, so the line is nowhere. */
static int
add_line(int fd, int64_t octets, int64_t messages)
{
	char line[LINE_MAX_];
	int n = snprintf(line, sizeof(line), "%lld %lld\n", (long long)octets, (long long)messages);
	ssize_t w = write(fd, line, (size_t)n);
	bool linked = false;

	if (w != n) {
		errno = w == -1 ? errno : ENOSPC;
		return -1;
	}
	if (identity(fd, "", AT_EMPTY_PATH, &linked) != 0 && linked)
		return 0;
	errno = ESTALE;
	return -1;
}

void
maildirsize_release(int home, uint64_t octets, uint64_t id)
{
	int fd = open_file(home, O_WRONLY | O_APPEND);
	bool linked;

	if (fd != -1 && (id == 0 || identity(fd, "", AT_EMPTY_PATH, &linked) == id))
		(void)add_line(fd, -(int64_t)octets, -1);
	close_file(fd);
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

/* Seconds since it was changed, or until: who set the clock back has changed it in the future. */
static time_t
age(const struct maildirsize *m)
{
	time_t s = time(NULL) - m->changed;

	return s < 0 ? -s : s;
}

/* Whether ${m} has to be counted anew before ${octets} can be promised or refused. */
static bool
is_due(const struct maildirsize *m, const struct quota_limit *limit, uint64_t octets)
{
	return !quota_same(&m->limit, limit) || m->too_long ||
	    (!has_room(m, limit, octets, 1) && age(m) >= MAILDIRSIZE_STALE_S);
}

/* Open the file, after it was counted anew if need be.  The descriptor and *m, or -1 with errno; EAGAIN: begin again. */
static int
open_current(int home, int how, const struct quota_limit *limit, uint64_t octets, struct maildirsize *m)
{
	int fd = open_file(home, how);
	bool due;

	*m = (struct maildirsize){ .id = 0 };
	if (fd == -1 || read_file(fd, m) == -1)
		due = errno == ENOENT || errno == EBADMSG;
	else if (is_due(m, limit, octets))
		due = true;
	else
		return fd;
	if (due)
		errno = maildirsize_renew(home, limit, m->id, m) == 0 ? EAGAIN : errno;
	close_file(fd);
	return -1;
}

/* One try of maildirsize_room(). */
static int
room(int home, const struct quota_limit *limit, uint64_t octets, uint64_t *id)
{
	struct maildirsize m;
	int fd = open_current(home, id != NULL ? O_RDWR | O_APPEND : O_RDONLY, limit, octets, &m), rc = -1;

	if (fd == -1)
		return -1;
	if (!has_room(&m, limit, octets, 1)) {
		errno = EDQUOT;
	} else if (id == NULL) {
		rc = 0;
	} else if (add_line(fd, (int64_t)octets, 1) == 0 && read_file(fd, &m) == 0) {
		/* All that was counted before our line, and maybe more: it decides. */
		*id = m.id;
		rc = has_room(&m, limit, 0, 0) ? 0 : -1;
		if (rc == -1) {
			(void)add_line(fd, -(int64_t)octets, -1);
			errno = EDQUOT;
		}
	}
	close_file(fd);
	return rc;
}

int
maildirsize_room(int home, const struct quota_limit *limit, uint64_t octets, uint64_t *id)
{
	int rc = -1;

	for (int i = 0; i < TRIES && rc == -1; i++) {
		rc = room(home, limit, octets, id);
		if (rc == -1 && errno != EAGAIN && errno != ESTALE && errno != EBADMSG && errno != ENOENT)
			return -1;
	}
	if (rc == -1)
		errno = EAGAIN;
	return rc;
}
