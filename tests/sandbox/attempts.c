/*
 * attempts: what a compromised worker would try, and what an honest one needs.
 * Every try is harmless if it works: wrong magic numbers, signal 0, lengths
 * that can't be. Seccomp judges by the call, Landlock by files made for it.
 */
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sandbox/probe.h"
#include "worker/sandbox.h"

#define UNUSED __attribute__((unused))

/* A function for a try that is one expression: >= 0 is success. */
#define TRY(fn, expr) \
	static int fn(const struct world *w UNUSED) \
	{ \
		return (expr) >= 0 ? 0 : -1; \
	}

static int
opened(int fd)
{
	if (fd == -1)
		return -1;
	close(fd);
	return 0;
}

#define TRY_OPEN(fn, dir, path, flags) TRY(fn, opened(openat(dir, path, flags, 0600)))

/* --- programs and processes --- */

TRY(do_execve, execve("/bin/true", (char *[]){ (char *)(uintptr_t) "true", NULL }, NULL))
TRY(do_execveat, syscall(SYS_execveat, w->secret, "", NULL, NULL, AT_EMPTY_PATH))
TRY(do_clone, syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0))
TRY(do_clone3, syscall(SYS_clone3, NULL, 0))
TRY(do_unshare, unshare(CLONE_NEWUSER))
TRY(do_setns, setns(w->secret, 0))
TRY(do_ptrace, ptrace(PTRACE_ATTACH, w->master, NULL, NULL))
TRY(do_traceme, ptrace(PTRACE_TRACEME, 0, NULL, NULL))
TRY(do_vm_readv, syscall(SYS_process_vm_readv, w->master, NULL, 0, NULL, 0, 0))
TRY(do_vm_writev, syscall(SYS_process_vm_writev, w->master, NULL, 0, NULL, 0, 0))
TRY(do_kcmp, syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0))
TRY(do_kill_master, kill(w->master, 0))
TRY(do_kill_sibling, kill(w->sibling, 0))
TRY(do_tkill, syscall(SYS_tkill, w->master, 0))
TRY(do_tgkill_master, syscall(SYS_tgkill, w->master, w->master, 0))
TRY(do_tgkill_sibling, syscall(SYS_tgkill, w->sibling, w->sibling, 0))
TRY(do_sigqueue, syscall(SYS_rt_sigqueueinfo, w->master, 0, NULL))
TRY(do_pidfd_open, syscall(SYS_pidfd_open, w->master, 0))
TRY(do_pidfd_getfd, syscall(SYS_pidfd_getfd, w->secret, 0, 0))
TRY(do_pidfd_signal, syscall(SYS_pidfd_send_signal, w->secret, 0, NULL, 0))
TRY(do_setown, fcntl(w->pair, F_SETOWN, w->master))
TRY(do_personality, syscall(SYS_personality, 0xffffffffUL))
TRY(do_setpriority, setpriority(PRIO_PROCESS, 0, 0))
TRY(do_affinity, syscall(SYS_sched_setaffinity, 0, 0, NULL))
TRY(do_timer, syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, NULL))

/* --- memory that could be run --- */

TRY(do_mmap_exec, mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0)
TRY(do_mmap_wx,
    mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0)
TRY(do_mmap_file_exec, mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, w->secret, 0) == MAP_FAILED ? -1 : 0)
TRY(do_pkey_mprotect, syscall(SYS_pkey_mprotect, NULL, 0, PROT_READ | PROT_EXEC, -1))
TRY(do_memfd, syscall(SYS_memfd_create, "probe", 0))
TRY(do_shmget, syscall(SYS_shmget, 0, 4096, 0600))
TRY(do_userfaultfd, syscall(SYS_userfaultfd, 0))

static int
do_mprotect_exec(const struct world *w UNUSED)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? 0 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

/* A shared mapping of one page leads to the file's others: old_size 0 makes a second mapping, of any length. */
static int
do_mremap_shared(const struct world *w)
{
	void *p = mremap(w->own, 0, (size_t)2 * PROBE_PAGE, MREMAP_MAYMOVE);

	if (p != MAP_FAILED)
		return 0;
	/* That nothing can grow in its place is what malloc hears, and lives with. */
	if (errno == ENOMEM)
		errno = EPERM;
	return -1;
}

