/*
 * filesystem: on which file systems a sync of the whole is as good as the
 * sync of each file and folder, and since when one has been mounted.
 */
#ifndef WORKER_STORE_FILESYSTEM_H_
#define WORKER_STORE_FILESYSTEM_H_

#include <stdint.h>

/*
 * The name of a kind of file system (f_type of statfs(2)) whose syncfs(2) may say 0 and have left something undone;
 * NULL for all others.
 */
const char *filesystem_unsure(uint64_t type);

/* The same of what ${path} stands on; "unknown" when that cannot be asked. */
const char *filesystem_unsure_at(const char *path);

/**
 * filesystem_life(fd):
 * A number for the time from one mount(2) of the file system that ${fd} is on
 * until it is shut down, the same in all mount name spaces and never given
 * twice in a boot.  Where nobody knows one it is the mount's own, which a mount
 * name space gives anew (statx(2), Linux 6.8); 0: nobody can say.
 */
uint64_t filesystem_life(int fd);
#endif
