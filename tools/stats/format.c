/*
 * format: numbers as a person reads them.
 */
#include "tools/stats/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *
format_count(uint64_t n, char out[FORMAT_MAX])
{
	char plain[FORMAT_MAX];
	size_t len = (size_t)snprintf(plain, sizeof(plain), "%" PRIu64, n), o = 0;

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			out[o++] = ',';
		out[o++] = plain[i];
	}
	out[o] = '\0';
	return out;
}

const char *
format_size(uint64_t octets, char out[FORMAT_MAX])
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)octets;
	size_t u = 0;

	for (; v >= 1023.95 && u < 6; u++)
		v /= 1024;
	snprintf(out, FORMAT_MAX, u > 0 ? "%.1f %s" : "%.0f %s", v, unit[u]);
	return out;
}

/* Three figures that count. */
static void
figures(double v, const char *unit, char out[FORMAT_MAX])
{
	snprintf(out, FORMAT_MAX, v < 9.995 ? "%.2f %s" : v < 99.95 ? "%.1f %s" : "%.0f %s", v, unit);
}

const char *
format_us(double us, char out[FORMAT_MAX])
{
	if (us < 999.5)
		snprintf(out, FORMAT_MAX, "%.0f us", us);
	else if (us < 999.5e3)
		figures(us / 1e3, "ms", out);
	else if (us < 600e6)
		figures(us / 1e6, "s", out);
	else
		format_age((uint64_t)(us / 1e6), out);
	return out;
}

const char *
format_age(uint64_t s, char out[FORMAT_MAX])
{
	if (s < 120)
		snprintf(out, FORMAT_MAX, "%" PRIu64 " s", s);
	else if (s < 7200)
		snprintf(out, FORMAT_MAX, "%" PRIu64 " min", s / 60);
	else if (s < 2 * 86400)
		snprintf(out, FORMAT_MAX, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s / 60 % 60);
	else
		snprintf(out, FORMAT_MAX, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s / 3600 % 24);
	return out;
}

const char *
format_time(uint64_t unix_s, char out[FORMAT_MAX])
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	/* 253402300800 is the year 10000: more is no time but damage. */
	if (unix_s >= UINT64_C(253402300800) || gmtime_r(&t, &tm) == NULL ||
	    strftime(out, FORMAT_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		memcpy(out, "unknown", sizeof("unknown"));
	return out;
}

const char *
format_rate(double per_s, char out[FORMAT_MAX])
{
	char whole[FORMAT_MAX];

	if (per_s <= 0)
		memcpy(out, "-", sizeof("-"));
	else if (per_s < 999.5)
		figures(per_s, "/s", out);
	else
		snprintf(out, FORMAT_MAX, "%.40s /s", format_count((uint64_t)per_s, whole));
	return out;
}

const char *
format_share(uint64_t part, uint64_t all, char out[FORMAT_MAX])
{
	snprintf(out, FORMAT_MAX, "%.1f %%", all > 0 ? 100 * ((double)part / (double)all) : 0);
	return out;
}
