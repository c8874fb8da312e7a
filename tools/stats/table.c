/*
 * table: the counters for a person.
 * Eighty columns, a section a subject; what is zero and only interesting when
 * it is not stays away.  Knows no terminal but for bold and red.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/stats/format.h"
#include "tools/stats/show.h"

enum { DISK_FEW = 20 };                                 /* less than one part in so many free: red */
enum { CERTIFICATE_DAYS_FEW = 14 };                     /* an administrator should have renewed it */
enum { LABEL = 42, NUMBER = 16, SHARE = 9, RATE = 11 }; /* columns */

struct table {
	FILE *f;
	const struct sample *s, *before;
	double seconds; /* since before */
	bool colour;
};

static void
heading(const struct table *t, const char *text)
{
	fprintf(t->f, t->colour ? "\n\033[1m%s\033[0m\n" : "\n%s\n", text);
}

/* Something is not as it should be. */
static void __attribute__((format(printf, 2, 3))) alarm_line(const struct table *t, const char *fmt, ...)
{
	va_list ap;

	fputs(t->colour ? "  \033[31m" : "  ", t->f);
	va_start(ap, fmt);
	vfprintf(t->f, fmt, ap);
	va_end(ap);
	fputs(t->colour ? "\033[0m\n" : "\n", t->f);
}

/* A label, its number, and, where they are known, its share of ${all} and how fast it grew since ${was}. */
static void
row(const struct table *t, int indent, const char *label, uint64_t n, uint64_t all, const uint64_t *was)
{
	char a[FORMAT_MAX], b[FORMAT_MAX], c[FORMAT_MAX];
	bool rate = t->before != NULL && was != NULL && n >= *was;

	fprintf(t->f, "%*s%-*s%*s", indent, "", LABEL - indent, label, NUMBER, format_count(n, a));
	if (all > 0 || rate)
		fprintf(t->f, "%*s", SHARE, all > 0 ? format_share(n, all, b) : "");
	if (rate)
		fprintf(t->f, "%*s", RATE, format_rate((double)(n - *was) / t->seconds, c));
	fputc('\n', t->f);
}

static const uint64_t *
counter_before(const struct table *t, size_t c)
{
	return t->before != NULL ? &t->before->sum.counter[c] : NULL;
}

static void
counter(const struct table *t, const char *label, size_t c)
{
	row(t, 2, label, t->s->sum.counter[c], 0, counter_before(t, c));
}

static void
process_state(const struct table *t, const struct stats_worker *w)
{
	uint64_t age = sample_beat_age(t->s, w);
	char a[FORMAT_MAX], who[32] = "master";

	if (w->slot != 0)
		snprintf(who, sizeof(who), "worker %u", w->slot);
	if (!sample_alive(w->pid) && w->slot != 0)
		alarm_line(t, "%s (pid %" PRIu64 "): is gone", who, w->pid);
	else if (sample_alive(w->pid) && age >= SHOW_BEAT_LATE)
		alarm_line(t, "%s (pid %" PRIu64 "): no beat for %s", who, w->pid, format_age(age, a));
}

static void
server_state(const struct table *t)
{
	const struct sample *s = t->s;
	char a[FORMAT_MAX], b[FORMAT_MAX];
	const char *plural = s->nworker == 1 ? "" : "s";

	if (s->master_alive)
		fprintf(t->f, "  running since %s (%s), version %s, %u worker%s\n", format_time(s->sum.started, a),
		    format_age(s->now > s->sum.started ? s->now - s->sum.started : 0, b), s->sum.version, s->nworker,
		    plural);
	else if (s->master != 0)
		alarm_line(t, "not running (pid %" PRIu64 " is gone), %u worker%s left", s->master, s->nworker, plural);
	else if (s->nworker != 0)
		alarm_line(t, "no master, %u worker%s left", s->nworker, plural);
	else
		alarm_line(t, "not running (it was stopped)");
	if (!s->master_alive)
		fprintf(t->f, "  the counters began %s, version %s\n", format_time(s->sum.started, a), s->sum.version);
	if (s->master_alive && s->nworker == 0)
		alarm_line(t, "no worker: mail is put off");
	for (size_t i = 0; i < s->sum.nworker; i++)
		process_state(t, &s->sum.worker[i]);
}