/* --- the network --- */

static int
connect_abstract(int fd, const char *name)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "%s", name);
	return connect(fd, (struct sockaddr *)&un, sizeof(un));
}

static int
connect_loopback(int fd, int port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect(fd, (struct sockaddr *)&in, sizeof(in));
}

static int
connect_path(int fd, const struct world *w)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/socket", w->root);
	return connect(fd, (struct sockaddr *)&un, sizeof(un));
}

static int
bind_loopback(int fd)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return bind(fd, (struct sockaddr *)&in, sizeof(in));
}

static int
do_sendto_address(const struct world *w)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(20700) };

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sendto(w->udp, "x", 1, 0, (struct sockaddr *)&in, sizeof(in)) == 1 ? 0 : -1;
}

TRY(do_socket_inet, socket(AF_INET, SOCK_STREAM, 0))
TRY(do_socket_inet6, socket(AF_INET6, SOCK_DGRAM, 0))
TRY(do_socket_unix, socket(AF_UNIX, SOCK_STREAM, 0))
TRY(do_socket_netlink, socket(AF_NETLINK, SOCK_RAW, 0))
TRY(do_socketpair, socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]){ 0, 0 }))
TRY(do_connect_tcp, connect_loopback(w->tcp, 20700))
TRY(out_tcp, connect_loopback(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), w->port))
TRY(out_tcp_other, connect_loopback(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), w->port + 1))
TRY(out_mptcp, connect_loopback(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 262), w->port))
TRY(out_raw, socket(AF_INET, SOCK_RAW, IPPROTO_ICMP))
TRY(out_packet, socket(AF_PACKET, SOCK_STREAM, 0))
TRY(out_udp, connect_loopback(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), w->port))
TRY(out_unix, connect_path(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), w))
TRY(out_unix_dgram, socket(AF_UNIX, SOCK_DGRAM, 0))
TRY(do_connect_abstract, connect_abstract(w->tcp, w->abstract))
TRY(do_early_abstract, connect_abstract(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), w->abstract))
TRY(do_early_signal, kill(w->sibling, 0))
/* What all workers share: none may take it from the others. */
TRY(do_shutdown_listener, shutdown(w->listener, SHUT_RDWR))
TRY(do_shutdown_read, shutdown(w->listener, SHUT_RD))
TRY(do_shutdown_log, shutdown(STDERR_FILENO, SHUT_WR))
TRY(do_shutdown_log_wide, syscall(SYS_shutdown, 1L << 32 | STDERR_FILENO, SHUT_WR))
TRY(do_duplicate_log, fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10))
TRY(do_block_listener, fcntl(w->listener, F_SETFL, 0))
TRY(do_block_log, fcntl(w->log, F_SETFL, 0))
TRY(do_bind, bind_loopback(w->tcp))
TRY(do_listen, listen(w->tcp, 1))
TRY(do_attach_filter, setsockopt(w->pair, SOL_SOCKET, SO_ATTACH_FILTER, NULL, 0))
TRY(do_bindtodevice, setsockopt(w->tcp, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2))
TRY(do_ip_options, setsockopt(w->tcp, IPPROTO_IP, IP_TTL, &(int){ 1 }, sizeof(int)))
TRY(do_ulp, setsockopt(w->tcp, IPPROTO_TCP, TCP_ULP, "tls", 3))
TRY(do_sendmsg, sendmsg(w->pair, &(struct msghdr){ .msg_name = NULL }, 0))
TRY(do_ioctl, ioctl(STDERR_FILENO, TIOCSTI, ""))
TRY(do_ioctl_conf, ioctl(w->tcp, SIOCGIFCONF, NULL))

/* --- files by name: Landlock --- */

