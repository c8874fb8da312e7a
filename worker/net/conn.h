/*
 * conn: one accepted socket: its buffers, back-pressure both ways, its end.
 * It feeds whoever owns it and sends what the owner queued; it knows nothing
 * of SMTP.  An idle connection holds no buffer: input is read into one scratch
 * area of the process, and only what was not consumed is kept.
 */
#ifndef WORKER_NET_CONN_H_
#define WORKER_NET_CONN_H_

#include "common/buf.h"
#include "worker/net/loop.h"
#include "worker/net/tls.h"

enum {
	CONN_READ       = 64 << 10,              /* octets read at a time */
	CONN_KEEP       = 4 << 10,               /* octets that an owner who wants more may leave */
	CONN_IN_MAX     = CONN_READ + CONN_KEEP, /* octets of input kept while the owner waits */
	CONN_OUT_MAX    = 16 << 10, /* octets of output queued; a client that doesn't read gets no further */
	CONN_READS      = 4,        /* reads a turn before others have theirs */
	CONN_LINGER_MS  = 2000,     /* how long a client may go on talking after a last word */
	CONN_LINGER_MAX = 1 << 20   /* octets of such talk that are read */
};

/* What the owner says after it was fed. */
enum conn_say {
	CONN_MORE,  /* consumed all it can: at most CONN_KEEP octets are left */
	CONN_WAIT,  /* feed nothing until conn_resume(); the connection ends if the peer goes (not: closes its half) */
	CONN_FULL,  /* feed again when the output has room */
	CONN_TLS,   /* after conn_tls(): send what is queued, do the handshake, call secured(), feed again */
	CONN_CLOSE, /* send what is queued and close */
	CONN_LINGER /* the same, but let the client read it: it may still be talking (else a reset could eat it) */
};

struct conn;

struct conn_ops {
	/* Consume from the front of *in.  The first call may bring nothing.  Must not end the connection itself. */
	enum conn_say (*feed)(struct conn *c, struct span *in);
	/* The deadline that conn_deadline() set has come. */
	void (*late)(struct conn *c);
	/* The socket is closed; ${lost}: by the peer or an error, not by CONN_CLOSE.  The last call; ${c} may be freed in it. */
	void (*closed)(struct conn *c, bool lost);
	/* CONN_LINGER, and all is sent.  False: the peer may not go on talking; the socket is closed at once. */
	bool (*lingers)(struct conn *c);
	/* The handshake after CONN_TLS is done, or is not to be (the connection then ends): see conn_tls_facts(). */
	void (*secured)(struct conn *c, bool done);
};

struct conn {
	struct loop_src        src; /* src.fd -1 once closed */
	struct loop           *loop;
	const struct conn_ops *ops;
	struct tls            *tls; /* NULL: in clear */
	struct buf             in, out;
	struct loop_timer      timer;
	struct loop_task       task;
	uint64_t               due_ms;    /* the deadline, by loop_now_ms(); may lie behind timer.at_ms */
	uint32_t               discarded; /* octets read while lingering */
	enum conn_say          say;       /* the owner's last word */
	bool                   can_read, can_write, hup, eof, lingering;
	bool                   peeking; /* conn_peek() */
	bool                   gone;    /* the peer reads no more */
	bool                   flooded; /* closed because of tls_flooded() */
	bool secret;  /* the owner: what is being fed holds a password, and is wiped once it is consumed */
	bool secured; /* tls has done its handshake: all octets go through it */
};

/* Take over ${fd} (non-blocking) and feed for the first time.  0, or -1 with errno and ${fd} closed; closed() is not called then. */
int conn_start(struct conn *c, struct loop *l, int fd, const struct conn_ops *ops);

/**
 * conn_peek(c, on):
 * While it is on, feed() is shown what waits in the socket, CONN_KEEP octets
 * at the most, and only what it consumes is taken from there: what stands
 * behind a PROXY header is for TLS to read.  Turn it on before the first
 * feed(); turned off within feed(), the rest comes in the next.  Who consumes
 * nothing of CONN_KEEP octets must not ask for more.
 */
void conn_peek(struct conn *c, bool on);

/*
 * Get TLS ready for what the owner says next: CONN_TLS, with all input consumed (what is left ends the connection:
 * it came in clear, CVE-2011-0411).  Before the first feeding: the handshake comes first of all, nothing is to be
 * said.  0, or -1 when memory is out.
 */
int conn_tls(struct conn *c, struct tls_port *p);

/* Between CONN_TLS and secured(): nothing can be said to the peer. */
bool conn_shaking(const struct conn *c);

/* As tls_facts(); all NULL in clear. */
struct tls_facts conn_tls_facts(const struct conn *c);

/* tls_binding(), 0 in clear. */
size_t conn_tls_binding(const struct conn *c, const char *type, uint8_t *out, size_t cap);

/* The owner waits no more (CONN_WAIT): feed it what is there.  Not from within feed(). */
void conn_resume(struct conn *c);

/* Feed an owner that asked for more (CONN_MORE) even if nothing came.  Not from within feed(). */
void conn_nudge(struct conn *c);

/* Call late() ${ms} from now unless moved again.  Cheap: a later deadline only notes a number. */
void conn_deadline(struct conn *c, uint64_t ms);

/* The owner ends it out of turn, after having queued a last word: as CONN_LINGER.  Not from within feed(). */
void conn_finish(struct conn *c);

/* Close at once, sending nothing more; closed(lost = true) follows before this returns. */
void conn_abort(struct conn *c);
#endif
