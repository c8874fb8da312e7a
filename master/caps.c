/*
 * caps: by the kernel's own calls, which are three; libcap would be a
 * dependency for one function.  The bounding set goes too: a worker is exec'ed
 * as root, and that would hand it all that the set still holds.  SETPCAP stays
 * in it, though not in ours: with it a worker empties its own set for good.
 */
#include "master/caps.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

#define BIT(cap) ((uint64_t)1 << (cap))

static int
set(uint64_t effective, uint64_t permitted)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = (uint32_t)effective, .permitted = (uint32_t)permitted },
		{ .effective = (uint32_t)(effective >> 32), .permitted = (uint32_t)(permitted >> 32) },
	};

	return (int)syscall(SYS_capset, &head, data);
}

static int
get(uint64_t *permitted)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	memset(data, 0, sizeof data);
	if (syscall(SYS_capget, &head, data) != 0)
		return -1;
	*permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	return 0;
}

/* The first path that we will need and that only DAC_OVERRIDE opens to us, or NULL. */
static const char *
foreign(const struct conf *cf, char *path, size_t cap)
{
	enum log_to to;
	const char *log;

	if (faccessat(AT_FDCWD, cf->file, R_OK, AT_EACCESS) != 0)
		return cf->file;
	if (faccessat(AT_FDCWD, cf->state_dir, W_OK | X_OK, AT_EACCESS) != 0)
		return cf->state_dir;
	for (size_t i = 0; i < cf->ntls; i++) {
		const struct conf_tls_section *t = &cf->tls[i];
		const char *const file[] = { t->certificate, t->key, t->ocsp };

		for (size_t k = 0; k < sizeof file / sizeof *file; k++)
			if (file[k][0] != '\0' && faccessat(AT_FDCWD, file[k], R_OK, AT_EACCESS) != 0)
				return file[k];
	}
	if (log_to_parse(cf->log.to, &to, &log) == 0 && to == LOG_TO_FILE &&
	    faccessat(AT_FDCWD, log, W_OK, AT_EACCESS) != 0)
		return log;
	for (size_t l = 0; l < cf->nlistener; l++) {
		for (size_t i = 0; i < cf->listener[l].naddress; i++) {
			const struct conf_address *a = &cf->listener[l].address[i];
			char *slash;

			if (a->ss.ss_family != AF_UNIX)
				continue;
			snprintf(path, cap, "%s", ((const struct sockaddr_un *)&a->ss)->sun_path);
			slash = strrchr(path, '/');
			slash[slash == path] = '\0';
			if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) != 0)
				return path;
		}
	}
	return NULL;
}

int
caps_drop(const struct conf *cf)
{
	uint64_t have, keep = BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SETUID) | BIT(CAP_SETGID);
	char path[sizeof(struct sockaddr_un)];
	const char *why;

	if (geteuid() != 0)
		return 0;
	if (get(&have) != 0 || set(have & keep, have) != 0)
		return -1;
	why = foreign(cf, path, sizeof path);
	if (why != NULL) {
		keep |= BIT(CAP_DAC_OVERRIDE);
		log_msg(LOG_L_INFO, "capabilities",
		    "CAP_DAC_OVERRIDE is kept: \"%s\" belongs to another user than root", why);
	}
	if (set(have, have) != 0)
		return -1;
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (((keep | BIT(CAP_SETPCAP)) & BIT(cap)) == 0 && (have & BIT(CAP_SETPCAP)) != 0 &&
		    prctl(PR_CAPBSET_DROP, cap) != 0)
			return -1;
	return set(have & keep, have & keep);
}
