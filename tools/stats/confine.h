/*
 * confine: what "letterplate-stats serve" can still do once it listens: read
 * the segment's folder, answer who connects, and nothing else.
 */
#ifndef TOOLS_STATS_CONFINE_H_
#define TOOLS_STATS_CONFINE_H_

#include <stddef.h>

enum { CONFINE_PATH_MAX = 4096 };

/* ${path} if it is a folder, or the one that it stands in.  0, or -1 with errno ENAMETOOLONG. */
int confine_folder(const char *path, char *out, size_t cap);

/**
 * confine_files(path):
 * Landlock, for this thread and those that it starts: nothing but reading in
 * the folder ${path}, no TCP port to bind or connect to, as far as the kernel
 * knows these; with NO_NEW_PRIVS.  After the socket listens, before any other thread
 * is there.  0, or -1 with errno (ENOSYS, EOPNOTSUPP: a kernel without Landlock).
 */
int confine_files(const char *path);

/* seccomp, for this thread and those that it starts: system calls that are not on the list fail with EPERM.  0, or -1 with errno. */
int confine_calls(void);
#endif
