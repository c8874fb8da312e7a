/*
 * prometheus: the counters in Prometheus' text format 0.0.4.
 * Label values need no escaping: stats_read() lets only digits, dots and
 * [a-zA-Z0-9_.-] through.
 */
#include <inttypes.h>
#include <string.h>

#include "tools/stats/show.h"

/* A family's two lines of comment.  Help texts are our own and hold neither backslash nor line end. */
static void
family(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP letterplate_%s %s\n# TYPE letterplate_%s %s\n", name, help, name, type);
}

static void
single(FILE *f, const char *name, const char *type, const char *help, uint64_t v)
{
	family(f, name, type, help);
	fprintf(f, "letterplate_%s %" PRIu64 "\n", name, v);
}

static void
replies(FILE *f, const struct stats_sum *s)
{
	char enh[SHOW_ENH_MAX];

	family(f, "replies_total", "counter", "replies sent, by code");
	for (unsigned i = 0; i < STATS_CODES; i++)
		if (s->reply[i] != 0)
			fprintf(f, "letterplate_replies_total{code=\"%u\"} %" PRIu64 "\n", i, s->reply[i]);
	family(f, "reply_reasons_total", "counter", "replies sent, by code, enhanced code and reason");
	for (size_t i = 0; i < s->nrow; i++) {
		show_enh(s->row[i].enh, enh);
		fprintf(f, "letterplate_reply_reasons_total{code=\"%u\",enhanced=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
		    s->row[i].code, enh, s->row[i].reason, s->row[i].count);
	}
}

static bool
is_tls(size_t counter)
{
	return counter == STATS_TLS_1_2 || counter == STATS_TLS_1_3;
}

static void
counters(FILE *f, const struct stats_sum *s)
{
	char name[64];

	for (size_t i = 0; i < STATS_NCOUNTERS; i++) {
		size_t n = strlen(stats_counter_name[i]);
		bool ends = n > 6 && strcmp(stats_counter_name[i] + n - 6, "_total") == 0;

		if (is_tls(i))
			continue;
		snprintf(name, sizeof(name), "%s%s", stats_counter_name[i], ends ? "" : "_total");
		single(f, name, "counter", stats_counter_help[i], s->counter[i]);
	}
	family(f, "tls_handshakes_total", "counter", "TLS handshakes completed, by version");
	fprintf(f, "letterplate_tls_handshakes_total{version=\"1.2\"} %" PRIu64 "\n", s->counter[STATS_TLS_1_2]);
	fprintf(f, "letterplate_tls_handshakes_total{version=\"1.3\"} %" PRIu64 "\n", s->counter[STATS_TLS_1_3]);
}

static void
tls_failures(FILE *f, const struct stats_sum *s)
{
	family(f, "tls_failures_total", "counter", "TLS handshakes that failed, by reason");
	for (size_t i = 0; i < s->ntls_why; i++)
		fprintf(f, "letterplate_tls_failures_total{reason=\"%s\"} %" PRIu64 "\n", s->tls_why[i].reason,
		    s->tls_why[i].count);
}

