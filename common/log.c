/*
 * log: how a line is put together.
 * The one place where what came from outside is escaped for a log.  Uses no
 * locale, no time zone and no memory but the caller's line; where the line
 * goes is log_sink.c's part.
 */
#include "common/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "common/date.h"
#include "common/decimal.h"
#include "common/log_sink.h"
#include "common/scan.h"
#include "common/xtext.h"

enum {
	TAIL = 16,        /* octets kept for the end: ,"cut":"yes"}\n */
	UNIT_MAX = 3 * 5, /* octets that one character may need: three octets as \\xNN */
	HEAD_MAX = 128,   /* octets of the level, the program and the slot */
	MSG_MAX = 1024    /* octets of a formatted message */
};

_Static_assert(LOG_LINE_MAX < 4096, "a line must be below PIPE_BUF to be written whole");

static struct {
	const char *who;
	int slot;
	bool json;
	atomic_int level;
	bool made; /* of this process's lines, what always stands behind the time, by level */
	size_t nhead[LOG_L_DEBUG + 1];
	char head[LOG_L_DEBUG + 1][HEAD_MAX];
} cfg = { .who = "letterplate", .slot = -1, .level = LOG_L_INFO };

static const char *const level_name[] = { "error", "warn", "info", "debug" };

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&cfg.level, (int)level, memory_order_relaxed);
}

bool
log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&cfg.level, memory_order_relaxed);
}

/*
 * Printable ASCII, or well-formed UTF-8 (RFC 3629 4) that no terminal or
 * viewer acts on.  Not so C1 controls (U+009B begins a terminal's sequence),
 * U+2028/9 line ends, and the marks that turn the reading direction (CVE-2021-42574).
 */
size_t
log_plain(struct span s)
{
	uint8_t c = s.p[0];
	size_t n = xtext_utf8(s);
	uint32_t u;

	if (c < 0x80)
		return c >= 0x20 && c != 0x7f && c != '\\';
	if (n == 0)
		return 0;
	u = c & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++)
		u = u << 6 | (s.p[i] & 0x3f);
	if (u < 0xa0 || u == 0x61c || (u >= 0x200e && u <= 0x200f) || (u >= 0x2028 && u <= 0x202e) ||
	    (u >= 0x2066 && u <= 0x2069) || u == 0xfeff)
		return 0;
	return n;
}

/*
 * One character of ${s} into ${out}, which has UNIT_MAX octets; *used of it are
 * done.  \\ and \xNN are the same in both formats: JSON carries the backslash
 * escaped once more, so its strings are always valid and the octets can be
 * got back, which \u00NN for an octet that is no UTF-8 would not allow.
 */
static size_t
escape_one(struct span s, char *out, size_t *used)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = log_plain(s), o = 0;
	uint8_t c = s.p[0];

	*used = 1;
	if (n > 0 && c != '"') {
		memcpy(out, s.p, n);
		*used = n;
		return n;
	}
	out[o++] = '\\';
	if (c == '"') {
		out[o++] = '"';
		return o;
	}
	if (cfg.json)
		out[o++] = '\\';
	if (c == '\\') {
		out[o++] = '\\';
		if (cfg.json)
			out[o++] = '\\';
		return o;
	}
	out[o++] = 'x';
	out[o++] = hex[c >> 4];
	out[o++] = hex[c & 15];
	return o;
}

static void
put(struct log_line *l, const char *p, size_t n)
{
	if (n > LOG_LINE_MAX - TAIL - l->n) {
		l->cut = true;
		return;
	}
	memcpy(l->text + l->n, p, n);
	l->n += n;
}

struct span
log_since(const struct log_line *l, size_t from)
{
	return span_of(l->text + from, l->n - from);
}

void
log_again(struct log_line *l, struct span fields)
{
	if (l->on)
		put(l, (const char *)fields.p, fields.n);
}

/* ${n} octets at ${p}.  Behind them. */
static char *
put_at(char *p, const char *from, size_t n)
{
	memcpy(p, from, n);
	return p + n;
}

