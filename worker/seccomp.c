/*
 * seccomp: which system calls a worker can still make.
 * A table, a line a system call with who needs it.  What is not in it ends the
 * process (SIGSYS), in every thread.  A new line needs a reason as good as
 * those that stand here; clone, execve, ptrace, io_uring_* (it goes round this
 * filter), bpf and mount have none, socket and connect only where the config
 * names somebody to ask.
 */
#include "worker/seccomp.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sanitized.h"
#include "worker/sandbox.h"

enum { ARGS_MAX = 3, FD_BITS = 31 };

/* Comparisons of one row must all hold; of several rows for one call, one. */
struct row {
	int nr;
	unsigned nargs;
	struct scmp_arg_cmp arg[ARGS_MAX];
	uint16_t err; /* 0: let through; otherwise not done, and answered with this errno */
	bool beyond;  /* its first argument is a descriptor, and none of the standard ones: they are everybody's log */
};

/* clang-format off */
#define ANY(call)			{ .nr = SCMP_SYS(call) }
#define ANSWER(call, errno_value)	{ .nr = SCMP_SYS(call), .err = (errno_value) }
#define EQ(call, i, v)			{ SCMP_SYS(call), 1, { { (i), SCMP_CMP_EQ, (v), 0 } }, 0, false }
#define BEYOND(call, i, v)		{ SCMP_SYS(call), 1, { { (i), SCMP_CMP_EQ, (v), 0 } }, 0, true }
#define EQ2(call, i, v, j, w)		{ SCMP_SYS(call), 2, { { (i), SCMP_CMP_EQ, (v), 0 }, { (j), SCMP_CMP_EQ, (w), 0 } }, 0, false }
#define WITHOUT(call, i, bits)		{ SCMP_SYS(call), 1, { { (i), SCMP_CMP_MASKED_EQ, (bits), 0 } }, 0, false }
/* A socket of one family and kind, non-blocking and close-on-exec as one likes; ${proto} 0 is the kind's usual one. */
#define SOCKET(family, type, proto)	{ SCMP_SYS(socket), 3, { { 0, SCMP_CMP_EQ, (family), 0 }, \
	{ 1, SCMP_CMP_MASKED_EQ, ~(uint64_t)(SOCK_NONBLOCK | SOCK_CLOEXEC) & UINT32_MAX, (type) }, \
	{ 2, SCMP_CMP_EQ, (proto), 0 } }, 0, false }
#define SOCKOPT(call, level, name)	EQ2(call, 1, level, 2, name)

