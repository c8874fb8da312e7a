/*
 * steady: the time of day, for who cannot bear that somebody sets the clock:
 * what it said when the process began, and what has gone by since.
 */
#ifndef COMMON_STEADY_H_
#define COMMON_STEADY_H_

#include <stdint.h>

/* Look at the clock.  Once a process, when it begins; else the first steady_now() does. */
void steady_begin(void);

/* Unix seconds; never less than before.  For any thread. */
int64_t steady_now(void);

/* The lesser of steady_now() and what the clock says: nothing is older by it than it is, whichever way the clock was set. */
int64_t steady_early(void);
#endif
