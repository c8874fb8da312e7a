/*
 * history: rates and latencies between one look and the next, as sparklines.
 * A line's bars are of its own highest value, which stands at its end.
 */
#include "tools/stats/history.h"

#include <string.h>

#include "tools/stats/format.h"

static double
rate(uint64_t now, uint64_t before, double seconds)
{
	return now > before && seconds > 0 ? (double)(now - before) / seconds : 0;
}

static double
replies(const struct sample *now, const struct sample *before, unsigned from, unsigned to, double seconds)
{
	double sum = 0;

	for (unsigned code = from; code < to && code < STATS_CODES; code++)
		sum += rate(now->sum.reply[code], before->sum.reply[code], seconds);
	return sum;
}

/* The quantile of the values that came between both looks; 0 for none. */
static double
quantile(const struct sample *now, const struct sample *before, size_t h, double q)
{
	uint64_t diff[STATS_BUCKETS];

	for (size_t b = 0; b < STATS_BUCKETS; b++) {
		uint64_t n = now->sum.bucket[h][b], was = before->sum.bucket[h][b];

		diff[b] = n > was ? n - was : 0;
	}
	return stats_buckets_quantile(diff, q);
}

void
history_add(struct history *h, const struct sample *now, const struct sample *before)
{
	double s, v[HISTORY_N];

	if (before == NULL) {
		h->n = 0;
		return;
	}
	s = (double)(now->at_us - before->at_us) / 1e6;
	v[HISTORY_OPEN] = (double)now->sum.gauge[STATS_SESSIONS_OPEN];
	v[HISTORY_SESSIONS] =
	    rate(now->sum.counter[STATS_SESSIONS_TOTAL], before->sum.counter[STATS_SESSIONS_TOTAL], s);
	v[HISTORY_MESSAGES] = rate(now->sum.counter[STATS_MESSAGES], before->sum.counter[STATS_MESSAGES], s);
	v[HISTORY_OCTETS] = rate(now->sum.counter[STATS_OCTETS], before->sum.counter[STATS_OCTETS], s);
	v[HISTORY_TAKEN] = replies(now, before, 200, 400, s);
	v[HISTORY_DEFERRED] = replies(now, before, 400, 500, s);
	v[HISTORY_REFUSED] = replies(now, before, 500, 600, s);
	for (size_t i = 0; i < STATS_NHISTOGRAMS; i++) {
		v[HISTORY_LATENCY + i] = quantile(now, before, i, 0.99);
		h->half[i] = quantile(now, before, i, 0.5);
	}
	for (size_t i = 0; i < HISTORY_N; i++) {
		memmove(h->v[i], h->v[i] + 1, sizeof(h->v[i]) - sizeof(h->v[i][0]));
		h->v[i][HISTORY_KEEP - 1] = v[i];
	}
	h->n += h->n < HISTORY_KEEP;
}

static void
bars(FILE *f, const struct history *h, size_t series, bool utf8)
{
	static const char *const high[] = { "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587",
		"\u2588" };
	static const char *const plain[] = { ".", ".", ":", ":", "-", "=", "+", "#" };
	double max = 0;

	for (unsigned i = HISTORY_KEEP - h->n; i < HISTORY_KEEP; i++)
		max = h->v[series][i] > max ? h->v[series][i] : max;
	fprintf(f, "%*s", (int)(HISTORY_KEEP - h->n), "");
	for (unsigned i = HISTORY_KEEP - h->n; i < HISTORY_KEEP; i++) {
		double v = h->v[series][i];
		size_t step = max > 0 ? (size_t)(7.999 * v / max) : 0;

		fputs(v <= 0 ? " " : utf8 ? high[step] : plain[step], f);
	}
}

static void
latencies(FILE *f, const struct history *h, bool utf8)
{
	char a[FORMAT_MAX], b[FORMAT_MAX];

	for (size_t i = 0; i < STATS_NHISTOGRAMS; i++) {
		double now = h->v[HISTORY_LATENCY + i][HISTORY_KEEP - 1];
		const char *end = strstr(stats_hist_name[i], "_seconds");
		int n = end != NULL ? (int)(end - stats_hist_name[i]) : (int)strlen(stats_hist_name[i]);

		fprintf(f, "  %-9.*s", n < 9 ? n : 9, stats_hist_name[i]);
		fprintf(
		    f, "p50%9s p99%9s  ", now > 0 ? format_us(h->half[i], a) : "-", now > 0 ? format_us(now, b) : "-");
		bars(f, h, HISTORY_LATENCY + i, utf8);
		fputc('\n', f);
	}
}

void
history_print(FILE *f, const struct history *h, bool colour, bool utf8)
{
	static const struct {
		const char *label, *colour;
	} line[] = {
		[HISTORY_OPEN] = { "sessions open", "" },
		[HISTORY_SESSIONS] = { "sessions begun", "" },
		[HISTORY_MESSAGES] = { "messages", "\033[32m" },
		[HISTORY_OCTETS] = { "octets", "" },
		[HISTORY_TAKEN] = { "replies 2xx, 3xx", "\033[32m" },
		[HISTORY_DEFERRED] = { "replies 4xx", "\033[33m" },
		[HISTORY_REFUSED] = { "replies 5xx", "\033[31m" },
	};
	char a[FORMAT_MAX], b[FORMAT_MAX + 4];

	if (h->n == 0)
		return;
	fprintf(f, colour ? "\n\033[1mnow\033[0m\n" : "\nnow\n");
	for (size_t i = 0; i < sizeof(line) / sizeof(*line); i++) {
		double v = h->v[i][HISTORY_KEEP - 1];

		if (i == HISTORY_OPEN)
			snprintf(b, sizeof(b), "%s", format_count((uint64_t)v, a));
		else if (i == HISTORY_OCTETS)
			snprintf(b, sizeof(b), "%s/s", format_size((uint64_t)v, a));
		else
			snprintf(b, sizeof(b), "%s", format_rate(v, a));
		fprintf(f, "  %-17s%14s  %s", line[i].label, b, colour ? line[i].colour : "");
		bars(f, h, i, utf8);
		fputs(colour ? "\033[0m\n" : "\n", f);
	}
	latencies(f, h, utf8);
}
