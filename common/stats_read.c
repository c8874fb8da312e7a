/*
 * stats: who looks.
 * Adds the slots of a segment up and trusts nothing in it.  The file is read,
 * not mapped: one that shrinks meanwhile is then a short read and no SIGBUS.
 */
#include "common/stats_carry.h"
#include "common/stats_priv.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct stats_map {
	int fd;
	struct stats_head head;
	bool foreign; /* another build's: read by its form */
	struct stats_carry form;
};

enum { SIZE = STATS_HEAD + STATS_SLOTS * sizeof(struct stats_slot) };

enum { LOOK_TRIES = 100 }; /* 10 ms apart, for a segment that is not settled */

/* What a bucket can hold at the most: so many that the sum of all buckets of all slots stays below 2^63. */
#define BUCKET_MAX ((uint64_t)1 << 50)

/* 0, or the errno that says what is wrong with the file. */
static int
check(int fd, struct stats_head *h)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) != 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EBADMSG;
	if ((n = pread(fd, h, sizeof(*h), 0)) == -1)
		return errno;
	if (n != (ssize_t)sizeof(*h) || h->magic != STATS_MAGIC)
		return EBADMSG;
	if (h->layout != STATS_LAYOUT_ALL || h->form != stats_form_sum())
		return EPROTONOSUPPORT;
	if (h->nslots != STATS_SLOTS || h->slot_size != sizeof(struct stats_slot) || st.st_size < SIZE)
		return EBADMSG;
	return 0;
}

/* Takes ${fd}, which may be -1 with errno. */
static int
open_fd(int fd, struct stats_map **m)
{
	struct stats_map *map;
	int err;

	if (fd == -1)
		return -1;
	if ((map = calloc(1, sizeof(*map))) == NULL) {
		err = errno;
		goto err0;
	}
	map->fd = fd;
	map->form = (struct stats_carry){ .fd = -1, .seen = -1 };
	err = check(fd, &map->head);
	map->foreign = err == EPROTONOSUPPORT && stats_carry_open(&map->form, fcntl(fd, F_DUPFD_CLOEXEC, 0), -1) == 0;
	if (err != 0 && !map->foreign)
		goto err1;
	*m = map;
	return 0;

err1:
	free(map);
err0:
	close(fd);
	errno = err;
	return -1;
}

int
stats_open(const char *path, struct stats_map **m)
{
	/* O_NONBLOCK: a FIFO with nobody behind it must not hold us. */
	return open_fd(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), m);
}

int
stats_open_fd(int fd, struct stats_map **m)
{
	return open_fd(fcntl(fd, F_DUPFD_CLOEXEC, 0), m);
}

void
stats_close(struct stats_map *m)
{
	if (m == NULL)
		return;
	stats_carry_close(&m->form);
	close(m->fd);
	free(m);
}

/* Counts from outside: stop at the top instead of beginning again. */
void
stats_sum_add(uint64_t *sum, uint64_t n)
{
	if (__builtin_add_overflow(*sum, n, sum))
		*sum = UINT64_MAX;
}

uint64_t
stats_get(const _Atomic uint64_t *p)
{
	return atomic_load_explicit(p, memory_order_relaxed);
}

