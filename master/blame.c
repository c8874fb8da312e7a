/*
 * blame: see blame.h.
 */
#include "master/blame.h"

#include <stdio.h>

#include "master/segment.h"

const char *
blame_names(const struct master *m, unsigned i, char out[BLAME_MAX])
{
	char name[STATS_RUNNING_MAX][STATS_HANDLER_MAX];
	size_t n = stats_running_of(segment_of(m, m->slot[i].gen), i, name), at = 0;

	for (size_t k = 0; k < n && k < STATS_RUNNING_MAX; k++)
		at += (size_t)snprintf(out + at, BLAME_MAX - at, "%s%s", k > 0 ? "," : "", name[k]);
	if (n > STATS_RUNNING_MAX)
		snprintf(out + at, BLAME_MAX - at, ",...");
	return n > 0 ? out : NULL;
}
