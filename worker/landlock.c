/*
 * landlock: which files, ports and signals a worker can still name.
 * Every right that the running kernel knows is handled, that is: refused
 * unless a rule grants it; the rules are two, one for each folder that a module
 * may write below, and one for each TCP port of a configured filter.  What a
 * kernel does not know yet is left to uid, rlimits and seccomp.
 */
#include "worker/landlock.h"

#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sanitized.h"
#include "worker/sandbox.h"

/*
 * Debian 12's headers are those of Linux 6.1 (ABI 2); what came later is
 * defined here from Documentation/userspace-api/landlock.rst.  The kernel's
 * ABI, asked at run time, says what of it may be used.
 */
#define FS_TRUNCATE         (1ULL << 14) /* ABI 3, Linux 6.2 */
#define FS_IOCTL_DEV        (1ULL << 15) /* ABI 5, Linux 6.10 */
#define NET_BIND_TCP        (1ULL << 0)  /* ABI 4, Linux 6.7 */
#define NET_CONNECT_TCP     (1ULL << 1)  /* ABI 4 */
#define RULE_NET_PORT       2            /* ABI 4 */
#define SCOPE_ABSTRACT_UNIX (1ULL << 0)  /* ABI 6, Linux 6.12 */
#define SCOPE_SIGNAL        (1ULL << 1)  /* ABI 6 */

/* struct landlock_ruleset_attr as of ABI 6.  Older kernels take it as long as what they don't know is zero. */
struct ruleset_attr {
	uint64_t fs, net, scoped;
};

/* struct landlock_net_port_attr, ABI 4. */
struct net_port_attr {
	uint64_t access, port;
};

#define READ ((uint64_t)(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR))

/* No REMOVE_DIR, no symbolic link, no device, fifo or socket, no EXECUTE. */
#define WRITE \
	((uint64_t)(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | \
	    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REFER))

int
landlock_abi(void)
{
	long v = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return v > 0 ? (int)v : 0;
}

static struct ruleset_attr
handled_by(int abi)
{
	/* ABI 1 and 2 know the bits 0 to 13, up to REFER, without a gap. */
	struct ruleset_attr a = { .fs = (LANDLOCK_ACCESS_FS_REFER << 1) - 1 };

	if (abi >= 3)
		a.fs |= FS_TRUNCATE;
	if (abi >= 4)
		a.net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi >= 5)
		a.fs |= FS_IOCTL_DEV;
	if (abi >= 6)
		a.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	return a;
}

/* 0, or -1 after a logged error. */
static int
grant(int ruleset, const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights };
	int err, rc;

	rule.parent_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.parent_fd == -1) {
		log_msg(LOG_L_ERROR, "sandbox", "%s: %s", path, strerror(errno));
		return -1;
	}
	rc = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	err = errno;
	close(rule.parent_fd);
	if (rc != 0)
		log_msg(LOG_L_ERROR, "sandbox", "Landlock rule for %s: %s", path, strerror(err));
	return rc;
}

/* 0, or -1 after a logged error. */
static int
grant_all(int ruleset, const struct ruleset_attr *a, const struct sandbox *sb)
{
	const char *store = sb->store_path, *directory = sb->directory;

	for (size_t i = 0; i < sb->nwrite; i++)
		if (grant(ruleset, sb->write[i], (READ | WRITE | FS_TRUNCATE) & a->fs) != 0)
			return -1;
	if (store != NULL && grant(ruleset, store, (READ | WRITE | FS_TRUNCATE) & a->fs) != 0)
		return -1;
	if (directory != NULL && grant(ruleset, directory, READ) != 0)
		return -1;
	/* The leak check of a sanitizer lists its threads in /proc. */
	if (SANITIZED && grant(ruleset, "/proc", READ) != 0)
		return -1;
	return 0;
}

/* The ports, where the kernel knows of them.  0, or -1 after a logged error. */
static int
grant_ports(int ruleset, const struct ruleset_attr *a, const uint16_t *port, size_t nport)
{
	for (size_t i = 0; i < nport && (a->net & NET_CONNECT_TCP) != 0; i++) {
		struct net_port_attr rule = { NET_CONNECT_TCP, port[i] };

		if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) != 0) {
			log_msg(LOG_L_ERROR, "sandbox", "Landlock rule for port %u: %s", (unsigned)port[i],
			    strerror(errno));
			return -1;
		}
	}
	return 0;
}

int
landlock_confine(const struct sandbox *sb)
{
	int abi = landlock_abi(), ruleset, rc;
	struct ruleset_attr a = handled_by(abi);

	if (abi < LANDLOCK_ABI_MIN) {
		log_msg(LOG_L_WARN, "sandbox", "no Landlock (ABI %d, need %d): files are guarded by the uid alone", abi,
		    LANDLOCK_ABI_MIN);
		return 0;
	}
	if (sb->out.any_port)
		a.net &= ~(uint64_t)NET_CONNECT_TCP;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &a, sizeof(a), 0);
	if (ruleset == -1) {
		log_msg(LOG_L_ERROR, "sandbox", "Landlock ruleset: %s", strerror(errno));
		return -1;
	}
	rc = grant_all(ruleset, &a, sb);
	if (rc == 0)
		rc = grant_ports(ruleset, &a, sb->out.port, sb->out.nport);
	if (rc == 0 && (rc = (int)syscall(SYS_landlock_restrict_self, ruleset, 0)) != 0)
		log_msg(LOG_L_ERROR, "sandbox", "Landlock: %s", strerror(errno));
	close(ruleset);
	return rc == 0 ? 1 : -1;
}
