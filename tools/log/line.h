/*
 * line: a line of the log, taken apart.
 * letterplate-log(5) is the form: logfmt or JSON, told apart by their first octet.  What a syslog daemon or journalctl put
 * before it is passed over.
 */
#ifndef TOOLS_LOG_LINE_H_
#define TOOLS_LOG_LINE_H_

#include <stdbool.h>
#include <stddef.h>

enum {
	LINE_FIELDS_MAX = 64,   /* more are left out */
	LINE_OCTETS_MAX = 16384 /* the server writes 4,000 at the most; in front of them may stand anything */
};

struct line {
	size_t n;
	struct {
		const char *key,
		    *value; /* NUL-terminated, in text; a value's octets are still escaped as \xNN and \\ */
	} field[LINE_FIELDS_MAX];
	char  *text;  /* owned; NULL when empty */
	size_t order; /* whoever keeps lines numbers them */
};

/* Take ${n} octets apart.  0, or -1 when it is no line of Letterplate's log (or memory is out).  line_free() gives it back. */
int  line_parse(const char *p, size_t n, struct line *out);
void line_free(struct line *l);

enum { LINE_STAMP = 27 }; /* octets of a time: 2026-11-24T20:35:00.254146Z */

/* Where a line's time stands in its octets, all LINE_STAMP of it, which compare as times do; NULL: none of ours. */
const char *line_stamp(const char *p, size_t n);

/* A field's value, NULL without one. */
const char *line_get(const struct line *l, const char *key);

/* Whether the field is there and is ${value}. */
bool line_is(const struct line *l, const char *key, const char *value);
#endif