/* key=VALUE or ,"key":VALUE; all of it or nothing. */
static void
put_field(struct log_line *l, const char *key, const char *v, size_t n, bool quoted)
{
	static const char dressing[] = ",\"\":\"\"";
	size_t nkey = strlen(key);
	char *p = l->text + l->n;

	if (nkey + n + sizeof(dressing) > LOG_LINE_MAX - TAIL - l->n) {
		l->cut = true;
		return;
	}
	if (cfg.json) {
		if (l->n > 1) /* not behind the brace */
			*p++ = ',';
		*p++ = '"';
		p = put_at(put_at(p, key, nkey), "\":", 2);
	} else {
		if (l->n > 0)
			*p++ = ' ';
		p = put_at(put_at(p, key, nkey), "=", 1);
	}
	if (quoted)
		*p++ = '"';
	p = put_at(p, v, n);
	if (quoted)
		*p++ = '"';
	l->n = (size_t)(p - l->text);
}

/* What is written as it is, alone or within quotes; the rest is escape_one()'s. */
enum { ALONE = 1, QUOTED = 2 };
static const uint8_t as_it_is[256] = { [' '] = QUOTED,
	['!'] = ALONE,
	['#' ... '<'] = ALONE,
	['='] = QUOTED,
	['>' ... '['] = ALONE,
	[']' ... '~'] = ALONE };

/* The octets at the head of ${s} that are written as they are; which kinds they are is added to *kinds. */
static size_t
run(struct span s, uint8_t *kinds)
{
	size_t n = 0;

	for (uint8_t k; n < s.n && (k = as_it_is[s.p[n]]) != 0; n++)
		*kinds |= k;
	return n;
}

/* As run(), of whole words, until one has something that is not written as it is. */
static size_t
run_words(struct span s, uint8_t *kinds)
{
	uint64_t w, with = 0;
	size_t n = 0;

	for (; s.n - n >= sizeof(w); n += sizeof(w)) {
		memcpy(&w, s.p + n, sizeof(w));
		if (((w & SCAN_EACH(0x80)) | SCAN_BELOW(w, ' ') | SCAN_IS(w, 0x7f) | SCAN_IS(w, '"') |
			SCAN_IS(w, '\\')) != 0)
			break;
		with |= SCAN_IS(w, ' ') | SCAN_IS(w, '=');
	}
	*kinds |= with != 0 ? QUOTED : ALONE;
	return n;
}

void
log_span(struct log_line *l, const char *key, struct span v)
{
	char text[LOG_VALUE_MAX], unit[UNIT_MAX];
	bool quoted = cfg.json || v.n == 0;
	size_t n = 0, used, u;
	uint8_t kinds = 0;

	if (!l->on)
		return;
	if (v.n > 0 && v.n <= sizeof(text)) { /* nearly all: nothing to escape */
		used = run_words(v, &kinds);
		if (used + run(span_skip(v, used), &kinds) == v.n) {
			put_field(l, key, (const char *)v.p, v.n, cfg.json || (kinds & QUOTED) != 0);
			return;
		}
		kinds = 0;
	}
	for (; v.n > 0; v = span_skip(v, used)) {
		used = run(span_head(v, v.n < sizeof(text) - n ? v.n : sizeof(text) - n), &kinds);
		if (used > 0) {
			memcpy(text + n, v.p, used);
			n += used;
			continue;
		}
		u = escape_one(v, unit, &used);
		if (u > sizeof(text) - n) {
			l->cut = true;
			break;
		}
		quoted = quoted || unit[0] == '\\';
		memcpy(text + n, unit, u);
		n += u;
	}
	put_field(l, key, text, n, quoted || (kinds & QUOTED) != 0);
}

void
log_str(struct log_line *l, const char *key, const char *v)
{
	if (l->on && v != NULL)
		log_span(l, key, span_str(v));
}