/* The disk that mail goes to, and the journal in front of it. */
static void
disk(const struct table *t)
{
	const uint64_t *g = t->s->sum.gauge, *c = t->s->sum.counter;
	char a[FORMAT_MAX], b[FORMAT_MAX], n[FORMAT_MAX], line[128];

	if (g[STATS_STORE_SIZE] != 0) {
		snprintf(line, sizeof(line), "disk: %s of %s free, room for %s files",
		    format_size(g[STATS_STORE_FREE], a), format_size(g[STATS_STORE_SIZE], b),
		    format_count(g[STATS_STORE_FILES_FREE], n));
		if (g[STATS_STORE_FREE] < g[STATS_STORE_SIZE] / DISK_FEW)
			alarm_line(t, "%s", line);
		else
			fprintf(t->f, "  %s\n", line);
	}
	if (c[STATS_JOURNAL_BATCHES] != 0)
		fprintf(t->f, "  journal: %s messages, %.1f a sync\n", format_count(c[STATS_JOURNAL_RECORDS], a),
		    (double)c[STATS_JOURNAL_RECORDS] / (double)c[STATS_JOURNAL_BATCHES]);
}

static void
surroundings(const struct table *t)
{
	const uint64_t *g = t->s->sum.gauge;
	char a[FORMAT_MAX], b[FORMAT_MAX], c[FORMAT_MAX], line[128];

	if (t->s->nworker == 0)
		return;
	fprintf(t->f, "  sandbox: %s%s%s%s\n", (g[STATS_SANDBOX_LEVEL] & 1) != 0 ? "own uid " : "",
	    (g[STATS_SANDBOX_LEVEL] & 2) != 0 ? "Landlock " : "", (g[STATS_SANDBOX_LEVEL] & 4) != 0 ? "seccomp" : "",
	    (g[STATS_SANDBOX_LEVEL] & 7) == 0 ? "none" : "");
	if (g[STATS_DIRECTORY_MADE] != 0)
		fprintf(t->f, "  directory: %s entries, made %s (%s ago)\n",
		    format_count(g[STATS_DIRECTORY_ENTRIES], a), format_time(g[STATS_DIRECTORY_MADE], b),
		    format_age(t->s->now > g[STATS_DIRECTORY_MADE] ? t->s->now - g[STATS_DIRECTORY_MADE] : 0, c));
	else
		alarm_line(t, "directory: none that can be read");
	if (g[STATS_DIRECTORY_MADE] != 0 && g[STATS_DIRECTORY_NEWEST] == 0)
		alarm_line(t, "directory: not the newest, which cannot be used");
	disk(t);
	if (g[STATS_CERTIFICATE_EXPIRES] == 0)
		return;
	snprintf(line, sizeof(line), "certificates: the first expires %s, in %" PRIu64 " days",
	    format_time(g[STATS_CERTIFICATE_EXPIRES], b), g[STATS_CERTIFICATE_DAYS]);
	if (g[STATS_CERTIFICATE_DAYS] < CERTIFICATE_DAYS_FEW)
		alarm_line(t, "%s", line);
	else
		fprintf(t->f, "  %s\n", line);
}

static void
sessions(const struct table *t)
{
	heading(t, "sessions");
	row(t, 2, "open now", t->s->sum.gauge[STATS_SESSIONS_OPEN], 0, NULL);
	counter(t, "begun", STATS_SESSIONS_TOTAL);
	counter(t, "refused at the door", STATS_SESSIONS_REFUSED);
	counter(t, "TLS 1.2", STATS_TLS_1_2);
	counter(t, "TLS 1.3", STATS_TLS_1_3);
}

