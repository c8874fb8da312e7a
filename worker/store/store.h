/*
 * store: where messages stand once they are acknowledged.
 * A table of functions; there are the Maildir store and one with a journal in
 * front of it.  A store never sees a session.
 */
#ifndef WORKER_STORE_STORE_H_
#define WORKER_STORE_STORE_H_

#include "common/conf.h"
#include "common/stats.h"
#include "worker/smtp/txn.h"
#include "worker/store/iopool.h"

#ifndef STORE_CHUNK_OCTETS /* tests/load/cells_journal.py builds it with others */
#define STORE_CHUNK_OCTETS (64 << 10)
#endif
enum {
	/* octets of content a message holds in memory; at most two of them: one fills while one is written */
	STORE_CHUNK       = STORE_CHUNK_OCTETS,
	STORE_CHUNK_LARGE = 4 * STORE_CHUNK, /* the same of those that have turned out larger than one, */
	STORE_LARGE_MAX   = 64               /* and of them so many at a time in a worker */
};

struct store_msg; /* one message on its way; owned by the store until commit or abort has been called */

struct store_done {
	int err;     /* 0, or the errno of the first failure: ENOSPC, EDQUOT, EIO... */
	int nstored; /* targets that have it, durably */
};

/* What a store is opened with; all of it outlives the store. */
struct store_env {
	const struct conf_store *conf;
	const char              *hostname; /* for unique names */
	struct iopool           *pool;
	struct stats_slot       *stats;    /* written from the loop alone */
	unsigned                 slot;     /* the worker's, for unique names */
	uint64_t                 size_max; /* octets */
	const char              *boot;     /* which boot of the machine this is; NULL or "": nobody can say */
	bool                     quota;    /* mailboxes are kept within theirs */
};

struct store_ops {
	const char *name; /* "maildir" */

	/* Before the sandbox closes: open what needs a path.  0, or -1 with errno and one clear line logged. */
	int (*open)(const struct store_env *env, void **ctx);

	/**
	 * begin(ctx, t, received, wake, arg, m):
	 * A message begins; ${t} and its targets outlive it and no longer change.
	 * ${received} (copied) is the Received field with its LF.  ${wake}(${arg})
	 * is called in the loop when a write() that said EAGAIN may go on.  Never
	 * blocks.  0, or -1 with errno (ENOMEM, EAGAIN: too many at work; ENOSPC).
	 */
	int (*begin)(
	    void *ctx, struct txn *t, struct span received, void (*wake)(void *arg), void *arg, struct store_msg **m);

	/**
	 * write(m, s, taken):
	 * Take content as on the wire; the store folds CRLF to LF.  *taken is how
	 * many octets were taken, all of them with 0.  -1 with errno EAGAIN: stop
	 * reading this client until wake(), then offer the rest.  Another errno:
	 * the message is lost; the caller reads on, and aborts at the end.
	 */
	int (*write)(struct store_msg *m, struct span s, size_t *taken);

	/* What is written to ${m} from its beginning on is content that read() gave, perhaps edited: it is not folded again. */
	void (*raw)(struct store_msg *m);

	/**
	 * read(m, at, done, arg):
	 * The content is complete: hand out some of it, folded, from octet ${at} on.
	 * ${done}(${arg}, s, err) is called in the loop, perhaps from within; ${s} is
	 * empty at the end and good until the next call about ${m}; ${err} is 0 or
	 * an errno.  Not called any more after abort().
	 */
	void (*read)(struct store_msg *m, uint64_t at, void (*done)(void *arg, struct span s, int err), void *arg);

	/**
	 * commit(m, all, done, arg):
	 * Make it durable in every target, then call done() in the loop, exactly
	 * once, never from within commit().  With ${all} (SMTP) one failure takes
	 * back what was placed; without (LMTP) each target stands for itself, see
	 * target.err.  err 0 means: from now on a power cut cannot take it.
	 * Consumes ${m}.
	 */
	void (*commit)(struct store_msg *m, bool all, void (*done)(void *arg, const struct store_done *d), void *arg);

	/* Forget it; nothing of it stays on disk.  Consumes ${m}; wake() is not called any more, and ${t} may go at once. */
	void (*abort)(struct store_msg *m);

	void (*close)(void *ctx); /* after iopool_stop() */
};

extern const struct store_ops store_maildir;
extern const struct store_ops store_journal; /* with a journal in front, unless conf.journal is 0 */
#endif
