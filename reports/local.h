/*
 * local: a report into a mailbox of ours, by the store that takes all mail.
 * One at a time.
 */
#ifndef REPORTS_LOCAL_H_
#define REPORTS_LOCAL_H_

#include "common/conf.h"
#include "common/report.h"

struct local;

enum local_answer {
	LOCAL_OURS,    /* it is under way; told() says how it went */
	LOCAL_FOREIGN, /* the address is not of a domain of ours */
	LOCAL_LATER,   /* it cannot be known, or not now */
	LOCAL_NEVER    /* ours, and there is no such mailbox */
};

/* How it went: 0, or an errno. */
typedef void local_told(void *arg, int err);

/* Inside the sandbox, before seccomp: starts threads.  NULL after a logged line. */
struct local *local_new(const struct conf *cf, local_told *told, void *arg);

/* Whether the one before is still under way. */
bool local_busy(const struct local *l);

/**
 * local_put(l, r, why):
 * Look ${r}'s addressee up and, if it is ours, have the report stored.
 * Nothing of ${r} is needed afterwards.  ${*why}: words for the log, static or good until the next call.
 */
enum local_answer local_put(struct local *l, const struct report *r, const char **why);

/* A descriptor to poll; then local_turn() when it can be read. */
int  local_fd(const struct local *l);
void local_turn(struct local *l);
#endif
