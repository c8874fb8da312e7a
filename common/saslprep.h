/*
 * saslprep: the one form in which names and passwords are compared (RFC 4013),
 * so that the same characters typed on another machine are the same octets.
 * Not pure: libunistring allocates.
 */
#ifndef COMMON_SASLPREP_H_
#define COMMON_SASLPREP_H_

#include <stdbool.h>
#include <sys/types.h>

#include "common/span.h"

/**
 * saslprep(in, out, cap, stored):
 * Prepare ${in}, which is UTF-8; ${stored}: to be kept, so that code points
 * without a character in libunistring's Unicode are refused too (RFC 4013 2.5;
 * it is a later one than RFC 3454's 3.2).  Octets in ${out}, without a NUL, at
 * least 1; or -1 with errno: EINVAL when nothing can be said that way (not
 * UTF-8, a control, mixed directions, nothing left), ENAMETOOLONG past ${cap},
 * ENOMEM.  Printable ASCII comes back as it is.  What was in between is wiped.
 */
ssize_t saslprep(struct span in, char *out, size_t cap, bool stored);
#endif
