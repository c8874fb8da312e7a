/*
 * lookups: how long looking up recipients takes in a snapshot of N mailboxes
 * userNNNNNNNN@dNNN.example.org, as tests/load/cells_mailboxes.py makes them.
 *	lookups DIR N COUNT
 * Figures only, nothing is asserted but that the answers are right.
 */
#include <bsd/stdlib.h>
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/resolve.h"

enum { DOMAINS = 1000, ARENA_FIRST = 4096, ARENA_MAX = 1 << 20 };

static struct mdb *m;
static uint64_t users;
static uint32_t *took_ns;

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static size_t
address(char *out, size_t cap, bool there)
{
	uint64_t i = (arc4random() | (uint64_t)arc4random() << 32) % users;
	int n = snprintf(out, cap, "user%08llu%s@d%03llu.example.org", (unsigned long long)i, there ? "" : "x",
	    (unsigned long long)(i % DOMAINS));

	return (size_t)n;
}

static void
find(bool there)
{
	char key[64];
	size_t n = address(key, sizeof(key), there);
	struct span val;
	uint64_t from = now_ns();
	int rc = mdb_find(m, span_of(key, n), &val);

	*took_ns = (uint32_t)(now_ns() - from);
	if (rc != there)
		errx(1, "%.*s: %d", (int)n, key, rc);
}

static void
whole(bool there)
{
	static const struct resolve_conf cf = { .delimiters = "+", .postmaster = "", .hostname = "localhost" };
	char key[64];
	size_t n = address(key, sizeof(key), there);
	const char *at = memchr(key, '@', n);
	struct addr a = { .local = span_of(key, (size_t)(at - key)),
		.domain = span_of(at + 1, n - (size_t)(at + 1 - key)) };
	struct resolve_box *boxes;
	struct arena ar;
	struct reply r;
	uint64_t from = now_ns();
	enum resolve_res res;

	arena_init(&ar, ARENA_FIRST, ARENA_MAX);
	res = resolve(m, &cf, &a, &ar, &boxes, &r, NULL, NULL);
	arena_reset(&ar);
	*took_ns = (uint32_t)(now_ns() - from);
	if ((res == RESOLVE_OK) != there)
		errx(1, "%.*s", (int)n, key);
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
measure(const char *title, void (*one)(bool there), bool there, size_t count)
{
	uint32_t *ns = calloc(count, sizeof(*ns));
	uint64_t sum = 0;

	if (ns == NULL)
		err(1, "calloc");
	for (size_t i = 0; i < count; i++) {
		took_ns = &ns[i];
		one(there);
		sum += ns[i];
	}
	qsort(ns, count, sizeof(*ns), by_value);
	printf("%-28s %9.0f a second, median %6u ns, p99 %6u ns, p99.9 %6u ns\n", title,
	    (double)count * 1e9 / (double)sum, ns[count / 2], ns[count - count / 100 - 1],
	    ns[count - count / 1000 - 1]);
	free(ns);
}

int
main(int argc, char **argv)
{
	uint64_t from;
	size_t count;

	if (argc != 4)
		errx(64, "usage: lookups DIR N COUNT");
	users = (uint64_t)strtonum(argv[2], 1, 100000000, NULL);
	count = (size_t)strtonum(argv[3], 1000, 100000000, NULL);
	from = now_ns();
	if (users == 0 || count == 0 || mdb_open(argv[1], MDB_FILE, &m) != 0)
		err(1, "%s", argv[1]);
	printf("%-28s %9.2f ms\n", "open", (double)(now_ns() - from) / 1e6);
	measure("mdb_find, pages unseen", find, true, count / 10);
	measure("mdb_find, there", find, true, count);
	measure("mdb_find, not there", find, false, count);
	measure("resolve, a mailbox", whole, true, count);
	measure("resolve, refused", whole, false, count);
	from = now_ns();
	if (mdb_check(m) != 0)
		err(1, "%s", argv[1]);
	printf("%-28s %9.2f ms\n", "comparing the other pages", (double)(now_ns() - from) / 1e6);
	mdb_close(m);
	return 0;
}