/* What every process may do that a stranger's octets reach: use what it has. */
static const struct row base_table[] = {
	/* Waiting, and talking over what is open. */
	ANY(poll),			/* for the master, channels, the relay; log's writing thread for a slow reader */
	ANY(ppoll),			/* the same where there is no poll (arm64) */
	ANY(recvfrom),			/* a client's octets, a worker's question, the relay's reply */
	ANY(recvmsg),			/* the master's word, and with it where traces and the log go; ipc.c refuses other descriptors */
	EQ(sendto, 4, 0),		/* replies, answers; no address, so no datagram and no TCP fast open */
	ANY(writev),			/* a message's pieces; abort's words */
	ANY(close),			/* of anything */
	EQ(dup3, 1, STDOUT_FILENO),	/* a log that was rotated takes the old one's place */
	ANY(write),			/* messages, eventfd, the log */

	/* Memory: never executable, so nothing that was written can be run. */
	ANY(brk),			/* malloc */
	WITHOUT(mmap, 2, PROT_EXEC),	/* malloc, LMDB's map */
	WITHOUT(mprotect, 2, PROT_EXEC),/* malloc grows a thread's heap by it */
	ANY(munmap),			/* free, LMDB */
	ANSWER(mremap, ENOMEM),		/* realloc, which copies then: from a worker's own slot it leads to everybody's (old_size 0) */
	ANY(madvise),			/* malloc gives memory back, stacks of ended threads, LMDB */

	/* Threads that exist; none can be made. */
	ANY(futex),			/* mutexes, conditions, locks of libcrypto, join */
	ANY(sched_yield),		/* spinning in the C library */
	ANY(sched_getaffinity),		/* malloc asks how many processors there are */
	ANY(set_robust_list),		/* a thread that still starts while the filter comes down */
	ANY(rseq),			/* the same */
	EQ(prctl, 0, PR_SET_NAME),	/* the same, to be told apart in ps */
	ANY(rt_sigprocmask),		/* thread start and end, abort */
	ANY(rt_sigreturn),		/* back from a handler */
	ANY(restart_syscall),		/* after a stop and continue */
	ANY(exit),			/* a thread's */
	ANY(exit_group),		/* the process's */

	/* Time, chance, and who am I. */
	ANY(clock_gettime),		/* mostly without a call (vDSO) */
	ANY(gettimeofday),		/* the same */
	ANY(time),			/* the same */
	ANY(nanosleep),			/* log_flush() */
	ANY(clock_nanosleep),		/* the same */
	ANY(getrandom),			/* arc4random, nonces of signatures */
	ANY(getpid),			/* abort, unique names; libcrypto sees a fork by it */
	ANY(gettid),			/* abort */
	/* tgkill to ourselves, for abort(), is added with the pid: a broken invariant must not look like an attack. */
};
/* Files: the Maildir store, a snapshot, the spool of reports.  Landlock says which. */
static const struct row files_table[] = {
	ANY(openat),			/* a message, a folder, a snapshot */
	ANY(openat2),			/* a mailbox's folder, beneath the store and through no symbolic link */
	ANY(read),			/* signalfd, eventfd, inotify, a record, the copy of a message */
	ANY(pread64),			/* LMDB's head pages; the copy of a message without copy_file_range */
	ANY(lseek),			/* directory streams; exit() puts back what a stream read too far */
	ANY(fsync),			/* a message and its folder */
	ANY(fstat),			/* is it another snapshot? */
	ANY(newfstatat),		/* the same by name; does a folder exist? */
	ANY(statx),			/* the same in newer C libraries */
	ANY(uname),			/* LMDB asks for the kernel's version when it opens a snapshot on ext4 */
	ANY(fstatfs),			/* free room; the kind of file system */
	ANY(mkdirat),			/* a recipient's folders; mode is under umask 077 */
	EQ(renameat2, 4, RENAME_NOREPLACE), /* tmp/ to new/, over nothing */
	ANY(renameat),			/* a maildirsize counted anew takes the old one's place; a segment that is finished; a message that a crash has torn */
	EQ(linkat, 4, 0),		/* one file for several recipients */
	EQ(linkat, 4, AT_EMPTY_PATH),	/* a message that had no name yet gets it; Landlock says where */
	EQ(linkat, 4, AT_SYMLINK_FOLLOW), /* the same by /proc, before Linux 6.10 */
	EQ(unlinkat, 2, 0),		/* what was not acknowledged; never a folder */
	ANY(getdents64),		/* sweeping tmp/ */
	EQ(flock, 1, LOCK_EX | LOCK_NB),/* a message on its way is locked, so that a sweep leaves it */
	EQ(flock, 1, LOCK_SH | LOCK_NB),/* nobody counts a mailbox anew while a message is moved into it */
	EQ(fcntl, 1, F_GETFL),		/* fdopendir() */
	EQ(fcntl, 1, F_GETFD),		/* is standard error open? LMDB */
	EQ(fcntl, 1, F_SETFD),		/* FD_CLOEXEC: LMDB */
	BEYOND(fcntl, 1, F_DUPFD_CLOEXEC), /* accept.c's spare; a second descriptor for fdopendir() */
	ANY(sysinfo),			/* glibc's qsort asks for the size of memory */
};
static const struct row worker_table[] = {
	/* The loop: net/loop.c. */
	ANY(epoll_wait),		/* waits */
	ANY(epoll_pwait),		/* the same where there is no epoll_wait (arm64) */
	ANY(epoll_ctl),			/* a session comes or goes */

	/* Sessions: net/conn.c. */
	ANY(accept4),			/* a client; needs a listener, which can't be made here */
	BEYOND(shutdown, 1, SHUT_WR),	/* says good-bye before close; to read no more would close a listener for all */
	ANY(getsockname),		/* local address for log and handlers */
	SOCKOPT(setsockopt, IPPROTO_TCP, TCP_NODELAY),	/* replies at once: accept.c */

	/* Files: the journal, copies. */
	ANY(copy_file_range),		/* a message for the next recipient, where no link is possible */
	ANY(fdatasync),			/* the journal */
	ANY(pwritev),			/* a batch of messages to the journal */
	ANY(pwrite64),			/* the head of a segment; a new one is filled */
	EQ(fallocate, 1, 0),		/* a new segment of the journal; other modes take out what stands in a file, be it the log */
	ANY(syncfs),			/* mailboxes in the background; takes a descriptor, gives nothing but work to the disk */
	ANY(sync_file_range),		/* starts writing early */
};
/* letterplate-reports. */
static const struct row reports_table[] = {
	ANY(faccessat),			/* could a record be removed? */
	ANY(faccessat2),		/* the same in newer C libraries */
};
/* letterplate-keys and letterplate-auth open nothing: they have their channels, the log, memory and time. */
static const struct row keys_table[] = {
	BEYOND(shutdown, 1, SHUT_RDWR),	/* a worker that does not keep to the protocol */
};
/* clang-format on */

