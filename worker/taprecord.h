/*
 * taprecord: one record of a tap, a JSON object put together on the stack.
 * Values are escaped as in a JSON log: \\ and \xNN for what may not stand on a
 * terminal, so that a record never holds such an octet.
 */
#ifndef WORKER_TAPRECORD_H_
#define WORKER_TAPRECORD_H_

#include "worker/tap.h"

struct taprecord {
	size_t n;
	bool   cut;
	char   text[TAP_RECORD_MAX];
};

/* Begin with the time and ${event}, a word of ours; add fields, ${key}s are words of ours; end. */
void taprecord_begin(struct taprecord *r, const char *event);
void taprecord_span(struct taprecord *r, const char *key, struct span v);
void taprecord_str(struct taprecord *r, const char *key, const char *v); /* NULL: left out */
void taprecord_u64(struct taprecord *r, const char *key, uint64_t v);
void taprecord_ms(struct taprecord *r, const char *key, uint64_t us); /* microseconds, as milliseconds */
void taprecord_true(struct taprecord *r, const char *key);
void taprecord_addr(struct taprecord *r, const char *key, const struct addr *a);

/* A field with the lines of ${v}, each without its CRLF, as an array. */
void taprecord_lines(struct taprecord *r, const char *key, struct span v);

void taprecord_end(struct taprecord *r);

#endif
