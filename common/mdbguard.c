/*
 * mdbguard: compares the pages that a look-up is about to read.
 * LMDB asserts, follows wild offsets or misses a key on a damaged page, so the
 * way from the root to a key's leaf is walked here first, over pages whose
 * checksum is right.  It knows the page headers of LMDB's data format 1 (0.9)
 * and no more; entries are found by LMDB.
 */
#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crc32c.h"
#include "common/mdbfile.h"

enum {
	DEPTH_MAX = 32,  /* LMDB's CURSOR_STACK */
	PAGE_FLAGS = 10, /* offsets in a page's header, in octets */
	PAGE_LOWER = 12,
	PAGE_HEAD = 16,
	NODE_KSIZE = 6, /* ...in a node's */
	NODE_HEAD = 8,
	META_MAGIC = PAGE_HEAD, /* ...in a meta page's */
	META_VERSION = PAGE_HEAD + 4,
	META_ROOT = PAGE_HEAD + 24 + 48 + 40, /* of the second (main) database */
	META_LAST = META_ROOT + 8,
	META_TXNID = META_LAST + 8,
	LMDB_BRANCH = 0x01,
	LMDB_LEAF = 0x02,
	LMDB_VERSION = 1
};

#define LMDB_MAGIC 0xbeefc0deU

/* LMDB writes numbers in the machine's order. */
static uint64_t
number(const uint8_t *p, size_t n)
{
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (n) {
	case 2:
		memcpy(&v16, p, n);
		return v16;
	case 4:
		memcpy(&v32, p, n);
		return v32;
	default:
		memcpy(&v64, p, sizeof(v64));
		return v64;
	}
}

bool
mdbfile_guard_page(struct mdbfile_guard *g, uint64_t pgno)
{
	uint32_t want;

	if (pgno >= g->npages)
		return false;
	if (g->seen[pgno / 8] & 1U << pgno % 8)
		return true;
	memcpy(&want, g->table + pgno * MDBFILE_SUM, sizeof(want));
	if (crc32c(0, g->map + pgno * g->psize, g->psize) != le32toh(want))
		return false;
	g->seen[pgno / 8] |= (uint8_t)(1U << pgno % 8);
	return true;
}

/* The root of the newer of the two meta pages, as LMDB chooses it. */
static int
read_metas(struct mdbfile_guard *g)
{
	const uint8_t *m[2] = { g->map, g->map + g->psize };

	for (int i = 0; i < 2; i++)
		if (!mdbfile_guard_page(g, (uint64_t)i) || number(m[i] + META_MAGIC, 4) != LMDB_MAGIC ||
		    number(m[i] + META_VERSION, 4) != LMDB_VERSION)
			return -1;
	const uint8_t *newer = m[number(m[0] + META_TXNID, 8) < number(m[1] + META_TXNID, 8)];

	g->root = number(newer + META_ROOT, 8);
	return number(newer + META_LAST, 8) == g->npages - 1 ? 0 : -1;
}

static int
guard_check(struct mdbfile_guard *g)
{
	struct mdbfile_tail t;

	if (mdbfile_tail_read(g->map + g->len - MDBFILE_TAIL, g->len, &t) != 0)
		return -1;
	g->npages = t.npages;
	g->psize = t.psize;
	g->table = g->map + t.npages * t.psize;
	if (crc32c(0, g->table, t.npages * MDBFILE_SUM) != t.table_crc)
		return -1;
	g->seen = calloc(t.npages / 8 + 1, 1);
	if (g->seen == NULL)
		return -1;
	errno = EBADMSG;
	return read_metas(g);
}

int
mdbfile_guard_init(struct mdbfile_guard *g, int fd, uint64_t size)
{
	void *map;

	*g = (struct mdbfile_guard){ .len = (size_t)size };
	if (size < MDBFILE_TAIL + 2 * MDBFILE_PSIZE_MIN || size > SIZE_MAX / 2) {
		errno = EBADMSG;
		return -1;
	}
	map = mmap(NULL, g->len, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -1;
	g->map = map;
	errno = EBADMSG;
	if (guard_check(g) == 0)
		return 0;
	int e = errno;

	mdbfile_guard_fini(g);
	errno = e;
	return -1;
}

void
mdbfile_guard_fini(struct mdbfile_guard *g)
{
	if (g->map != NULL)
		munmap((void *)(uintptr_t)g->map, g->len);
	free(g->seen);
	*g = (struct mdbfile_guard){ 0 };
}

/* The key of node ${i} of a branch page; false when it does not lie in the page. */
static bool
node_key(const uint8_t *page, size_t psize, size_t i, const uint8_t **node, struct span *key)
{
	size_t off = (size_t)number(page + PAGE_HEAD + 2 * i, 2);

	if (off + NODE_HEAD > psize)
		return false;
	*node = page + off;
	*key = span_of(*node + NODE_HEAD, (size_t)number(*node + NODE_KSIZE, 2));
	return off + NODE_HEAD + key->n <= psize;
}

/* LMDB's order of keys: octets, then length. */
static int
compare(struct span a, struct span b)
{
	int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/* The child of a branch page that holds ${key}: that of the last node that is not greater (the first has no key). */
static bool
branch_child(const uint8_t *page, size_t psize, struct span key, uint64_t *child)
{
	size_t lower = (size_t)number(page + PAGE_LOWER, 2);
	size_t nkeys = (lower - PAGE_HEAD) / 2, lo = 1, hi = nkeys;
	const uint8_t *node;
	struct span k;

	if (lower < PAGE_HEAD + 2 || lower > psize)
		return false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (!node_key(page, psize, mid, &node, &k))
			return false;
		if (compare(key, k) < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (!node_key(page, psize, lo - 1, &node, &k))
		return false;
	*child = number(node, 4) | number(node + 4, 2) << 32;
	return true;
}

int
mdbfile_guard_path(struct mdbfile_guard *g, struct span key, uint64_t *leaf)
{
	uint64_t pgno = g->root;

	for (int depth = 0; depth < DEPTH_MAX && mdbfile_guard_page(g, pgno); depth++) {
		const uint8_t *page = g->map + pgno * g->psize;
		uint64_t flags = number(page + PAGE_FLAGS, 2);

		if (flags & LMDB_LEAF) {
			*leaf = pgno;
			return 0;
		}
		if (!(flags & LMDB_BRANCH) || !branch_child(page, g->psize, key, &pgno))
			break;
	}
	errno = EBADMSG;
	return -1;
}

int
mdbfile_look(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc, e;
	struct mdbfile_guard g;
	struct stat st;
	uint64_t leaf;

	if (fd == -1)
		return -1;
	rc = fstat(fd, &st);
	if (rc == 0 && !S_ISREG(st.st_mode)) {
		errno = EBADMSG;
		rc = -1;
	}
	if (rc == 0 && (rc = mdbfile_guard_init(&g, fd, (uint64_t)st.st_size)) == 0) {
		rc = mdbfile_guard_path(&g, MDBFILE_META_KEY, &leaf);
		e = errno;
		mdbfile_guard_fini(&g);
		errno = e;
	}
	e = errno;
	close(fd);
	errno = e;
	return rc;
}
