/*
 * ctl: the control socket, state_dir/control: who may use it, what can be
 * asked for, and who waits for which answer.
 * A request is one record, a line of common/facts.h: the command and its
 * arguments.  The answer is lines, of which the last is "end" with a code of
 * sysexits(3) and a text; then the master closes.  Nothing that a client does or leaves
 * undone holds the master up: all is bounded and nothing blocks.
 */
#ifndef MASTER_CTL_H_
#define MASTER_CTL_H_

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/facts.h"

enum {
	CTL_CLIENTS_MAX = 16, /* at a time; a connection beyond that is closed */
	CTL_POLL_MAX    = 1 + CTL_CLIENTS_MAX,
	CTL_REQUEST_MAX = 2048, /* octets */
	CTL_PATIENCE_MS = 5000, /* to ask, and to take the answer */
	CTL_LOOK_MS     = 1000, /* how often it is looked whether the socket is still there */
	CTL_RECORD      = 16384 /* octets of an answer sent at once */
};

/* What a client waits for. */
enum ctl_wait {
	CTL_NOTHING, /* it has not asked yet, or its answer is complete */
	CTL_RELOAD,
	CTL_UPGRADE,
	CTL_END,  /* of the server */
	CTL_TRACE /* nothing: it is there as long as its trace */
};

struct ctl_client {
	int           fd; /* -1: free */
	enum ctl_wait wait;
	bool          begun;  /* what it waits for has begun; an earlier one of the kind is not its own */
	bool          over;   /* close once all is sent */
	int64_t       due_ms; /* closed by then */
	struct facts  out;
	size_t        sent;
	int           trace; /* -1, or where workers write */
	char         *filter;
};

struct ctl {
	int               fd;      /* -1: closed */
	int64_t           look_ms; /* when it was last seen in state_dir */
	bool              told;    /* ... that it is not, and cannot be made anew */
	struct ctl_client client[CTL_CLIENTS_MAX];
};

struct master;

void ctl_init(struct ctl *ctl);

/* Whether a server answers in state_dir: one of root's, of our user's, or of whom the folder belongs to. */
bool ctl_answers(const struct master *m);

/* Listen in state_dir.  0, or -1 with errno. */
int ctl_open(struct master *m);

/* Once a second: make the socket anew where its file was removed. */
void ctl_due(struct master *m);

/* Close all and remove the socket; who waits for the end is told. */
void ctl_close(struct master *m);

/* Append what is to be polled; afterwards accept, read, write. */
nfds_t ctl_poll(const struct master *m, struct pollfd *p);
void   ctl_hear(struct master *m);

/* When the next patience is over, or INT64_MAX. */
int64_t ctl_next_ms(const struct master *m);

/* What is waited for begins now; a line about it; it has ended, with a code of sysexits (0: done) and a text or NULL. */
void ctl_begin(struct master *m, enum ctl_wait wait);
void ctl_note(struct master *m, enum ctl_wait wait, const char *line);
void ctl_done(struct master *m, enum ctl_wait wait, int code, const char *text);

/* The server is stopping: who waits for that, begun or not, is told. */
void ctl_call_off(struct master *m, enum ctl_wait wait);

/* Who waits, for a successor, and as a predecessor wrote it (state.h). */
void ctl_put(const struct master *m, struct facts *f);
void ctl_get(struct master *m, const struct fact *f);

/* Tell the worker in slot ${i}, which is ready now, of all traces. */
void ctl_traces(struct master *m, unsigned i);
#endif
