/*
 * sort: the region that runs are sorted in, the file they are spilled to, and
 * the merge.  The region holds items from its bottom up and their index from
 * its top down.
 */
#include "tools/mailboxes/sort.h"

#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/mailboxes/quick.h"

enum {
	WRITE_CHUNK = 1 << 20, /* octets spilled at a time */
	READ_MAX = 4 << 20     /* octets of a run read at a time, memory permitting */
};

/* A spilled run while it is read. */
struct run {
	off_t at, end; /* of what was not read yet */
	uint8_t *buf;
	size_t pos, len, cap;
	struct sort_item item; /* the next one */
	uint64_t chunk;
};

struct sort {
	int dirfd, fd; /* fd of the spill file, -1: none */
	uint8_t *region;
	size_t memory, used; /* octets */
	size_t n;            /* index entries */
	struct quick *top;   /* end of the region; entry i is top[-1 - i] */
	uint64_t octets, count;
	off_t spilled;
	struct run *run; /* a binary heap, the smallest first, once merging */
	size_t nrun, nheap, caprun;
	size_t next;  /* in memory: the next entry */
	bool advance; /* the heap's first was handed out */
};

struct sort *
sort_new(int dirfd, size_t memory)
{
	struct sort *s = calloc(1, sizeof(*s));
	void *p;

	if (s == NULL)
		return NULL;
	memory &= ~(size_t)4095;
	p = mmap(NULL, memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		free(s);
		return NULL;
	}
	*s = (struct sort){ .dirfd = dirfd, .fd = -1, .region = p, .memory = memory };
	s->top = (struct quick *)(void *)(s->region + memory);
	return s;
}

