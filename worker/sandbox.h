/*
 * sandbox: a worker gives up all that it does not need.
 * Three steps, in the only order that works: sandbox_drop() (uid, rlimits,
 * no_new_privs, Landlock), then the caller starts its threads, then
 * sandbox_close() (RLIMIT_NPROC, seccomp over all threads).
 */
#ifndef WORKER_SANDBOX_H_
#define WORKER_SANDBOX_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { SANDBOX_UID = 1, SANDBOX_LANDLOCK = 2, SANDBOX_SECCOMP = 4 }; /* bits of the level */

/* What a worker may still connect to: nothing, unless something that is configured is asked over a socket. */
enum { SANDBOX_OUT_TCP = 1, SANDBOX_OUT_UDP = 2, SANDBOX_OUT_UNIX = 4 };
enum { SANDBOX_PATHS = 64 };
enum { SANDBOX_OUT_PORTS = 64 }; /* TCP ports, each of a section */

struct sandbox_out {
	unsigned kinds; /* SANDBOX_OUT_*: which sockets can be made */
	size_t   nport;
	bool     any_port; /* a module may connect anywhere */
	uint16_t
	    port[SANDBOX_OUT_PORTS]; /* TCP ports that can be connected to, at any address (Landlock knows no more) */
};

struct sandbox {
	const char *user;       /* to become when started as root; ignored otherwise */
	const char *store_path; /* may be read, written, created in, renamed in; NULL: no file at all may be opened */
	const char *directory;  /* may be read; NULL: none */
	uint64_t    fsize_max;  /* octets of the largest file it may write */
	uint32_t    nofile;     /* descriptors it may hold */
	pid_t       master;     /* must still be the parent afterwards */

	struct sandbox_out out;
	const char        *write[SANDBOX_PATHS]; /* folders that a module may read and write below */
	size_t             nwrite;
	/* Called when root's rights are gone, and before Landlock: what needs files of the system.  NULL: nothing does. */
	int (*load)(void *arg);
	void *load_arg;
};

/**
 * sandbox_out_add(o, to, type):
 * Sockets of ${type} (SOCK_STREAM, SOCK_DGRAM) may be connected to ${to}, an
 * address of AF_INET, AF_INET6 or AF_UNIX.  0, or -1 with errno E2BIG past
 * SANDBOX_OUT_PORTS, or EAFNOSUPPORT.
 */
int sandbox_out_add(struct sandbox_out *o, const struct sockaddr *to, int type);

/**
 * sandbox_drop(sb, level):
 * All but seccomp, steps 3 and 4 of docs/SECURITY.md; call with one thread.
 * Afterwards /etc, /proc, /dev and every path but sb's two, and those of write[], are out of reach.
 * 0 and *level (SANDBOX_LANDLOCK is missing on a kernel without it), or -1
 * after one clear logged line.
 */
int sandbox_drop(const struct sandbox *sb, unsigned *level);

/**
 * sandbox_close(sb, level):
 * Step 6; call with all threads running: none can be started afterwards.
 * 0 and *level with SANDBOX_SECCOMP (without it in a build with a sanitizer,
 * where the filter only logs), or -1 after one clear logged line.
 */
int sandbox_close(const struct sandbox *sb, unsigned *level);

/* The same with the table of letterplate-reports, which accepts nobody; sb->out is its relay. */
int sandbox_close_reports(const struct sandbox *sb, unsigned *level);

/* The same with the table of the key process, which is a worker's without files, sockets of its own and clients. */
int sandbox_close_keys(unsigned *level);
#endif
