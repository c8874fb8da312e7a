/*
 * log_sink: where log lines go, at once or through a thread: standard error,
 * a file, systemd's journal or syslog, which log_out.c tells apart.
 * Private to log.c; it knows octets and line ends, not fields.
 */
#ifndef COMMON_LOG_SINK_H_
#define COMMON_LOG_SINK_H_

#include <stdbool.h>
#include <stddef.h>

struct log_line;

/* Standard error is open afterwards, as /dev/null if it was closed. */
void log_sink_init(void);

/* Write, or queue, one whole line with its line end.  ${may_drop}: the rate's limit is for it too.  Cannot fail: what is lost is counted. */
void log_sink_put(const char *line, size_t n, bool may_drop);

/* log.c's: end a line without writing it; l->text, l->n; n is 0 for a line below the level. */
void log_finish(struct log_line *l);
#endif
