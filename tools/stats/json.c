/*
 * json: the counters as one JSON object.
 * The names are part of the program's face: letterplate-stats(1) lists them,
 * and none is ever renamed.
 */
#include <jansson.h>

#include "tools/stats/show.h"

/* JSON has no unsigned numbers; a count past 2^63 can only come from a damaged segment. */
static json_t *
number(uint64_t n)
{
	return json_integer(n <= INT64_MAX ? (json_int_t)n : INT64_MAX);
}

static void
set(json_t *o, const char *key, json_t *v)
{
	json_object_set_new(o, key, v);
}

static json_t *
replies(const struct stats_sum *s)
{
	json_t *o = json_object();
	char code[8];

	for (unsigned i = 0; i < STATS_CODES; i++) {
		if (s->reply[i] == 0)
			continue;
		snprintf(code, sizeof(code), "%u", i);
		set(o, code, number(s->reply[i]));
	}
	return o;
}

static json_t *
reasons(const struct stats_sum *s)
{
	json_t *list = json_array();
	char enh[SHOW_ENH_MAX];

	for (size_t i = 0; i < s->nrow; i++) {
		json_t *o = json_object();

		show_enh(s->row[i].enh, enh);
		set(o, "code", json_integer(s->row[i].code));
		set(o, "enhanced", json_string(enh));
		set(o, "reason", json_string(s->row[i].reason));
		set(o, "count", number(s->row[i].count));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
bucket(json_t *le, uint64_t n)
{
	json_t *o = json_object();

	set(o, "le", le);
	set(o, "count", number(n));
	return o;
}

/* Cumulative, as Prometheus has them; "+Inf" is the last one's bound.  What lies above the highest value is left out. */
static json_t *
histogram(const uint64_t buckets[STATS_BUCKETS], uint64_t sum_us)
{
	json_t *o = json_object(), *list = json_array();
	uint64_t n = 0, all = stats_buckets_count(buckets);

	for (unsigned b = 0; b < STATS_BUCKETS - 1 && n < all; b++) {
		n += buckets[b];
		if (n > 0)
			json_array_append_new(list, bucket(json_real((double)(UINT64_C(1) << b) / 1e6), n));
	}
	json_array_append_new(list, bucket(json_string("+Inf"), all));
	set(o, "count", number(all));
	set(o, "sum", json_real((double)sum_us / 1e6));
	set(o, "buckets", list);
	return o;
}

/* By name: what each was asked and said. */
static json_t *
handlers(const struct stats_sum *s)
{
	json_t *all = json_object();

	for (size_t i = 0; i < s->nhandler; i++) {
		const struct stats_handler_sum *h = &s->handler[i];
		json_t *o = json_object();

		for (size_t a = 0; a < STATS_NANSWERS; a++)
			set(o, stats_answer_name[a], number(h->answer[a]));
		set(o, "running", number(h->running));
		set(o, "seconds", histogram(h->bucket, h->sum_us));
		set(all, h->name, o);
	}
	return all;
}

static json_t *
tags(const struct stats_sum *s)
{
	json_t *o = json_object();

	for (size_t i = 0; i < s->ntag; i++)
		set(o, s->tag[i].word, number(s->tag[i].count));
	return o;
}

static json_t *
owner(const struct sample *s, const struct stats_worker *w)
{
	json_t *o = json_object();

	set(o, "slot", json_integer(w->slot));
	set(o, "pid", number(w->pid));
	set(o, "alive", json_boolean(sample_alive(w->pid)));
	set(o, "generation", number(w->generation));
	set(o, "sessions", number(w->sessions_open));
	set(o, "beat", number(w->beat));
	set(o, "beat_age", number(sample_beat_age(s, w)));
	return o;
}

static json_t *
workers(const struct sample *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->sum.nworker; i++)
		if (s->sum.worker[i].slot != 0)
			json_array_append_new(list, owner(s, &s->sum.worker[i]));
	return list;
}

static json_t *
named(const char *const *name, const uint64_t *v, size_t n)
{
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++)
		set(o, name[i], number(v[i]));
	return o;
}

static json_t *
sessions(const struct stats_sum *s)
{
	json_t *o = json_object();

	set(o, "open", number(s->gauge[STATS_SESSIONS_OPEN]));
	set(o, "total", number(s->counter[STATS_SESSIONS_TOTAL]));
	set(o, "refused", number(s->counter[STATS_SESSIONS_REFUSED]));
	return o;
}

static json_t *
tls(const struct stats_sum *s)
{
	json_t *o = json_object();

	set(o, "TLSv1.2", number(s->counter[STATS_TLS_1_2]));
	set(o, "TLSv1.3", number(s->counter[STATS_TLS_1_3]));
	return o;
}

/* A word to a count. */
static json_t *
tls_failures(const struct stats_sum *s)
{
	json_t *o = json_object();

	for (size_t i = 0; i < s->ntls_why; i++)
		set(o, s->tls_why[i].reason, number(s->tls_why[i].count));
	return o;
}

static json_t *
master(const struct sample *s)
{
	json_t *o = json_object();

	set(o, "pid", number(s->master));
	set(o, "alive", json_boolean(s->master_alive));
	for (size_t i = 0; i < s->sum.nworker; i++)
		if (s->sum.worker[i].slot == 0)
			set(o, "beat_age", number(sample_beat_age(s, &s->sum.worker[i])));
	return o;
}

int
json_print(FILE *f, const struct sample *s, bool oneline)
{
	json_t *o = json_object();
	int r;

	set(o, "version", json_string(s->sum.version));
	set(o, "started", number(s->sum.started));
	set(o, "now", number(s->now));
	set(o, "running", json_boolean(s->master_alive));
	set(o, "replies", replies(&s->sum));
	set(o, "reasons", reasons(&s->sum));
	set(o, "messages", number(s->sum.counter[STATS_MESSAGES]));
	set(o, "octets", number(s->sum.counter[STATS_OCTETS]));
	set(o, "recipients", number(s->sum.counter[STATS_RECIPIENTS]));
	set(o, "sessions", sessions(&s->sum));
	set(o, "tls", tls(&s->sum));
	set(o, "tls_failures", tls_failures(&s->sum));
	for (size_t h = 0; h < STATS_NHISTOGRAMS; h++)
		set(o, stats_hist_name[h], histogram(s->sum.bucket[h], s->sum.sum_us[h]));
	set(o, "handlers", handlers(&s->sum));
	set(o, "tags", tags(&s->sum));
	set(o, "master", master(s));
	set(o, "workers", workers(s));
	set(o, "counters", named(stats_counter_name, s->sum.counter, STATS_NCOUNTERS));
	set(o, "gauges", named(stats_gauge_name, s->sum.gauge, STATS_NGAUGES));
	r = json_dumpf(o, f, (oneline ? JSON_COMPACT : JSON_INDENT(2)) | JSON_REAL_PRECISION(12));
	json_decref(o);
	fputc('\n', f);
	return r;
}
