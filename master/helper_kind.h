/*
 * helper_kind: what a helper is made of, and what differs between them.
 */
#ifndef MASTER_HELPER_KIND_H_
#define MASTER_HELPER_KIND_H_

#include "master/master.h"

enum { HELPER_FILES_MAX = 2 };

struct helper_kind {
	const char *program; /* beside letterplate */
	const char *word;    /* in facts (state.h) */
	const char *event_ready, *event_died;
	const char *file[HELPER_FILES_MAX]; /* facts of its descriptors, in the order in which it inherits them */
	unsigned    nfiles;                 /* they stand behind IPC_FD_CONTROL */
	bool        counts;                 /* it has a slot of the counters, and inherits them behind its files */
	bool        channels;               /* one a worker, behind all else */
	bool
	    leaves; /* no session needs it: it may end by itself to be started anew, and goes when its generation retires */
	enum stats_counter died;
	bool (*offered)(const struct conf *cf);

	/* Fill ${file} (-1 each); NULL: there are none.  0, or a sysexits code with one clear line in ${why}. */
	int (*take)(struct master *m, const struct conf *cf, int *file, char *why, size_t cap);
};

extern const struct helper_kind helper_kind[HELPER_KINDS];
#endif
