/*
 * log: the suite of common/log.c and log_sink.c.  What was logged is read back
 * by decoders of the suite's own (and by jansson), and must be the same octets.
 */
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <bsd/string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "common/log.h"
#include "common/log_sink.h"
#include "tests/unit/suite.h"

/* The clock of this program: what a test says, else the real one. */
static struct timespec fake;

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	if (id == CLOCK_REALTIME && fake.tv_sec != 0) {
		*ts = fake;
		return 0;
	}
	return (int)syscall(SYS_clock_gettime, id, ts);
}

/* Standard error goes to a memfd from here... */
static int
capture(void)
{
	int fd = memfd_create("log", 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	return fd;
}

/* ...and is read back here, NUL-terminated; the next line begins anew. */
static size_t
captured(int fd, char *out, size_t cap)
{
	ssize_t n = pread(fd, out, cap - 1, 0);

	ck_assert_int_ge(n, 0);
	out[n] = '\0';
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return (size_t)n;
}

/* One value from ${p} on, undressed but with its escapes; where it ends. */
static const char *
logfmt_one(const char *p, char *out)
{
	if (*p != '"') {
		while (*p != ' ' && *p != '\n')
			*out++ = *p++;
	} else {
		for (p++; *p != '"'; p++) {
			if (p[0] == '\\' && p[1] == '"')
				p++;
			else if (p[0] == '\\')
				*out++ = *p++;
			*out++ = *p;
		}
		p++;
	}
	*out = '\0';
	return p;
}

/* The value of the first ${key} in a logfmt line; its length, or -1.  Goes field by field: a value may look like one. */
static ssize_t
logfmt_value(const char *line, const char *key, char *out)
{
	for (const char *p = line; *p != '\0' && *p != '\n'; p += *p == ' ') {
		const char *eq = strchr(p, '=');
		bool found = (size_t)(eq - p) == strlen(key) && strncmp(p, key, strlen(key)) == 0;

		p = logfmt_one(eq + 1, out);
		if (*p != ' ' && *p != '\n')
			return -1;
		if (found)
			return (ssize_t)strlen(out);
	}
	return -1;
}

/* docs/LOGS.md's rule: \\ is a backslash, \xNN an octet. */
static size_t
unescape(const char *in, uint8_t *out)
{
	size_t n = 0;

	for (; *in != '\0'; in++) {
		if (*in != '\\') {
			out[n++] = (uint8_t)*in;
		} else if (in[1] == '\\') {
			out[n++] = '\\';
			in++;
		} else {
			char hex[3] = { in[2], in[3], '\0' };

			ck_assert_int_eq(in[1], 'x');
			out[n++] = (uint8_t)strtoul(hex, NULL, 16);
			in += 3;
		}
	}
	return n;
}

/* Log ${v} in both formats and see that the same octets come back, and that nothing but a line was written. */
static void
check_value(int fd, struct span v)
{
	static char line[8192], text[8192];
	static uint8_t back[8192];
	struct log_line l;
	size_t n, bad = 0;
	ssize_t len;
	json_t *o;

	for (int json = 0; json < 2; json++) {
		log_init("test", -1, json, LOG_L_INFO);
		log_begin(&l, LOG_L_INFO, "try");
		log_span(&l, "v", v);
		log_u64(&l, "after", 7);
		log_end(&l);
		n = captured(fd, line, sizeof(line));
		ck_assert_uint_eq(strlen(line), n);
		for (size_t i = 0; i < n; i++)
			bad += ((uint8_t)line[i] < ' ' || line[i] == 0x7f) && i != n - 1;
		ck_assert_uint_eq(bad, 0);
		ck_assert_int_eq(line[n - 1], '\n');
		if (json) {
			ck_assert_ptr_nonnull(o = json_loads(line, JSON_REJECT_DUPLICATES, NULL));
			strlcpy(text, json_string_value(json_object_get(o, "v")), sizeof(text));
			ck_assert_int_eq(json_integer_value(json_object_get(o, "after")), 7);
			json_decref(o);
		} else {
			ck_assert_int_ge(logfmt_value(line, "v", text), 0);
			len = logfmt_value(line, "after", (char *)back);
			ck_assert_msg(len == 1 && back[0] == '7', "%s", line);
		}
		n = unescape(text, back);
		ck_assert(span_eq(span_of(back, n), v));
	}
}

START_TEST(every_octet)
{
	int fd = capture();
	uint8_t v[3] = { 'a', 0, 'b' };

	for (int c = 0; c < 256; c++) {
		v[1] = (uint8_t)c;
		check_value(fd, span_of(v, 3));
		check_value(fd, span_of(v + 1, 1));
	}
}
END_TEST

/* How ${c} stands in a value, where it is no part of a character. */
static size_t
form_of(int c, bool json, char *out)
{
	if (c == '"')
		return (size_t)sprintf(out, "\\\"");
	if (c == '\\')
		return (size_t)sprintf(out, json ? "\\\\\\\\" : "\\\\");
	if (c < ' ' || c > '~')
		return (size_t)sprintf(out, json ? "\\\\x%02x" : "\\x%02x", (unsigned)c);
	return (size_t)sprintf(out, "%c", c);
}

/* Values are looked at a word at a time: the same as an octet at a time, wherever in a word one stands, and not an octet too far. */
START_TEST(every_octet_at_each_place)
{
	enum { LONGEST = 3 * 8 + 1 };
	bool json = _i == 1;

	log_init("test", -1, json, LOG_L_INFO);
	for (size_t n = 1; n <= LONGEST; n++)
		for (size_t at = 0; at < n; at++)
			for (int c = 0; c < 256; c++) {
				bool quoted =
				    json || c == ' ' || c == '=' || c == '"' || c == '\\' || c < ' ' || c > '~';
				char *v = malloc(n), want[128], *w = want; /* of that size, for a sanitizer */
				struct log_line l;

				ck_assert_ptr_nonnull(v);
				memset(v, 'x', n);
				v[at] = (char)c;
				log_begin(&l, LOG_L_INFO, "try");
				log_span(&l, "v", span_of(v, n));
				log_finish(&l);
				w += sprintf(w, json ? ",\"v\":" : " v=");
				w += sprintf(w, "%s%.*s", quoted ? "\"" : "", (int)at, "xxxxxxxxxxxxxxxxxxxxxxxx");
				w += form_of(c, json, w);
				w += sprintf(w, "%.*s%s%s\n", (int)(n - at - 1), "xxxxxxxxxxxxxxxxxxxxxxxx",
				    quoted ? "\"" : "", json ? "}" : "");
				ck_assert_uint_gt(l.n, (size_t)(w - want));
				ck_assert_msg(memcmp(l.text + l.n - (w - want), want, (size_t)(w - want)) == 0,
				    "%d at %zu of %zu: %.*s", c, at, n, (int)l.n, l.text);
				free(v);
			}
}
END_TEST

START_TEST(any_octets)
{
	static const char bits[][8] = { "\"", "\\", "\\\"", "\n", "=", " ", "x", "\xc3\xa9", "\xe2\x82\xac",
		"\xf0\x9f\x93\xae", "\xe2\x80", "\xc2\x9b", "\xff", "\xed\xa0\x80", "after=", "\t", "\r", "}" };
	int fd = capture();
	char v[64];

	srandom(1);
	for (int i = 0; i < 3000; i++) {
		size_t n = 0;

		for (long k = random() % 10; k > 0; k--) {
			const char *b = bits[(size_t)random() % (sizeof(bits) / sizeof(bits[0]))];

			memcpy(v + n, b, strlen(b));
			n += strlen(b);
		}
		check_value(fd, i < 20 ? guarded(v, n) : span_of(v, n));
	}
	check_value(fd, span_of("\0\0", 2));
	check_value(fd, span_of(NULL, 0));
}
END_TEST

static const struct {
	const char *in, *logfmt, *json;
} forms[] = {
	{ "plain", "plain", "\"plain\"" },
	{ "a@b.example", "a@b.example", "\"a@b.example\"" },
	{ "", "\"\"", "\"\"" },
	{ "two words", "\"two words\"", "\"two words\"" },
	{ "k=v", "\"k=v\"", "\"k=v\"" },
	{ "say \"hi\"", "\"say \\\"hi\\\"\"", "\"say \\\"hi\\\"\"" },
	{ "C:\\", "\"C:\\\\\"", "\"C:\\\\\\\\\"" },
	{ "a\r\nb", "\"a\\x0d\\x0ab\"", "\"a\\\\x0d\\\\x0ab\"" },
	{ "\x1b[2J\x7f", "\"\\x1b[2J\\x7f\"", "\"\\\\x1b[2J\\\\x7f\"" },
	{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x93\xae", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x93\xae",
	    "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x93\xae\"" },
	{ "\xc2\x9b", "\"\\xc2\\x9b\"", "\"\\\\xc2\\\\x9b\"" },                 /* C1 CSI */
	{ "\xe2\x80\xae", "\"\\xe2\\x80\\xae\"", "\"\\\\xe2\\\\x80\\\\xae\"" }, /* right-to-left override */
	{ "\xe2\x80\xa8", "\"\\xe2\\x80\\xa8\"", "\"\\\\xe2\\\\x80\\\\xa8\"" }, /* line separator */
	{ "\xc0\xaf", "\"\\xc0\\xaf\"", "\"\\\\xc0\\\\xaf\"" },                 /* over-long '/' */
	{ "\xe0\x80\xaf", "\"\\xe0\\x80\\xaf\"", "\"\\\\xe0\\\\x80\\\\xaf\"" },
	{ "\xf0\x80\x80\xaf", "\"\\xf0\\x80\\x80\\xaf\"", "\"\\\\xf0\\\\x80\\\\x80\\\\xaf\"" },
	{ "\xe0\x9f\xbf", "\"\\xe0\\x9f\\xbf\"", "\"\\\\xe0\\\\x9f\\\\xbf\"" },
	{ "\xf0\x8f\xbf\xbf", "\"\\xf0\\x8f\\xbf\\xbf\"", "\"\\\\xf0\\\\x8f\\\\xbf\\\\xbf\"" },
	{ "\xed\xa0\x80", "\"\\xed\\xa0\\x80\"", "\"\\\\xed\\\\xa0\\\\x80\"" },                 /* a surrogate */
	{ "\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\"", "\"\\\\xf4\\\\x90\\\\x80\\\\x80\"" }, /* past U+10FFFF */
	{ "\xc3", "\"\\xc3\"", "\"\\\\xc3\"" },
};

START_TEST(exact_forms)
{
	int fd = capture();
	char line[512], want[512];

	fake = (struct timespec){ 1795539600, 123456789 };
	for (int json = 0; json < 2; json++) {
		struct log_line l;

		log_init("worker", 1, json, LOG_L_INFO);
		log_begin(&l, LOG_L_WARN, "try-it");
		log_str(&l, "v", forms[_i].in);
		log_str(&l, "absent", NULL);
		log_i64(&l, "i", -5);
		log_i64(&l, "least", INT64_MIN);
		log_ms(&l, "took_ms", 1234567);
		log_end(&l);
		captured(fd, line, sizeof(line));
		snprintf(want, sizeof(want),
		    json ? "{\"time\":\"2026-11-24T17:00:00.123456Z\",\"level\":\"warn\",\"who\":\"worker\",\"slot\":1,"
			   "\"event\":\"try-it\",\"v\":%s,\"i\":-5,\"least\":-9223372036854775808,\"took_ms\":1234.567}"
			   "\n"
			 : "time=2026-11-24T17:00:00.123456Z level=warn who=worker slot=1 event=try-it v=%s i=-5 "
			   "least=-9223372036854775808 "
			   "took_ms=1234.567\n",
		    json ? forms[_i].json : forms[_i].logfmt);
		ck_assert_str_eq(line, want);
	}
}
END_TEST

START_TEST(fields_once_more)
{
	int fd = capture();
	char line[8192], kept[512];
	struct span fields;

	fake = (struct timespec){ 1795539600, 0 };
	for (int json = 0; json < 2; json++) {
		struct log_line l;
		size_t from;

		log_init("test", -1, json, LOG_L_INFO);
		log_begin(&l, LOG_L_INFO, "first");
		from = l.n;
		log_str(&l, "a", "b c");
		log_u64(&l, "n", 7);
		fields = log_since(&l, from);
		ck_assert_uint_lt(fields.n, sizeof(kept));
		memcpy(kept, fields.p, fields.n);
		log_end(&l);
		captured(fd, line, sizeof(line));
		log_begin(&l, LOG_L_INFO, "second");
		log_again(&l, span_of(kept, fields.n));
		log_str(&l, "z", "end");
		log_end(&l);
		captured(fd, line, sizeof(line));
		ck_assert_ptr_nonnull(strstr(line,
		    json ? "\"event\":\"second\",\"a\":\"b c\",\"n\":7,\"z\":\"end\"}\n"
			 : "event=second a=\"b c\" n=7 z=end\n"));
		/* Below the level there is no line; in one that is full they are left out as a whole. */
		log_begin(&l, LOG_L_DEBUG, "third");
		log_again(&l, span_of(kept, fields.n));
		log_end(&l);
		ck_assert_uint_eq(captured(fd, line, sizeof(line)), 0);
		log_begin(&l, LOG_L_INFO, "fourth");
		while (!l.cut)
			log_again(&l, span_of(kept, fields.n));
		log_end(&l);
		ck_assert_uint_le(captured(fd, line, sizeof(line)), LOG_LINE_MAX);
		ck_assert_ptr_nonnull(strstr(line, json ? "\"n\":7,\"cut\":\"yes\"}\n" : " n=7 cut=yes\n"));
	}
}
END_TEST

START_TEST(the_time_is_utc)
{
	static const time_t edge[] = { 1, 951782399, 951782400, 951868800, 1709164800, 1709251199, 1735689599,
		1735689600, 4102444799, 4107542400, 253402300799 };
	int fd = capture();
	char line[256], want[64];
	struct tm tm;

	setenv("TZ", "Asia/Kathmandu", 1);
	log_init("test", -1, false, LOG_L_INFO);
	srandom(2);
	for (size_t i = 0; i < 3000; i++) {
		fake.tv_sec = i < sizeof(edge) / sizeof(edge[0]) ? edge[i] : random() * 2 + 1;
		fake.tv_nsec = 999;
		log_msg(LOG_L_INFO, "tick", "x");
		captured(fd, line, sizeof(line));
		ck_assert_ptr_nonnull(gmtime_r(&fake.tv_sec, &tm));
		strftime(want, sizeof(want), "time=%Y-%m-%dT%H:%M:%S.000000Z ", &tm);
		ck_assert_msg(strncmp(line, want, strlen(want)) == 0, "%s%s", want, line);
	}
}
END_TEST

START_TEST(a_long_line_is_cut_at_a_field)
{
	static char big[3000], line[8192], text[8192];
	struct log_line l;
	int fd = capture();
	size_t n;

	for (int json = 0; json < 2; json++) {
		memset(big, json ? '\xff' : 'x', sizeof(big));
		log_init("test", 0, json, LOG_L_INFO);
		log_begin(&l, LOG_L_INFO, "long");
		log_span(&l, "a", span_of(big, sizeof(big)));
		log_span(&l, "b", span_of(big, sizeof(big)));
		log_span(&l, "c", span_of(big, json ? 200 : 1000));
		log_span(&l, "left_out", span_of(big, sizeof(big)));
		log_str(&l, "last", "here");
		log_end(&l);
		n = captured(fd, line, sizeof(line));
		ck_assert_uint_le(n, LOG_LINE_MAX);
		ck_assert_int_eq(line[n - 1], '\n');
		ck_assert_ptr_nonnull(strstr(line, "last"));
		ck_assert_ptr_null(strstr(line, "left_out"));
		if (json) {
			json_t *o = json_loads(line, 0, NULL);

			ck_assert_ptr_nonnull(o);
			ck_assert_str_eq(json_string_value(json_object_get(o, "cut")), "yes");
			json_decref(o);
		} else {
			ck_assert_int_eq(logfmt_value(line, "a", text), LOG_VALUE_MAX);
			ck_assert_ptr_nonnull(strstr(line, " cut=yes\n"));
		}
	}
	log_msg(LOG_L_INFO, "msg", "%s", line);
	n = captured(fd, line, sizeof(line));
	ck_assert_ptr_nonnull(strstr(line, "\"cut\":\"yes\"}\n"));
}
END_TEST

START_TEST(a_value_is_cut_and_it_is_said)
{
	static char big[LOG_VALUE_MAX + 1], line[8192], text[8192];
	struct log_line l;
	int fd = capture();

	memset(big, 'x', sizeof(big));
	log_init("test", 0, false, LOG_L_INFO);
	for (size_t n = LOG_VALUE_MAX; n <= LOG_VALUE_MAX + 1; n++) {
		log_begin(&l, LOG_L_INFO, "long");
		log_span(&l, "a", span_of(big, n));
		log_end(&l);
		captured(fd, line, sizeof(line));
		ck_assert_int_eq(logfmt_value(line, "a", text), LOG_VALUE_MAX);
		ck_assert_int_eq(strstr(line, " cut=yes\n") != NULL, n > LOG_VALUE_MAX);
	}
}
END_TEST

START_TEST(no_line_is_longer)
{
	static char big[1400], line[8192];
	struct log_line l;
	int fd = capture();

	memset(big, 'x', sizeof(big));
	for (size_t n = 1200; n <= 1320; n++) {
		log_init("test", -1, n % 2, LOG_L_INFO);
		log_begin(&l, LOG_L_INFO, "long");
		for (int i = 0; i < 3; i++)
			log_span(&l, "k", span_of(big, n));
		for (int i = 0; i < 50; i++)
			log_u64(&l, "n", UINT64_MAX);
		log_end(&l);
		ck_assert_uint_le(captured(fd, line, sizeof(line)), LOG_LINE_MAX);
		ck_assert_ptr_nonnull(strstr(line, n % 2 ? "\"cut\":\"yes\"}\n" : " cut=yes\n"));
	}
}
END_TEST

START_TEST(levels)
{
	int fd = capture();
	char line[512];

	log_init("test", -1, false, LOG_L_WARN);
	ck_assert(log_enabled(LOG_L_ERROR) && log_enabled(LOG_L_WARN) && !log_enabled(LOG_L_INFO));
	log_msg(LOG_L_INFO, "no", "x");
	ck_assert_uint_eq(captured(fd, line, sizeof(line)), 0);
	log_msg(LOG_L_ERROR, "yes", "x");
	ck_assert_uint_gt(captured(fd, line, sizeof(line)), 0);
	log_set_level(LOG_L_DEBUG);
	log_msg(LOG_L_DEBUG, "yes", "x");
	ck_assert_uint_gt(captured(fd, line, sizeof(line)), 0);
}
END_TEST

static void
log_numbered(unsigned from, unsigned n)
{
	static const char filler[] =
	    "some words that make the line as long as those of a real transaction are, or nearly so";
	struct log_line l;

	for (unsigned i = 0; i < n; i++) {
		log_begin(&l, LOG_L_INFO, "line");
		log_u64(&l, "from", from);
		log_str(&l, "filler", filler);
		log_u64(&l, "i", i);
		log_end(&l);
	}
}

struct seen {
	unsigned lines, broken, said;
	uint64_t dropped; /* what the log-dropped lines say */
};

/* Read a pipe to its end and look at each line. */
static struct seen
read_lines(int fd, useconds_t delay)
{
	static char line[8192];
	struct seen s = { 0 };
	FILE *f = fdopen(fd, "r");

	while (fgets(line, sizeof(line), f) != NULL) {
		char *n = strstr(line, "event=log-dropped n=");

		if (n != NULL) {
			s.said++;
			s.dropped += strtoull(n + 20, NULL, 10);
		} else if (strncmp(line, "time=", 5) != 0 || strstr(line + 5, "time=") != NULL ||
		    strstr(line, " i=") == NULL) {
			s.broken++;
		} else {
			s.lines++;
		}
		if (delay > 0 && s.lines % 64 == 0)
			usleep(delay);
	}
	fclose(f);
	return s;
}

static void *
log_some(void *arg)
{
	log_numbered((unsigned)(uintptr_t)arg, 500);
	return NULL;
}

/* A process that logs from several threads to a pipe shared with others, by its log's own thread or without. */
static void
process(int fd, bool thread)
{
	pthread_t t[3];

	dup2(fd, STDERR_FILENO);
	close(fd);
	log_init("worker", 1, false, LOG_L_INFO);
	if (thread && log_thread_start() != 0)
		_exit(1);
	for (size_t i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, log_some, (void *)(uintptr_t)i);
	for (size_t i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	log_flush(60000);
	/* Without it a reader is waited for no longer than a second. */
	_exit(thread && log_dropped() != 0);
}

/* Blocking and non-blocking pipe; 0: a quick reader, else microseconds of a slow one's pauses. */
static const struct {
	int flags;
	useconds_t delay;
	bool thread;
} pipes[] = { { 0, 0, true }, { O_NONBLOCK, 0, true }, { 0, 500, true }, { O_NONBLOCK, 500, true }, { 0, 0, false },
	{ O_NONBLOCK, 0, false } };

START_TEST(lines_of_several_processes_stay_whole)
{
	struct seen s;
	int p[2], status;

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(fcntl(p[1], F_SETFL, pipes[_i].flags), 0);
	for (int i = 0; i < 3; i++)
		if (fork() == 0) {
			close(p[0]);
			process(p[1], pipes[_i].thread);
		}
	close(p[1]);
	s = read_lines(p[0], pipes[_i].delay);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_uint_eq(s.broken, 0);
	if (pipes[_i].thread)
		ck_assert_uint_eq(s.lines, 3 * 3 * 500);
	else
		ck_assert_uint_gt(s.lines, 0);
}
END_TEST

START_TEST(a_reader_that_hangs_holds_nobody_up)
{
	enum { LINES = 20000 };
	struct seen s;
	uint64_t dropped;
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(dup2(p[1], STDERR_FILENO), STDERR_FILENO);
	close(p[1]);
	log_init("worker", 1, false, LOG_L_INFO);
	ck_assert_int_eq(log_thread_start(), 0);
	alarm(20);
	log_numbered(0, LINES); /* far more than ring and pipe hold */
	log_flush(50);
	dropped = log_dropped();
	ck_assert_uint_gt(dropped, 0);
	ck_assert_uint_lt(dropped, LINES);
	if (fork() == 0) {
		/* The reader wakes; the writer is its parent, whose end of the pipe is closed below. */
		close(STDERR_FILENO);
		s = read_lines(p[0], 0);
		_exit(s.broken == 0 && s.said > 0 && s.dropped == dropped && s.lines == LINES - dropped ? 0 : 1);
	}
	log_flush(10000);
	/* Closing standard error would leave the thread a broken number; /dev/null ends the pipe as well. */
	dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	int status;

	ck_assert_int_gt(wait(&status), 0);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(log_dropped(), dropped);
}
END_TEST

/* Without and with the thread; SIGPIPE as the system gives it. */
START_TEST(a_reader_that_went_away)
{
	int p[2], status;
	pid_t pid;

	ck_assert_int_eq(pipe(p), 0);
	close(p[0]);
	if ((pid = fork()) == 0) {
		signal(SIGPIPE, SIG_DFL);
		dup2(p[1], STDERR_FILENO);
		close(p[1]);
		log_init("worker", 1, false, LOG_L_INFO);
		if (_i == 1 && log_thread_start() != 0)
			_exit(1);
		errno = EDOM;
		log_numbered(0, 10);
		if (errno != EDOM)
			_exit(2);
		log_flush(5000);
		_exit(log_dropped() == 10 ? 0 : 3);
	}
	close(p[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* What a worker that was taken over can do to a socket that it was given: who can is asked for another one. */
START_TEST(a_socket_that_was_shut_down)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
	log_init("worker", 1, false, LOG_L_INFO);
	log_to(LOG_TO_SYSLOG, fd[0]);
	log_msg(LOG_L_ERROR, "hello", "it is heard");
	ck_assert(!log_lost());
	ck_assert_int_eq(shutdown(fd[0], SHUT_WR), 0);
	log_msg(LOG_L_ERROR, "hello", "it is not");
	ck_assert(log_lost());
	log_to(LOG_TO_STDERR, -1);
	close(fd[0]);
	close(fd[1]);
}
END_TEST

START_TEST(a_closed_standard_error)
{
	int fd;

	close(STDERR_FILENO);
	log_init("worker", 1, false, LOG_L_INFO);
	fd = open("/dev/zero", O_RDONLY); /* stands for a mail file */
	ck_assert_int_gt(fd, STDERR_FILENO);
	log_msg(LOG_L_ERROR, "hello", "nobody listens");
	ck_assert_uint_eq(log_dropped(), 0);
}
END_TEST

START_TEST(the_thread_takes_no_signal)
{
	char path[300], line[256];
	uint64_t blocked = 0, own = 0;
	int tasks = 0;
	struct dirent *e;
	DIR *d;

	capture();
	log_init("worker", 1, false, LOG_L_INFO);
	ck_assert_int_eq(log_thread_start(), 0);
	ck_assert_ptr_nonnull(d = opendir("/proc/self/task"));
	while ((e = readdir(d)) != NULL) {
		FILE *f;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		ck_assert_ptr_nonnull(f = fopen(path, "r"));
		while (fgets(line, sizeof(line), f) != NULL)
			if (strncmp(line, "SigBlk:", 7) == 0)
				*(strtol(e->d_name, NULL, 10) == getpid() ? &own : &blocked) =
				    strtoull(line + 7, NULL, 16);
		fclose(f);
		tasks++;
	}
	closedir(d);
	ck_assert_int_ge(tasks, 2);
	/* All but KILL and STOP, and the two that the C library keeps for itself. */
	ck_assert_uint_eq(blocked | 1u << (SIGKILL - 1) | 1u << (SIGSTOP - 1) | UINT64_C(3) << 31, UINT64_MAX);
	ck_assert_uint_eq(own & 1u << (SIGTERM - 1), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("all");

	tcase_set_timeout(t, 0);
	tcase_add_test(t, every_octet);
	tcase_add_loop_test(t, every_octet_at_each_place, 0, 2);
	tcase_add_test(t, any_octets);
	tcase_add_loop_test(t, exact_forms, 0, sizeof(forms) / sizeof(forms[0]));
	tcase_add_test(t, fields_once_more);
	tcase_add_test(t, the_time_is_utc);
	tcase_add_test(t, a_long_line_is_cut_at_a_field);
	tcase_add_test(t, a_value_is_cut_and_it_is_said);
	tcase_add_test(t, no_line_is_longer);
	tcase_add_test(t, levels);
	tcase_add_loop_test(t, lines_of_several_processes_stay_whole, 0, sizeof(pipes) / sizeof(pipes[0]));
	tcase_add_test(t, a_reader_that_hangs_holds_nobody_up);
	tcase_add_loop_test(t, a_reader_that_went_away, 0, 2);
	tcase_add_test(t, a_socket_that_was_shut_down);
	tcase_add_test(t, a_closed_standard_error);
	tcase_add_test(t, the_thread_takes_no_signal);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