TRY_OPEN(do_open_passwd, AT_FDCWD, "/etc/passwd", O_RDONLY)
TRY_OPEN(do_open_program, AT_FDCWD, "/bin/sh", O_RDONLY)
TRY_OPEN(do_open_slash, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY)
TRY_OPEN(do_open_mem, AT_FDCWD, "/proc/self/mem", O_RDWR)
TRY_OPEN(do_open_maps, AT_FDCWD, "/proc/self/maps", O_RDONLY)
TRY_OPEN(do_open_null, AT_FDCWD, "/dev/null", O_RDONLY)
TRY_OPEN(do_open_secret, w->outside, "secret", O_RDONLY)
TRY_OPEN(do_open_secret_write, w->outside, "secret", O_WRONLY)
TRY_OPEN(do_open_secret_trunc, w->outside, "secret", O_WRONLY | O_TRUNC)
TRY_OPEN(do_create_outside, w->outside, "new", O_WRONLY | O_CREAT | O_EXCL)
TRY_OPEN(do_dotdot, w->store, "../outside/secret", O_RDONLY)
TRY_OPEN(do_symlink_escape, w->store, "escape", O_RDONLY)
TRY_OPEN(do_snapshot_write, w->directory, "snapshot", O_WRONLY)
TRY_OPEN(do_snapshot_trunc, w->directory, "snapshot", O_RDONLY | O_TRUNC)
TRY_OPEN(do_directory_create, w->directory, "new", O_WRONLY | O_CREAT | O_EXCL)
TRY(do_mkdir_outside, mkdirat(w->outside, "folder", 0700))
TRY(do_unlink_outside, unlinkat(w->outside, "victim", 0))
TRY(do_unlink_snapshot, unlinkat(w->directory, "snapshot", 0))
TRY(do_rename_snapshot, renameat2(w->directory, "snapshot", w->store, "snapshot", RENAME_NOREPLACE))
TRY(do_rename_in, renameat2(w->outside, "victim", w->store, "stolen", RENAME_NOREPLACE))
TRY(do_rename_out, renameat2(w->store, "message", w->outside, "leaked", RENAME_NOREPLACE))
TRY(do_link_in, linkat(w->outside, "secret", w->store, "stolen", 0))
TRY(do_link_out, linkat(w->store, "message", w->outside, "leaked", 0))

static int
do_open_master(const struct world *w)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/status", (long)w->master);
	return opened(open(path, O_RDONLY));
}

static int
do_open_master_fd(const struct world *w)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/fd/0", (long)w->master);
	return opened(open(path, O_RDONLY));
}

/* --- file calls that nobody needs --- */

/* By a descriptor that the worker opened itself, as it does: the store would let it write what the directory only shows. */
static int
do_link_snapshot(const struct world *w)
{
	int fd = openat(w->directory, "snapshot", O_RDONLY | O_CLOEXEC), r;

	if (fd == -1)
		return 0; /* it must be readable for this to say anything: shown as let through */
	r = linkat(fd, "", w->store, "stolen", AT_EMPTY_PATH);
	close(fd);
	return r;
}

static int
do_link_snapshot_proc(const struct world *w)
{
	char path[64];
	int fd = openat(w->directory, "snapshot", O_RDONLY | O_CLOEXEC), r;

	if (fd == -1)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = linkat(AT_FDCWD, path, w->store, "stolen", AT_SYMLINK_FOLLOW);
	close(fd);
	return r;
}

/* One that was opened before the user changed: the kernel says ENOENT to whoever did not open it under the same credentials. */
static int
do_link_empty_path(const struct world *w)
{
	int r = linkat(w->secret, "", w->store, "stolen", AT_EMPTY_PATH);

	if (r == -1 && errno == ENOENT)
		errno = EPERM;
	return r;
}

TRY(do_link_follow, linkat(w->store, "escape", w->store, "stolen", AT_SYMLINK_FOLLOW))
TRY(do_exchange, syscall(SYS_renameat2, w->store, "message", w->store, "other", 2))
TRY(do_rmdir, unlinkat(w->store, "folder", AT_REMOVEDIR))
TRY(do_symlink, symlinkat("/etc/passwd", w->store, "link"))
TRY(do_mknod, mknodat(w->store, "fifo", S_IFIFO | 0600, 0))
TRY(do_chmod, fchmodat(w->store, "message", 0777, 0))
TRY(do_fchmod, fchmod(w->secret, 04755))
TRY(do_chown, fchownat(w->store, "message", (uid_t)-1, (gid_t)-1, 0))
TRY(do_truncate, truncate("/nonexistent", 0))
TRY(do_utimens, utimensat(w->store, "message", NULL, 0))
TRY(do_setxattr, syscall(SYS_fsetxattr, w->secret, "user.a", "b", 1, 0))
TRY(do_chroot, chroot("."))
TRY(do_chdir, chdir("/"))
TRY(do_fchdir, fchdir(w->outside))
TRY(do_umask, syscall(SYS_umask, 077))
TRY(do_handle, syscall(SYS_open_by_handle_at, -1, NULL, 0))
TRY(do_openat2,
    opened((int)syscall(SYS_openat2, w->outside, "secret", &(struct open_how){ 0 }, sizeof(struct open_how))))
