/*
 * input: the lines of a file or of standard input, of whatever length.
 * Line ends are LF or CRLF, the last one may be missing, a UTF-8 byte order
 * mark at the start is passed over.
 */
#ifndef TOOLS_MAILBOXES_INPUT_H_
#define TOOLS_MAILBOXES_INPUT_H_

#include <stdint.h>

#include "common/span.h"

struct input {
	const char *name; /* for messages */
	int         fd;
	uint8_t    *buf;
	size_t      pos, len, cap;
	size_t      max;          /* octets of a line that are kept */
	uint64_t    line;         /* number of the line given last, from 1 */
	uint64_t    octets, size; /* read so far; of the file, 0: not known */
	bool        end;
};

/* Open ${file}, "-" for standard input; of a line over ${max} octets only max + 1 are given.  0, or -1 with errno. */
int input_open(struct input *in, const char *file, size_t max);

/* The next line without its end: 1, 0 at the end, -1 with errno.  Good until the next call. */
int input_line(struct input *in, struct span *line);

void input_close(struct input *in);
#endif
