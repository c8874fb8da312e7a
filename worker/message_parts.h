/*
 * message_parts: what the two halves of a message's way share.  For message.c
 * and message_verdict.c alone.
 */
#ifndef WORKER_MESSAGE_PARTS_H_
#define WORKER_MESSAGE_PARTS_H_

#include "worker/dsn.h"
#include "worker/message.h"
#include "worker/rewrite.h"
#include "worker/smtp/content.h"

enum message_step {
	MESSAGE_BODY,    /* content is coming */
	MESSAGE_TAIL,    /* complete; what the filter held back goes its way */
	MESSAGE_VERDICT, /* the handlers are asked for their last word */
	MESSAGE_REPLAY,  /* one of them is shown the content as it is edited so far */
	MESSAGE_EDIT,    /* what they want changed is carried out */
	MESSAGE_COMMIT,  /* the store makes it durable, and the spool the report that the sender asked for */
	MESSAGE_DONE     /* there is a result */
};

struct message {
	enum message_step step;
	struct store_msg *sm;     /* NULL once committed, aborted or lost */
	struct store_msg *edited; /* takes the place of sm when it is whole; else NULL */
	struct rewrite    rewrite;
	struct content   *content;
	struct buf   pend; /* what waits: first pend_kept octets that the filter has let pass, then unfiltered ones */
	size_t       pend_kept;
	bool         asked;   /* the handlers have seen the waiting octets */
	bool         asking;  /* ... one of them is still to answer */
	int          error;   /* the store's errno, before commit */
	struct reply verdict; /* the handlers'; code 0: no objection */
	bool         refused; /* each recipient was, by itself: LMTP */
	const char  *by;      /* whose it is, "" for nobody's, where that is not who was asked last; else NULL */
	struct store_done done;
	uint64_t          commit_start_us, commit_us;
	struct dsn       *dsn;        /* NULL: no report is asked for */
	int               report_err; /* errno: the message is stored, its report is not */
};

/* --- message.c --- */

/* A message in the store, with our trace in front.  0, or -1 with errno. */
int message_store_begin(struct session *s, struct store_msg **out);

/* Nothing of it stays in the store.  Harmless twice. */
void message_abort_store(struct session *s, struct message *m);

/* What a store's failure, an errno, means to the sender (RFC 3463 3.4). */
void message_store_reply(const struct conf *cf, int error, struct reply *r);

/* One line, and a count, for the errno ${error} of the store. */
void message_store_log(struct session *s, int error, const char *what);

/* --- message_verdict.c --- */

/*
 * Mail that goes round (RFC 5321 6.3): too many hops, or we have delivered it to one of these mailboxes before.  The
 * verdict then says so; with ${each} those alone are set aside who had it before, if others had not.
 */
void message_loops(struct session *s, struct message *m, bool each);

/* The handlers' last word, what they want changed, then the commit.  False: the session waits. */
bool message_decide(struct session *s, struct message *m);

/* The reply for recipient ${rc}, or for all when it is NULL. */
void message_result(struct session *s, struct message *m, const struct rcpt *rc, struct reply *r);

#endif
