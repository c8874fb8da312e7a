/*
 * log_out: whole lines out of the process, to wherever they go.
 * Private to log_sink.c; it knows no ring and no thread.
 */
#ifndef COMMON_LOG_OUT_H_
#define COMMON_LOG_OUT_H_

#include <stddef.h>
#include <stdint.h>

/* Standard error is open afterwards, as /dev/null if it was closed. */
void log_out_init(void);

/* How many lines of the whole ones in ${p} were not taken.  Waits for a reader that is slow: for a thread that may. */
uint64_t log_out_lines(const char *p, size_t n);

/* One line from a process that must go on: a reader that hangs is waited for a second at the most, and not twice.  0, or -1: not taken. */
int log_out_now(const char *line, size_t n);
#endif