/*
 * Outward, each table only where the config has somebody to ask that way.  The
 * protocol is compared too: MPTCP and SCTP go round Landlock's TCP ports.
 */
static const struct row out_table[] = {
	ANY(connect),                              /* Landlock says to which TCP ports; it knows no more */
	SOCKOPT(getsockopt, SOL_SOCKET, SO_ERROR), /* did it succeed? */
};
static const struct row out_tcp_table[] = {
	SOCKET(AF_INET, SOCK_STREAM, 0),            /* a milter, a policy server, a DNS server over TCP */
	SOCKET(AF_INET6, SOCK_STREAM, 0),           /* the same */
	SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),  /* the same by its name */
	SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP), /* the same */
};
static const struct row out_udp_table[] = {
	SOCKET(AF_INET, SOCK_DGRAM, 0),            /* a DNS server; connected, so that only its answers come in */
	SOCKET(AF_INET6, SOCK_DGRAM, 0),           /* the same */
	SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),  /* the same by its name */
	SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP), /* the same */
};
static const struct row out_unix_table[] = {
	SOCKET(AF_UNIX, SOCK_STREAM, 0), /* a milter, a policy server on this machine */
};

#define ROWS(table) table, sizeof(table) / sizeof((table)[0])
#define FOR(who)    (1u << SECCOMP_##who)

static const struct part {
	unsigned whose; /* any of them: FOR(), or kinds of sandbox_out */
	const struct row *row;
	size_t n;
} parts[] = {
	{ ~0u, ROWS(base_table) },
	{ FOR(WORKER) | FOR(REPORTS), ROWS(files_table) },
	{ FOR(WORKER), ROWS(worker_table) },
	{ FOR(REPORTS), ROWS(reports_table) },
	{ FOR(KEYS), ROWS(keys_table) },
}, out_parts[] = {
	{ ~0u, ROWS(out_table) },
	{ SANDBOX_OUT_TCP, ROWS(out_tcp_table) },
	{ SANDBOX_OUT_UDP, ROWS(out_udp_table) },
	{ SANDBOX_OUT_UNIX, ROWS(out_unix_table) },
};

static int
add_rule(scmp_filter_ctx f, const struct row *row, const struct scmp_arg_cmp *arg, unsigned nargs)
{
	return seccomp_rule_add_array(
	    f, row->err == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(row->err), row->nr, nargs, arg);
}