static void
messages(const struct table *t)
{
	uint64_t octets = t->s->sum.counter[STATS_OCTETS];
	char a[FORMAT_MAX], b[FORMAT_MAX];

	heading(t, "messages");
	counter(t, "accepted and stored", STATS_MESSAGES);
	counter(t, "mailboxes they were stored in", STATS_RECIPIENTS);
	snprintf(b, sizeof(b), "octets (%s)", format_size(octets, a));
	counter(t, b, STATS_OCTETS);
	row(t, 2, "being made durable now", t->s->sum.gauge[STATS_COMMITS_PENDING], 0, NULL);
}

static int
by_count(const void *va, const void *vb)
{
	const struct stats_row *a = *(const struct stats_row *const *)va, *b = *(const struct stats_row *const *)vb;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a < b ? -1 : 1;
}

static const uint64_t *
reason_before(const struct table *t, const struct stats_row *r)
{
	const struct stats_sum *b;

	if (t->before == NULL)
		return NULL;
	b = &t->before->sum;
	for (size_t i = 0; i < b->nrow; i++)
		if (b->row[i].code == r->code && b->row[i].enh == r->enh && strcmp(b->row[i].reason, r->reason) == 0)
			return &b->row[i].count;
	return NULL;
}

/* The reasons of one code, the most frequent first. */
static void
reasons(const struct table *t, const struct stats_row **sorted, unsigned code, uint64_t all)
{
	const struct stats_sum *s = &t->s->sum;
	char label[80], enh[SHOW_ENH_MAX];
	size_t n = 0;

	for (size_t i = 0; i < s->nrow; i++)
		if (s->row[i].code == code)
			sorted[n++] = &s->row[i];
	qsort(sorted, n, sizeof(*sorted), by_count);
	for (size_t i = 0; i < n; i++) {
		show_enh(sorted[i]->enh, enh);
		snprintf(label, sizeof(label), "%-6s %s", enh, sorted[i]->reason);
		row(t, 6, label, sorted[i]->count, all, reason_before(t, sorted[i]));
	}
}

static void
replies(const struct table *t)
{
	const struct stats_sum *s = &t->s->sum;
	const struct stats_row **sorted = calloc(s->nrow + 1, sizeof(*sorted));
	uint64_t all = sample_replies(s);
	char label[16];

	heading(t, "replies");
	row(t, 2, "all", all, 0, NULL);
	for (unsigned code = 1; code < STATS_CODES; code++) {
		if (s->reply[code] == 0)
			continue;
		snprintf(label, sizeof(label), "%u", code);
		row(t, 2, label, s->reply[code], all, t->before != NULL ? &t->before->sum.reply[code] : NULL);
		if (sorted != NULL)
			reasons(t, sorted, code, all);
	}
	/* Code 0: what found no row in its worker's table of reasons. */
	if (sorted != NULL)
		reasons(t, sorted, 0, all);
	free(sorted);
}

/* Why handshakes failed, the most frequent reason first. */
static void
tls_failures(const struct table *t)
{
	const struct stats_sum *s = &t->s->sum;
	const struct stats_row **sorted = calloc(s->ntls_why + 1, sizeof(*sorted));
	char label[80];

	if (s->ntls_why == 0 || sorted == NULL) {
		free(sorted);
		return;
	}
	heading(t, "TLS handshakes that failed");
	for (size_t i = 0; i < s->ntls_why; i++)
		sorted[i] = &s->tls_why[i];
	qsort(sorted, s->ntls_why, sizeof(*sorted), by_count);
	for (size_t i = 0; i < s->ntls_why; i++) {
		snprintf(label, sizeof(label), "%s", sorted[i]->reason);
		row(t, 2, label, sorted[i]->count, s->counter[STATS_TLS_FAILED], NULL);
	}
	free(sorted);
}

static bool
shown_elsewhere(size_t c)
{
	return c == STATS_SESSIONS_TOTAL || c == STATS_SESSIONS_REFUSED || c == STATS_TLS_1_2 || c == STATS_TLS_1_3 ||
	    c == STATS_MESSAGES || c == STATS_OCTETS || c == STATS_RECIPIENTS;
}

static void
events(const struct table *t)
{
	bool any = false;

	for (size_t c = 0; c < STATS_NCOUNTERS; c++) {
		if (shown_elsewhere(c) || t->s->sum.counter[c] == 0)
			continue;
		if (!any)
			heading(t, "events");
		any = true;
		counter(t, stats_counter_help[c], c);
	}
}

