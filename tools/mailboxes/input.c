/*
 * input: reads in large blocks and cuts at line ends; nothing of a line is
 * judged here.
 */
#include "tools/mailboxes/input.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };

int
input_open(struct input *in, const char *file, size_t max)
{
	bool std = strcmp(file, "-") == 0;
	struct stat st;

	*in = (struct input){ .name = std ? "standard input" : file, .max = max, .cap = BLOCK + 2 * max };
	in->fd = std ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
	if (in->fd < 0)
		return -1;
	if (fstat(in->fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		input_close(in);
		errno = EISDIR;
		return -1;
	}
	if (fstat(in->fd, &st) == 0 && S_ISREG(st.st_mode))
		in->size = (uint64_t)st.st_size;
	in->buf = malloc(in->cap);
	if (in->buf == NULL) {
		input_close(in);
		errno = ENOMEM;
		return -1;
	}
	return 0;
}

void
input_close(struct input *in)
{
	if (in->fd > STDIN_FILENO)
		close(in->fd);
	free(in->buf);
	in->buf = NULL;
	in->fd = -1;
}

/* Move what is left to the front and read more behind it. */
static int
fill(struct input *in)
{
	ssize_t n;

	memmove(in->buf, in->buf + in->pos, in->len - in->pos);
	in->len -= in->pos;
	in->pos = 0;
	do
		n = read(in->fd, in->buf + in->len, in->cap - in->len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	in->end = n == 0;
	in->len += (size_t)n;
	in->octets += (uint64_t)n;
	return 0;
}

static struct span
trim(const struct input *in, struct span s)
{
	static const uint8_t bom[3] = { 0xef, 0xbb, 0xbf };

	if (in->line == 1 && s.n >= sizeof(bom) && memcmp(s.p, bom, sizeof(bom)) == 0)
		s = span_skip(s, sizeof(bom));
	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

/* The line is longer than anybody may ask for: drop the rest of it, keep its head. */
static int
skip_rest(struct input *in, struct span *line)
{
	size_t head = in->max + 1;
	const uint8_t *nl;

	for (;;) {
		in->len = head + in->pos; /* what lies behind the head was looked at */
		if (fill(in) != 0)
			return -1;
		if (in->end)
			break;
		nl = memchr(in->buf + head, '\n', in->len - head);
		if (nl == NULL)
			continue;
		*line = span_head(span_of(in->buf, in->len), head);
		in->pos = (size_t)(nl - in->buf) + 1;
		in->line++;
		return 1;
	}
	*line = span_of(in->buf, head);
	in->pos = in->len;
	in->line++;
	return 1;
}

int
input_line(struct input *in, struct span *line)
{
	size_t seen = 0;

	for (;;) {
		const uint8_t *p = in->buf + in->pos;
		const uint8_t *nl = memchr(p + seen, '\n', in->len - in->pos - seen);

		if (nl != NULL || (in->end && in->pos < in->len)) {
			size_t n = nl != NULL ? (size_t)(nl - p) : in->len - in->pos;

			in->pos += n + (nl != NULL);
			in->line++;
			*line = trim(in, span_of(p, n));
			return 1;
		}
		if (in->end)
			return 0;
		seen = in->len - in->pos;
		if (seen > in->max + 1)
			return skip_rest(in, line);
		if (fill(in) != 0)
			return -1;
	}
}
