/*
 * passed: listening sockets that the service manager has bound and passes at
 * the start (sd_listen_fds(3)).  A socket's name is that of a listener, the
 * sockets of one name are its addresses in their order; what they are bound to
 * is for the socket unit to say.  They stay open as long as the master lives.
 */
#ifndef MASTER_PASSED_H_
#define MASTER_PASSED_H_

#include "master/listen.h"

/**
 * passed_take(t, why):
 * Take LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment and
 * what they name into ${t}.  0, also when they are not for us, or a sysexits
 * code with one line in ${why} (of LISTEN_WHY_MAX octets).
 */
int passed_take(struct listen_table *t, char *why);

/* Whether each passed socket has its place in ${cf}.  0, or as above. */
int passed_check(const struct listen_table *t, const struct conf *cf, char *why);

/* The ${nth} socket of that name, from 0, or NULL. */
struct listen_sock *passed_find(struct listen_table *t, const char *name, size_t nth);
#endif
