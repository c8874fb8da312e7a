/*
 * explain: find the session of an id, and tell its story.
 */
#ifndef TOOLS_LOG_EXPLAIN_H_
#define TOOLS_LOG_EXPLAIN_H_

#include "tools/log/input.h"

enum { EXPLAIN_UNKNOWN = 1 }; /* exit code: no line has the id */

/**
 * explain_id(in, words):
 * ${words}: an id, or a reply or bounce that holds one.  0, EXPLAIN_UNKNOWN, or a sysexits code, after a line on standard
 * error.
 */
int explain_id(struct input *in, const char *words);
#endif
