/*
 * stats_carry: see stats_carry.h.  A slot is read whole, compared with what it
 * was, and noted before the difference is counted: should that fail, a count
 * is late, never double.
 */
#include "common/stats_carry.h"

#include <sys/mman.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/stats_priv.h"

static uint64_t
word(const char *slot, uint32_t at)
{
	uint64_t v;

	memcpy(&v, slot + at, sizeof v);
	return v;
}

static void
bump(_Atomic uint64_t *n, uint64_t by)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + by, memory_order_relaxed);
}

/* How much the word at ${at} has grown. */
static uint64_t
grown(const struct stats_carry *c, uint32_t at)
{
	uint64_t now, was;

	if (at == STATS_FORM_NONE)
		return 0;
	now = word(c->now, at);
	was = word(c->was, at);
	return now > was ? now - was : 0;
}

int
stats_carry_open(struct stats_carry *c, int fd, int seen)
{
	int err = 0;

	*c = (struct stats_carry){ .fd = fd, .seen = seen };
	if (stats_form_read(fd, &c->form) == 0) {
		c->now = aligned_alloc(STATS_PAGE, c->form.slot_size + STATS_PAGE - c->form.slot_size % STATS_PAGE);
		c->was = calloc(1, c->form.slot_size);
		if (c->seen < 0)
			c->seen = memfd_create("letterplate.stats", MFD_CLOEXEC);
		if (c->now != NULL && c->was != NULL && c->seen >= 0 &&
		    (seen >= 0 || ftruncate(c->seen, (off_t)c->form.nslots * c->form.slot_size) == 0))
			return 0;
	}
	err = errno;
	stats_carry_close(c);
	errno = err;
	return -1;
}

void
stats_carry_close(struct stats_carry *c)
{
	free(c->now);
	free(c->was);
	if (c->fd >= 0)
		close(c->fd);
	if (c->seen >= 0)
		close(c->seen);
	*c = (struct stats_carry){ .fd = -1, .seen = -1 };
}

/* --- what has come --- */

static void
add_hist(const struct stats_carry *c, struct stats_hist *h, uint32_t at, uint32_t n)
{
	for (uint32_t b = 0; b < n; b++)
		bump(&h->bucket[b < STATS_BUCKETS ? b : STATS_BUCKETS - 1], grown(c, at + b * 8));
	if (n > 0)
		bump(&h->sum_us, grown(c, at + n * 8));
}

/* The name at ${at}, NUL-terminated. */
static const char *
name_at(const struct stats_carry *c, uint32_t at, uint32_t max, char out[STATS_HANDLER_MAX])
{
	size_t n = strnlen(c->now + at, max < STATS_HANDLER_MAX ? max : STATS_HANDLER_MAX - 1);

	memcpy(out, c->now + at, n);
	out[n] = '\0';
	return out;
}

static void
add_rows(const struct stats_carry *c, const struct stats_form_rows *r, struct stats_reason *table, size_t n)
{
	char name[STATS_HANDLER_MAX];

	for (uint32_t i = 0; i < r->n; i++) {
		uint32_t at = r->at + i * r->size, enh;
		uint64_t by = grown(c, at + r->count);
		uint16_t code;

		if (by == 0)
			continue;
		memcpy(&enh, c->now + at + r->enh, sizeof enh);
		memcpy(&code, c->now + at + r->code, sizeof code);
		stats_reason_add(table, n, code, enh, name_at(c, at + r->word, r->word_max, name), by);
	}
}

static void
add_handlers(const struct stats_carry *c, struct stats_slot *into)
{
	const struct stats_form *f = &c->form;
	char name[STATS_HANDLER_MAX];

	for (uint32_t i = 0; i < f->handler.n; i++) {
		uint32_t at = f->handler.at + i * f->handler.size;
		struct stats_handler *h;

		if (memcmp(c->now + at, c->was + at, f->handler.size) == 0 ||
		    name_at(c, at, f->handler.word_max, name)[0] == '\0')
			continue;
		h = &into->handler[stats_handler(into, name)];
		for (size_t a = 0; a < STATS_NANSWERS; a++)
			if (f->handler.answer[a] != STATS_FORM_NONE)
				bump(&h->answer[a], grown(c, at + f->handler.answer[a]));
		add_hist(c, &h->hist, at + f->handler.hist, f->handler.nhist);
	}
}

