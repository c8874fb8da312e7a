/*
 * stats_form: see stats_form.h.  It is read by hand, as it comes from another
 * build: a place is taken when all of what stands there lies inside its slot.
 */
#include "common/stats_form.h"

#include <sys/stat.h>

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/crc32c.h"

#define AT(member) offsetof(struct stats_slot, member)

struct out {
	char *text;
	size_t n;
};

static void __attribute__((format(printf, 2, 3))) say(struct out *o, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(o->text + o->n, STATS_FORM_MAX - o->n, fmt, ap);
	va_end(ap);
	/* As long as the build's lists are: that it fits is a matter of the build. */
	if (n < 0 || (size_t)n >= STATS_FORM_MAX - o->n)
		abort();
	o->n += (size_t)n;
}

static void
say_rows(struct out *o, const char *name, size_t at, size_t n)
{
	say(o, "rows %s %zu %zu %zu %zu %zu %zu %zu %zu\n", name, at, n, sizeof(struct stats_reason),
	    offsetof(struct stats_reason, count), offsetof(struct stats_reason, enh),
	    offsetof(struct stats_reason, code), offsetof(struct stats_reason, reason),
	    sizeof(((struct stats_reason *)0)->reason));
}

size_t
stats_form_write(char out[STATS_FORM_MAX])
{
	struct out o = { out, 0 };

	say(&o, "word pid %zu\nword generation %zu\nword beat %zu\n", AT(pid), AT(generation), AT(beat));
	say(&o, "replies - %zu %u\n", AT(reply), (unsigned)STATS_CODES);
	for (size_t i = 0; i < STATS_NCOUNTERS; i++)
		say(&o, "counter %s %zu\n", stats_counter_name[i], AT(counter) + i * sizeof(uint64_t));
	for (size_t i = 0; i < STATS_NGAUGES; i++)
		say(&o, "gauge %s %zu\n", stats_gauge_name[i], AT(gauge) + i * sizeof(uint64_t));
	for (size_t i = 0; i < STATS_NHISTOGRAMS; i++)
		say(&o, "histogram %s %zu %u\n", stats_hist_name[i], AT(hist) + i * sizeof(struct stats_hist),
		    (unsigned)STATS_BUCKETS);
	say_rows(&o, "reason", AT(reason), STATS_REASONS);
	say_rows(&o, "tls_why", AT(tls_why), STATS_TLS_WHYS);
	say(&o, "handlers - %zu %u %zu %u %zu %u\n", AT(handler), (unsigned)STATS_HANDLERS,
	    sizeof(struct stats_handler), (unsigned)STATS_HANDLER_MAX, offsetof(struct stats_handler, hist),
	    (unsigned)STATS_BUCKETS);
	for (size_t i = 0; i < STATS_NANSWERS; i++)
		say(&o, "answer %s %zu\n", stats_answer_name[i],
		    offsetof(struct stats_handler, answer) + i * sizeof(uint64_t));
	say(&o, "running - %zu\n", offsetof(struct stats_handler, running));
	say(&o, "tags - %zu %u %zu %zu %zu %u\n", AT(tag), (unsigned)STATS_TAGS, sizeof(struct stats_tag),
	    offsetof(struct stats_tag, count), offsetof(struct stats_tag, word), (unsigned)STATS_TAG_MAX);
	return o.n + 1;
}

uint32_t
stats_form_sum(void)
{
	static _Thread_local uint32_t sum;
	static _Thread_local bool known;
	char text[STATS_FORM_MAX];

	if (!known)
		sum = crc32c(0, text, stats_form_write(text));
	known = true;
	return sum;
}

/* --- reading --- */

enum { NUMBERS = 8 };

struct line {
	const char *kind, *name;
	uint32_t v[NUMBERS];
	size_t n;
};

/* The next line of *at, taken apart in place; false at the end, or at one that is none. */
static bool
next(char **at, struct line *l)
{
	char *line = strsep(at, "\n"), *word, *end;

	*l = (struct line){ 0 };
	if (line == NULL || (l->kind = strsep(&line, " ")) == NULL || (l->name = strsep(&line, " ")) == NULL)
		return false;
	while (l->n < NUMBERS && (word = strsep(&line, " ")) != NULL) {
		unsigned long v = strtoul(word, &end, 10);

		if (end == word || *end != '\0' || v >= STATS_FORM_NONE)
			return false;
		l->v[l->n++] = (uint32_t)v;
	}
	return true;
}

/* Whether ${n} things of ${size} octets at ${at} lie inside ${room} octets, at a multiple of ${align}. */
static bool
inside(uint64_t at, uint64_t n, uint64_t size, uint64_t room, uint64_t align)
{
	return at % align == 0 && n <= room && size <= room && at <= room && n * size <= room - at;
}

/* The index of ${name} in a list of names, or ${n}. */
static size_t
find(const char *const *list, size_t n, const char *name)
{
	size_t i = 0;

	while (i < n && strcmp(list[i], name) != 0)
		i++;
	return i;
}

static void
take_word(const struct stats_form *f, const char *const *list, uint32_t *place, size_t n, const struct line *l)
{
	size_t i = find(list, n, l->name);

	if (i < n && l->n == 1 && inside(l->v[0], 1, 8, f->slot_size, 8))
		place[i] = l->v[0];
}

