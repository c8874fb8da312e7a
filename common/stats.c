/*
 * stats: who counts.
 * Creates the segment, hands its slots out and counts in them.  Every store is
 * a relaxed 64-bit one by the slot's only writer: no lock, no locked
 * instruction.  Reading it is stats_read.c's part.
 */
#include "common/stats_form.h"
#include "common/stats_priv.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RELAXED memory_order_relaxed

static off_t
slot_offset(unsigned i)
{
	return STATS_HEAD + (off_t)i * (off_t)sizeof(struct stats_slot);
}

/* posix_fallocate: on a full tmpfs a hole would be SIGBUS at some later count instead of ENOSPC now. */
static int
fill(int fd, const char *version, uint64_t started)
{
	struct stats_head h = {
		.magic = STATS_MAGIC,
		.layout = STATS_LAYOUT_ALL,
		.nslots = STATS_SLOTS,
		.slot_size = sizeof(struct stats_slot),
		.started = started,
		.head = STATS_HEAD,
		.form = stats_form_sum(),
	};
	char form[STATS_FORM_MAX];
	size_t n = stats_form_write(form);

	if ((errno = posix_fallocate(fd, 0, slot_offset(STATS_SLOTS))) != 0)
		return -1;
	strlcpy(h.version, version, sizeof(h.version));
	if (pwrite(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || pwrite(fd, form, n, STATS_FORM) != (ssize_t)n)
		return -1;
	return fchmod(fd, 0644);
}

int
stats_create_next(int dir, const char *version, uint64_t started)
{
	int fd, err;

	if (unlinkat(dir, STATS_NEXT, 0) != 0 && errno != ENOENT)
		return -1;
	if ((fd = openat(dir, STATS_NEXT, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) == -1)
		return -1;
	if (fill(fd, version, started) == 0)
		return fd;
	err = errno;
	unlinkat(dir, STATS_NEXT, 0);
	close(fd);
	errno = err;
	return -1;
}

int
stats_publish(int dir)
{
	return renameat(dir, STATS_NEXT, dir, STATS_FILE);
}

int
stats_settle(int fd)
{
	static const uint32_t yes = 1;

	return pwrite(fd, &yes, sizeof yes, offsetof(struct stats_head, settled)) == (ssize_t)sizeof yes ? 0 : -1;
}

int
stats_create(const char *dir, const char *version)
{
	int d, fd, err;

	if ((d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return -1;
	fd = stats_create_next(d, version, (uint64_t)time(NULL));
	if (fd >= 0 && (stats_settle(fd) != 0 || stats_publish(d) != 0)) {
		err = errno;
		unlinkat(d, STATS_NEXT, 0);
		close(fd);
		fd = -1;
		errno = err;
	}
	err = errno;
	close(d);
	errno = err;
	return fd;
}

/* A segment of another build is refused: its numbers stand elsewhere. */
int
stats_layout_check(int fd)
{
	struct stats_head h;
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -1;
	if (pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || h.magic != STATS_MAGIC ||
	    h.layout != STATS_LAYOUT_ALL || h.form != stats_form_sum() || h.slot_size != sizeof(struct stats_slot) ||
	    h.nslots != STATS_SLOTS || st.st_size < slot_offset(STATS_SLOTS)) {
		errno = EPROTONOSUPPORT;
		return -1;
	}
	return 0;
}

/* The slot's pages, or NULL with errno. */
static struct stats_slot *
map(int fd, unsigned i)
{
	void *p;

	if (i >= STATS_SLOTS) {
		errno = EINVAL;
		return NULL;
	}
	if (stats_layout_check(fd) != 0)
		return NULL;
	p = mmap(NULL, sizeof(struct stats_slot), PROT_READ | PROT_WRITE, MAP_SHARED, fd, slot_offset(i));
	return p != MAP_FAILED ? p : NULL;
}

struct stats_slot *
stats_slot_borrow(int fd, unsigned i)
{
	return map(fd, i);
}

/* Gauges first: whoever sees the pid gone must not see its sessions. */
void
stats_slot_release(struct stats_slot *s)
{
	for (size_t g = 0; g < STATS_NGAUGES; g++)
		atomic_store_explicit(&s->gauge[g], 0, RELAXED);
	for (size_t h = 0; h < STATS_HANDLERS; h++)
		atomic_store_explicit(&s->handler[h].running, 0, RELAXED);
	atomic_store_explicit(&s->beat, 0, RELAXED);
	atomic_store_explicit(&s->pid, 0, RELAXED);
}

struct stats_slot *
stats_slot_map(int fd, unsigned i, uint64_t generation)
{
	struct stats_slot *s = map(fd, i);

	if (s == NULL)
		return NULL;
	stats_slot_release(s);
	atomic_store_explicit(&s->generation, generation, RELAXED);
	stats_beat(s, (uint64_t)time(NULL));
	atomic_store_explicit(&s->pid, (uint64_t)getpid(), RELAXED);
	return s;
}

int
stats_slot_clear(int fd, unsigned i)
{
	struct stats_slot *s = map(fd, i);

	if (s == NULL)
		return -1;
	stats_slot_release(s);
	stats_slot_unmap(s);
	return 0;
}

int
stats_beat_of(int fd, unsigned i, uint64_t *beat)
{
	ssize_t n = pread(fd, beat, sizeof *beat, slot_offset(i) + (off_t)offsetof(struct stats_slot, beat));

	if (n >= 0 && n != (ssize_t)sizeof *beat)
		errno = EBADMSG;
	return n == (ssize_t)sizeof *beat ? 0 : -1;
}

void
stats_slot_unmap(struct stats_slot *s)
{
	if (s != NULL)
		munmap(s, sizeof(*s));
}

static inline void
bump(_Atomic uint64_t *n, uint64_t by)
{
	atomic_store_explicit(n, atomic_load_explicit(n, RELAXED) + by, RELAXED);
}

/* What a reply is counted under: the reason's word is made [a-z0-9-], NUL-filled, so that rows compare whole. */
struct key {
	uint32_t enh, hash;
	uint16_t code;
	char reason[sizeof(((struct stats_reason *)0)->reason)];
};

/* FNV-1a.  Reasons are words of our own code and of the administrator's handlers: no attacker picks them. */
static void
key_make(struct key *k, uint16_t code, uint32_t enh, const char *reason)
{
	uint32_t h = ((2166136261u ^ code) * 16777619u ^ enh) * 16777619u;

	*k = (struct key){ .enh = enh, .code = code };
	for (size_t i = 0; i < sizeof(k->reason) - 1 && reason[i] != '\0'; i++) {
		char c = reason[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		k->reason[i] = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-';
		h = (h ^ (uint8_t)k->reason[i]) * 16777619u;
	}
	k->hash = h ^ h >> 16;
}

static bool
row_is(const struct stats_reason *r, const struct key *k)
{
	return atomic_load_explicit(&r->code, RELAXED) == k->code && atomic_load_explicit(&r->enh, RELAXED) == k->enh &&
	    memcmp(r->reason, k->reason, sizeof(k->reason)) == 0;
}

/* A free row becomes this one; the count, stored last, is what makes readers look. */
static void
row_take(struct stats_reason *r, const struct key *k, uint64_t by)
{
	atomic_store_explicit(&r->code, k->code, RELAXED);
	atomic_store_explicit(&r->enh, k->enh, RELAXED);
	memcpy(r->reason, k->reason, sizeof(k->reason));
	atomic_store_explicit(&r->count, by, memory_order_release);
}

/* Open addressing over all rows but the last, which takes the overflow.  A row is never given back, so a free one ends the search. */
static void
count_reason(struct stats_reason *table, size_t n, const struct key *k, uint64_t by)
{
	static const struct key overflow = { .reason = "other" };
	struct stats_reason *r;
	size_t rows = n - 1, at = k->hash % rows;

	for (size_t i = 0; i < rows; i++, at = at + 1 < rows ? at + 1 : 0) {
		r = &table[at];
		if (atomic_load_explicit(&r->count, RELAXED) == 0) {
			row_take(r, k, by);
			return;
		}
		if (row_is(r, k)) {
			bump(&r->count, by);
			return;
		}
	}
	r = &table[rows];
	if (atomic_load_explicit(&r->count, RELAXED) == 0)
		row_take(r, &overflow, by);
	else
		bump(&r->count, by);
}

void
stats_reply(struct stats_slot *s, uint16_t code, uint32_t enh, const char *reason)
{
	bump(&s->reply[code < STATS_CODES ? code : 0], 1);
	if (reason[0] != '\0') {
		struct key k;

		key_make(&k, code, enh, reason);
		count_reason(s->reason, STATS_REASONS, &k, 1);
	}
}

void
stats_tls_failed(struct stats_slot *s, const char *why)
{
	struct key k;

	stats_add(s, STATS_TLS_FAILED, 1);
	key_make(&k, 0, 0, why[0] != '\0' ? why : "unknown");
	count_reason(s->tls_why, STATS_TLS_WHYS, &k, 1);
}

void
stats_reason_add(struct stats_reason *table, size_t n, uint16_t code, uint32_t enh, const char *reason, uint64_t by)
{
	struct key k;

	key_make(&k, code, enh, reason);
	count_reason(table, n, &k, by);
}

void
stats_hist_add(struct stats_hist *h, uint64_t us)
{
	unsigned width = us != 0 ? 64 - (unsigned)__builtin_clzll(us) : 0;

	bump(&h->bucket[width < STATS_BUCKETS ? width : STATS_BUCKETS - 1], 1);
	bump(&h->sum_us, us);
}

void
stats_observe(struct stats_slot *s, enum stats_histogram h, uint64_t us)
{
	stats_hist_add(&s->hist[h], us);
}

#define NAME(id, name, help) name,
#define HELP(id, name, help) help,
const char *const stats_counter_name[STATS_NCOUNTERS] = { STATS_COUNTERS(NAME) };
const char *const stats_counter_help[STATS_NCOUNTERS] = { STATS_COUNTERS(HELP) };
const char *const stats_gauge_name[STATS_NGAUGES] = { STATS_GAUGES(NAME) };
const char *const stats_gauge_help[STATS_NGAUGES] = { STATS_GAUGES(HELP) };
const char *const stats_hist_name[STATS_NHISTOGRAMS] = { STATS_HISTOGRAMS(NAME) };
const char *const stats_hist_help[STATS_NHISTOGRAMS] = { STATS_HISTOGRAMS(HELP) };
