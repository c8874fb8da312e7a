/*
 * probe: what the two files of the sandbox probe share.
 * probe.c builds a sandbox a try and judges; attempts.c is the list of tries.
 */
#ifndef TESTS_SANDBOX_PROBE_H_
#define TESTS_SANDBOX_PROBE_H_

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

enum { PROBE_PAGE = 4096, PROBE_NOFILE = 32 };

/* What a worker of the probe was started with; all descriptors were opened before the sandbox. */
struct world {
	pid_t master, sibling;
	int   store, outside, directory; /* folders */
	int   tcp, udp;                  /* sockets without a peer */
	int   pair, listener;            /* a connected socket, a listening one */
	int   secret;                    /* outside/secret, open for reading */
	int   log;                       /* outside/log, open for appending */
	void *own;                       /* the first of two pages of shared memory, mapped read-write */
	int   port;                      /* of 127.0.0.1, where somebody listens; the one above is nobody's */
	char  root[64];                  /* the folder that holds store, outside and directory */
	char  abstract[64];              /* where something listens in the abstract name space, without the NUL */
};

enum expect {
	KILLED,  /* SIGSYS: seccomp knows no such call */
	REFUSED, /* -1: Landlock or the kernel says no */
	WORKS    /* 0: a worker needs it */
};

struct attempt {
	const char *name;
	enum expect expect;
	int         abi;                   /* the Landlock ABI it needs, 0 for none */
	int (*run)(const struct world *w); /* 0: it worked; -1: refused, with errno */
	bool     before_seccomp;           /* tried between the two steps: what Landlock refuses by itself */
	unsigned out;                      /* SANDBOX_OUT_* that the worker has; TCP to world.port */
};

extern const struct attempt attempts[];
extern const size_t         attempts_n;
#endif
