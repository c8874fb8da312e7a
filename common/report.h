/*
 * report: what a delivery report (RFC 3464) has to say, as a record of the spool.
 * A worker writes it before it says 250; letterplate-reports reads it and makes
 * a message of it.  A record is facts in fields that carry their lengths; it is
 * checked when it is read, for a worker may have been taken over.
 */
#ifndef COMMON_REPORT_H_
#define COMMON_REPORT_H_

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"

#define REPORT_SPOOL ".reports" /* in the store's path, with tmp/, new/ and bad/; no domain begins with a dot */

enum {
	REPORT_HEADERS_MAX = 32 << 10, /* octets of a message's header that a report gives back */
	REPORT_RECORD_MAX  = 6 << 20,  /* octets of a record: all that a transaction's arena may hold, and a header */
	REPORT_SPOOL_MAX   = 10000,    /* records that may wait */
	REPORT_NAME_MAX    = 64,       /* octets of a record's file name, "SECONDS.ID", with its NUL */
	REPORT_LIFE_S      = 5 * 86400 /* seconds that a report is tried; RFC 5321 4.5.4.1 */
};

struct report {
	struct span id;      /* of the message */
	struct span from;    /* whom the report goes to: local@domain, as addr_format() writes it */
	struct span envid;   /* decoded; may be empty */
	struct span headers; /* of the message, as it came, up to its first empty line */
	struct span rcpts;   /* for report_rcpt() */
	int64_t     arrived; /* unix seconds */
	bool        smtputf8, requiretls;
	bool        cut; /* the header was longer than REPORT_HEADERS_MAX */
};

struct report_rcpt {
	struct span address; /* as in RCPT; "postmaster" may stand without a domain */
	struct span orcpt;   /* as given, type and xtext; may be empty */
};

/* Append to ${b}, in this order: all but rcpts; each recipient; the end.  0, or -1 with errno ENOBUFS or ENOMEM. */
int report_put(struct buf *b, const struct report *r);
int report_put_rcpt(struct buf *b, const struct report_rcpt *rc);
int report_put_end(struct buf *b);

/* Read a record; spans point into it.  0, or -1 if it is not whole, or holds what no worker of ours writes: nothing in *out can end a line. */
int report_read(struct span record, struct report *out);

/* The next recipient of r.rcpts, taken from its front.  False: there is none. */
bool report_rcpt(struct span *rcpts, struct report_rcpt *out);
#endif
