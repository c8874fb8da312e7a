/*
 * landlock: which files, ports and signals a worker can still name.
 * A part of the sandbox; nobody else includes it.
 */
#ifndef WORKER_LANDLOCK_H_
#define WORKER_LANDLOCK_H_

#include <stddef.h>
#include <stdint.h>

enum {
	LANDLOCK_ABI_MIN = 2 /* the first with REFER: without it every rename from tmp/ to new/ is EXDEV */
};

/* The ABI the running kernel offers, 0 if none. */
int landlock_abi(void);

/**
 * landlock_confine(store, directory, port, nport):
 * From now on the calling thread, and threads it starts, can write below
 * ${store} alone and read below ${store} and ${directory} alone (NULL: not
 * even there); no TCP port can be bound, and none but ${port}'s ${nport}
 * connected to (ABI 4), nothing outside signalled and no
 * abstract unix socket outside reached (ABI 6).  no_new_privs must be set.
 * 1, 0 after a logged warning when the kernel is too old for it, -1 after a
 * logged error.
 */
int landlock_confine(const char *store, const char *directory, const uint16_t *port, size_t nport);
#endif
