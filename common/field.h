/*
 * field: whether a line begins a field of a message's header.
 * The one answer for all who look for the header's end: it ends at the first
 * empty line, or before the first line that neither begins a field nor goes on
 * with one (RFC 5322 2.2, with 4.5's blank before the colon).  A line that
 * begins with a blank goes on with the field before it; as the first line of
 * all it begins the body.  docs/decisions/060-header-end.md has why.  PURE.
 */
#ifndef COMMON_FIELD_H_
#define COMMON_FIELD_H_

#include "common/span.h"

/* An octet that a field's name may have. */
static inline bool
field_octet(uint8_t c)
{
	return c > ' ' && c < 0x7f && c != ':';
}

static inline bool
field_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Where the colon stands in ${line}, behind *name octets of a name and blanks; 0: it begins no field. */
size_t field_colon(struct span line, size_t *name);

/* The header at the start of ${content}, with the line ends of its fields (LF or CRLF) and without an empty line.  A last line without its end is judged as it is. */
struct span field_header(struct span content);

#endif