static void
latencies(const struct table *t)
{
	const struct stats_sum *s = &t->s->sum;
	char n[FORMAT_MAX], half[FORMAT_MAX], most[FORMAT_MAX], max[FORMAT_MAX];

	heading(t, "latencies");
	fprintf(t->f, "  %-31s%13s%11s%11s%11s\n", "", "count", "p50", "p99", "max below");
	for (size_t h = 0; h < STATS_NHISTOGRAMS; h++) {
		uint64_t count = stats_hist_count(s, h);

		if (count == 0)
			continue;
		fprintf(t->f, "  %-31.31s%13s%11s%11s%11s\n", stats_hist_help[h], format_count(count, n),
		    format_us(stats_hist_quantile(s, h, 0.5), half), format_us(stats_hist_quantile(s, h, 0.99), most),
		    s->bucket[h][STATS_BUCKETS - 1] == 0 ? format_us(stats_hist_quantile(s, h, 1), max) : "?");
	}
}

/* What the middle of a handler's answers were: how many had no objection, refused, could not tell. */
static void
handlers(const struct table *t)
{
	const struct stats_sum *s = &t->s->sum;
	char n[4][FORMAT_MAX], half[FORMAT_MAX], most[FORMAT_MAX];
	bool any = false;

	for (size_t i = 0; i < s->nhandler; i++) {
		const struct stats_handler_sum *h = &s->handler[i];
		const uint64_t *a = h->answer;

		if (a[STATS_A_ASKED] == 0)
			continue;
		if (!any) {
			heading(t, "handlers");
			fprintf(
			    t->f, "  %-20s%10s%10s%10s%10s%9s%9s\n", "", "asked", "4xx", "5xx", "failed", "p50", "p99");
		}
		any = true;
		fprintf(t->f, "  %-20.20s%10s%10s%10s%10s%9s%9s\n", h->name, format_count(a[STATS_A_ASKED], n[0]),
		    format_count(a[STATS_A_DEFERRED], n[1]), format_count(a[STATS_A_REFUSED], n[2]),
		    format_count(a[STATS_A_FAILED] + a[STATS_A_TIMEOUT], n[3]),
		    format_us(stats_buckets_quantile(h->bucket, 0.5), half),
		    format_us(stats_buckets_quantile(h->bucket, 0.99), most));
	}
	if (s->ntag > 0)
		heading(t, "tags");
	for (size_t i = 0; i < s->ntag; i++)
		row(t, 2, s->tag[i].word, s->tag[i].count, 0, NULL);
}

static void
workers(const struct table *t)
{
	const struct sample *s = t->s;
	char a[FORMAT_MAX], b[FORMAT_MAX];

	heading(t, "workers");
	fprintf(t->f, "  %6s%12s%12s%14s   %s\n", "slot", "pid", "generation", "sessions", "last beat");
	for (size_t i = 0; i < s->sum.nworker; i++) {
		const struct stats_worker *w = &s->sum.worker[i];

		if (w->slot == 0)
			continue;
		fprintf(t->f, "  %6u%12" PRIu64 "%12" PRIu64 "%14s   %s ago%s\n", w->slot, w->pid, w->generation,
		    format_count(w->sessions_open, a), format_age(sample_beat_age(s, w), b),
		    sample_alive(w->pid) ? "" : ", gone");
	}
}

void
table_print(FILE *f, const struct sample *s, const struct sample *before, bool colour)
{
	struct table t = { .f = f, .s = s, .before = before, .colour = colour };

	if (before != NULL)
		t.seconds = s->at_us > before->at_us ? (double)(s->at_us - before->at_us) / 1e6 : 1e-6;
	fprintf(f, colour ? "\033[1m%s\033[0m\n" : "%s\n", "server");
	server_state(&t);
	surroundings(&t);
	sessions(&t);
	messages(&t);
	replies(&t);
	tls_failures(&t);
	events(&t);
	latencies(&t);
	handlers(&t);
	workers(&t);
}