/*
 * A row for each bit that no standard descriptor has, and for 3, which has none
 * of those.  A comparison with 2 would look at 64 bits, of which the kernel
 * takes 32 for the descriptor.
 */
static int
add_beyond_standard(scmp_filter_ctx f, const struct row *row)
{
	struct scmp_arg_cmp arg[ARGS_MAX + 1], *fd = &arg[row->nargs];
	int rc;

	memcpy(arg, row->arg, sizeof(row->arg));
	*fd = (struct scmp_arg_cmp){ 0, SCMP_CMP_MASKED_EQ, UINT32_MAX, STDERR_FILENO + 1 };
	rc = add_rule(f, row, arg, row->nargs + 1);
	for (unsigned bit = 2; bit < FD_BITS && rc == 0; bit++) {
		fd->datum_a = fd->datum_b = UINT64_C(1) << bit;
		rc = add_rule(f, row, arg, row->nargs + 1);
	}
	return rc;
}

/* The rows of those of ${n} parts that ${who} has. */
static int
add_parts(scmp_filter_ctx f, const struct part *part, size_t n, unsigned who)
{
	int rc = 0;

	for (size_t p = 0; p < n; p++)
		for (size_t i = 0; i < part[p].n && rc == 0 && (part[p].whose & who) != 0; i++) {
			const struct row *row = &part[p].row[i];

			rc = row->beyond ? add_beyond_standard(f, row) : add_rule(f, row, row->arg, row->nargs);
		}
	return rc;
}

static int
add_tables(scmp_filter_ctx f, enum seccomp_table table, unsigned out)
{
	struct scmp_arg_cmp self = { 0, SCMP_CMP_EQ, (uint64_t)getpid(), 0 };
	int rc = add_parts(f, ROWS(parts), 1u << table);

	if (rc == 0)
		rc = add_parts(f, ROWS(out_parts), out);
	if (rc != 0)
		return rc;
	return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &self);
}

#ifdef SANDBOX_TRAP
#include <stdlib.h>

/* For developers: says which call is missing, then aborts.  Nothing here is safe in a signal handler; it is the last act. */
static void
on_trap(int sig, siginfo_t *si, void *uc)
{
	char *name = seccomp_syscall_resolve_num_arch((uint32_t)si->si_arch, si->si_syscall);

	(void)sig;
	(void)uc;
	dprintf(STDERR_FILENO, "seccomp: %s (%d) is not in the table, called from %p\n", name != NULL ? name : "?",
	    si->si_syscall, si->si_call_addr);
	abort();
}

static uint32_t
default_action(void)
{
	struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	sigaction(SIGSYS, &sa, NULL);
	log_msg(LOG_L_WARN, "sandbox", "built with SANDBOX_TRAP: not for production");
	return SCMP_ACT_TRAP;
}
#else
static uint32_t
default_action(void)
{
	if (!SANITIZED)
		return SCMP_ACT_KILL_PROCESS;
	log_msg(LOG_L_WARN, "sandbox", "built with a sanitizer: forbidden system calls are only logged by the kernel");
	return SCMP_ACT_LOG;
}
#endif

static int
load(scmp_filter_ctx f, enum seccomp_table table, unsigned out)
{
	int rc;

	/* A call by another ABI's number (x32, i386) ends the process too. */
	rc = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (rc == 0)
		rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0)
		rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree instead of a list */
	if (rc == 0)
		rc = add_tables(f, table, out);
	return rc == 0 ? seccomp_load(f) : rc;
}

int
seccomp_confine(enum seccomp_table table, unsigned out)
{
	scmp_filter_ctx f = seccomp_init(default_action());
	int rc = f == NULL ? -ENOMEM : load(f, table, out);

	if (f != NULL)
		seccomp_release(f);
	if (rc != 0) {
		log_msg(LOG_L_ERROR, "sandbox", "seccomp: %s", strerror(-rc));
		return -1;
	}
	return 0;
}