/* Whether the row is one that stats_reply() may have written; copies it. */
static bool
take_row(const struct stats_reason *r, struct stats_row *out)
{
	size_t n;

	out->count = stats_get(&r->count);
	out->code = atomic_load_explicit(&r->code, memory_order_relaxed);
	out->enh = atomic_load_explicit(&r->enh, memory_order_relaxed);
	memcpy(out->reason, r->reason, sizeof(out->reason));
	n = strnlen(out->reason, sizeof(out->reason));
	if (out->count == 0 || out->code >= STATS_CODES || (out->enh >> 20) > 9 || n == 0 || n == sizeof(out->reason))
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = out->reason[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	memset(out->reason + n, 0, sizeof(out->reason) - n);
	return true;
}

/* Rows of a table, of all slots. */
struct rows {
	struct stats_row *row;
	size_t n, cap;
};

static int
add_rows(struct rows *rows, const struct stats_reason *table, size_t n)
{
	struct stats_row r, *grown;

	for (size_t i = 0; i < n; i++) {
		if (!take_row(&table[i], &r))
			continue;
		if (rows->n == rows->cap) {
			rows->cap = rows->cap > 0 ? 2 * rows->cap : STATS_REASONS;
			if ((grown = reallocarray(rows->row, rows->cap, sizeof(r))) == NULL)
				return -1;
			rows->row = grown;
		}
		rows->row[rows->n++] = r;
	}
	return 0;
}

static int
row_order(const void *va, const void *vb)
{
	const struct stats_row *a = va, *b = vb;

	if (a->code != b->code)
		return a->code < b->code ? -1 : 1;
	if (a->enh != b->enh)
		return a->enh < b->enh ? -1 : 1;
	return memcmp(a->reason, b->reason, sizeof(a->reason));
}

/* The same row of several slots becomes one. */
static void
fold_rows(struct rows *rows)
{
	size_t n = 0;

	if (rows->n == 0)
		return;
	qsort(rows->row, rows->n, sizeof(*rows->row), row_order);
	for (size_t i = 1; i < rows->n; i++) {
		if (row_order(&rows->row[n], &rows->row[i]) == 0)
			stats_sum_add(&rows->row[n].count, rows->row[i].count);
		else
			rows->row[++n] = rows->row[i];
	}
	rows->n = n + 1;
}

void
stats_sum_hist(uint64_t bucket[STATS_BUCKETS], uint64_t *sum_us, const struct stats_hist *h)
{
	for (size_t b = 0; b < STATS_BUCKETS; b++) {
		uint64_t n = stats_get(&h->bucket[b]);

		stats_sum_add(&bucket[b], n < BUCKET_MAX ? n : BUCKET_MAX);
	}
	stats_sum_add(sum_us, stats_get(&h->sum_us));
}

static void
add_numbers(struct stats_sum *sum, const struct stats_slot *s)
{
	for (size_t i = 0; i < STATS_CODES; i++)
		stats_sum_add(&sum->reply[i], stats_get(&s->reply[i]));
	for (size_t i = 0; i < STATS_NCOUNTERS; i++)
		stats_sum_add(&sum->counter[i], stats_get(&s->counter[i]));
	for (size_t i = 0; i < STATS_NHISTOGRAMS; i++)
		stats_sum_hist(sum->bucket[i], &sum->sum_us[i], &s->hist[i]);
}

/* What is a state and not an amount: the sum would say nothing, the smallest tells the worst. */
static bool
is_state(size_t gauge)
{
	return gauge == STATS_SANDBOX_LEVEL || gauge == STATS_DIRECTORY_MADE || gauge == STATS_DIRECTORY_ENTRIES ||
	    gauge == STATS_DIRECTORY_NEWEST || gauge == STATS_STORE_FREE || gauge == STATS_STORE_SIZE ||
	    gauge == STATS_STORE_FILES_FREE || gauge == STATS_CERTIFICATE_EXPIRES || gauge == STATS_CERTIFICATE_DAYS;
}

static void
add_owner(struct stats_sum *sum, unsigned slot, const struct stats_slot *s, bool first)
{
	struct stats_worker *w = &sum->worker[sum->nworker++];

	*w = (struct stats_worker){
		.slot = slot,
		.pid = stats_get(&s->pid),
		.generation = stats_get(&s->generation),
		.beat = stats_get(&s->beat),
		.sessions_open = stats_get(&s->gauge[STATS_SESSIONS_OPEN]),
	};
	for (size_t g = 0; g < STATS_NGAUGES; g++) {
		uint64_t v = stats_get(&s->gauge[g]);

		if (!is_state(g))
			stats_sum_add(&sum->gauge[g], v);
		else if (slot != 0 && (first || v < sum->gauge[g]))
			sum->gauge[g] = v;
	}
}

/* letterplate-reports is no worker, and what it knows is an amount. */
static void
add_gauges(struct stats_sum *sum, const struct stats_slot *s)
{
	for (size_t g = 0; g < STATS_NGAUGES; g++)
		if (!is_state(g))
			stats_sum_add(&sum->gauge[g], stats_get(&s->gauge[g]));
}

static void
copy_version(const struct stats_head *h, char out[33])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+~-";

	for (size_t i = 0; i < sizeof(h->version) && h->version[i] != '\0'; i++)
		out[i] = strchr(allowed, h->version[i]) != NULL ? h->version[i] : '?';
}

/* 0, or -1 with errno. */
static int
read_slot(struct stats_map *m, unsigned i, struct stats_slot *s)
{
	ssize_t n;

	if (m->foreign)
		return stats_carry_slot(&m->form, i, s);
	n = pread(m->fd, s, sizeof(*s), STATS_HEAD + (off_t)i * (off_t)sizeof(*s));

	if (n == (ssize_t)sizeof(*s))
		return 0;
	if (n >= 0)
		errno = EBADMSG;
	return -1;
}

