/*
 * load: what the parts of `load` share: read.c fills the sorter from the list,
 * merge.c empties it into a snapshot and finds what contradicts itself.
 */
#ifndef TOOLS_MAILBOXES_LOAD_H_
#define TOOLS_MAILBOXES_LOAD_H_

#include "tools/mailboxes/build.h"
#include "tools/mailboxes/progress.h"
#include "tools/mailboxes/sort.h"
#include "tools/mailboxes/tool.h"

enum {
	LOAD_MISTAKES_MAX = 20,     /* that are told, of each kind */
	LOAD_TEXT_MAX     = 400,    /* octets of one */
	LOAD_SUSPECTS_MAX = 100000, /* targets whose way is followed for a warning */
	LOAD_RECENT       = 8192    /* domains and targets that are remembered, to save the sorter doubles */
};

/* What is sorted, by key; of one key in this order. */
enum load_what {
	LOAD_ENTRY,  /* of the list */
	LOAD_OURS,   /* "@domain": an entry lives there */
	LOAD_NEEDED, /* "@domain": a target lies there */
	LOAD_TARGET  /* an alias leads there */
};

/* Complaints, the first few kept. */
struct load_notes {
	uint64_t n;
	struct {
		uint64_t line;
		char     text[LOAD_TEXT_MAX];
	} kept[LOAD_MISTAKES_MAX];
};

struct load_suspect {
	char    *key;
	uint64_t line;
};

struct load {
	struct tool         *t;
	const char          *name; /* of the list, for messages */
	struct sort         *sort;
	struct load_notes    mistakes, warnings;
	uint64_t             entries, domains;
	struct load_suspect *suspect; /* LOAD_SUSPECTS_MAX, or NULL so far */
	size_t               nsuspect;
	struct progress      progress;
};

/* Note a complaint about a line. */
void load_note(struct load_notes *n, uint64_t line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* read.c: parse ${file} into the sorter; mistakes are noted.  0 or an exit code. */
int load_read(struct load *l, const char *file);

/* merge.c: empty the sorter into ${b}, or (NULL: there were mistakes) only look for doubles.  0 or an exit code. */
int load_merge(struct load *l, struct build *b);
#endif
