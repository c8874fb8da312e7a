/*
 * sandbox: a worker gives up all that it does not need.
 * The order of the steps, and those that are neither Landlock nor seccomp: uid,
 * capabilities, rlimits.  docs/SECURITY.md says what each step is good for.
 */
#include "worker/sandbox.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sanitized.h"
#include "worker/landlock.h"
#include "worker/seccomp.h"

static int
add_port(struct sandbox_out *o, in_port_t port)
{
	for (size_t i = 0; i < o->nport; i++)
		if (o->port[i] == ntohs(port))
			return 0;
	if (o->nport == SANDBOX_OUT_PORTS) {
		errno = E2BIG;
		return -1;
	}
	o->port[o->nport++] = ntohs(port);
	return 0;
}

int
sandbox_out_add(struct sandbox_out *o, const struct sockaddr *to, int type)
{
	in_port_t port = 0;

	switch (to->sa_family) {
	case AF_UNIX:
		o->kinds |= SANDBOX_OUT_UNIX;
		return 0;
	case AF_INET:
		port = ((const struct sockaddr_in *)(const void *)to)->sin_port;
		break;
	case AF_INET6:
		port = ((const struct sockaddr_in6 *)(const void *)to)->sin6_port;
		break;
	default:
		errno = EAFNOSUPPORT;
		return -1;
	}
	if (type == SOCK_STREAM && add_port(o, port) != 0)
		return -1;
	o->kinds |= type == SOCK_STREAM ? SANDBOX_OUT_TCP : SANDBOX_OUT_UDP;
	return 0;
}

/* -1 after a logged line about ${what} and errno. */
static int
failed(const char *what)
{
	log_msg(LOG_L_ERROR, "sandbox", "%s: %s", what, strerror(errno));
	return -1;
}

static int
limit(int resource, rlim_t max, const char *name)
{
	struct rlimit rl = { max, max };

	return setrlimit((__rlimit_resource_t)resource, &rl) == 0 ? 0 : failed(name);
}

/* The descriptors asked for, or as many as may be had: a server with fewer sessions beats none. */
static int
limit_nofile(rlim_t want)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
		return failed("RLIMIT_NOFILE");
	if (want > rl.rlim_max) {
		struct rlimit more = { want, want };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0) /* root may raise it */
			return 0;
		log_msg(LOG_L_WARN, "sandbox", "only %llu descriptors allowed, %llu would be needed: see LimitNOFILE=",
		    (unsigned long long)rl.rlim_max, (unsigned long long)want);
		want = rl.rlim_max;
	}
	return limit(RLIMIT_NOFILE, want, "RLIMIT_NOFILE");
}

/* While root still can raise them, so first. */
static int
limit_all(const struct sandbox *sb)
{
	struct stat st;

	if (limit(RLIMIT_CORE, 0, "RLIMIT_CORE") != 0 || limit_nofile(sb->nofile) != 0)
		return -1;
	/* A log that is a file on disk grows past any message; with the limit its lines would be lost (EFBIG). */
	if ((fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode)) ||
	    (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode)))
		return 0;
	return limit(RLIMIT_FSIZE, sb->fsize_max, "RLIMIT_FSIZE");
}

/*
 * The account's group alone: what other groups can read or write is none of a
 * worker's business.  The uid goes last, since it takes the right to do the
 * rest with it.
 */
static int
change_user(const char *user)
{
	struct passwd *pw;
	uid_t uid;
	gid_t gid;

	errno = 0;
	pw = getpwnam(user);
	if (pw == NULL) {
		log_msg(LOG_L_ERROR, "sandbox", "user \"%s\": %s", user, errno != 0 ? strerror(errno) : "no such user");
		return -1;
	}
	uid = pw->pw_uid;
	gid = pw->pw_gid;
	endpwent();
	if (uid == 0 || gid == 0) {
		log_msg(LOG_L_ERROR, "sandbox",
		    "user \"%s\" is root or in root's group: give workers an account of their own", user);
		return -1;
	}
	if (setgroups(1, &gid) != 0)
		return failed("setgroups");
	if (setresgid(gid, gid, gid) != 0)
		return failed("setresgid");
	if (setresuid(uid, uid, uid) != 0)
		return failed("setresuid");
	return 0;
}

/* Needs CAP_SETPCAP, so before the uid goes; who does not have it can't gain by the bounding set either (no_new_privs). */
static void
empty_bounding_set(void)
{
	for (unsigned long cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			return;
}

/*
 * A uid change alone leaves them with SECBIT_NO_SETUID_FIXUP, and an init
 * system may have given some to a plain user.  The ambient set goes along.
 */
static int
drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0, 0, 0 } };

	return syscall(SYS_capset, &head, none) == 0 ? 0 : failed("capset");
}

/* Believe nothing: a setuid that reported success and changed too little has been seen (CVE-2000-0506). */
static int
check_gone(void)
{
	uid_t r, e, s;

	if (getresuid(&r, &e, &s) != 0)
		return failed("getresuid");
	if (r == 0 || e == 0 || s == 0 || setresuid((uid_t)-1, 0, (uid_t)-1) == 0) {
		log_msg(LOG_L_ERROR, "sandbox", "still root after all privileges were given up");
		return -1;
	}
	return 0;
}

/* A uid change clears the parent-death signal, so set it after; a parent that died before is found by looking. */
static int
tie_to_master(pid_t master)
{
	if (prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) != 0)
		return failed("PR_SET_PDEATHSIG");
	if (getppid() != master) {
		log_msg(LOG_L_ERROR, "sandbox", "the master (pid %ld) is gone", (long)master);
		return -1;
	}
	return 0;
}

int
sandbox_drop(const struct sandbox *sb, unsigned *level)
{
	int rc;

	*level = 0;
	tzset(); /* reads /etc/localtime, out of reach later */
	if (limit_all(sb) != 0)
		return -1;
	empty_bounding_set();
	if (geteuid() == 0 && change_user(sb->user) != 0)
		return -1;
	if (drop_capabilities() != 0 || check_gone() != 0)
		return -1;
	*level |= SANDBOX_UID;
	if (tie_to_master(sb->master) != 0)
		return -1;
	/* Not attachable for others of the same uid, and /proc/PID belongs to root; LeakSanitizer attaches to itself. */
	if (prctl(PR_SET_DUMPABLE, SANITIZED, 0, 0, 0) != 0)
		return failed("PR_SET_DUMPABLE");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return failed("PR_SET_NO_NEW_PRIVS");
	if (sb->load != NULL && sb->load(sb->load_arg) != 0)
		return -1;
	rc = landlock_confine(sb);
	if (rc == -1)
		return -1;
	if (rc == 1)
		*level |= SANDBOX_LANDLOCK;
	return 0;
}

static int
close_with(enum seccomp_table table, unsigned out, unsigned *level)
{
	if (!SANITIZED && limit(RLIMIT_NPROC, 0, "RLIMIT_NPROC") != 0)
		return -1;
	if (seccomp_confine(table, out) != 0)
		return -1;
	if (!SANITIZED)
		*level |= SANDBOX_SECCOMP;
	return 0;
}

int
sandbox_close(const struct sandbox *sb, unsigned *level)
{
	return close_with(SECCOMP_WORKER, sb->out.kinds, level);
}

int
sandbox_close_keys(unsigned *level)
{
	return close_with(SECCOMP_KEYS, 0, level);
}

int
sandbox_close_reports(const struct sandbox *sb, unsigned *level)
{
	return close_with(SECCOMP_REPORTS, sb->out.kinds, level);
}
