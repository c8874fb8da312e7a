/*
 * edit: what handlers want changed in a message, collected and then applied
 * all at once.
 * A bounded list in an arena of its own.  Every entry is checked when it is
 * added: nothing that stands in it can break a header, a reply or a path.  The
 * content is what was received without the fields that we drop; our own trace
 * fields stand in front of it and can't be edited.  PURE.
 */
#ifndef WORKER_SMTP_EDIT_H_
#define WORKER_SMTP_EDIT_H_

#include "common/addr.h"
#include "common/arena.h"
#include "common/reply.h"

enum {
	EDIT_MAX        = 1000,     /* edits of one message */
	EDIT_NAME_MAX   = 128,      /* octets of a field name */
	EDIT_VALUE_MAX  = 64 << 10, /* octets of a field's value */
	EDIT_FOLDER_MAX = 64,       /* octets of a folder's name */
	EDIT_WHY_MAX    = 256,      /* octets of why it is put there; more is cut */
	EDIT_FIRST      = 1024,     /* octets of the arena's first chunk */
	EDIT_ROOM       = 1 << 20   /* octets that the list may hold beside a body */
};

enum edit_kind {
	EDIT_ADD_HEADER, /* name, value: behind the last field */
	EDIT_INSERT_HEADER, /* index, name, value: before field number index, 1 the first; 0: before what is inserted at 1 too */
	EDIT_CHANGE_HEADER, /* name, index (1 is the first of that name), value; no such field: added */
	EDIT_DELETE_HEADER, /* name, index; no such field: nothing */
	EDIT_BODY,          /* the body is replaced; its octets are e->body */
	EDIT_ADD_RCPT,      /* addr */
	EDIT_DELETE_RCPT,   /* addr: whoever was given so, or reaches that mailbox */
	EDIT_SENDER,        /* addr, may be null: the new reverse-path */
	EDIT_FOLDER, /* value: the folder of the mailbox, made where it is missing; empty: none again; name: why, hostile */
	EDIT_ASIDE /* addr: this recipient does not get it; LMTP says reply to it */
};

struct edit {
	struct edit   *next;
	enum edit_kind kind;
	uint32_t       index;
	struct span    name, value; /* value: all behind the colon, lines parted by LF */
	struct addr    addr;
	struct reply  *reply; /* EDIT_ASIDE, or NULL */
	const char    *by;    /* the handler whose it is, or NULL */
};

struct edit_chunk {
	struct edit_chunk *next;
	uint8_t           *base;
	size_t             cap;  /* octets at base */
	struct span        data; /* those in use */
};

struct edits {
	struct arena       arena;
	struct edit       *first, **tail;
	uint32_t           n;
	bool               has_body; /* the body is replaced */
	struct edit_chunk *body, **body_tail;
	uint64_t           body_octets, body_max;
	bool               body_cr; /* a CR came last and waits for what follows */
	size_t             held;    /* octets beside the body */
	/* where the list ends when it is rolled back */
	struct edit      **mark;
	uint32_t           mark_n;
	bool               mark_has_body;
	struct edit_chunk *mark_body, **mark_body_tail;
	uint64_t           mark_octets;
	bool               mark_cr;
	const char        *by; /* the handler whose the next ones are, a name that outlives them, or NULL */
};

/**
 * edit_as_said(e, kind, index, name, value, blank):
 * As edit_add_header(), edit_insert_header() or edit_change_header(), by ${kind},
 * of a value by somebody who does not hold himself to what they want: it stands
 * behind the colon as it is, or with ${blank} behind one that is put there
 * whatever it begins with; a line that is no continuation becomes one by a tab, a CR
 * that stands alone a blank, and a line end at the end is dropped.
 */
int edit_as_said(struct edits *e, enum edit_kind kind, uint32_t index, struct span name, struct span value, bool blank);

#pragma GCC visibility push(default) /* for C modules */

/* An empty list; a new body may have ${body_max} octets.  edits_fini() gives its memory back. */
void edits_init(struct edits *e, uint64_t body_max);
void edits_fini(struct edits *e);

/* Remember this point, and return to it: all that was added since is forgotten. */
void edits_mark(struct edits *e);
void edits_rollback(struct edits *e);

/* Whether anything was added since. */
bool edits_since_mark(const struct edits *e);

/*
 * Add one.  Spans are copied.  0, or -1 with errno: EINVAL for what may not be
 * (a name that is none; a value with NUL, or a CR or LF that does not fold; a
 * folder with a slash or dot...), EMSGSIZE past a limit of octets, E2BIG past
 * EDIT_MAX, ENOMEM.  The list is then as it was.
 *
 * A value is what stands behind "NAME:"; a blank is put before it unless it
 * begins with one.  It may be folded: CRLF or LF followed by a blank.  To change
 * a field to nothing is to delete it.
 */
int edit_add_header(struct edits *e, struct span name, struct span value);
int edit_insert_header(struct edits *e, uint32_t at, struct span name, struct span value);
int edit_change_header(struct edits *e, struct span name, uint32_t index, struct span value);
int edit_delete_header(struct edits *e, struct span name, uint32_t index);

/* Begin a new body, in place of the message's and of any that was set before; then append to it, CRLF as on the wire (kept as LF). */
int edit_body(struct edits *e);
int edit_body_more(struct edits *e, struct span octets);

/* Addresses as in MAIL and RCPT, with or without <>; "" or "<>" is the null sender. */
int edit_add_rcpt(struct edits *e, struct span address);
int edit_delete_rcpt(struct edits *e, struct span address);
int edit_sender(struct edits *e, struct span address);

/* Maildir++: "Junk", "Lists.work": [A-Za-z0-9_-] and single dots inside, EDIT_FOLDER_MAX octets. */
int edit_folder(struct edits *e, struct span folder);

/* The same, with the reason that the log gives for it: any octets. */
int edit_folder_why(struct edits *e, struct span folder, struct span why);

/* ${reply} (4xx or 5xx, copied) is what LMTP says for this recipient; NULL: it is accepted and dropped, as in SMTP. */
int edit_aside(struct edits *e, const struct addr *rcpt, const struct reply *reply);

#pragma GCC visibility pop
#endif
