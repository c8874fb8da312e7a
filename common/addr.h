/*
 * addr: RFC 5321 paths (section 4.1.2) as a type.
 * A struct addr exists only when every octet was checked; nothing is fixed up
 * (CVE-2020-7247).  Says nothing about whether an address is ours.  PURE.
 *
 * Where it is not the grammar to the letter: an underscore is a letter of a
 * domain (hosts that have one send mail); a local part of "" and C1 controls
 * are invalid; an IPv4 literal has no leading zeros (some read them as octal).
 */
#ifndef COMMON_ADDR_H_
#define COMMON_ADDR_H_

#include <sys/types.h>

#include "common/arena.h"
#include "common/span.h"

enum {
	ADDR_LOCAL_MAX  = 64,  /* octets, RFC 5321 4.5.3.1.1; longer ones are taken up to ADDR_MAX */
	ADDR_DOMAIN_MAX = 255, /* octets, RFC 5321 4.5.3.1.2 */
	ADDR_MAX      = 254, /* octets of local@domain, unquoted: with its brackets a path of 256, RFC 5321 4.5.3.1.3 */
	ADDR_TEXT_MAX = 2 * ADDR_MAX + 8 /* octets that addr_format() may need: each local octet quoted */
};

struct addr {
	struct span local; /* unquoted, case as given; empty only if is_null */
	struct span
	    domain; /* ASCII lower case; a U-label stays UTF-8; an address literal with its brackets; empty for <Postmaster> */
	bool utf8;    /* an octet above 0x7f: needs SMTPUTF8 (RFC 6531) */
	bool is_null; /* "<>" */
	bool literal; /* domain is an address literal */
};

enum {
	ADDR_REVERSE    = 1, /* "<>" is allowed */
	ADDR_UTF8       = 2, /* UTF-8 is allowed (checked for well-formedness) */
	ADDR_POSTMASTER = 4  /* "<Postmaster>" without a domain is allowed, any case */
};

/* What addr_parse() returns instead of a length. */
enum {
	ADDR_EINVAL = -1, /* no valid path at the start of the input */
	ADDR_ENOMEM = -2, /* the arena is full */
	ADDR_EUTF8  = -3, /* it would be valid with ADDR_UTF8 (RFC 6531 3.7: 553 5.6.7) */
	ADDR_ELONG  = -4  /* valid so far, longer than ADDR_MAX or ADDR_DOMAIN_MAX */
};

#pragma GCC visibility push(default) /* for C modules */

/**
 * addr_parse(in, flags, a, out):
 * Parse one Path, with its angle brackets, at the start of ${in}.  A source
 * route (RFC 5321 appendix C) is checked and dropped.  Return the octets
 * consumed or one of the values above; on error *out is untouched.  Spans of
 * *out are copies in ${a}.
 */
ssize_t addr_parse(struct span in, unsigned flags, struct arena *a, struct addr *out);

/**
 * addr_parse_bare(in, flags, a, out):
 * The same for a mailbox without brackets that is all of ${in}, as it stands
 * in a list or a config: 0, or one of the values above.
 */
int addr_parse_bare(struct span in, unsigned flags, struct arena *a, struct addr *out);

/**
 * addr_format(a, out, cap):
 * Write ${a} as local@domain without brackets, the local part quoted when it
 * is no dot-atom, nothing for the null path.  Return the octets written (no
 * NUL is added), or -1 if ${cap} is too small; ADDR_TEXT_MAX always suffices.
 * What it writes parses to the same address again.
 */
ssize_t addr_format(const struct addr *a, char *out, size_t cap);

/* Whether ${s}, without brackets, is a Mailbox by RFC 5321 4.1.2, or by RFC 6531 3.3 if ${utf8}.  Each half at most ADDR_MAX octets. */
bool addr_mailbox_ok(struct span s, bool utf8);

/*
 * Whether ${s} is a domain name by RFC 5321 (letters, digits, hyphens,
 * underscores, dots; UTF-8 if ${utf8}), at most 255 octets, labels at most 63.
 * A label with UTF-8 may be longer: its A-label's octets count, see norm.h.
 */
bool addr_domain_ok(struct span s, bool utf8);

/* Whether ${s} is an address literal with brackets: [1.2.3.4], [IPv6:...] or [tag:dcontent] (RFC 5321 4.1.3). */
bool addr_literal_ok(struct span s);

#pragma GCC visibility pop
#endif