static void
add_slot(const struct stats_carry *c, struct stats_slot *into)
{
	const struct stats_form *f = &c->form;
	char name[STATS_HANDLER_MAX];

	for (uint32_t i = 0; i < f->nreply; i++)
		bump(&into->reply[i < STATS_CODES ? i : 0], grown(c, f->reply + i * 8));
	for (size_t i = 0; i < STATS_NCOUNTERS; i++)
		bump(&into->counter[i], grown(c, f->counter[i]));
	for (size_t i = 0; i < STATS_NHISTOGRAMS; i++)
		add_hist(c, &into->hist[i], f->hist[i].at, f->hist[i].n);
	add_rows(c, &f->reason, into->reason, STATS_REASONS);
	add_rows(c, &f->tls_why, into->tls_why, STATS_TLS_WHYS);
	add_handlers(c, into);
	for (uint32_t i = 0; i < f->tag.n; i++) {
		uint32_t at = f->tag.at + i * f->tag.size;
		uint64_t by = grown(c, at + f->tag.count);

		if (by > 0)
			stats_tag_add(into, name_at(c, at + f->tag.word, f->tag.word_max, name), by);
	}
}

/* Slot ${i} as it is now.  0, or -1 with errno. */
static int
read_now(const struct stats_carry *c, unsigned i)
{
	const struct stats_form *f = &c->form;
	ssize_t n = pread(c->fd, c->now, f->slot_size, f->head + (off_t)i * f->slot_size);

	if (n >= 0 && (size_t)n != f->slot_size)
		errno = EBADMSG;
	return n == (ssize_t)f->slot_size ? 0 : -1;
}

int
stats_carry_look(struct stats_carry *c, struct stats_slot *into)
{
	size_t size = c->form.slot_size;

	for (unsigned i = 0; i < c->form.nslots; i++) {
		off_t at = (off_t)i * (off_t)size;

		if (read_now(c, i) != 0 || pread(c->seen, c->was, size, at) != (ssize_t)size)
			return -1;
		if (memcmp(c->now, c->was, size) == 0)
			continue;
		if (pwrite(c->seen, c->now, size, at) != (ssize_t)size)
			return -1;
		add_slot(c, into);
	}
	return 0;
}

int
stats_carry_slot(struct stats_carry *c, unsigned i, struct stats_slot *out)
{
	memset(out, 0, sizeof *out);
	memset(c->was, 0, c->form.slot_size);
	if (i >= c->form.nslots)
		return 0;
	if (stats_carry_owner(c, i, out) != 0)
		return -1;
	add_slot(c, out);
	return 0;
}

int
stats_carry_owner(const struct stats_carry *c, unsigned i, struct stats_slot *into)
{
	const struct stats_form *f = &c->form;

	if (i >= f->nslots || read_now(c, i) != 0)
		return -1;
	for (size_t g = 0; g < STATS_NGAUGES; g++)
		stats_gauge(into, (enum stats_gauge)g, f->gauge[g] != STATS_FORM_NONE ? word(c->now, f->gauge[g]) : 0);
	if (f->generation != STATS_FORM_NONE)
		atomic_store_explicit(&into->generation, word(c->now, f->generation), memory_order_relaxed);
	if (f->beat != STATS_FORM_NONE)
		stats_beat(into, word(c->now, f->beat));
	atomic_store_explicit(&into->pid, word(c->now, f->pid), memory_order_relaxed);
	return 0;
}

int
stats_carry_beat(const struct stats_carry *c, unsigned i, uint64_t *beat)
{
	const struct stats_form *f = &c->form;
	ssize_t n;

	if (i >= f->nslots || f->beat == STATS_FORM_NONE) {
		errno = EINVAL;
		return -1;
	}
	n = pread(c->fd, beat, sizeof *beat, f->head + (off_t)i * f->slot_size + f->beat);
	if (n >= 0 && n != (ssize_t)sizeof *beat)
		errno = EBADMSG;
	return n == (ssize_t)sizeof *beat ? 0 : -1;
}
