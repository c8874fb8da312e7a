/*
 * history: what the last minutes were like, for the screen that --watch keeps.
 */
#ifndef TOOLS_STATS_HISTORY_H_
#define TOOLS_STATS_HISTORY_H_

#include "tools/stats/show.h"

enum history_series {
	HISTORY_OPEN,     /* sessions open */
	HISTORY_SESSIONS, /* begun a second, and so on */
	HISTORY_MESSAGES,
	HISTORY_OCTETS,
	HISTORY_TAKEN,    /* replies 2xx and 3xx */
	HISTORY_DEFERRED, /* 4xx */
	HISTORY_REFUSED,  /* 5xx */
	HISTORY_LATENCY,  /* p99 in microseconds, one for each histogram from here on */
	HISTORY_N = HISTORY_LATENCY + STATS_NHISTOGRAMS
};

enum { HISTORY_KEEP = 40 }; /* looks */

struct history {
	double   v[HISTORY_N][HISTORY_KEEP]; /* the newest last */
	double   half[STATS_NHISTOGRAMS];    /* p50 of the newest */
	unsigned n;                          /* looks that count */
};

/* One look more; ${before} NULL: nothing to compare with, and the history begins anew. */
void history_add(struct history *h, const struct sample *now, const struct sample *before);

/* A section of the table.  ${utf8}: bars of eight heights; else of ASCII.  Nothing before the second look. */
void history_print(FILE *f, const struct history *h, bool colour, bool utf8);
#endif