void
sort_free(struct sort *s)
{
	if (s == NULL)
		return;
	if (s->region != NULL)
		munmap(s->region, s->memory);
	for (size_t i = 0; i < s->nrun; i++)
		free(s->run[i].buf);
	free(s->run);
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

uint64_t
sort_octets(const struct sort *s)
{
	return s->octets;
}

uint64_t
sort_count(const struct sort *s)
{
	return s->count;
}

/* --- spilling --- */

static int
spill_file(struct sort *s)
{
	static const char name[] = "mailboxes.mdb.new"; /* a name that a killed job's successor sweeps */

	if (s->fd >= 0)
		return 0;
	s->fd = openat(s->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s->fd >= 0)
		return 0;
	s->fd = openat(s->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return s->fd < 0 ? -1 : unlinkat(s->dirfd, name, 0);
}

static int
write_all(struct sort *s, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t w = pwrite(s->fd, p, n, s->spilled);

		if (w < 0 && errno != EINTR)
			return -1;
		if (w > 0) {
			p += w;
			n -= (size_t)w;
			s->spilled += w;
		}
	}
	return 0;
}

static struct run *
new_run(struct sort *s)
{
	if (s->nrun == s->caprun) {
		size_t cap = s->caprun == 0 ? 16 : 2 * s->caprun;
		struct run *r = reallocarray(s->run, cap, sizeof(*r));

		if (r == NULL)
			return NULL;
		s->run = r;
		s->caprun = cap;
	}
	s->run[s->nrun] = (struct run){ .at = s->spilled };
	return &s->run[s->nrun++];
}

static struct quick *
sort_region(struct sort *s)
{
	struct quick *v = s->top - s->n;

	quick_sort(s->region, v, s->n);
	return v;
}

/* Write the region's items in order as one run; the region is empty. */
static int
spill(struct sort *s)
{
	struct quick *v = sort_region(s);
	uint8_t *buf = malloc(WRITE_CHUNK);
	struct run *r = new_run(s);
	size_t n = 0;
	int rc = buf == NULL || r == NULL || spill_file(s) != 0 ? -1 : 0;

	for (size_t i = 0; i < s->n && rc == 0; i++) {
		struct sort_item it;
		size_t size;

		quick_load(s->region + v[i].off, &it);
		size = quick_size(&it);
		if (size > WRITE_CHUNK - n) {
			rc = write_all(s, buf, n);
			n = 0;
		}
		memcpy(buf + n, s->region + v[i].off, size);
		n += size;
	}
	if (rc == 0)
		rc = write_all(s, buf, n);
	free(buf);
	if (r != NULL)
		r->end = s->spilled;
	s->n = s->used = 0;
	return rc;
}

int
sort_add(struct sort *s, const struct sort_item *it)
{
	size_t size = quick_size(it);

	if (size > SORT_ITEM_MAX) {
		errno = EINVAL;
		return -1;
	}
	if (s->memory - s->used < size + (s->n + 1) * sizeof(struct quick) && spill(s) != 0)
		return -1;
	s->top[-1 - (ssize_t)s->n] = (struct quick){ quick_chunk(it->key, 0), (uint32_t)s->used };
	s->n++;
	s->used += quick_store(s->region + s->used, it);
	s->octets += size;
	s->count++;
	return 0;
}

/* --- merging --- */

/* Have a whole item in the buffer and load it: 1, 0 at the run's end, -1 with errno. */
static int
run_load(const struct sort *s, struct run *r)
{
	for (;;) {
		size_t left = r->len - r->pos;
		ssize_t n;

		if (left >= QUICK_HEAD) {
			quick_load(r->buf + r->pos, &r->item);
			if (quick_size(&r->item) <= left) {
				r->chunk = quick_chunk(r->item.key, 0);
				return 1;
			}
		}
		if (r->at == r->end)
			return 0;
		memmove(r->buf, r->buf + r->pos, left);
		r->pos = 0;
		r->len = left;
		n = pread(s->fd, r->buf + left,
		    r->end - r->at < (off_t)(r->cap - left) ? (size_t)(r->end - r->at) : r->cap - left, r->at);
		if (n == 0)
			errno = EIO;
		if (n <= 0)
			return -1;
		r->at += n;
		r->len += (size_t)n;
	}
}

static bool
run_before(const struct run *a, const struct run *b)
{
	return a->chunk != b->chunk ? a->chunk < b->chunk : quick_compare(&a->item, &b->item) < 0;
}

static void
sift_down(struct run *h, size_t n, size_t i)
{
	for (;;) {
		size_t c = 2 * i + 1;

		if (c >= n)
			return;
		if (c + 1 < n && run_before(&h[c + 1], &h[c]))
			c++;
		if (!run_before(&h[c], &h[i]))
			return;
		struct run t = h[i];

		h[i] = h[c];
		h[c] = t;
		i = c;
	}
}

static int
merge_begin(struct sort *s)
{
	size_t cap = s->memory / s->nrun;

	munmap(s->region, s->memory);
	s->region = NULL;
	cap = cap > READ_MAX ? READ_MAX : cap;
	if (cap < SORT_ITEM_MAX)
		cap = SORT_ITEM_MAX;
	for (size_t i = 0; i < s->nrun; i++) {
		s->run[i].cap = cap;
		s->run[i].buf = malloc(cap);
		if (s->run[i].buf == NULL || run_load(s, &s->run[i]) != 1)
			return -1;
	}
	s->nheap = s->nrun;
	for (size_t i = s->nrun / 2; i-- > 0;)
		sift_down(s->run, s->nheap, i);
	return 0;
}

int
sort_finish(struct sort *s)
{
	if (s->nrun == 0) {
		sort_region(s);
		return 0;
	}
	if (s->n > 0 && spill(s) != 0)
		return -1;
	return merge_begin(s);
}

static int
merge_next(struct sort *s, struct sort_item *it)
{
	if (s->nheap > 0 && s->advance) {
		struct run *r = &s->run[0];
		int rc;

		r->pos += quick_size(&r->item);
		rc = run_load(s, r);
		if (rc < 0)
			return -1;
		if (rc == 0) { /* it stays behind the heap, for sort_free() */
			struct run t = *r;

			*r = s->run[--s->nheap];
			s->run[s->nheap] = t;
		}
		sift_down(s->run, s->nheap, 0);
	}
	s->advance = true;
	if (s->nheap == 0)
		return 0;
	*it = s->run[0].item;
	return 1;
}

int
sort_next(struct sort *s, struct sort_item *it)
{
	if (s->nrun > 0)
		return merge_next(s, it);
	if (s->next == s->n)
		return 0;
	quick_load(s->region + s->top[-(ssize_t)s->n + (ssize_t)s->next++].off, it);
	return 1;
}
