/*
 * dsn: the record of a delivery report on its way to the spool (RFC 3461 NOTIFY=SUCCESS).
 * It is staged (written and synced in tmp/) before the message is committed,
 * and published (moved to new/, synced) after that and before the 250.  So no
 * report is lost with a 250 that was given, and none tells of a message that
 * was not stored; docs/decisions/050-reports.md.  letterplate-reports does the rest.
 */
#ifndef WORKER_DSN_H_
#define WORKER_DSN_H_

#include "worker/smtp/txn.h"
#include "worker/store/iopool.h"

struct dsn_spool; /* a worker's */
struct dsn;       /* a transaction's; lives in its arena, and holds a place in the pool */

/* Make and open the spool in ${store}, a path; inside the sandbox, before seccomp.  NULL with errno. */
struct dsn_spool *dsn_open(const char *store, struct iopool *pool);

/* Whether the sender is to be told of success. */
bool dsn_wanted(const struct txn *t);

/* Content will come.  NULL with errno ENOMEM, or EAGAIN when the pool has no place. */
struct dsn *dsn_begin(struct dsn_spool *sp, const struct txn *t);

/* Content that came, in order: its header is kept.  Cannot fail: without memory the report gives less back. */
void dsn_content(struct dsn *d, struct span s);

/* How a step went: 0, or an errno; ENOBUFS: REPORT_SPOOL_MAX reports wait. */
typedef void dsn_done(void *arg, int err);

/* All content came.  done() is called in the loop, never from within, and so are those of the next. */
void dsn_stage(struct dsn *d, dsn_done *done, void *arg);

/*
 * The message was committed, or was not: target.err says it for each.  The report tells of those recipients that
 * all have it; of none, if ${stored} is false, and is removed then.
 */
void dsn_publish(struct dsn *d, bool stored, dsn_done *done, void *arg);

/* Whether publishing left a report behind. */
bool dsn_published(const struct dsn *d);

/* Whether ${rc} asks for it, and all its mailboxes have the message. */
bool dsn_tells(const struct rcpt *rc);

/* Give back what it holds; not while a step is under way.  NULL is a no-op. */
void dsn_end(struct dsn *d);
#endif
