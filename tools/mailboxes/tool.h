/*
 * tool: what the jobs of letterplate-mailboxes share.
 * A job is one file and returns an exit code of sysexits(3) after one clear
 * line on standard error.  Only one job at a time changes a directory; those
 * that read need no lock, since a published snapshot is never written again.
 */
#ifndef TOOLS_MAILBOXES_TOOL_H_
#define TOOLS_MAILBOXES_TOOL_H_

#include <sysexits.h>

#include "common/mdb.h"
#include "common/resolve.h"

#define TOOL_NEW  "mailboxes.mdb.new" /* a snapshot that is being made */
#define TOOL_OLD  "mailboxes.mdb.old" /* the current one's second name, for a moment */
#define TOOL_LOCK "mailboxes.lock"

enum {
	TOOL_LOCK_WAIT_S = 300,      /* how long a job waits for another one */
	TOOL_PARAMS_MAX  = 64,       /* of one command */
	TOOL_LINE_MAX    = 256 << 10 /* octets that any entry needs as a line */
};

struct tool {
	const char         *dir;
	int                 dirfd;
	int                 lockfd; /* -1: not locked */
	struct resolve_conf rc;     /* what `show` and the warnings assume of the config */
};

/* --- folder.c --- */

/* Open the folder for reading.  0 or an exit code. */
int tool_open(struct tool *t, const char *dir);

/* Be the only job that changes it, and take away what a killed one left.  0 or an exit code. */
int tool_lock(struct tool *t);

/**
 * tool_away(t):
 * From now on ${t} is a folder of its own below TMPDIR, for a snapshot that is
 * looked at and never published; tool_away_end() removes it.  One at a time.
 * 0 or an exit code.
 */
int  tool_away(struct tool *t);
void tool_away_end(struct tool *t);

/**
 * tool_current(t, m):
 * Map the current snapshot; *m is NULL when there is none.  0, or an exit code
 * after a message when it cannot be used.
 */
int tool_current(const struct tool *t, struct mdb **m);

/* Say that ${name} in the folder failed, by errno; the exit code. */
int tool_fail(const struct tool *t, const char *what, const char *name);

/* --- publish.c --- */

/**
 * tool_publish(t, keep):
 * TOOL_NEW, whole and synced, becomes the current snapshot; with ${keep} the
 * current one becomes the predecessor.  There is a whole current one at every
 * moment.  0 or an exit code.
 */
int tool_publish(const struct tool *t, bool keep);

/* The current and the previous snapshot change places. */
int tool_rollback(struct tool *t);

/* Print what the mailbox at ${path} holds; ${anew}: count it anew first. */
int tool_quota(const char *path, bool anew);

/* Forget TOOL_NEW. */
void tool_discard(const struct tool *t);

/* --- the jobs --- */

struct tool_load {
	const char *file; /* "-": standard input */
	bool        dry_run, diff;
	int         max_shrink; /* percent, -1: any */
};

struct tool_pretend {
	const char *conf, *address, *helo, *from,
	    *file;             /* file: NULL is a message that is made up, "-" standard input */
	const char  *listener; /* "": the first that speaks SMTP */
	const char **to;
	size_t       nto;
};

/* pretend.c: print what a sender would hear.  0: taken; 1: refused; EX_TEMPFAIL: deferred; else an exit code after a message. */
int tool_pretend(const struct tool_pretend *o);

struct tool_import {
	const char      *main_cf;                /* NULL: none */
	const char      *param[TOOL_PARAMS_MAX]; /* "name=value", each counts more than main.cf */
	size_t           nparam;
	bool             print;      /* the list, to standard output, and nothing else */
	bool             incomplete; /* do it although a row cannot be represented; its address is deferred */
	struct tool_load load;       /* all but the file */
};

/* import.c: Postfix's maps become the current snapshot.  0; EX_DATAERR: rows cannot be represented; or an exit code. */
int tool_import(struct tool *t, const char *dir, const struct tool_import *o);

int tool_load(struct tool *t, const struct tool_load *o);
int tool_add(struct tool *t, char **args, int n);
int tool_remove(struct tool *t, const char *address);
int tool_list(struct tool *t);
int tool_show(struct tool *t, const char *address);
int tool_info(struct tool *t);

/* diff.c: print what ${to} adds, removes and changes; ${from} NULL is empty.  0 or an exit code. */
int tool_diff(const struct tool *t, struct mdb *from, struct mdb *to);

/* show.c: print an entry as a line, after ${prefix}.  0, or -1 with errno EBADMSG. */
int tool_print(const char *prefix, struct span key, struct span rec);

/* check.c: why mail for ${key} would be refused for good in ${m}, or NULL; into ${buf}. */
const char *tool_dead_end(const struct tool *t, struct mdb *m, struct span key, char *buf, size_t cap);
#endif
