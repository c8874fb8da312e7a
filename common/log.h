/*
 * log: one line an event, logfmt or JSON, to standard error, a file, the
 * journal or a syslog daemon.
 * All that comes from outside is escaped here, at the sink.  In a worker a
 * thread of its own does the writing, so that a reader that hangs can't hold
 * the loop up; what doesn't fit its ring is counted and said.
 */
#ifndef COMMON_LOG_H_
#define COMMON_LOG_H_

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

enum log_level { LOG_L_ERROR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG };

enum {
	/* octets of a line; a field that does not fit is left out and the line marked cut=yes; below PIPE_BUF, so lines never mix */
	LOG_LINE_MAX = 4000,
	/* octets of an escaped value; a longer one is cut and the line marked cut=yes.  An address of ADDR_MAX octets fits, all escaped */
	LOG_VALUE_MAX = 1300,
	LOG_RING      = 1 << 20 /* octets that wait for the writing thread */
};

/* Where lines go. */
enum log_to { LOG_TO_STDERR, LOG_TO_FILE, LOG_TO_JOURNAL, LOG_TO_SYSLOG };

/* "stderr", "file:/path", "journal", "journal:/socket", "syslog", "syslog:/socket": 0, or -1 for anything else.  *path: within ${text}, or static; "" for stderr. */
int log_to_parse(const char *text, enum log_to *to, const char **path);

/* A descriptor that lines can go to: the file, for appending, or a connected socket.  -1 with errno; EINVAL for what is no regular file.  Not of LOG_TO_STDERR. */
int log_open(enum log_to to, const char *path);

/* From now on lines go to ${fd}, which stays the caller's; with LOG_TO_STDERR to standard error.  Before the thread starts, or in a process without it. */
void log_to(enum log_to to, int fd);

/* In a process that the master started: lines go to where the config's words ${text} say.  The master put that in standard output's place. */
void log_to_inherited(const char *text);

/* ${fd} is about to be closed: if lines go there, they go to standard error again. */
void log_leave(int fd);

/* Put ${fd} in the place of the descriptor that lines go to, and close it: what was written before stands in the old file, all else comes to the new one.  0 or -1 with errno. */
int log_reopened(int fd);

/* Whether the daemon behind the socket went away since this was asked last: whoever can should give a new one to log_reopened(). */
bool log_lost(void);

/* Lines of the levels info and debug a second that the thread takes, 0: all.  What is above it is dropped, counted and said. */
void log_set_rate(uint32_t lines);

/* In the loop, twice a second or so: what was dropped is said, even if no more lines come. */
void log_tick(void);

/*
 * How this process logs.  ${who} is a static word: "master", "worker", "mailboxes".  ${slot} -1: none.
 * A closed standard error becomes /dev/null, lest a mail file be given its number.
 */
void log_init(const char *who, int slot, bool json, enum log_level level);

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* Start the writing thread (after Landlock, before seccomp).  0 or -1 with errno.  Without it lines are written at once. */
int log_thread_start(void);

/* Wait at most ${ms} until all is written, e.g. before exit. */
void log_flush(unsigned ms);

/* Lines dropped since the start because the ring was full or standard error took no more. */
uint64_t log_dropped(void);

/* A line being put together, on the stack of whoever logs. */
struct log_line {
	bool   on, cut;
	int    level;
	size_t n;
	char   text[LOG_LINE_MAX + 96];
};

/* Begin a line: time, level, who, slot and event=${event} ([a-z-] word).  Nothing happens below the level. */
void log_begin(struct log_line *l, enum log_level level, const char *event);

/*
 * Add a field; keys are [a-z_] words, never from outside.  Values are escaped: control octets, quotes, invalid UTF-8
 * cannot break the line.  docs/LOGS.md says how to get the octets back.
 */
void log_span(struct log_line *l, const char *key, struct span v);
void log_str(struct log_line *l, const char *key, const char *v); /* NULL: left out */
void log_u64(struct log_line *l, const char *key, uint64_t v);
void log_i64(struct log_line *l, const char *key, int64_t v);
void log_ms(
    struct log_line *l, const char *key, uint64_t us); /* microseconds, written as milliseconds with three decimals */

/* How many octets make up the first character of ${s}, which is not empty, if it may stand as it is in a log or on a terminal; 0: it has to be escaped. */
size_t log_plain(struct span s);

/* The fields that were added since l->n was ${from}, which was not 0: octets of the line. */
struct span log_since(const struct log_line *l, size_t from);

/* Add fields that log_since() had of an earlier line of this process, copied: for what many lines have in common. */
void log_again(struct log_line *l, struct span fields);

/* Write it. */
void log_end(struct log_line *l);

/* A whole line at once, with one field "msg". */
void log_msg(enum log_level level, const char *event, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#endif
