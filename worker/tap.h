/*
 * tap: shows live sessions to those who ask for them by letterplate-trace: the
 * dialogue, what handlers answered and how long it took.  Never content, never
 * a secret (smtp_show_lines()).  While nobody looks w->taps is NULL, and that is
 * all a session asks.  A record is one JSON object, sent whole or not at all.
 */
#ifndef WORKER_TAP_H_
#define WORKER_TAP_H_

#include "worker/session.h"

enum {
	TAP_MAX        = 8,    /* looking at a worker at the same time; one more is told so */
	TAP_VALUE_MAX  = 2000, /* octets of an escaped value; a longer one is cut and the record marked so */
	TAP_RECORD_MAX = 8192  /* octets of a record */
};

/**
 * tap_open(w, fd, filter):
 * Show the sessions that ${filter} wants, as worker.h says of w->trace.
 * ${filter} is a line of facts (common/facts.h), kind "filter", whose fields
 * "network", "recipient" and "listener" may each come more than once: a session
 * is wanted when one of each kind that is there holds.  By recipient it is
 * wanted from the first one that is named to its end.  Whoever cannot be
 * served, for the filter's sake or because TAP_MAX look already, is told
 * why by an event "refused".  ${fd} is closed when its reader is gone.
 */
void tap_open(struct worker *w, int fd, const char *filter);

/* What happened; callers look whether w->taps is NULL first.  They lose a record rather than wait, and count it. */
void tap_command(struct session *s, struct span line, bool hidden);
void tap_reply(struct session *s, struct smtp_sent sent);     /* just appended to the output */
void tap_recipient(struct session *s, const struct rcpt *rc); /* asked about next */
void tap_tls(struct session *s, const char *why);             /* NULL: TLS is on */
void tap_transaction(struct session *s, const char *result, uint64_t commit_us);
void tap_end(struct session *s);

#endif
