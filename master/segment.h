/*
 * segment: the stats segment of this server, and those before it that old
 * workers still count in.  There is a new one when a build with other counters
 * takes over, and when the file was deleted: what the old ones hold is carried
 * over (common/stats_carry.h), so that a reader sees no count go back.
 */
#ifndef MASTER_SEGMENT_H_
#define MASTER_SEGMENT_H_

#include "common/facts.h"
#include "master/master.h"

enum {
	SEGMENTS_MAX    = 16, /* earlier ones that may be in use; one more upgrade is declined until one is done with */
	SEGMENT_LOOK_MS = 1000, /* between looks at the file and at the old ones */
	SEGMENT_SAY_MS  = 60000 /* between log lines about a file that cannot be made anew */
};

/* The first one, in ${m}'s state_dir.  0, or -1 with errno. */
int segment_create(struct master *m);

/**
 * segment_fits(m, why, cap):
 * Whether this build can go on from the segment that was handed over: with
 * its counters where ours are, or by a new one.  Changes nothing.  0, or -1
 * with a line in ${why}.
 */
int segment_fits(const struct master *m, char *why, size_t cap);

/* Go on from it, for good; a new one is published by segment_due(), once the upgrade is over.  0, or -1 with errno. */
int segment_resume(struct master *m);

/* The descriptor of the one that ${gen} counts in. */
int segment_of(const struct master *m, const struct generation *gen);

/* The beat of slot ${i}, wherever its worker counts.  0, or -1 with errno. */
int segment_beat(const struct master *m, unsigned i, uint64_t *beat);

/**
 * segment_due(m, now):
 * Once a second, and at once when ${now} is set: carry, publish what is not
 * yet, make a deleted file anew, and let go of what nobody counts in.
 */
void segment_due(struct master *m, bool now);

/* The lines of what is handed over, and one of them read.  0, or -1 with a line in ${why}. */
void segment_put(const struct master *m, struct facts *f);
int  segment_get(struct master *m, const struct fact *f, char *why, size_t cap);
#endif
