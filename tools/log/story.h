/*
 * story: the lines of one session, told in sentences.
 */
#ifndef TOOLS_LOG_STORY_H_
#define TOOLS_LOG_STORY_H_

#include <stdint.h>
#include <stdio.h>

#include "tools/log/line.h"

struct story {
	const char        *session; /* its id */
	const char        *message; /* the id that was asked for, if it is a message's, or NULL */
	const struct line *line;    /* in their order */
	size_t             nline;
	const struct line *around; /* of its worker and time: log-dropped, worker-died and the like */
	size_t             naround;
};

/* Tell it.  All that came from the log passes one escaping function on its way. */
void story_tell(FILE *f, const struct story *s);

/* A line's time in microseconds since 1970, 0 for none. */
uint64_t story_time(const struct line *l);

enum { STORY_TIME_MAX = 40, STORY_SECOND = 19 /* octets up to the second */ };

/* "2026-11-24 20:35:00.254" into ${out}. */
void story_time_text(uint64_t us, char out[STORY_TIME_MAX]);
#endif
