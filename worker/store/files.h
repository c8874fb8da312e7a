/*
 * files: the system calls on one message file.
 * A step that fails condemns the file: nothing here tries a write or an fsync
 * a second time on it.
 */
#ifndef WORKER_STORE_FILES_H_
#define WORKER_STORE_FILES_H_

#include <sys/types.h>

#include "common/span.h"
#include "worker/store/unique.h"

/* Create a file of a new name in the folder ${tmp}, 0600.  The descriptor (read and write) and *n, or -1 with errno. */
int files_create(int tmp, struct unique *u, struct unique_name *n);

/*
 * Create a file that has no name yet, in the file system of the folder ${new}: nothing is left of it if nobody names it.
 * The descriptor (read and write), or -1 with errno (EOPNOTSUPP where there is no O_TMPFILE, EISDIR on old kernels).
 */
int files_nameless(int new);

/* Mark a file as at work, by a lock: it may stand in tmp/ for long, and no sweep is to take it for a crash's.  Where locks do not exist its age must do. */
void files_hold(int fd);

/* Write two runs of octets, whole.  0, or -1 with errno. */
int files_write(int fd, struct span a, struct span b);

/* Append ${n} octets of ${from}, from offset ${at} on; in the kernel where it can.  0, or -1 with errno (EIO when they are not there). */
int files_copy(int fd, int from, off_t at, uint64_t n);

/* fsync and close; closed in any case.  0, or -1 with the first errno. */
int files_finish(int fd);

/**
 * files_place(tmp, old, new, u, n, size):
 * Move ${old} from the folder ${tmp} into ${new} under a name that was not
 * there, which *n then is.  0, or -1 with errno.
 */
int files_place(int tmp, const char *old, int new, struct unique *u, struct unique_name *n, uint64_t size);

/*
 * Give the nameless file ${fd} a name in the folder ${new} that was not there, which *n then is.  0, or -1 with errno:
 * ENOENT where this is not let through (before Linux 6.10 without /proc, or AppArmor without mediate_deleted), or when
 * the folder is gone.
 */
int files_name(int fd, int new, struct unique *u, struct unique_name *n, uint64_t size);

/* Remove; tried again when the first time fails.  A file that is not there is fine.  0, or -1 with errno. */
int files_remove(int at, const char *name);
#endif
