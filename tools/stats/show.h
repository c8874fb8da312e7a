/*
 * show: what the parts of letterplate-stats share: a sample of the segment,
 * and the forms it is shown in.
 */
#ifndef TOOLS_STATS_SHOW_H_
#define TOOLS_STATS_SHOW_H_

#include <stdio.h>

#include "common/stats.h"

/* The segment at one moment. */
struct sample {
	struct stats_sum sum;
	uint64_t         now;    /* unix seconds */
	uint64_t         at_us;  /* the monotonic clock, for rates */
	uint64_t         master; /* pid, 0: none */
	bool             master_alive;
	unsigned         nworker; /* workers whose process exists */
};

enum { SHOW_ERROR_MAX = 512 }; /* octets of a message with its NUL */

/**
 * sample_take(path, s, err):
 * Look at the segment ${path}, or ${path}/stats if it is a folder.  0, or a
 * sysexits code with a clear line, NUL-terminated, in ${err} (SHOW_ERROR_MAX
 * octets); *s is empty then.  sample_free() gives it back.
 */
int  sample_take(const char *path, struct sample *s, char *err);
void sample_free(struct sample *s);

/* Whether the process of a slot exists; one in another pid name space does not. */
bool sample_alive(uint64_t pid);

/* Seconds since a worker's last beat. */
uint64_t sample_beat_age(const struct sample *s, const struct stats_worker *w);

enum { SHOW_BEAT_LATE = 5 }; /* seconds without a beat that are worth a word; the loop beats once a second */

/* Whether ${b} continues ${a}: the same run of the server, nothing went back. */
bool sample_continues(const struct sample *a, const struct sample *b);

/* The sum of all replies. */
uint64_t sample_replies(const struct stats_sum *s);

/* "5.1.1" into ${out}, "" for none. */
enum { SHOW_ENH_MAX = 32 };
void show_enh(uint32_t enh, char out[SHOW_ENH_MAX]);

/* A table; with ${before} not NULL a column of rates since then.  ${colour}: terminal escapes are welcome. */
void table_print(FILE *f, const struct sample *s, const struct sample *before, bool colour);

/* One JSON object and a line end; ${oneline} without line breaks inside.  0, or -1 when memory is out. */
int json_print(FILE *f, const struct sample *s, bool oneline);

/* Prometheus text format 0.0.4. */
void prometheus_print(FILE *f, const struct sample *s);

/* Show ${path} again each ${interval_ms}, as a table or as JSON, until told to stop.  A sysexits code. */
int watch_run(const char *path, unsigned interval_ms, bool json);

/* The command serve, its arguments from its own name on.  A sysexits code. */
int serve_main(int argc, char *argv[]);

/* Print an error the way all parts do. */
void show_error(const char *line);
#endif
