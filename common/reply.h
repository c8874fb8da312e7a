/*
 * reply: one SMTP reply as a value.
 * No reply is ever allocated, and none can carry a line break that it was not
 * given as one (reply_add_line): what is not printable ASCII becomes '?'.  PURE.
 */
#ifndef COMMON_REPLY_H_
#define COMMON_REPLY_H_

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/span.h"

/* An enhanced status code (RFC 3463): ENH(5, 1, 1).  0: none. */
#define ENH(c, s, d)   ((uint32_t)(c) << 20 | (uint32_t)(s) << 10 | (uint32_t)(d))
#define ENH_CLASS(e)   ((e) >> 20)
#define ENH_SUBJECT(e) ((e) >> 10 & 0x3ff)
#define ENH_DETAIL(e)  ((e)&0x3ff)

enum {
	REPLY_TEXT_MAX   = 400, /* octets of text, all lines together */
	REPLY_LINE_MAX   = 512, /* octets of a line with its CRLF (RFC 5321 4.5.3.1.5) */
	REPLY_LINES_MAX  = 16,
	REPLY_ENH_MAX    = 11, /* octets of an enhanced code: three numbers below 1000 (RFC 3463 2) */
	REPLY_REASON_MAX = 32, /* octets of a reason with its NUL */
	REPLY_WIRE_MAX =
	    REPLY_LINE_MAX + REPLY_TEXT_MAX + REPLY_LINES_MAX * 20 /* octets that reply_format() needs at the most */
};

struct reply {
	uint16_t code;                     /* 200..599; 0: no reply, "no opinion" */
	bool     close;                    /* close the session after it (421) */
	uint32_t enh;                      /* ENH(), 0 for 3xx and the greeting */
	char     reason[REPLY_REASON_MAX]; /* [a-z0-9-], what the stats and the log count it under */
	uint16_t n;                        /* octets used in text */
	char     text[REPLY_TEXT_MAX];     /* printable ASCII, an LF between lines, no NUL at the end */
};

#pragma GCC visibility push(default) /* for C modules */

/**
 * reply_set(r, code, enh, reason, fmt, ...):
 * Fill *r.  ${reason} is a word of [a-z0-9-], cut at REPLY_REASON_MAX - 1;
 * other octets in it become '-'.  Over-long text is cut.  A class of ${enh}
 * that is not the class of ${code} is made to be (RFC 2034 4).  Cannot fail.
 */
void reply_set(struct reply *r, uint16_t code, uint32_t enh, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/**
 * reply_add_line(r, text):
 * One more line behind those of *r; what is over REPLY_TEXT_MAX is cut, and
 * past REPLY_LINES_MAX it goes on in the last line.  Cannot fail.
 */
void reply_add_line(struct reply *r, struct span text);

/**
 * reply_parse(s, r):
 * Read "550 5.1.6 moved to new@example.org" (the form lists and policy servers
 * use; the enhanced code may be missing and is then X.0.0) into *r, with
 * reason "listed".  0, or -1 when ${s} does not begin with a code of 400..599,
 * the classes differ, the text is empty or over-long, or an octet is not
 * printable ASCII.
 */
int reply_parse(struct span s, struct reply *r);

/* Whether ${s} begins like an enhanced code, a right one or not: DIGIT "." 1*DIGIT "." 1*DIGIT, then a space or the end. */
bool reply_enhanced_at(struct span s);

/* Write ${enh} as it is said, "5.1.1", without a NUL.  The octets written. */
size_t reply_enhanced(uint32_t enh, char out[static REPLY_ENH_MAX]);

/**
 * reply_format(r, id, out):
 * Write the reply's lines with CRLF into ${out}, which has REPLY_WIRE_MAX
 * octets: code, enhanced code if any, text, and at the end for 4xx and 5xx
 * " [ID]" with the session's ${id} (empty: left out).  Return the octets written.
 */
size_t reply_format(const struct reply *r, struct span id, char *out);

#pragma GCC visibility pop
#endif
