/*
 * sandbox: a worker gives up all that it does not need.
 * Three steps, in the only order that works: sandbox_drop() (uid, rlimits,
 * no_new_privs, Landlock), then the caller starts its threads, then
 * sandbox_close() (RLIMIT_NPROC, seccomp over all threads).
 */
#ifndef WORKER_SANDBOX_H_
#define WORKER_SANDBOX_H_

#include <stdint.h>
#include <sys/types.h>

enum { SANDBOX_UID = 1, SANDBOX_LANDLOCK = 2, SANDBOX_SECCOMP = 4 };	/* bits of the level */

struct sandbox {
	const char	*user;		/* to become when started as root; ignored otherwise */
	const char	*store_path;	/* may be read, written, created in, renamed in */
	const char	*directory;	/* may be read */
	uint64_t	 fsize_max;	/* octets of the largest file it may write */
	uint32_t	 nofile;	/* descriptors it may hold */
	pid_t		 master;	/* must still be the parent afterwards */
};

/* Steps 1 to 4 of docs/SECURITY.md.  0 and *level, or -1 after one clear logged line. */
int	sandbox_drop(const struct sandbox *sb, unsigned *level);

/* Step 6; call with all threads running.  0 and *level with SANDBOX_SECCOMP, or -1 after one clear logged line. */
int	sandbox_close(unsigned *level);
#endif
