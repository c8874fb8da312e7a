/*
 * helper_kind: see helper_kind.h.  The master never has a private key or a
 * hash of a password in its memory: keys go from file to memfd inside the
 * kernel, and of the credentials it holds a descriptor.
 */
#include "master/helper_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/budget.h"
#include "common/bundle.h"
#include "common/ipc.h"
#include "common/tickets.h"

/* Certificates and keys, taken once, into sealed memfds. */
static int
take_keys(struct master *m, const struct conf *cf, int *file, char *why, size_t cap)
{
	const char *certs[2 * CONF_LISTENERS_MAX], *keys[CONF_LISTENERS_MAX], *bad = NULL;

	if (m->tickets_fd < 0)
		m->tickets_fd = tickets_create(&m->tickets);
	if (m->tickets_fd < 0) {
		snprintf(why, cap, "cannot start: %s", strerror(errno));
		return EX_OSERR;
	}
	for (size_t i = 0; i < cf->ntls; i++) {
		certs[2 * i] = cf->tls[i].certificate;
		certs[2 * i + 1] = cf->tls[i].ocsp;
		keys[i] = cf->tls[i].key;
	}
	file[0] = bundle_make("letterplate.certificates", certs, 2 * cf->ntls, &bad);
	if (file[0] >= 0)
		file[1] = bundle_make("letterplate.keys", keys, cf->ntls, &bad);
	if (file[1] >= 0)
		return 0;
	snprintf(why, cap, "%s cannot be read: %s", bad != NULL ? bad : "certificates", strerror(errno));
	return EX_CONFIG;
}

/*
 * One table for as long as we run, over reloads: it must not take one to guess
 * anew.  A predecessor's of another build begins anew.
 */
static int
take_budgets(struct master *m)
{
	if (m->budget_fd >= 0 && !budget_ours(m->budget_fd)) {
		close(m->budget_fd);
		m->budget_fd = -1;
	}
	if (m->budget_fd < 0)
		m->budget_fd = budget_create();
	return m->budget_fd >= 0 ? fcntl(m->budget_fd, F_DUPFD_CLOEXEC, 3) : -1;
}

/* They are published by rename and never written again, so a descriptor is enough: whoever is started later reads the same. */
static int
take_credentials(struct master *m, const struct conf *cf, int *file, char *why, size_t cap)
{
	struct stat st;
	bool passwords = conf_offers_passwords(cf);
	int fd = open(passwords ? cf->credentials : "/dev/null", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	file[0] = fd;
	file[1] = take_budgets(m);
	if (file[1] < 0) {
		snprintf(why, cap, "cannot start: %s", strerror(errno));
		return EX_OSERR;
	}
	if (fd < 0 || fstat(fd, &st) != 0)
		snprintf(why, cap, "credentials \"%s\" cannot be used: %s", cf->credentials, strerror(errno));
	else if (passwords && (!S_ISREG(st.st_mode) || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0))
		snprintf(why, cap, "credentials \"%s\" cannot be used: others may read it", cf->credentials);
	else
		return 0;
	return EX_CONFIG;
}

_Static_assert(IPC_KEYS_FD_CERTS == IPC_FD_CONTROL + 1 && IPC_KEYS_FD_KEYS == IPC_FD_CONTROL + 2 &&
	IPC_KEYS_FD_CHANNEL == IPC_FD_CONTROL + 3 && IPC_AUTH_FD_FILE == IPC_FD_CONTROL + 1 &&
	IPC_AUTH_FD_BUDGET == IPC_FD_CONTROL + 2 && IPC_AUTH_FD_CHANNEL == IPC_FD_CONTROL + 3 &&
	IPC_REPORTS_FD_STATS == IPC_FD_CONTROL + 1,
    "helpers inherit their files and then their channels");

const struct helper_kind helper_kind[HELPER_KINDS] = {
	[HELPER_KEYS] = { .program = "letterplate-keys",
	    .word = "keys",
	    .event_ready = "keys-ready",
	    .event_died = "keys-died",
	    .file = { "certs", "keys" },
	    .nfiles = 2,
	    .channels = true,
	    .died = STATS_KEYS_DIED,
	    .offered = conf_offers_tls,
	    .take = take_keys },
	[HELPER_AUTH] = { .program = "letterplate-auth",
	    .word = "auth",
	    .event_ready = "auth-ready",
	    .event_died = "auth-died",
	    .file = { "file", "budget" },
	    .nfiles = 2,
	    .channels = true,
	    .died = STATS_AUTH_DIED,
	    .offered = conf_offers_auth,
	    .take = take_credentials },
	/* Records wait in the spool while none runs: it is no part of the promise that a sender gets. */
	[HELPER_REPORTS] = { .program = "letterplate-reports",
	    .word = "reports",
	    .event_ready = "reports-ready",
	    .event_died = "reports-died",
	    .counts = true,
	    .leaves = true,
	    .died = STATS_REPORTS_DIED,
	    .offered = conf_offers_dsn },
};
