/*
 * credential: the file of letterplate-credentials, whatever stands in it: taken
 * whole or not at all, and what was taken comes out as it was.  And names and
 * passwords as they are prepared: once is enough.
 */
#include "common/credential.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "auth/scram.h"
#include "common/saslprep.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(what) \
	if (!(what)) \
	abort()

static void
prepare(struct span in)
{
	char once[CREDENTIAL_PW_MAX], twice[CREDENTIAL_PW_MAX], name[CREDENTIAL_USER_MAX + 1];
	ssize_t n = saslprep(in, once, sizeof once, false);
	size_t len = credential_name(in, true, name);

	if (n >= 0)
		MUST(n > 0 && saslprep(span_of(once, (size_t)n), twice, sizeof twice, false) == n &&
		    memcmp(once, twice, (size_t)n) == 0);
	MUST(len == 0 || (strlen(name) == len && credential_user_ok(span_of(name, len))));
}

static void
use(const struct credentials *l, struct span text)
{
	uint8_t out[288];
	size_t n = 0;

	(void)scram_first(l, span_head(text, text.n < 20 ? text.n : 20), text, out, sizeof out);
	(void)scram_final(l, text, text, span_head(text, text.n < 32 ? text.n : 32), out, sizeof out, &n);
	for (size_t i = 1; i < l->n; i++)
		MUST(strcmp(l->c[i - 1].user, l->c[i].user) < 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct credentials l;
	char why[128], *text;
	size_t n;
	FILE *f;
	int fd;

	prepare(span_of(data, size));
	fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	if (credential_list_read(fd, &l, why, sizeof why) == 0) {
		use(&l, span_of(data, size));
		f = open_memstream(&text, &n);
		MUST(f != NULL && credential_list_write(&l, f) == 0 && fclose(f) == 0);
		MUST(n <= size + 64);
		free(text);
		credential_list_free(&l);
	}
	close(fd);
	return 0;
}
