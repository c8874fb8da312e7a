/*
 * sums: computes and writes the checksums of a snapshot that was just made.
 * Reads the pages back from the page cache; does not sync.
 */
#include "tools/mailboxes/sums.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/mdbfile.h"

enum { CHUNK = 32 }; /* pages read at a time */

static int
read_all(int fd, uint8_t *p, size_t n, off_t at)
{
	while (n > 0) {
		ssize_t r = pread(fd, p, n, at);

		if (r == 0)
			errno = EIO;
		if (r <= 0 && (r == 0 || errno != EINTR))
			return -1;
		if (r > 0) {
			p += r;
			n -= (size_t)r;
			at += r;
		}
	}
	return 0;
}

static int
write_all(int fd, const uint8_t *p, size_t n, off_t at)
{
	while (n > 0) {
		ssize_t w = pwrite(fd, p, n, at);

		if (w < 0 && errno != EINTR)
			return -1;
		if (w > 0) {
			p += w;
			n -= (size_t)w;
			at += w;
		}
	}
	return 0;
}

static int
sum_pages(int fd, uint8_t *buf, uint32_t *sum, size_t npages, size_t psize)
{
	for (size_t i = 0; i < npages;) {
		size_t n = npages - i < CHUNK ? npages - i : CHUNK;

		if (read_all(fd, buf, n * psize, (off_t)(i * psize)) != 0)
			return -1;
		for (size_t j = 0; j < n; j++)
			sum[i++] = htole32(crc32c(0, buf + j * psize, psize));
	}
	return 0;
}

int
sums_write(int fd, size_t npages, size_t psize)
{
	uint32_t *sum = calloc(npages, sizeof(*sum));
	uint8_t *buf = malloc(CHUNK * psize), tail[MDBFILE_TAIL];
	size_t len = npages * MDBFILE_SUM;
	struct mdbfile_tail t = { .psize = (uint32_t)psize, .npages = npages };
	int rc = -1;

	if (sum != NULL && buf != NULL && ftruncate(fd, (off_t)(npages * psize)) == 0 &&
	    sum_pages(fd, buf, sum, npages, psize) == 0) {
		t.table_crc = crc32c(0, sum, len);
		mdbfile_tail_write(&t, tail);
		rc = write_all(fd, (const uint8_t *)sum, len, (off_t)(npages * psize));
		if (rc == 0)
			rc = write_all(fd, tail, sizeof(tail), (off_t)(npages * psize + len));
	}
	free(sum);
	free(buf);
	return rc;
}
