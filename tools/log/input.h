/*
 * input: where log lines come from: files (also compressed by gzip), standard input, the journal.
 * They can be read again: what cannot be wound back is kept in a file without a name meanwhile.
 */
#ifndef TOOLS_LOG_INPUT_H_
#define TOOLS_LOG_INPUT_H_

#include <stdbool.h>
#include <stddef.h>

enum { INPUT_FILES_MAX = 1024 };

struct input {
	size_t n;
	struct {
		const char *name; /* for messages; the caller's */
		int         fd;   /* owned; can be wound back */
		bool        cut;  /* it was said that its compressed part has no end */
	} file[INPUT_FILES_MAX];
};

/* Add a file, "-" for standard input.  0, or a sysexits code after a line on standard error. */
int input_add(struct input *in, const char *path);

/* Add what the journal has of ${unit}, by journalctl(1).  The same. */
int input_add_journal(struct input *in, const char *unit);

/**
 * input_each(in, line, arg):
 * Each line of each file, ${n} octets with its line end if it has one; what is past LINE_OCTETS_MAX octets of it is passed
 * over.  0, or a sysexits code after a line on standard error.
 */
int input_each(struct input *in, void (*line)(void *arg, const char *p, size_t n), void *arg);

/* Whether something was missing from what was read: what is not found may have stood there. */
bool input_cut(const struct input *in);

void input_close(struct input *in);
#endif
