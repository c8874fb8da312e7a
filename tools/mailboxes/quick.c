/*
 * quick: Bentley and Sedgewick's multikey quicksort ("Fast Algorithms for
 * Sorting and Searching Strings", 1997), by chunks of eight octets instead of
 * single characters.  When a key is used up, its tag is the last chunk.
 */
#include "tools/mailboxes/quick.h"

#include <endian.h>

enum { SMALL = 16 }; /* entries that are sorted by insertion */

struct range {
	const uint8_t *region;
	size_t depth; /* octets of the keys that are equal in this range */
	bool tag;     /* the keys are equal; chunks hold their tags */
};

/* --- items as octets --- */

size_t
quick_store(uint8_t *p, const struct sort_item *it)
{
	uint64_t tag = (uint64_t)it->what << 56 | it->line;
	uint32_t reclen = (uint32_t)it->rec.n;
	uint16_t keylen = (uint16_t)it->key.n;

	memcpy(p, &tag, 8);
	memcpy(p + 8, &reclen, 4);
	memcpy(p + 12, &keylen, 2);
	memcpy(p + QUICK_HEAD, it->key.p, it->key.n);
	if (it->rec.n > 0)
		memcpy(p + QUICK_HEAD + it->key.n, it->rec.p, it->rec.n);
	return quick_size(it);
}

void
quick_load(const uint8_t *p, struct sort_item *it)
{
	uint64_t tag;
	uint32_t reclen;
	uint16_t keylen;

	memcpy(&tag, p, 8);
	memcpy(&reclen, p + 8, 4);
	memcpy(&keylen, p + 12, 2);
	it->what = (uint8_t)(tag >> 56);
	it->line = tag & (UINT64_MAX >> 8);
	it->key = span_of(p + QUICK_HEAD, keylen);
	it->rec = span_of(p + QUICK_HEAD + keylen, reclen);
}

uint64_t
quick_chunk(struct span key, size_t depth)
{
	uint64_t v = 0;
	size_t n = key.n > depth ? key.n - depth : 0;

	if (n > 0)
		memcpy(&v, key.p + depth, n < 8 ? n : 8);
	return be64toh(v);
}

int
quick_compare(const struct sort_item *a, const struct sort_item *b)
{
	int c = memcmp(a->key.p, b->key.p, a->key.n < b->key.n ? a->key.n : b->key.n);

	if (c == 0)
		c = (a->key.n > b->key.n) - (a->key.n < b->key.n);
	if (c == 0)
		c = (a->what > b->what) - (a->what < b->what);
	return c != 0 ? c : (a->line > b->line) - (a->line < b->line);
}

/* --- sorting --- */

static struct span
key_of(const struct range *r, const struct quick *q)
{
	struct sort_item it;

	quick_load(r->region + q->off, &it);
	return it.key;
}

static void
swap(struct quick *a, struct quick *b)
{
	struct quick t = *a;

	*a = *b;
	*b = t;
}

static bool
before(const struct range *r, const struct quick *a, const struct quick *b)
{
	struct sort_item x, y;

	if (a->chunk != b->chunk || r->tag)
		return a->chunk < b->chunk;
	quick_load(r->region + a->off, &x);
	quick_load(r->region + b->off, &y);
	return quick_compare(&x, &y) < 0;
}

static void
insertion(const struct range *r, struct quick *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct quick x = v[i];
		size_t j = i;

		for (; j > 0 && before(r, &x, &v[j - 1]); j--)
			v[j] = v[j - 1];
		v[j] = x;
	}
}

static uint64_t
median(uint64_t a, uint64_t b, uint64_t c)
{
	if (a > b) {
		uint64_t t = a;

		a = b;
		b = t;
	}
	return c < a ? a : c > b ? b : c;
}

/* A median of nine, since lists come sorted, half sorted and in blocks. */
static uint64_t
pivot(const struct quick *v, size_t n)
{
	size_t s = n / 8;

	return median(median(v[0].chunk, v[s].chunk, v[2 * s].chunk),
	    median(v[n / 2 - s].chunk, v[n / 2].chunk, v[n / 2 + s].chunk),
	    median(v[n - 1 - 2 * s].chunk, v[n - 1 - s].chunk, v[n - 1].chunk));
}

static void sort_range(struct range r, struct quick *v, size_t n);

/* All chunks are equal: go on with the next eight octets, or with the tags. */
static void
sort_equal(struct range r, struct quick *v, size_t n)
{
	if (r.tag || n < 2)
		return;
	if ((v[0].chunk & 0xff) == 0) { /* no key holds a NUL: they end here */
		r.tag = true;
		for (size_t i = 0; i < n; i++)
			memcpy(&v[i].chunk, r.region + v[i].off, sizeof(v[i].chunk));
	} else {
		r.depth += 8;
		for (size_t i = 0; i < n; i++)
			v[i].chunk = quick_chunk(key_of(&r, &v[i]), r.depth);
	}
	sort_range(r, v, n);
}

static void
sort_range(struct range r, struct quick *v, size_t n)
{
	while (n > SMALL) {
		uint64_t p = pivot(v, n);
		size_t lt = 0, i = 0, gt = n;

		while (i < gt) {
			if (v[i].chunk < p)
				swap(&v[lt++], &v[i++]);
			else if (v[i].chunk > p)
				swap(&v[i], &v[--gt]);
			else
				i++;
		}
		sort_equal(r, v + lt, gt - lt);
		/* The smaller side by recursion, the larger one by the loop: the stack stays shallow. */
		if (lt < n - gt) {
			sort_range(r, v, lt);
			v += gt;
			n -= gt;
		} else {
			sort_range(r, v + gt, n - gt);
			n = lt;
		}
	}
	insertion(&r, v, n);
}

void
quick_sort(const uint8_t *region, struct quick *v, size_t n)
{
	sort_range((struct range){ .region = region }, v, n);
}
