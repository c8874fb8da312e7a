/*
 * xclient: what a trusted client says of the one it speaks for.
 * The arguments of Postfix's XCLIENT command, by its XCLIENT_README: words
 * NAME=value, values in xtext, "[UNAVAILABLE]" and "[TEMPUNAVAIL]" for what is
 * not known.  PURE.
 */
#ifndef WORKER_SMTP_XCLIENT_H_
#define WORKER_SMTP_XCLIENT_H_

#include "common/arena.h"

enum { /* which words were given */
	XCLIENT_NAME     = 1 << 0,
	XCLIENT_ADDR     = 1 << 1,
	XCLIENT_PORT     = 1 << 2,
	XCLIENT_PROTO    = 1 << 3,
	XCLIENT_HELO     = 1 << 4,
	XCLIENT_LOGIN    = 1 << 5,
	XCLIENT_DESTADDR = 1 << 6,
	XCLIENT_DESTPORT = 1 << 7
};

enum { XCLIENT_TEXT_MAX = 255 }; /* octets of a NAME, HELO or LOGIN */

/* What it lists behind XCLIENT in the answer to EHLO. */
#define XCLIENT_WORDS "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"

struct xclient {
	unsigned    given, known;           /* XCLIENT_*; given and not known: unavailable */
	struct span name, login;            /* decoded; printable ASCII */
	uint8_t     addr[16], destaddr[16]; /* network order, IPv4 mapped; all zero if not known */
	uint16_t    port, destport;
};

/* What xclient_parse() returns. */
enum { XCLIENT_EINVAL = -1, XCLIENT_ENOMEM = -2 };

/**
 * xclient_parse(arg, a, out):
 * Read all that stands behind the verb: at least one word, none twice, none
 * that is not known.  HELO and PROTO are checked and no more: an EHLO has to
 * follow, and counts.  Spans of *out are in ${a}.  0, or one of the values above
 * with *out untouched.
 */
int xclient_parse(struct span arg, struct arena *a, struct xclient *out);
#endif