/* Bucket b's bound is 2^b microseconds; written out with six decimals there is nothing to round.  ${label}: "" or ends in a comma. */
static void
series(FILE *f, const char *name, const char *label, const uint64_t bucket[STATS_BUCKETS], uint64_t sum_us)
{
	uint64_t n = 0, all = stats_buckets_count(bucket);
	char only[STATS_HANDLER_MAX + 16] = "";

	if (label[0] != '\0')
		snprintf(only, sizeof(only), "{%.*s}", (int)strlen(label) - 1, label);
	for (unsigned b = 0; b < STATS_BUCKETS - 1; b++) {
		uint64_t us = UINT64_C(1) << b;

		n += bucket[b];
		fprintf(f, "letterplate_%s_bucket{%sle=\"%" PRIu64 ".%06" PRIu64 "\"} %" PRIu64 "\n", name, label,
		    us / 1000000, us % 1000000, n);
	}
	fprintf(f, "letterplate_%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, label, all);
	fprintf(f, "letterplate_%s_sum%s %" PRIu64 ".%06" PRIu64 "\n", name, only, sum_us / 1000000, sum_us % 1000000);
	fprintf(f, "letterplate_%s_count%s %" PRIu64 "\n", name, only, all);
}

static void
histogram(FILE *f, const struct stats_sum *s, size_t h)
{
	family(f, stats_hist_name[h], "histogram", stats_hist_help[h]);
	series(f, stats_hist_name[h], "", s->bucket[h], s->sum_us[h]);
}

static void
handlers(FILE *f, const struct stats_sum *s)
{
	char label[STATS_HANDLER_MAX + 16];

	family(f, "handler_answers_total", "counter", "what handlers were asked and answered");
	for (size_t i = 0; i < s->nhandler; i++)
		for (size_t a = 0; a < STATS_NANSWERS; a++)
			fprintf(f, "letterplate_handler_answers_total{handler=\"%s\",answer=\"%s\"} %" PRIu64 "\n",
			    s->handler[i].name, stats_answer_name[a], s->handler[i].answer[a]);
	family(f, "handler_running", "gauge", "calls of a handler's code under way, in the loop and in threads");
	for (size_t i = 0; i < s->nhandler; i++)
		fprintf(f, "letterplate_handler_running{handler=\"%s\"} %" PRIu64 "\n", s->handler[i].name,
		    s->handler[i].running);
	family(f, "handler_seconds", "histogram", "from a question to a handler's answer");
	for (size_t i = 0; i < s->nhandler; i++) {
		snprintf(label, sizeof(label), "handler=\"%s\",", s->handler[i].name);
		series(f, "handler_seconds", label, s->handler[i].bucket, s->handler[i].sum_us);
	}
	family(f, "tags_total", "counter", "messages and sessions with a tag");
	for (size_t i = 0; i < s->ntag; i++)
		fprintf(f, "letterplate_tags_total{tag=\"%s\"} %" PRIu64 "\n", s->tag[i].word, s->tag[i].count);
}

static void
workers(FILE *f, const struct sample *s)
{
	single(f, "up", "gauge", "1 if the master's process exists", s->master_alive);
	single(f, "start_time_seconds", "gauge", "unix time the segment was made", s->sum.started);
	family(f, "build_info", "gauge", "the version that made the segment");
	fprintf(f, "letterplate_build_info{version=\"%s\"} 1\n", s->sum.version);
	single(f, "workers", "gauge", "workers whose process exists", s->nworker);
	family(f, "worker_sessions_open", "gauge", "sessions open now, by worker");
	for (size_t i = 0; i < s->sum.nworker; i++)
		if (s->sum.worker[i].slot != 0)
			fprintf(f, "letterplate_worker_sessions_open{slot=\"%u\"} %" PRIu64 "\n", s->sum.worker[i].slot,
			    s->sum.worker[i].sessions_open);
	family(f, "worker_beat_seconds", "gauge", "unix time of the last beat, by worker");
	for (size_t i = 0; i < s->sum.nworker; i++)
		if (s->sum.worker[i].slot != 0)
			fprintf(f, "letterplate_worker_beat_seconds{slot=\"%u\"} %" PRIu64 "\n", s->sum.worker[i].slot,
			    s->sum.worker[i].beat);
}

void
prometheus_print(FILE *f, const struct sample *s)
{
	workers(f, s);
	replies(f, &s->sum);
	counters(f, &s->sum);
	tls_failures(f, &s->sum);
	/* Its rules want seconds, which stand beside the days. */
	for (size_t i = 0; i < STATS_NGAUGES; i++)
		if (i != STATS_CERTIFICATE_DAYS)
			single(f, stats_gauge_name[i], "gauge", stats_gauge_help[i], s->sum.gauge[i]);
	for (size_t h = 0; h < STATS_NHISTOGRAMS; h++)
		histogram(f, &s->sum, h);
	handlers(f, &s->sum);
}
