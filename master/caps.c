/*
 * caps: by the kernel's own calls, which are three; libcap would be a
 * dependency for one function.  The bounding set goes too: a worker is exec'ed
 * as root, and that would hand it all that the set still holds.  SETPCAP stays
 * in it, though not in ours: with it a worker empties its own set for good.
 */
#include "master/caps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

enum { BARRED_MAX = 64 }; /* octets of why something is closed, with a NUL */

#define BIT(cap) ((uint64_t)1 << (cap))

/* CAP_DAC_OVERRIDE was there when this program started, and is not any more.  After an upgrade that is not known. */
static bool gave_up;

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

/* What is not there yet, or not what it should be, is no matter of capabilities. */
static bool
closed(const char *path, int mode)
{
	return faccessat(AT_FDCWD, path, mode, AT_EACCESS) != 0 && errno == EACCES;
}

/* The folder of ${file} if it is closed to us, in ${path}; or NULL. */
static const char *
closed_folder(const char *file, char *path, size_t cap)
{
	char *slash;

	snprintf(path, cap, "%s", file);
	slash = strrchr(path, '/');
	if (slash == NULL)
		return NULL;
	slash[slash == path] = '\0';
	return closed(path, W_OK | X_OK) ? path : NULL;
}

/* Certificates, keys and credentials: each reload reads them. */
static const char *
closed_secret(const struct conf *cf)
{
	for (size_t i = 0; i < cf->ntls; i++) {
		const struct conf_tls_section *t = &cf->tls[i];
		const char *const file[] = { t->certificate, t->key, t->ocsp };

		for (size_t k = 0; k < sizeof file / sizeof *file; k++)
			if (file[k][0] != '\0' && closed(file[k], R_OK))
				return file[k];
	}
	return conf_offers_passwords(cf) && closed(cf->credentials, R_OK) ? cf->credentials : NULL;
}

/* The log is opened when it was rotated too: then it is made. */
static const char *
closed_log(const struct conf *cf, char *path, size_t cap)
{
	enum log_to to;
	const char *log;

	if (log_to_parse(cf->log.to, &to, &log) != 0 || to == LOG_TO_STDERR)
		return NULL;
	if (closed(log, W_OK))
		return log;
	return to == LOG_TO_FILE ? closed_folder(log, path, cap) : NULL;
}

static const char *
closed_socket(const struct conf *cf, char *path, size_t cap)
{
	for (size_t l = 0; l < cf->nlistener; l++) {
		for (size_t i = 0; i < cf->listener[l].naddress; i++) {
			const struct conf_address *a = &cf->listener[l].address[i];

			if (a->ss.ss_family == AF_UNIX &&
			    closed_folder(((const struct sockaddr_un *)&a->ss)->sun_path, path, cap) != NULL)
				return path;
		}
	}
	return NULL;
}

/* The first path that we need, now or at a reload or when the log is rotated, and that only DAC_OVERRIDE opens to us; or NULL. */
static const char *
closed_to_us(const struct conf *cf, char *path, size_t cap)
{
	const char *found;

	if (closed(cf->file, R_OK))
		return cf->file;
	if (closed(cf->state_dir, W_OK | X_OK))
		return cf->state_dir;
	if ((found = closed_secret(cf)) != NULL || (found = closed_log(cf, path, cap)) != NULL)
		return found;
	return closed_socket(cf, path, cap);
}

/* Why ${path} is closed to us, in words that go behind its name, and what opens it. */
static const char *
barred(const char *path, char why[static BARRED_MAX])
{
	struct stat st;

	if (stat(path, &st) != 0) {
		snprintf(why, BARRED_MAX, "lies in a folder that is closed to root");
		return "change that folder's owner or mode";
	}
	if (st.st_uid != geteuid()) {
		snprintf(why, BARRED_MAX, "belongs to another user");
		return "change its owner or mode";
	}
	snprintf(why, BARRED_MAX, "is root's, but its mode is %04o", (unsigned)(st.st_mode & 07777));
	return S_ISDIR(st.st_mode) ? "chmod u+rwx it" : "chmod u+rw it";
}

/* Whether to keep DAC_OVERRIDE, of what we have. */
static bool
needed(const struct conf *cf, uint64_t have)
{
	char path[PATH_MAX], why[BARRED_MAX];
	const char *what = closed_to_us(cf, path, sizeof path), *advice;

	if (what == NULL)
		return false;
	advice = barred(what, why);
	if ((have & BIT(CAP_DAC_OVERRIDE)) != 0)
		log_msg(LOG_L_INFO, "capabilities", "CAP_DAC_OVERRIDE is kept: \"%s\" %s", what, why);
	else
		log_msg(LOG_L_WARN, "capabilities",
		    "\"%s\" %s, and CAP_DAC_OVERRIDE is not there: a reload, or a new log, will fail; %s", what, why,
		    advice);
	return true;
}

int
caps_drop(const struct conf *cf)
{
	uint64_t have, keep = BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SETUID) | BIT(CAP_SETGID);

	if (geteuid() != 0)
		return 0;
	if (get(&have) != 0 || set(have & keep, have) != 0)
		return -1;
	if (needed(cf, have))
		keep |= BIT(CAP_DAC_OVERRIDE);
	if (set(have, have) != 0)
		return -1;
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (((keep | BIT(CAP_SETPCAP)) & BIT(cap)) == 0 && (have & BIT(CAP_SETPCAP)) != 0 &&
		    prctl(PR_CAPBSET_DROP, cap) != 0)
			return -1;
	gave_up = (have & ~keep & BIT(CAP_DAC_OVERRIDE)) != 0;
	return set(have & keep, have & keep);
}

const char *
caps_refused(const char *path, char *text, size_t cap)
{
	char why[BARRED_MAX];
	const char *advice;

	text[0] = '\0';
	if (!gave_up || path == NULL)
		return text;
	advice = barred(path, why);
	snprintf(text, cap, ": the server gave CAP_DAC_OVERRIDE up when it started, and \"%.200s\" %s: %s%s", path, why,
	    strncmp(advice, "chmod", 5) == 0 ? "" : "restart it, or ", advice);
	return text;
}

const char *
caps_refused_by(const struct conf *cf, char *text, size_t cap)
{
	char path[PATH_MAX];

	return caps_refused(gave_up ? closed_to_us(cf, path, sizeof path) : NULL, text, cap);
}