static void
take_rows(const struct stats_form *f, struct stats_form_rows *r, const struct line *l)
{
	struct stats_form_rows got = { l->v[0], l->v[1], l->v[2], l->v[3], l->v[4], l->v[5], l->v[6], l->v[7] };

	if (l->n == 8 && inside(got.at, got.n, got.size, f->slot_size, 8) && got.size % 8 == 0 &&
	    inside(got.count, 1, 8, got.size, 8) && inside(got.enh, 1, 4, got.size, 4) &&
	    inside(got.code, 1, 2, got.size, 2) && inside(got.word, 1, got.word_max, got.size, 1))
		*r = got;
}

static void
take_tags(const struct stats_form *f, struct stats_form_rows *r, const struct line *l)
{
	struct stats_form_rows got = { l->v[0], l->v[1], l->v[2], l->v[3], 0, 0, l->v[4], l->v[5] };

	if (l->n == 6 && inside(got.at, got.n, got.size, f->slot_size, 8) && got.size % 8 == 0 &&
	    inside(got.count, 1, 8, got.size, 8) && inside(got.word, 1, got.word_max, got.size, 1))
		*r = got;
}

static void
take_handlers(struct stats_form *f, const struct line *l)
{
	const uint32_t *v = l->v;

	if (l->n != 6 || !inside(v[0], v[1], v[2], f->slot_size, 8) || v[2] % 8 != 0 || v[3] > v[2] ||
	    !inside(v[4], (uint64_t)v[5] + 1, 8, v[2], 8))
		return;
	f->handler.at = v[0];
	f->handler.n = v[1];
	f->handler.size = v[2];
	f->handler.word_max = v[3];
	f->handler.hist = v[4];
	f->handler.nhist = v[5];
	/* Those of rows of another size. */
	memset(f->handler.answer, 0xff, sizeof f->handler.answer);
	f->handler.running = STATS_FORM_NONE;
}

static void
take(struct stats_form *f, const struct line *l)
{
	static const char *const words[] = { "pid", "generation", "beat" };
	size_t i;

	if (strcmp(l->kind, "word") == 0) {
		uint32_t *const place[] = { &f->pid, &f->generation, &f->beat };

		i = find(words, 3, l->name);
		if (i < 3)
			take_word(f, &words[i], place[i], 1, l);
	} else if (strcmp(l->kind, "replies") == 0 && l->n == 2 && inside(l->v[0], l->v[1], 8, f->slot_size, 8)) {
		f->reply = l->v[0];
		f->nreply = l->v[1];
	} else if (strcmp(l->kind, "counter") == 0) {
		take_word(f, stats_counter_name, f->counter, STATS_NCOUNTERS, l);
	} else if (strcmp(l->kind, "gauge") == 0) {
		take_word(f, stats_gauge_name, f->gauge, STATS_NGAUGES, l);
	} else if (strcmp(l->kind, "histogram") == 0) {
		i = find(stats_hist_name, STATS_NHISTOGRAMS, l->name);
		if (i < STATS_NHISTOGRAMS && l->n == 2 && inside(l->v[0], (uint64_t)l->v[1] + 1, 8, f->slot_size, 8)) {
			f->hist[i].at = l->v[0];
			f->hist[i].n = l->v[1];
		}
	} else if (strcmp(l->kind, "rows") == 0) {
		if (strcmp(l->name, "reason") == 0)
			take_rows(f, &f->reason, l);
		else if (strcmp(l->name, "tls_why") == 0)
			take_rows(f, &f->tls_why, l);
	} else if (strcmp(l->kind, "handlers") == 0) {
		take_handlers(f, l);
	} else if (strcmp(l->kind, "answer") == 0) {
		i = find(stats_answer_name, STATS_NANSWERS, l->name);
		if (i < STATS_NANSWERS && l->n == 1 && inside(l->v[0], 1, 8, f->handler.size, 8))
			f->handler.answer[i] = l->v[0];
	} else if (strcmp(l->kind, "running") == 0) {
		if (l->n == 1 && inside(l->v[0], 1, 8, f->handler.size, 8))
			f->handler.running = l->v[0];
	} else if (strcmp(l->kind, "tags") == 0) {
		take_tags(f, &f->tag, l);
	}
}

int
stats_form_read(int fd, struct stats_form *f)
{
	char text[STATS_FORM_MAX], *at = text;
	struct stats_head h;
	struct stat st;
	struct line l;
	ssize_t n;

	memset(f, 0, sizeof *f);
	f->pid = f->generation = f->beat = STATS_FORM_NONE;
	memset(f->counter, 0xff, sizeof f->counter);
	memset(f->gauge, 0xff, sizeof f->gauge);
	memset(f->handler.answer, 0xff, sizeof f->handler.answer);
	f->handler.running = STATS_FORM_NONE;
	if (fstat(fd, &st) != 0)
		return -1;
	n = pread(fd, &h, sizeof h, 0);
	if (n == (ssize_t)sizeof h && h.magic == STATS_MAGIC && h.layout >> 24 >= 4 && h.head == STATS_HEAD &&
	    h.nslots > 0 && h.nslots <= STATS_FORM_SLOTS && h.slot_size > 0 && h.slot_size <= STATS_FORM_SLOT_MAX &&
	    st.st_size >= h.head + (off_t)h.nslots * h.slot_size) {
		f->started = h.started;
		f->head = h.head;
		f->nslots = h.nslots;
		f->slot_size = h.slot_size;
		n = pread(fd, text, sizeof text - 1, STATS_FORM);
		text[n > 0 ? n : 0] = '\0';
		while (next(&at, &l))
			take(f, &l);
	}
	if (f->pid != STATS_FORM_NONE && f->nreply > 0)
		return 0;
	errno = EPROTONOSUPPORT;
	return -1;
}
