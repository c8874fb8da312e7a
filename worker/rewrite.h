/*
 * rewrite: content that the store has is read again, edited on its way, and
 * given to a handler or to a second message that takes the place of the first.
 */
#ifndef WORKER_REWRITE_H_
#define WORKER_REWRITE_H_

#include "worker/session.h"
#include "worker/smtp/editor.h"

enum {
	REWRITE_PIECE = 8 << 10 /* octets of content that a handler is shown at a time, before LF becomes CRLF */
};

enum rewrite_result {
	REWRITE_DONE,
	REWRITE_WAIT,    /* session_wake() follows: call again */
	REWRITE_DECIDED, /* the handler's reply stands in *r */
	REWRITE_FAILED   /* rw->error, an errno: EMSGSIZE is a message that can't be edited */
};

/* Lives in the transaction's arena with its message. */
struct rewrite {
	struct store_msg *from;
	struct editor     editor;
	struct edits      none;    /* for a handler when nothing was edited yet */
	uint64_t          at;      /* octets of content read */
	struct span       in, out; /* lent by the store and the editor */
	struct span       piece;   /* in wire: what the handler was shown last */
	uint8_t          *wire;    /* 2 * REWRITE_PIECE octets with CRLF, when a handler is shown */
	int               error;
	bool              active, reading, inside, ended;
};

/* Begin to read ${from}, which is complete.  rewrite_end() gives memory back; harmless twice. */
void rewrite_begin(struct session *s, struct rewrite *rw, struct store_msg *from);
void rewrite_end(struct rewrite *rw);

/* Show it to the handler whose turn it is. */
enum rewrite_result rewrite_show(struct session *s, struct rewrite *rw, struct reply *r);

/* Write it to ${to}. */
enum rewrite_result rewrite_store(struct session *s, struct rewrite *rw, struct store_msg *to);

/* message.c: the rewrite that the session's message is in. */
struct rewrite *message_rewrite(const struct session *s);

#endif
