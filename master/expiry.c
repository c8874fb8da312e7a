/*
 * expiry: in a child, as all that has to do with certificates: libcrypto's
 * state is not to be in the master.  The child has the bundle that the workers
 * have, and writes a number for each section.
 */
#include "master/expiry.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/bundle.h"
#include "common/pem.h"
#include "master/helper.h"

static _Noreturn void
child(const struct generation *gen, int out)
{
	int64_t at[CONF_LISTENERS_MAX] = { 0 }, now = time(NULL);
	struct bundle b;
	size_t n = gen->conf->ntls * sizeof *at;

	if (pem_init() != 0 || bundle_open(helper_file(gen, HELPER_KEYS, 0), &b) != 0)
		_exit(1);
	for (size_t i = 0; i < gen->conf->ntls; i++) {
		STACK_OF(X509) *chain = NULL;
		const char *why;
		X509 *leaf = pem_certificates(bundle_file(&b, 2 * i), &chain, &why);

		if (leaf != NULL)
			at[i] = now + pem_expires_in(leaf, chain, now);
	}
	_exit(write(out, at, n) == (ssize_t)n ? 0 : 1);
}

void
expiry_read(const struct generation *gen, int64_t *at)
{
	size_t n = gen->conf->ntls * sizeof *at;
	struct pollfd p;
	int fd[2];
	pid_t pid;

	memset(at, 0, CONF_LISTENERS_MAX * sizeof *at);
	if (n == 0 || helper_file(gen, HELPER_KEYS, 0) < 0 || pipe2(fd, O_CLOEXEC) != 0)
		return;
	pid = fork();
	if (pid == 0)
		child(gen, fd[1]);
	close(fd[1]);
	p = (struct pollfd){ .fd = fd[0], .events = POLLIN };
	if (pid < 0 || poll(&p, 1, EXPIRY_WAIT_MS) != 1 || read(fd[0], at, n) != (ssize_t)n)
		memset(at, 0, n);
	close(fd[0]);
	if (pid > 0) {
		/* It has nothing more to say. */
		(void)kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
}
