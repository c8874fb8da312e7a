/*
 * bundle: files as they were at one moment, in one sealed memfd.
 * A process that is started again later finds the same certificates and keys
 * as its predecessor, whatever has become of the files.  The contents go from
 * file to memfd inside the kernel: whoever makes a bundle of keys never has
 * them in its own memory.
 */
#ifndef COMMON_BUNDLE_H_
#define COMMON_BUNDLE_H_

#include "common/span.h"

enum {
	BUNDLE_FILES_MAX = 256,
	BUNDLE_FILE_MAX  = 1 << 20 /* octets of one file */
};

/**
 * bundle_make(name, path, n, bad):
 * Read ${n} files; NULL or "" among them is an empty one.  A descriptor, or -1
 * with errno, and *bad the path at fault or NULL.
 */
int bundle_make(const char *name, const char *const *path, size_t n, const char **bad);

/* A bundle that was mapped; spans into it are good until bundle_close(). */
struct bundle {
	const uint8_t *map;
	size_t         size, n;
};

/* Map it.  0, or -1 with errno (EBADMSG when it is none).  The descriptor is not needed afterwards. */
int         bundle_open(int fd, struct bundle *b);
struct span bundle_file(const struct bundle *b, size_t i); /* empty for none */
void        bundle_close(struct bundle *b);
#endif