TRY(do_lease, fcntl(w->secret, F_SETLEASE, F_RDLCK))
TRY(do_notify, fcntl(w->store, F_NOTIFY, 0))
TRY(do_inotify, syscall(SYS_inotify_init1, 0))
TRY(do_fanotify, syscall(SYS_fanotify_init, 0, 0))
TRY(do_punch_log, fallocate(w->log, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PROBE_PAGE))
TRY(do_collapse_log, fallocate(w->log, FALLOC_FL_COLLAPSE_RANGE, 0, PROBE_PAGE))
TRY(do_vmsplice, syscall(SYS_vmsplice, -1, NULL, 0, 0))
TRY(do_splice, syscall(SYS_splice, -1, NULL, -1, NULL, 0, 0))

/* --- the kernel's other doors --- */

TRY(do_io_uring, syscall(SYS_io_uring_setup, 1, NULL))
TRY(do_io_uring_enter, syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0))
TRY(do_bpf, syscall(SYS_bpf, 0, NULL, 0))
TRY(do_perf, syscall(SYS_perf_event_open, NULL, 0, 0, -1, 0))
TRY(do_keyctl, syscall(SYS_keyctl, 0, 0, 0, 0, 0))
TRY(do_add_key, syscall(SYS_add_key, NULL, NULL, NULL, 0, 0))
TRY(do_request_key, syscall(SYS_request_key, NULL, NULL, NULL, 0))
TRY(do_mount, syscall(SYS_mount, NULL, "/nonexistent", NULL, 0, NULL))
TRY(do_umount, syscall(SYS_umount2, "/nonexistent", 0))
TRY(do_pivot_root, syscall(SYS_pivot_root, "/nonexistent", "/nonexistent"))
TRY(do_fsopen, syscall(SYS_fsopen, NULL, 0))
TRY(do_open_tree, syscall(SYS_open_tree, -1, "/nonexistent", 0))
TRY(do_quotactl, syscall(SYS_quotactl, -1, NULL, 0, NULL))
TRY(do_swapon, syscall(SYS_swapon, "/nonexistent", 0))
TRY(do_acct, syscall(SYS_acct, "/nonexistent"))
TRY(do_reboot, syscall(SYS_reboot, 0, 0, 0, NULL))
TRY(do_kexec, syscall(SYS_kexec_load, 0, 17, NULL, 0xffff0000UL))
TRY(do_init_module, syscall(SYS_init_module, NULL, 0, NULL))
TRY(do_finit_module, syscall(SYS_finit_module, -1, NULL, 0))
TRY(do_delete_module, syscall(SYS_delete_module, NULL, 0))
TRY(do_sethostname, syscall(SYS_sethostname, NULL, -1))
TRY(do_settimeofday, syscall(SYS_settimeofday, NULL, NULL))
TRY(do_clock_settime, syscall(SYS_clock_settime, -1, NULL))
TRY(do_syslog, syscall(SYS_syslog, 10, NULL, 0))
TRY(do_msgget, syscall(SYS_msgget, 0, 0600))
TRY(do_mq_open, syscall(SYS_mq_open, "probe", 0, 0, NULL))

/* --- to undo the sandbox --- */

