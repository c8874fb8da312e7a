/*
 * content: what a receiver must see in, and take out of, a message's header.
 * Counts Received and notes Delivered-To (loops: RFC 5321 6.3), drops
 * Return-Path (RFC 5321 4.4: final delivery adds exactly one) and
 * Authentication-Results that claim to be ours (RFC 8601 5).  The body passes
 * untouched.  Pulled like the engine; works for every split.  PURE.
 *
 * Where the header ends: common/field.h.  Behind an end that is no empty line
 * nothing is counted and nothing dropped; but our trace lines stand in front, and
 * a lenient reader takes what comes up to the first empty line for more of the
 * header.  So an empty line is put before a line there that claims to be ours,
 * and before a first line of all that begins with a blank, which would go on
 * with our Received.  All else stays as it came.
 * A dropped field takes its continuation lines along.  An
 * Authentication-Results field is kept only when its authserv-id was read and
 * is not ours: what is malformed, empty, or has no end in CONTENT_HOLD_MAX
 * octets might be taken for ours by a lenient reader.
 */
#ifndef WORKER_SMTP_CONTENT_H_
#define WORKER_SMTP_CONTENT_H_

#include "common/arena.h"
#include "common/span.h"

enum {
	CONTENT_HOLD_MAX      = 512, /* octets of a field that are held back until it is judged */
	CONTENT_ADDED_MAX     = 2,   /* octets that a message may gain: one empty line */
	CONTENT_RECEIVED_MAX  = 100, /* Received fields that make a loop (RFC 5321 6.3) */
	CONTENT_DELIVERED_MAX = 100  /* Delivered-To fields that are noted */
};

struct content; /* opaque; lives in an arena */

/* A scanner in ${a} at the start of a message; ${authserv} is our authserv-id and must outlive it.  NULL with errno ENOMEM. */
struct content *content_new(struct arena *a, const char *authserv);

/**
 * content_next(c, in, out):
 * Consume from the front of *in; *out gets octets to keep (from *in or from
 * what was held, good until the next call).  Return true while there is more
 * to fetch, false when *in is empty and *out is too: then feed more.
 */
bool content_next(struct content *c, struct span *in, struct span *out);

/* The message is complete: *out gets what was still held back (false: nothing). */
bool content_end(struct content *c, struct span *out);

/* Received fields seen, up to CONTENT_RECEIVED_MAX. */
unsigned content_received(const struct content *c);

/*
 * Whether a Delivered-To field names ${key} (canonical local@domain; compared
 * without ASCII case, quoted or not).  Of a header of more than
 * CONTENT_DELIVERED_MAX such fields the first ones count.  A field that the
 * arena has no room for is not noted; Received ends such a loop later.
 */
bool content_delivered_to(const struct content *c, struct span key);
#endif