void
log_u64(struct log_line *l, const char *key, uint64_t v)
{
	char b[DECIMAL_MAX];

	if (l->on)
		put_field(l, key, b, decimal(b, v, 1), false);
}

void
log_i64(struct log_line *l, const char *key, int64_t v)
{
	char b[1 + DECIMAL_MAX] = "-";
	size_t sign = v < 0 ? 1 : 0;

	if (l->on)
		put_field(l, key, b, sign + decimal(b + sign, sign ? -(uint64_t)v : (uint64_t)v, 1), false);
}

void
log_ms(struct log_line *l, const char *key, uint64_t us)
{
	char b[2 * DECIMAL_MAX + 1];
	size_t n;

	if (!l->on)
		return;
	n = decimal(b, us / 1000, 1);
	b[n++] = '.';
	put_field(l, key, b, n + decimal(b + n, us % 1000, 3), false);
}

static void
put_time(struct log_line *l)
{
	static _Thread_local time_t last = -1;
	static _Thread_local char second[DATE_UTC_MAX];
	struct timespec now = { 0 };
	char b[80];
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec < 0)
		now = (struct timespec){ 0 };
	if (now.tv_sec != last) {
		date_utc(now.tv_sec, second);
		last = now.tv_sec;
	}
	memcpy(b, second, DATE_UTC_MAX - 1);
	n = DATE_UTC_MAX - 1;
	b[n++] = '.';
	n += decimal(b + n, (uint64_t)now.tv_nsec / 1000, 6);
	b[n++] = 'Z';
	put_field(l, "time", b, n, cfg.json);
}

static void
put_head(struct log_line *l)
{
	log_str(l, "level", level_name[l->level]);
	log_str(l, "who", cfg.who);
	if (cfg.slot >= 0)
		log_i64(l, "slot", cfg.slot);
}

void
log_init(const char *who, int slot, bool json, enum log_level level)
{
	cfg.who = who;
	cfg.slot = slot;
	cfg.json = json;
	cfg.made = true;
	for (int i = 0; i <= LOG_L_DEBUG; i++) {
		struct log_line l = { .on = true, .level = i, .n = 2 }; /* as if something stood before it */

		put_head(&l);
		cfg.nhead[i] = l.n - 2;
		cfg.made = cfg.made && cfg.nhead[i] <= HEAD_MAX;
		if (cfg.made)
			memcpy(cfg.head[i], l.text + 2, cfg.nhead[i]);
	}
	log_set_level(level);
	log_sink_init();
}

void
log_begin(struct log_line *l, enum log_level level, const char *event)
{
	l->on = log_enabled(level);
	l->level = (int)level;
	l->cut = false;
	l->n = 0;
	if (!l->on)
		return;
	if (cfg.json)
		put(l, "{", 1);
	put_time(l);
	if (cfg.made)
		put(l, cfg.head[level], cfg.nhead[level]);
	else
		put_head(l);
	log_str(l, "event", event);
}

void
log_finish(struct log_line *l)
{
	const char *tail = cfg.json ? (l->cut ? ",\"cut\":\"yes\"}\n" : "}\n") : l->cut ? " cut=yes\n" : "\n";
	size_t n = strlen(tail);

	if (!l->on)
		return;
	memcpy(l->text + l->n, tail, n);
	l->n += n;
	l->on = false;
}

void
log_end(struct log_line *l)
{
	if (!l->on)
		return;
	log_finish(l);
	log_sink_put(l->text, l->n, l->level > LOG_L_WARN);
}

void
log_msg(enum log_level level, const char *event, const char *fmt, ...)
{
	struct log_line l;
	char msg[MSG_MAX];
	va_list ap;
	int n;

	log_begin(&l, level, event);
	if (!l.on)
		return;
	va_start(ap, fmt);
	n = vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	if ((size_t)n >= sizeof(msg)) {
		n = sizeof(msg) - 1;
		l.cut = true;
	}
	log_span(&l, "msg", span_of(msg, (size_t)n));
	log_end(&l);
}
