/*
 * bundle: the memfd's head is a table of lengths, the files follow.
 * It is read by processes that did not make it, so nothing in it is believed.
 */
#include "common/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

enum { MAGIC = 0x4c504246 }; /* "LPBF" */

struct head {
	uint32_t magic, n;
	uint32_t size[BUNDLE_FILES_MAX];
};

/* Octets copied to the end of ${to}, or -1 with errno. */
static ssize_t
append(int to, const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), err;
	ssize_t done = 0, n;
	struct stat st;

	if (from < 0)
		return -1;
	errno = EINVAL;
	if (fstat(from, &st) != 0 || !S_ISREG(st.st_mode))
		goto fail;
	do {
		n = sendfile(to, from, NULL, BUNDLE_FILE_MAX);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			goto fail;
		done += n;
		errno = EFBIG;
		if (done > BUNDLE_FILE_MAX)
			goto fail;
	} while (n != 0);
	close(from);
	return done;
fail:
	err = errno;
	close(from);
	errno = err;
	return -1;
}

int
bundle_make(const char *name, const char *const *path, size_t n, const char **bad)
{
	struct head h = { .magic = MAGIC, .n = (uint32_t)n };
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL), err;

	*bad = NULL;
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -1;
	errno = E2BIG;
	if (n > BUNDLE_FILES_MAX || lseek(fd, sizeof h, SEEK_SET) < 0)
		goto fail;
	for (size_t i = 0; i < n; i++) {
		ssize_t got = path[i] != NULL && path[i][0] != '\0' ? append(fd, path[i]) : 0;

		if (got < 0) {
			*bad = path[i];
			goto fail;
		}
		h.size[i] = (uint32_t)got;
	}
	if (pwrite(fd, &h, sizeof h, 0) == sizeof h &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
		return fd;
fail:
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

int
bundle_open(int fd, struct bundle *b)
{
	const struct head *h;
	struct stat st;
	uint64_t sum = sizeof *h;
	void *map;

	*b = (struct bundle){ NULL, 0, 0 };
	if (fstat(fd, &st) != 0)
		return -1;
	if (st.st_size < (off_t)sizeof *h)
		return errno = EBADMSG, -1;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return -1;
	h = map;
	for (size_t i = 0; h->n <= BUNDLE_FILES_MAX && i < h->n; i++)
		sum += h->size[i];
	if (h->magic != MAGIC || h->n > BUNDLE_FILES_MAX || sum != (uint64_t)st.st_size) {
		munmap(map, (size_t)st.st_size);
		return errno = EBADMSG, -1;
	}
	*b = (struct bundle){ map, (size_t)st.st_size, h->n };
	return 0;
}

struct span
bundle_file(const struct bundle *b, size_t i)
{
	const struct head *h = (const void *)b->map;
	size_t at = sizeof *h;

	if (i >= b->n)
		return (struct span){ NULL, 0 };
	for (size_t k = 0; k < i; k++)
		at += h->size[k];
	return span_of(b->map + at, h->size[i]);
}

void
bundle_close(struct bundle *b)
{
	if (b->map != NULL)
		munmap((void *)(uintptr_t)b->map, b->size);
	*b = (struct bundle){ NULL, 0, 0 };
}
