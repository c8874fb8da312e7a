/*
 * folders: the system calls that make a mailbox's folders, in the order that
 * makes them durable, and that sweep its tmp/.  No memory of what was done:
 * that is mailbox.c.
 */
#ifndef WORKER_STORE_FOLDERS_H_
#define WORKER_STORE_FOLDERS_H_

#include <time.h>

#include "common/span.h"
#include "worker/store/unique.h"

enum {
	FOLDERS_STALE_OURS_S  = 3600,      /* seconds after which a file of ours in tmp/ that nobody holds goes */
	FOLDERS_STALE_OTHER_S = 36 * 3600, /* the same for files that others put there (Maildir's own rule) */
	FOLDERS_SWEEP_MAX     = 4096,      /* entries of tmp/ that one sweep looks at */
	FOLDERS_PATH_MAX      = 4 * 256,   /* octets of DOMAIN/LOCAL/.FOLDER/tmp with a NUL */
	FOLDERS_MAX           = 1000 /* sub-folders of a mailbox: where there are so many, none is made for a handler */
};

/* Whether ${s} is DOMAIN/LOCAL, and whether it is one such name: not empty, no leading dot, no '/' or NUL, at most NAME_MAX. */
bool folders_dir_ok(struct span s);
bool folders_name_ok(struct span s);

/* Open a folder in ${at}; ENOTDIR for a symbolic link.  The descriptor, or -1 with errno. */
int folders_open(int at, const char *name);

/* The same; made, 0700, if missing. */
int folders_open_made(int at, const char *name);

/**
 * folders_make(root, key, u, lazy, make):
 * Make and sync what is missing of "DOMAIN/LOCAL" or "DOMAIN/LOCAL/.FOLDER"
 * (which must exist itself, ENOENT, unless ${make}: then it is made as a folder
 * of Maildir++, or EMLINK past FOLDERS_MAX), with tmp/, new/ and cur/; sweep
 * its tmp/.
 * ${lazy}: sync nothing; the caller's journal answers for it.  The mailbox's
 * descriptor, or -1 with errno.
 */
int folders_make(int root, const char *key, const struct unique *u, bool lazy, bool make);

/**
 * folders_find(root, key, sub):
 * Open the folder ${sub} of what folders_make() has made before, in one call.
 * The descriptor, or -1 with errno: EXDEV on another file system, ELOOP for a
 * symbolic link anywhere, ENOSYS where there is no openat2(2).
 */
int folders_find(int root, const char *key, const char *sub);

/* Remove stale files from the folder ${tmp}; ${now} in unix seconds.  How many went.  What cannot be removed stays. */
unsigned folders_sweep(int tmp, const struct unique *u, time_t now);

/**
 * folders_flush(fd):
 * fsync a folder, and ask whether its file system is still alive: on XFS that
 * has shut down (a log it could not write) fsync of a folder says 0 though
 * nothing was written, as seen with Linux 6.18; only fstat() says EIO.  0, or
 * -1 with errno.
 */
int folders_flush(int fd);

/* The same by a descriptor of its own. */
int folders_sync(int at);

/**
 * folders_sync_all(fd):
 * syncfs(2) of the file system that the folder ${fd} is on, then
 * folders_flush() of the folder: syncfs does nothing and says 0 where the file
 * system has become read-only, as ext4 with errors=remount-ro does when it
 * could not write its log; fsync says EROFS or EIO then.  Measured behind a
 * syncfs: 3 us on idle ext4 and XFS, 70 us beside other writers.  Errors are
 * told of what was written since ${fd} was opened.  0, or -1 with errno.
 */
int folders_sync_all(int fd);
#endif
