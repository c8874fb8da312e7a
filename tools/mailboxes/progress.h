/* progress: a bar on standard error while it is a terminal, and nothing else. */
#ifndef TOOLS_MAILBOXES_PROGRESS_H_
#define TOOLS_MAILBOXES_PROGRESS_H_

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool        on;
	const char *what; /* "reading" */
	uint64_t    begun_ms, shown_ms;
};

void progress_begin(struct progress *p, const char *what);

/* ${done} of ${total} (0: not known) of the work is done, ${items} entries so far.  Cheap enough for every few thousand. */
void progress_show(struct progress *p, uint64_t done, uint64_t total, uint64_t items);

/* Take the bar away. */
void progress_end(struct progress *p);
#endif
