/*
 * say: sentences on a terminal: escaped, and broken at 80 columns.
 */
#ifndef TOOLS_LOG_SAY_H_
#define TOOLS_LOG_SAY_H_

#include <stdarg.h>
#include <stdio.h>

enum { SAY_COLUMNS = 80, SAY_INDENT = 14 };

/*
 * One paragraph: ${stamp} in a column of SAY_INDENT, then the sentences of ${fmt}.  What no terminal should see becomes \xNN.
 * Out of memory: it is left out.
 */
void say(FILE *f, const char *stamp, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#endif
