/*
 * tls_memory: how much memory one message of a handshake may claim.
 * libssl makes room for a ClientHello as soon as its first nine octets say how
 * long it will be, up to 128 KiB, and has no knob for that.  So it gets no
 * piece that is larger than what handshakes take, as long as one runs.
 */
#include <openssl/crypto.h>

#include <stdlib.h>

#include "worker/net/tls_priv.h"

static size_t tls_most = TLS_PIECE_MAX;

/* Whether the handshake that runs, if one does, may have ${n} octets in one piece. */
static bool
tls_may_have(size_t n)
{
	struct tls *t = tls_current();

	if (t == NULL || n <= tls_most)
		return true;
	t->greedy = true;
	return false;
}

static void *
tls_malloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return n > 0 && tls_may_have(n) ? malloc(n) : NULL;
}

static void *
tls_realloc(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	if (n == 0) {
		free(p);
		return NULL;
	}
	return tls_may_have(n) ? realloc(p, n) : NULL;
}

static void
tls_release(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

int
tls_memory_bound(void)
{
	return CRYPTO_set_mem_functions(tls_malloc, tls_realloc, tls_release) == 1 ? 0 : -1;
}

void
tls_memory_chain(size_t n)
{
	/* A message of ours is written into a buffer that doubles. */
	if (4 * n > tls_most)
		tls_most = 4 * n;
}

size_t
tls_memory(void)
{
	return 2 * tls_most + TLS_FIXED;
}
