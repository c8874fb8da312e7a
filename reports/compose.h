/*
 * compose: a record becomes a message: multipart/report (RFC 6522) with a
 * message/delivery-status (RFC 3464), for people and for programs.
 */
#ifndef REPORTS_COMPOSE_H_
#define REPORTS_COMPOSE_H_

#include "common/report.h"

/* Whether the message has UTF-8 in its header and must go as SMTPUTF8 (RFC 6533): its addressee has. */
bool compose_is_utf8(const struct report *r);

/**
 * compose(r, hostname, now, gmtoff, n):
 * The message with LF line ends, ${*n} octets; ${now} in unix seconds is its
 * date, ${gmtoff} seconds east of UTC.  All of it is ASCII unless compose_is_utf8().  Owner: the caller, free().  NULL with errno ENOMEM.
 */
char *compose(const struct report *r, const char *hostname, int64_t now, int32_t gmtoff, size_t *n);

/* "Received: by ...", with its LF: of the copy that goes into a mailbox here.  Octets written, no NUL. */
size_t compose_received(
    const struct report *r, const char *hostname, int64_t now, int32_t gmtoff, char *out, size_t cap);
#endif
