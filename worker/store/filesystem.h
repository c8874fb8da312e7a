/*
 * filesystem: on which file systems a sync of the whole is as good as the
 * sync of each file and folder.
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
#endif
