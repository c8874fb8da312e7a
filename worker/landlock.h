/*
 * landlock: which files, ports and signals a worker can still name.
 * A part of the sandbox; nobody else includes it.
 */
#ifndef WORKER_LANDLOCK_H_
#define WORKER_LANDLOCK_H_

struct sandbox;

enum {
	LANDLOCK_ABI_MIN = 2 /* the first with REFER: without it every rename from tmp/ to new/ is EXDEV */
};

/* The ABI the running kernel offers, 0 if none. */
int landlock_abi(void);

/**
 * landlock_confine(sb):
 * From now on the calling thread, and threads it starts, can write below
 * the store's path and sb->write alone and read below them and the directory
 * alone (NULL: not even there); no TCP port can be bound, and none but those of
 * sb->out connected to (ABI 4), nothing outside signalled and no
 * abstract unix socket outside reached (ABI 6).  no_new_privs must be set.
 * 1, 0 after a logged warning when the kernel is too old for it, -1 after a
 * logged error.
 */
int landlock_confine(const struct sandbox *sb);
#endif
