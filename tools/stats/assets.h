/*
 * assets: the page of live charts, as files within the program.
 */
#ifndef TOOLS_STATS_ASSETS_H_
#define TOOLS_STATS_ASSETS_H_

#include <stddef.h>

struct asset {
	const char *path, *type; /* as asked for, and its media type */
	const char *octets, *end;
};

/* The file behind ${path}, or NULL. */
const struct asset *assets_find(const char *path);
#endif
