/*
 * fields: a message's content cut into what a milter is told: header fields,
 * the end of the header, pieces of the body.
 * Where the header ends: common/field.h.  Works for every split.  PURE.
 */
#ifndef WORKER_MILTER_FIELDS_H_
#define WORKER_MILTER_FIELDS_H_

#include "common/buf.h"

enum {
	FIELDS_ONE_MAX = 60000, /* octets of a field that a milter is told of, as by Postfix: it goes into one packet */
	FIELDS_HOLD_MAX =
	    128 << 10 /* octets that are held: so many with CRLF, or a line, which may prove to be no field */
};

enum fields_event {
	FIELDS_MORE,  /* *in is used up */
	FIELDS_FIELD, /* *name, *value: value without its last line end, its first blank kept */
	FIELDS_END,   /* the header is over */
	FIELDS_BODY,  /* *value */
	FIELDS_LOST   /* no memory, or a line longer than there are; nothing comes behind it */
};

struct fields {
	struct buf hold;        /* a field that is not all here */
	size_t     taken;       /* octets at the front of hold that were given out */
	size_t     name, colon; /* of what is held, once its first line is whole; colon 0: not so, or it is no field */
	bool       eol;         /* the last line taken is complete */
	uint8_t    at;          /* private */
};

void fields_init(struct fields *f);
void fields_fini(struct fields *f);

/**
 * fields_next(f, in, name, value):
 * Consume from the front of *in.  Spans are good until the next call, or until
 * *in's octets go.  Of a field longer than FIELDS_ONE_MAX its beginning is given.
 */
enum fields_event fields_next(struct fields *f, struct span *in, struct span *name, struct span *value);

/* The content is complete; as fields_next() with nothing more to come, until FIELDS_MORE. */
enum fields_event fields_last(struct fields *f, struct span *name, struct span *value);

#endif
