/*
 * listen: the sockets that clients connect to.
 * They belong to the master and outlive workers and configs; a config that
 * names an address again gets the same socket, so that no connection in its
 * queue is lost.
 */
#ifndef MASTER_LISTEN_H_
#define MASTER_LISTEN_H_

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "common/conf.h"

enum {
	LISTEN_BACKLOG = 4096, /* the kernel cuts it to net.core.somaxconn */
	/* Octets, inherited by what is accepted: replies are small, and the kernel would keep megabytes of them for each client that does not read. */
	LISTEN_SNDBUF    = 32 << 10,
	LISTEN_WHY_MAX   = 512,
	LISTEN_SOCKS_MAX = 2 * CONF_ADDRESSES_MAX, /* a config's and its successor's */
	LISTEN_NAME_MAX  = 256 /* octets of a passed socket's name, with its NUL: sd_listen_fds(3) */
};

struct listen_sock {
	int                     fd; /* -1: the entry is free */
	struct sockaddr_storage ss;
	socklen_t               len;
	bool                    fresh; /* bound for a generation that doesn't serve yet */
	dev_t                   dev;   /* of a unix socket: which file is ours */
	ino_t                   ino;
	char passed[LISTEN_NAME_MAX]; /* the name that the init system passed it by; "": bound by us */
};

struct listen_table {
	struct listen_sock sock[LISTEN_SOCKS_MAX];
};

void listen_init(struct listen_table *t);

/**
 * listen_bind(t, cf, wait_ms, sock, why):
 * Find or bind all addresses of ${cf}, in its order, into ${sock}; those that
 * were passed (passed.h) are taken.  A taken
 * one is tried again for ${wait_ms}: workers whose master was killed are about
 * to close it.  0, or a sysexits code with one clear line in ${why} (of
 * LISTEN_WHY_MAX octets); fresh ones are closed again then.
 */
int listen_bind(struct listen_table *t, const struct conf *cf, int wait_ms, struct listen_sock **sock, char *why);

/* The config whose sockets these are serves now: close all others. */
void listen_keep(struct listen_table *t, struct listen_sock *const *sock, size_t n);

/* Close what was bound for a config that will not serve. */
void listen_drop_fresh(struct listen_table *t);

/* Close all, and remove the files of unix sockets. */
void listen_close_all(struct listen_table *t);
#endif
