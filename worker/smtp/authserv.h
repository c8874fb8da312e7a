/*
 * authserv: whether an Authentication-Results field claims to be ours.
 * An automaton over the field's value that knows the beginning of RFC 8601 2.2
 * and no more: [CFWS] authserv-id.  Fed octet by octet, so that it works for
 * every split; its user knows where the field ends.  PURE.
 */
#ifndef WORKER_SMTP_AUTHSERV_H_
#define WORKER_SMTP_AUTHSERV_H_

#include "common/span.h"

enum authserv {
	AUTHSERV_MORE, /* cannot be told yet */
	AUTHSERV_OURS, /* it is, or might be taken for it */
	AUTHSERV_OTHER /* another host's */
};

struct authserv_scan {
	struct span id;      /* ours */
	size_t      pos;     /* octets of it matched */
	unsigned    depth;   /* of comments */
	uint8_t     state;   /* private to authserv.c */
	bool        escaped; /* behind a backslash */
};

/* At the start of the value, behind the colon; ${id} must outlive it. */
void authserv_init(struct authserv_scan *a, struct span id);

/* The next octet, line ends included.  Once it is told, it is told for good. */
enum authserv authserv_feed(struct authserv_scan *a, uint8_t c);

/* The field ended: AUTHSERV_OURS or AUTHSERV_OTHER. */
enum authserv authserv_end(const struct authserv_scan *a);
#endif
