/*
 * tickets: one writer, many readers, no lock: the serial is odd while the
 * secrets are being changed, and a reader looks at it before and after.
 */
#include "common/tickets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1 */
#endif

enum { MAGIC = 0x4c505454 }; /* "LPTT" */

struct tickets {
	uint32_t magic;
	_Atomic uint64_t serial;
	int64_t due; /* the master's */
	_Atomic uint8_t secret[TICKETS_KEPT][TICKETS_SECRET];
};

static void
fresh(struct tickets *t, unsigned i)
{
	uint8_t octets[TICKETS_SECRET];

	arc4random_buf(octets, sizeof octets);
	for (size_t k = 0; k < sizeof octets; k++)
		atomic_store_explicit(&t->secret[i][k], octets[k], memory_order_relaxed);
	explicit_bzero(octets, sizeof octets);
}

int
tickets_create(struct tickets **out)
{
	int fd = memfd_create("letterplate.tickets", MFD_CLOEXEC | MFD_ALLOW_SEALING), err;
	struct tickets *t = MAP_FAILED;

	if (fd < 0)
		return -1;
	if (ftruncate(fd, sizeof *t) != 0)
		goto fail;
	t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (t == MAP_FAILED)
		goto fail;
	/* Our own mapping stays writable; no other can be made so. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) != 0)
		goto fail;
	t->magic = MAGIC;
	for (unsigned i = 0; i < TICKETS_KEPT; i++)
		fresh(t, i);
	*out = t;
	return fd;
fail:
	err = errno;
	if (t != MAP_FAILED)
		munmap(t, sizeof *t);
	close(fd);
	errno = err;
	return -1;
}

int
tickets_succeed(int old, struct tickets **out)
{
	int fd = tickets_create(out);
	const struct tickets *from = fd >= 0 ? tickets_map(old) : NULL;

	if (from == NULL)
		return fd;
	(*out)->due = from->due;
	for (unsigned i = 0; i < TICKETS_KEPT; i++)
		for (size_t k = 0; k < TICKETS_SECRET; k++)
			(*out)->secret[i][k] = from->secret[i][k];
	munmap((void *)(uintptr_t)from, sizeof *from);
	return fd;
}

void
tickets_turn(struct tickets *t, int64_t now)
{
	if (t->due == 0)
		t->due = now + TICKETS_TURN_S;
	if (now < t->due)
		return;
	t->due = now + TICKETS_TURN_S;
	atomic_fetch_add(&t->serial, 1);
	for (unsigned i = TICKETS_KEPT - 1; i > 0; i--)
		for (size_t k = 0; k < TICKETS_SECRET; k++)
			t->secret[i][k] = t->secret[i - 1][k];
	fresh(t, 0);
	atomic_fetch_add(&t->serial, 1);
}

const struct tickets *
tickets_map(int fd)
{
	struct stat st;
	const struct tickets *t;

	if (fstat(fd, &st) != 0)
		return NULL;
	if (st.st_size != sizeof *t)
		return errno = EBADMSG, NULL;
	t = mmap(NULL, sizeof *t, PROT_READ, MAP_SHARED, fd, 0);
	if (t == MAP_FAILED)
		return NULL;
	if (t->magic == MAGIC)
		return t;
	munmap((void *)(uintptr_t)t, sizeof *t);
	return errno = EBADMSG, NULL;
}

uint64_t
tickets_serial(const struct tickets *t)
{
	return atomic_load(&t->serial) & ~(uint64_t)1;
}

int
tickets_secret(const struct tickets *t, uint64_t serial, unsigned i, uint8_t out[TICKETS_SECRET])
{
	if (i >= TICKETS_KEPT || atomic_load(&t->serial) != serial)
		return -1;
	for (size_t k = 0; k < TICKETS_SECRET; k++)
		out[k] = atomic_load_explicit(&t->secret[i][k], memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load(&t->serial) == serial ? 0 : -1;
}
