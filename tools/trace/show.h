/*
 * show: a record of a server's as a line for people, or as it is.
 */
#ifndef TOOLS_TRACE_SHOW_H_
#define TOOLS_TRACE_SHOW_H_

#include <stdbool.h>
#include <stddef.h>

struct show {
	bool json, colour;
};

enum show_was {
	SHOW_RECORD,
	SHOW_LOST,   /* not a record but the word that some were lost */
	SHOW_REFUSED /* the trace was refused; standard error has why */
};

/* Show a record on standard output.  What is no JSON object is told on standard error and counts as a record. */
enum show_was show_record(const struct show *how, const char *text, size_t n);

#endif
