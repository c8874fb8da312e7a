/*
 * xtext: the encodings of ESMTP parameters, file names and logs.
 * RFC 3461 section 4 (xtext) and the percent-encoding of Maildir paths.  PURE.
 */
#ifndef COMMON_XTEXT_H_
#define COMMON_XTEXT_H_

#include <sys/types.h>

#include "common/span.h"

/* Decode xtext: octets written to ${out} (at most in.n), or -1 if ${in} is not xtext ("+HH" upper case only, no '=' or space). */
ssize_t xtext_decode(struct span in, uint8_t *out, size_t cap);

/* Encode as xtext: octets written, or -1 when ${cap} is too small (3 * in.n suffices). */
ssize_t xtext_encode(struct span in, char *out, size_t cap);

/**
 * path_encode(in, out, cap):
 * Write ${in} as one path component: octets of [a-z0-9._+-] stand, all others
 * and a leading dot become %XX (upper-case hex), so that no '/', NUL, ".." or
 * hidden name can come out.  An upper-case letter is encoded too (the caller
 * folds first where it wants to).  Octets written, without a NUL; -1 when
 * ${cap} is too small (3 * in.n suffices), ${in} is empty, or the result is
 * longer than 255 octets (NAME_MAX).
 */
ssize_t path_encode(struct span in, char *out, size_t cap);
#endif
