/*
 * mailbox: the folders of mailboxes, opened, made and made durable.
 * For the threads of the pool.  Remembers the folders that this process has
 * already made sure of; a folder that another process made a moment ago is
 * not durable just because it is there.
 */
#ifndef WORKER_STORE_MAILBOX_H_
#define WORKER_STORE_MAILBOX_H_

#include "common/span.h"
#include "worker/store/unique.h"

enum {
	MAILBOX_CACHE   = 256,    /* mailboxes remembered, a descriptor each; a power of two */
	MAILBOX_SEEN    = 16384,  /* four octets each: mailboxes whose folders were once made sure of; a power of two */
	MAILBOX_SHARE   = 16,     /* ... where RLIMIT_NOFILE is small: one descriptor in so many */
	MAILBOX_KEY_MAX = 3 * 256 /* octets of DOMAIN/LOCAL/.FOLDER with a NUL: each a file name at the most */
};

struct mailboxes;

/*
 * An open mailbox.  The descriptors are the caller's alone (see docs/DURABILITY.md, "One descriptor, one report"); -1 when
 * closed: of one that was entered lazily tmp is, until mailbox_tmp().
 */
struct mailbox {
	int  tmp, new;
	bool foreign; /* not on the file system of the store's path: another one's sync says nothing of it */
	bool make;    /* the caller's word, kept: a sub-folder that is missing is made */
};

/* Below ${root}, a folder's descriptor that outlives it.  NULL with errno ENOMEM. */
struct mailboxes *mailbox_cache_new(int root, const struct unique *u);
void              mailbox_cache_free(struct mailboxes *c); /* NULL is a no-op */

/**
 * mailbox_enter(c, dir, folder, mb):
 * Open tmp/ and new/ of ${dir} (DOMAIN/LOCAL), or of its sub-folder .${folder}
 * if that is not empty; one that does not exist is made with mb->make, else
 * *folder becomes empty.
 * What is missing is made, 0700, and every folder from the store's path down
 * is synced before this process uses it for the first time.  Symbolic links
 * are not followed.  0, or -1 with errno (ENOTDIR where a folder is none or a
 * symbolic link, ENOSPC, EMLINK past FOLDERS_MAX, EINVAL for a ${dir} that could lead elsewhere...).
 */
int mailbox_enter(struct mailboxes *c, struct span dir, struct span *folder, struct mailbox *mb);

/* The same, but what is made is not synced, and tmp/ is not opened.  A later mailbox_enter() makes up for the first. */
int mailbox_enter_lazy(struct mailboxes *c, struct span dir, struct span *folder, struct mailbox *mb);

/* The descriptor of tmp/ beside the open new/, opened now if it is not; mailbox_leave() closes it.  -1 with errno. */
int mailbox_tmp(struct mailbox *mb);

/* Forget what is remembered of it: its folders turned out to be gone. */
void mailbox_forget(struct mailboxes *c, struct span dir, struct span folder);

/* Close both. */
void mailbox_leave(struct mailbox *mb);
#endif
