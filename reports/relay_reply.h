/*
 * relay_reply: what a relay says (RFC 5321 4.2).
 * PURE: octets in, what they mean out.  They are hostile.
 */
#ifndef REPORTS_RELAY_REPLY_H_
#define REPORTS_RELAY_REPLY_H_

#include <sys/types.h>

#include "common/span.h"

/* What EHLO offers of that which is of use here. */
struct relay_offers {
	bool utf8, has8, starttls; /* SMTPUTF8, 8BITMIME, STARTTLS */
};

/* The octets of the whole reply at the start of ${s}, all its lines, with its last line's code in ${*code}; 0: not complete; -1: it is none. */
ssize_t relay_reply(struct span s, unsigned *code);

/* What ${reply}, a whole one to EHLO, offers. */
struct relay_offers relay_offers(struct span reply);
#endif
