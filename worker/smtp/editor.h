/*
 * editor: carries out an edit list on a message's content.
 * Content goes in as the store has it (LF line ends), in any pieces, and comes
 * out edited.  Where the header ends: common/field.h.  It is kept until it is
 * whole, so that "the second field of that name" is what it says, edit by edit
 * in the order of the list.  The body passes untouched, or is replaced; where no
 * empty line stands before it one is written if its header was edited.  PURE.
 */
#ifndef WORKER_SMTP_EDITOR_H_
#define WORKER_SMTP_EDITOR_H_

#include "common/buf.h"
#include "worker/smtp/edit.h"

enum {
	EDITOR_HEADER_MAX = 1 << 20, /* octets of a header that can be edited */
	EDITOR_FIELDS_MAX = 20000,   /* fields of it */
	EDITOR_ARENA_MAX  = 8 << 20  /* octets of the list of fields, with what is added */
};

enum editor_step { EDITOR_HEADER, EDITOR_FIELDS, EDITOR_BLANK, EDITOR_ODD, EDITOR_BODY, EDITOR_NEW_BODY, EDITOR_REST };

/* A name that an edit is about. */
struct editor_name {
	struct editor_name *next;
	struct span         name;
	uint32_t            number; /* from 1 on */
};

struct editor_field {
	struct editor_field *next;
	struct span          text;   /* all of it, with its LF */
	uint32_t             number; /* of its name, 0: no edit is about it */
};

struct editor {
	const struct edits  *edits;
	struct arena         arena;
	struct buf           header;
	enum editor_step     step;
	struct editor_field  trace; /* stands for our own fields, which come before the content */
	struct editor_field *fields, *at;
	struct editor_name  *names;
	uint32_t             nfields;
	struct edit_chunk   *chunk;
	size_t               line;  /* where the line that is coming begins in header */
	struct span          odd;   /* the line, kept in header, that ended it otherwise */
	bool                 blank; /* the header ended with an empty line */
	bool                 ended; /* all content is in */
	int                  error;
};

/* At the start of a message; ${e} must not change meanwhile and outlive it. */
void editor_init(struct editor *ed, const struct edits *e);
void editor_fini(struct editor *ed);

/**
 * editor_next(ed, in, out):
 * Consume from the front of *in; *out gets edited octets, good until the next
 * call (from *in, the editor's own, or the edit list's).  1 while there is more
 * to fetch, 0 when *in is empty and more is needed (after editor_end(): all is
 * out), -1 with errno EMSGSIZE or ENOMEM: this message can't be edited.
 */
int editor_next(struct editor *ed, struct span *in, struct span *out);

/* The content is complete: fetch the rest with an empty *in. */
void editor_end(struct editor *ed);

#endif
