/*
 * xtext: the encodings of ESMTP parameters, file names and logs.
 * RFC 3461 section 4 (xtext), the percent-encoding of Maildir paths, and what
 * is well-formed UTF-8.  PURE.
 */
#ifndef COMMON_XTEXT_H_
#define COMMON_XTEXT_H_

#include <stdbool.h>
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

/**
 * xtext_utf8(s):
 * Octets of the well-formed UTF-8 sequence at the start of ${s}, which is not
 * empty: 1 to 4; 0 if there is none (RFC 3629 4: no overlong form, no surrogate,
 * nothing above U+10FFFF).
 */
size_t xtext_utf8(struct span s);

/* Whether ${s} begins with a C1 control, U+0080 to U+009F, in UTF-8: no name needs them, and terminals obey them. */
bool xtext_c1(struct span s);
#endif