int
stats_read(struct stats_map *m, struct stats_sum *out)
{
	struct stats_slot *s;
	struct rows replies = { NULL, 0, 0 }, tls = { NULL, 0, 0 };
	bool first = true; /* no worker seen yet */
	int err;

	memset(out, 0, sizeof(*out));
	/* Aligned as the file's pages are, so that the kernel copies whole words and no counter is seen half changed. */
	if ((s = aligned_alloc(_Alignof(struct stats_slot), sizeof(*s))) == NULL)
		return -1;
	out->started = m->head.started;
	copy_version(&m->head, out->version);
	for (unsigned i = 0; i < STATS_SLOTS; i++) {
		if (read_slot(m, i, s) != 0 || add_rows(&replies, s->reason, STATS_REASONS) != 0 ||
		    add_rows(&tls, s->tls_why, STATS_TLS_WHYS) != 0 || stats_read_handlers(out, s) != 0)
			goto err;
		add_numbers(out, s);
		if (i == STATS_SLOT_REPORTS || i == STATS_SLOT_CARRIED) {
			add_gauges(out, s);
		} else if (stats_get(&s->pid) != 0) {
			add_owner(out, i, s, first);
			first = first && i == 0;
		}
	}
	free(s);
	fold_rows(&replies);
	fold_rows(&tls);
	out->row = replies.row;
	out->nrow = replies.n;
	out->tls_why = tls.row;
	out->ntls_why = tls.n;
	return 0;

err:
	err = errno;
	free(s);
	free(replies.row);
	free(tls.row);
	stats_sum_free(out);
	errno = err;
	return -1;
}

/* Whether ${path} is still the file that was read; one that is gone has no successor yet. */
static bool
still_there(const char *path, int fd)
{
	struct stat here, read;

	return stat(path, &here) != 0 ||
	    (fstat(fd, &read) == 0 && here.st_dev == read.st_dev && here.st_ino == read.st_ino);
}

int
stats_look(const char *path, struct stats_sum *out)
{
	static const struct timespec pause = { 0, 10 * 1000 * 1000 };

	for (unsigned tries = 0;; tries++) {
		bool last = tries == LOOK_TRIES, good = true;
		struct stats_map *m;
		int err = 0;

		if (stats_open(path, &m) != 0)
			return -1;
		if (last || atomic_load_explicit(&m->head.settled, memory_order_relaxed) != 0) {
			err = stats_read(m, out) != 0 ? errno : 0;
			good = still_there(path, m->fd);
			if (err == 0 && !good && !last)
				stats_sum_free(out);
		} else {
			nanosleep(&pause, NULL);
			good = false;
		}
		stats_close(m);
		if (good || last) {
			errno = err;
			return err == 0 ? 0 : -1;
		}
	}
}

void
stats_sum_free(struct stats_sum *s)
{
	free(s->row);
	free(s->tls_why);
	free(s->handler);
	free(s->tag);
	s->row = s->tls_why = NULL;
	s->handler = NULL;
	s->tag = NULL;
	s->nrow = s->ntls_why = s->nhandler = s->ntag = 0;
}

uint64_t
stats_buckets_count(const uint64_t bucket[STATS_BUCKETS])
{
	uint64_t n = 0;

	for (size_t b = 0; b < STATS_BUCKETS; b++)
		stats_sum_add(&n, bucket[b]);
	return n;
}

uint64_t
stats_hist_count(const struct stats_sum *s, size_t h)
{
	return stats_buckets_count(s->bucket[h]);
}

double
stats_buckets_quantile(const uint64_t bucket[STATS_BUCKETS], double q)
{
	double want = q * (double)stats_buckets_count(bucket), below = 0;
	size_t last = 0;

	for (size_t b = 0; b < STATS_BUCKETS; b++) {
		double here = (double)bucket[b];
		double from = b > 0 ? (double)(UINT64_C(1) << (b - 1)) : 0, to = (double)(UINT64_C(1) << b);

		if (here <= 0)
			continue;
		last = b;
		if (below + here >= want && q < 1)
			return from + (to - from) * ((want - below) / here);
		below += here;
	}
	return below > 0 ? (double)(UINT64_C(1) << last) : 0;
}

double
stats_hist_quantile(const struct stats_sum *s, size_t h, double q)
{
	return stats_buckets_quantile(s->bucket[h], q);
}
