/*
 * log_wire: severity, fields and frames.
 */
#include "common/log_wire.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FACILITY_MAIL = 2, NOTICE_NONE = 6 };

struct out {
	char *p;
	size_t n;
};

static void
put(struct out *o, const char *p, size_t n)
{
	if (n > LOG_WIRE_MAX - o->n)
		return;
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

/* The syslog severity (RFC 5424 6.2.1) of the line's level, which stands behind its time. */
static int
severity(struct span line)
{
	static const struct {
		const char *word;
		int severity;
	} levels[] = { { "error", 3 }, { "warn", 4 }, { "info", 6 }, { "debug", 7 } };
	static const char fmt[] = " level=", json[] = ",\"level\":\"";
	const char *at = memmem(line.p, line.n, fmt, sizeof(fmt) - 1);
	size_t skip = sizeof(fmt) - 1, left;

	if (line.n > 0 && line.p[0] == '{') {
		at = memmem(line.p, line.n, json, sizeof(json) - 1);
		skip = sizeof(json) - 1;
	}
	left = at != NULL ? line.n - (size_t)(at - (const char *)line.p) - skip : 0;
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
		size_t n = strlen(levels[i].word);

		if (left >= n && memcmp(at + skip, levels[i].word, n) == 0)
			return levels[i].severity;
	}
	return NOTICE_NONE;
}

static struct span
chomp(const char *line, size_t n)
{
	return span_of(line, n > 0 && line[n - 1] == '\n' ? n - 1 : n);
}

/* LETTERPLATE_KEY=; field names of the journal are of upper case. */
static void
put_key(struct out *o, struct span key)
{
	static const char prefix[] = "LETTERPLATE_";

	put(o, prefix, sizeof(prefix) - 1);
	for (size_t i = 0; i < key.n; i++) {
		char c = (char)(key.p[i] >= 'a' && key.p[i] <= 'z' ? key.p[i] - 'a' + 'A' : key.p[i]);

		put(o, &c, 1);
	}
	put(o, "=", 1);
}

/*
 * The value at the start of ${s}, as it is without quotes; how many octets it took.  In logfmt \" stands for a quote, in
 * JSON \\ for a backslash too; the log's own \xNN and \\ stay as they are in both.
 */
static size_t
put_value(struct out *o, struct span s, bool json)
{
	size_t i = 0;

	if (s.n == 0 || s.p[0] != '"') {
		while (i < s.n && s.p[i] != ' ' && !(json && (s.p[i] == ',' || s.p[i] == '}')))
			i++;
		put(o, (const char *)s.p, i);
		return i;
	}
	for (i = 1; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n && (s.p[i + 1] == '"' || (json && s.p[i + 1] == '\\')))
			i++;
		else if (s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == '\\')
			put(o, (const char *)&s.p[i++], 1);
		put(o, (const char *)&s.p[i], 1);
	}
	return i < s.n ? i + 1 : i;
}

static void
put_fields(struct out *o, struct span s)
{
	bool json = s.n > 0 && s.p[0] == '{';

	while (s.n > 0) {
		const uint8_t *eq;
		size_t key = 0;

		while (s.n > 0 && (*s.p == ' ' || *s.p == ',' || *s.p == '{' || *s.p == '"' || *s.p == '}'))
			s = span_skip(s, 1);
		if ((eq = memchr(s.p, json ? ':' : '=', s.n)) == NULL)
			return;
		while (s.p + key < eq && s.p[key] != '"')
			key++;
		put_key(o, span_head(s, key));
		s = span_skip(s, (size_t)(eq - s.p) + 1);
		s = span_skip(s, put_value(o, s, json));
		put(o, "\n", 1);
	}
}

size_t
log_wire_journal(const char *line, size_t n, char *out)
{
	struct out o = { out, 0 };
	struct span s = chomp(line, n);
	char head[96];
	int k = snprintf(head, sizeof(head),
	    "SYSLOG_IDENTIFIER=letterplate\nSYSLOG_FACILITY=%d\nPRIORITY=%d\nMESSAGE=", FACILITY_MAIL, severity(s));

	put(&o, head, k > 0 ? (size_t)k : 0);
	put(&o, (const char *)s.p, s.n);
	put(&o, "\n", 1);
	put_fields(&o, s);
	return o.n;
}

size_t
log_wire_syslog(const char *line, size_t n, char *out)
{
	static const char month[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
		"Dec" };
	struct out o = { out, 0 };
	struct span s = chomp(line, n);
	time_t now = time(NULL);
	struct tm tm = { 0 };
	char head[96];
	int k;

	localtime_r(&now, &tm);
	k = snprintf(head, sizeof(head),
	    "<%d>%s %2d %02d:%02d:%02d letterplate[%ld]: ", FACILITY_MAIL * 8 + severity(s), month[tm.tm_mon],
	    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (long)getpid());
	put(&o, head, k > 0 ? (size_t)k : 0);
	put(&o, (const char *)s.p, s.n);
	return o.n;
}
