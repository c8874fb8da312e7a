/*
 * confine: Landlock by its three system calls, seccomp by libseccomp.
 * Strangers reach this process by HTTP, and libmicrohttpd's parser is not ours.
 */
#include "tools/stats/confine.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/sanitized.h"

/* Debian 12's headers are those of ABI 2; what came later is of Documentation/userspace-api/landlock.rst. */
#define FS_TRUNCATE  (1ULL << 14) /* ABI 3 */
#define NET_ALL      3ULL         /* ABI 4: bind, connect */
#define FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */

/* ABI 6's struct; older kernels take it as long as what they do not know is zero.  Signals are seccomp's matter: 0 has to go out. */
struct ruleset_attr {
	uint64_t fs, net, scoped;
};

#define READ ((uint64_t)(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR))

int
confine_folder(const char *path, char *out, size_t cap)
{
	const char *slash = strrchr(path, '/');
	struct stat st;
	int n;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		n = snprintf(out, cap, "%s", path);
	else
		n = snprintf(out, cap, "%.*s/", slash != NULL ? (int)(slash - path) : 1, slash != NULL ? path : ".");
	if (n > 0 && (size_t)n < cap)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

int
confine_files(const char *path)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset_attr a = { .fs = (LANDLOCK_ACCESS_FS_REFER << 1) - 1 };
	struct landlock_path_beneath_attr rule = { .allowed_access = READ };
	int ruleset, rc = -1, err;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || abi < 1)
		return -1;
	if (abi < 2)
		a.fs &= ~(uint64_t)LANDLOCK_ACCESS_FS_REFER;
	a.fs |= abi >= 3 ? FS_TRUNCATE : 0;
	a.net = abi >= 4 ? NET_ALL : 0;
	a.fs |= abi >= 5 ? FS_IOCTL_DEV : 0;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &a, abi >= 4 ? sizeof a : sizeof a.fs, 0);
	if (ruleset < 0)
		return -1;
	/* A sanitizer looks into /proc at its end; such a build is for tests. */
	if (SANITIZED) {
		close(ruleset);
		return 0;
	}
	rule.parent_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.parent_fd >= 0 && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0)
		rc = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
	err = errno;
	if (rule.parent_fd >= 0)
		close(rule.parent_fd);
	close(ruleset);
	errno = err;
	return rc;
}

/* What is needed, and by whom. */
static const int calls[] = {
	/* libmicrohttpd: its one socket and those who connect */
	SCMP_SYS(accept4), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(sendmsg),
	SCMP_SYS(writev), SCMP_SYS(shutdown), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	/* its threads' ends, pipes and event descriptors; open_memstream; who waits for a segment that is not settled */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(close), SCMP_SYS(fcntl), SCMP_SYS(lseek), SCMP_SYS(futex),
	SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(sched_yield), SCMP_SYS(getrandom),
	/* the segment; of another build with a memory file for what was seen */
	SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(fstat), SCMP_SYS(stat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
	SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(memfd_create), SCMP_SYS(ftruncate),
	/* its thread, and what it is woken by; clone is below */
	SCMP_SYS(eventfd2), SCMP_SYS(pipe2), SCMP_SYS(sched_getaffinity),
	/* memory */
	SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(brk),
	/* TERM and INT, the time, the end */
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
	SCMP_SYS(time), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(rseq), SCMP_SYS(set_robust_list), SCMP_SYS(exit),
	SCMP_SYS(exit_group)
};

int
confine_calls(void)
{
	scmp_filter_ctx c;
	int rc;

	if (SANITIZED)
		return 0;
	c = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	rc = c != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < sizeof calls / sizeof *calls; i++)
		rc = seccomp_rule_add(c, SCMP_ACT_ALLOW, calls[i], 0);
	/* Whether a pid of the segment lives is asked with signal 0; no other goes out. */
	if (rc == 0)
		rc = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, SCMP_A1(SCMP_CMP_EQ, 0, 0));
	/* Threads, no processes: clone3's flags cannot be looked at, and glibc takes clone where there is no clone3. */
	if (rc == 0)
		rc = seccomp_rule_add(
		    c, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (rc == 0)
		rc = seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* A thread gives itself a name. */
	if (rc == 0)
		rc = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
	if (rc == 0)
		rc = seccomp_load(c);
	if (c != NULL)
		seccomp_release(c);
	errno = rc < 0 ? -rc : 0;
	return rc == 0 ? 0 : -1;
}