TRY(do_setuid, syscall(SYS_setuid, 0))
TRY(do_setresuid, syscall(SYS_setresuid, 0, 0, 0))
TRY(do_setgid, syscall(SYS_setgid, 0))
TRY(do_setgroups, syscall(SYS_setgroups, 0, NULL))
TRY(do_capset, syscall(SYS_capset, NULL, NULL))
TRY(do_dumpable, prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
TRY(do_keepcaps, prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
TRY(do_pdeathsig, prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0))
TRY(do_set_mm, prctl(PR_SET_MM, 0, 0, 0, 0))
TRY(do_seccomp, syscall(SYS_seccomp, 1, 0, NULL))
TRY(do_setrlimit, syscall(SYS_setrlimit, RLIMIT_NOFILE, NULL))
TRY(do_prlimit, syscall(SYS_prlimit64, 0, RLIMIT_NPROC, &(struct rlimit){ 1, 1 }, NULL))
TRY(do_sigaction, syscall(SYS_rt_sigaction, SIGTERM, NULL, NULL, 8))

#if defined(__x86_64__) && !defined(__ILP32__)
#define HAVE_OTHER_ABI 1

/* 0x40000000 marks an x32 call: its numbers go round a filter that looks at x86-64's alone. */
TRY(do_x32, syscall(0x40000000L | SYS_getpid))

/* i386's number 20 is getpid; on x86-64 it would be writev, which is allowed. */
static int
do_int80(const struct world *w UNUSED)
{
	long r = 20;

	__asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
	return r >= 0 ? 0 : -1;
}
#endif

/* --- what a worker needs --- */

static int
need_deliver(const struct world *w)
{
	char tmp[64], new[64];
	int fd;

	snprintf(tmp, sizeof(tmp), "box/tmp/%ld", (long)syscall(SYS_gettid));
	snprintf(new, sizeof(new), "box/new/%ld", (long)syscall(SYS_gettid));
	if ((mkdirat(w->store, "box", 0700) != 0 && errno != EEXIST) ||
	    (mkdirat(w->store, "box/tmp", 0700) != 0 && errno != EEXIST) ||
	    (mkdirat(w->store, "box/new", 0700) != 0 && errno != EEXIST))
		return -1;
	fd = openat(w->store, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1 || write(fd, "mail\n", 5) != 5 || fsync(fd) != 0 || close(fd) != 0)
		return -1;
	if (linkat(w->store, tmp, w->store, "box/tmp/second", 0) != 0 || unlinkat(w->store, "box/tmp/second", 0) != 0)
		return -1;
	if (renameat2(w->store, tmp, w->store, new, RENAME_NOREPLACE) != 0)
		return -1;
	fd = openat(w->store, "box/new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd == -1 || fsync(fd) != 0 || close(fd) != 0 ? -1 : 0;
}

/* A file without a name, which is given one: by its descriptor, or by way of /proc where the kernel is older. */
static int
need_name(const struct world *w)
{
	char path[64], name[64];
	int at = openat(w->store, "box/new", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;

	snprintf(name, sizeof(name), "nameless.%ld", (long)syscall(SYS_gettid));
	if (at == -1 || (fd = openat(at, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600)) == -1 ||
	    write(fd, "mail\n", 5) != 5)
		return -1;
	if (linkat(fd, "", at, name, AT_EMPTY_PATH) != 0 && errno != ENOENT)
		return -1;
	strcat(name, ".proc");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, at, name, AT_SYMLINK_FOLLOW) != 0 || close(fd) != 0)
		return -1;
	return close(at);
}

static int
need_snapshot(const struct world *w)
{
	struct stat st;
	char *p;
	int fd = openat(w->directory, "snapshot", O_RDONLY | O_CLOEXEC), rc;

	if (fd == -1 || fstat(fd, &st) != 0 || st.st_size == 0)
		return -1;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return -1;
	rc = p[0] == 's' ? 0 : -1;
	munmap(p, (size_t)st.st_size);
	return rc;
}

static int
need_session(const struct world *w)
{
	char c;
	/* What the table lets through does a listener no harm: the next worker of the probe has its session by it. */
	int half = shutdown(w->listener, SHUT_WR), fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (half != 0 || fd == -1 || send(fd, "220", 3, MSG_NOSIGNAL) != 3)
		return -1;
	shutdown(fd, SHUT_WR);
	if (close(fd) != 0)
		return -1;
	return send(w->pair, "r", 1, MSG_NOSIGNAL) == 1 && recv(w->pair, &c, 1, 0) == 1 ? 0 : -1;
}

/* Any descriptor but the standard ones. */
static int
need_descriptors(const struct world *w)
{
	for (int fd = STDERR_FILENO + 1; fd < PROBE_NOFILE; fd++) {
		int second = fcntl(w->pair, F_DUPFD_CLOEXEC, fd), third;

		if (second == -1)
			return errno == EMFILE ? 0 : -1;
		third = fcntl(second, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		if (third == -1 || shutdown(second, SHUT_WR) != 0)
			return -1;
		close(third);
		close(second);
	}
	return 0;
}

static int
need_memory(const struct world *w UNUSED)
{
	size_t n = 1 << 20;
	char *p = NULL;

	for (int i = 0; i < 6; i++, n *= 2) {
		char *q = realloc(p, n);

		if (q == NULL) {
			free(p);
			return -1;
		}
		p = q;
		memset(p, i, n);
	}
	free(p);
	for (n = 16; n < 100000; n += 64)
		free(malloc(n));
	return 0;
}

static int
need_time(const struct world *w UNUSED)
{
	struct timespec ts = { 0, 1000000 }, now;
	struct tm tm;
	time_t t;

	if (nanosleep(&ts, NULL) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	t = now.tv_sec;
	return localtime_r(&t, &tm) != NULL ? 0 : -1;
}

static int
need_lock(const struct world *w UNUSED)
{
	pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t c = PTHREAD_COND_INITIALIZER;
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec = (ts.tv_nsec + 5000000) % 1000000000;
	pthread_mutex_lock(&m);
	pthread_cond_timedwait(&c, &m, &ts);
	pthread_mutex_unlock(&m);
	return 0;
}

static int
need_random(const struct world *w UNUSED)
{
	char b[16];

	return syscall(SYS_getrandom, b, sizeof(b), 0) == sizeof(b) ? 0 : -1;
}

/* clang-format off */
#define K(fn) { &#fn[3], KILLED, 0, fn, false, 0 }
#define R(fn, abi) { &#fn[3], REFUSED, abi, fn, false, 0 }
#define EARLY(name, fn, abi) { name, REFUSED, abi, fn, true, 0 }
#define W(fn) { #fn, WORKS, 0, fn, false, 0 }
#define OUT(fn, kinds, expect, abi) { #fn, expect, abi, fn, false, kinds }
#define TCP SANDBOX_OUT_TCP
#define UDP SANDBOX_OUT_UDP
#define UNIX SANDBOX_OUT_UNIX

const struct attempt attempts[] = {
	K(do_execve), K(do_execveat), K(do_clone), K(do_clone3), K(do_unshare), K(do_setns), K(do_ptrace), K(do_traceme),
	K(do_vm_readv), K(do_vm_writev), K(do_kcmp), K(do_kill_master), K(do_kill_sibling), K(do_tkill),
	K(do_tgkill_master), K(do_tgkill_sibling), K(do_sigqueue), K(do_pidfd_open), K(do_pidfd_getfd),
	K(do_pidfd_signal), K(do_setown), K(do_personality), K(do_setpriority), K(do_affinity), K(do_timer),

	K(do_mmap_exec), K(do_mmap_wx), K(do_mmap_file_exec), K(do_mprotect_exec), K(do_pkey_mprotect), K(do_memfd),
	K(do_shmget), K(do_userfaultfd), R(do_mremap_shared, 0),

	K(do_socket_inet), K(do_socket_inet6), K(do_socket_unix), K(do_socket_netlink), K(do_socketpair),
	K(do_connect_tcp), K(do_connect_abstract), K(do_bind), K(do_listen), K(do_sendto_address), K(do_attach_filter),
	K(do_bindtodevice), K(do_ip_options), K(do_ulp), K(do_sendmsg), K(do_ioctl), K(do_ioctl_conf),
	K(do_block_listener), K(do_block_log),
	K(do_shutdown_listener), K(do_shutdown_read),
	K(do_shutdown_log), K(do_shutdown_log_wide), K(do_duplicate_log),

	R(do_open_passwd, 2), R(do_open_program, 2), R(do_open_slash, 2), R(do_open_mem, 2), R(do_open_maps, 2),
	R(do_open_null, 2), R(do_open_master, 2), R(do_open_master_fd, 2), R(do_open_secret, 2), R(do_openat2, 2),
	R(do_open_secret_write, 2), R(do_open_secret_trunc, 2), R(do_create_outside, 2), R(do_dotdot, 2),
	R(do_symlink_escape, 2), R(do_snapshot_write, 2), R(do_snapshot_trunc, 3), R(do_directory_create, 2),
	R(do_mkdir_outside, 2), R(do_unlink_outside, 2), R(do_unlink_snapshot, 2), R(do_rename_snapshot, 2),
	R(do_rename_in, 2), R(do_rename_out, 2), R(do_link_in, 2), R(do_link_out, 2),
	R(do_link_empty_path, 2), R(do_link_follow, 2), R(do_link_snapshot, 2), R(do_link_snapshot_proc, 2),

	EARLY("early_connect", do_connect_tcp, 4), EARLY("early_bind", do_bind, 4),
	EARLY("early_abstract", do_early_abstract, 6), EARLY("early_signal", do_early_signal, 6),

	K(do_exchange), K(do_rmdir), K(do_symlink), K(do_mknod), K(do_chmod),
	K(do_fchmod), K(do_chown), K(do_truncate), K(do_utimens), K(do_setxattr), K(do_chroot), K(do_chdir),
	K(do_fchdir), K(do_umask), K(do_handle), K(do_lease), K(do_notify), K(do_inotify),
	K(do_fanotify), K(do_vmsplice), K(do_splice),
	K(do_punch_log), K(do_collapse_log),

	K(do_io_uring), K(do_io_uring_enter), K(do_bpf), K(do_perf), K(do_keyctl), K(do_add_key), K(do_request_key),
	K(do_mount), K(do_umount), K(do_pivot_root), K(do_fsopen), K(do_open_tree), K(do_quotactl), K(do_swapon),
	K(do_acct), K(do_reboot), K(do_kexec), K(do_init_module), K(do_finit_module), K(do_delete_module),
	K(do_sethostname), K(do_settimeofday), K(do_clock_settime), K(do_syslog), K(do_msgget), K(do_mq_open),

	K(do_setuid), K(do_setresuid), K(do_setgid), K(do_setgroups), K(do_capset), K(do_dumpable), K(do_keepcaps),
	K(do_pdeathsig), K(do_set_mm), K(do_seccomp), K(do_setrlimit), K(do_prlimit), K(do_sigaction),
#ifdef HAVE_OTHER_ABI
	K(do_x32), K(do_int80),
#endif

	W(need_deliver), W(need_name), W(need_snapshot), W(need_session), W(need_descriptors), W(need_memory), W(need_time), W(need_lock), W(need_random),

	/* With a filter configured: what is meant can be reached, and no more.  Behind need_session, whose listener they use. */
	OUT(out_tcp, TCP, WORKS, 0), OUT(out_tcp_other, TCP, REFUSED, 4), OUT(out_mptcp, TCP, KILLED, 0),
	OUT(out_raw, TCP | UDP | UNIX, KILLED, 0), OUT(out_packet, TCP | UDP | UNIX, KILLED, 0),
	OUT(out_udp, TCP | UNIX, KILLED, 0), OUT(out_unix, TCP | UDP, KILLED, 0), OUT(out_tcp, UDP | UNIX, KILLED, 0),
	OUT(out_udp, UDP, WORKS, 0), OUT(out_unix, UNIX, WORKS, 0), OUT(out_unix_dgram, UNIX, KILLED, 0),
	OUT(do_bind, TCP | UDP | UNIX, KILLED, 0), OUT(do_listen, TCP | UDP | UNIX, KILLED, 0),
	OUT(do_socketpair, UNIX, KILLED, 0), OUT(do_sendto_address, UDP, KILLED, 0),
	OUT(do_early_abstract, UNIX, REFUSED, 6),
	OUT(do_block_listener, TCP | UDP | UNIX, KILLED, 0), OUT(do_block_log, TCP | UDP | UNIX, KILLED, 0),
};
/* clang-format on */
const size_t attempts_n = sizeof(attempts) / sizeof(attempts[0]);
