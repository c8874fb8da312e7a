/*
 * log_wire: the suite of common/log_wire.c and of log_to_parse(): a line as
 * the journal and a syslog daemon get it, for every place where it may end.
 */
#include "common/log_wire.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/suite.h"

static const struct {
	const char *line, *fields, *priority;
} rows[] = {
	{ "time=T level=info who=worker slot=1 event=session a=b\n",
	    "LETTERPLATE_TIME=T\nLETTERPLATE_LEVEL=info\nLETTERPLATE_WHO=worker\nLETTERPLATE_SLOT=1\nLETTERPLATE_EVENT="
	    "session\n"
	    "LETTERPLATE_A=b\n",
	    "PRIORITY=6" },
	{ "time=T level=error event=x msg=\"a \\\"b\\\" c=d \\\\x1b\" n=1",
	    "LETTERPLATE_TIME=T\nLETTERPLATE_LEVEL=error\nLETTERPLATE_EVENT=x\nLETTERPLATE_MSG=a \"b\" c=d "
	    "\\\\x1b\nLETTERPLATE_N=1\n",
	    "PRIORITY=3" },
	{ "{\"time\":\"T\",\"level\":\"warn\",\"event\":\"x\",\"msg\":\"a, \\\"b\\\": \\\\x1b }\",\"n\":12.500}\n",
	    "LETTERPLATE_TIME=T\nLETTERPLATE_LEVEL=warn\nLETTERPLATE_EVENT=x\nLETTERPLATE_MSG=a, \"b\": \\x1b "
	    "}\nLETTERPLATE_N=12.500\n",
	    "PRIORITY=4" },
	{ "time=T level=debug event=x empty=\"\"",
	    "LETTERPLATE_TIME=T\nLETTERPLATE_LEVEL=debug\nLETTERPLATE_EVENT=x\nLETTERPLATE_EMPTY=\n", "PRIORITY=7" },
};

START_TEST(journal)
{
	char out[LOG_WIRE_MAX], want[4096];
	size_t n = strlen(rows[_i].line), k = log_wire_journal(rows[_i].line, n, out);
	size_t chomped = n - (rows[_i].line[n - 1] == '\n');

	snprintf(want, sizeof want, "SYSLOG_IDENTIFIER=letterplate\nSYSLOG_FACILITY=2\n%s\nMESSAGE=%.*s\n%s",
	    rows[_i].priority, (int)chomped, rows[_i].line, rows[_i].fields);
	ck_assert_uint_eq(k, strlen(want));
	ck_assert_mem_eq(out, want, k);
}
END_TEST

/* No end of a line makes it read on, or write more than there is room. */
START_TEST(any_end)
{
	char out[LOG_WIRE_MAX];
	size_t n = strlen(rows[_i].line);

	for (size_t k = 0; k <= n; k++) {
		const char *p = (const char *)guarded(rows[_i].line, k).p;

		ck_assert_uint_le(log_wire_journal(p, k, out), sizeof out);
		ck_assert_uint_le(log_wire_syslog(p, k, out), sizeof out);
	}
}
END_TEST

START_TEST(longest)
{
	static char line[LOG_LINE_MAX + 96], out[LOG_WIRE_MAX];

	for (size_t i = 0; i + 4 < sizeof line; i += 4)
		memcpy(line + i, "a=b ", 4);
	ck_assert_uint_le(log_wire_journal(line, sizeof line, out), sizeof out);
	memset(line, '"', sizeof line);
	ck_assert_uint_le(log_wire_journal(line, sizeof line, out), sizeof out);
	memset(line, '=', sizeof line);
	ck_assert_uint_le(log_wire_journal(line, sizeof line, out), sizeof out);
}
END_TEST

START_TEST(syslog_frame)
{
	static const char line[] = "time=T level=warn event=x\n";
	char out[LOG_WIRE_MAX];
	size_t n = log_wire_syslog(line, sizeof line - 1, out);

	ck_assert_mem_eq(out, "<20>", 4);
	ck_assert_mem_eq(out + n - 28, "]: time=T level=warn event=x", 28);
}
END_TEST

static const struct {
	const char *text;
	int r;
	enum log_to to;
	const char *path;
} words[] = {
	{ "stderr", 0, LOG_TO_STDERR, "" },
	{ "journal", 0, LOG_TO_JOURNAL, "/run/systemd/journal/socket" },
	{ "syslog", 0, LOG_TO_SYSLOG, "/dev/log" },
	{ "syslog:/x", 0, LOG_TO_SYSLOG, "/x" },
	{ "file:/var/log/x", 0, LOG_TO_FILE, "/var/log/x" },
	{ "file", -1, LOG_TO_STDERR, NULL },
	{ "file:", -1, LOG_TO_STDERR, NULL },
	{ "file:x", -1, LOG_TO_STDERR, NULL },
	{ "stderr:/x", -1, LOG_TO_STDERR, NULL },
	{ "journal:", -1, LOG_TO_STDERR, NULL },
	{ "journa", -1, LOG_TO_STDERR, NULL },
	{ "journalx", -1, LOG_TO_STDERR, NULL },
	{ "", -1, LOG_TO_STDERR, NULL },
};

START_TEST(parse)
{
	enum log_to to = LOG_TO_STDERR;
	const char *path = NULL;

	ck_assert_int_eq(log_to_parse(words[_i].text, &to, &path), words[_i].r);
	if (words[_i].r == 0) {
		ck_assert_int_eq(to, words[_i].to);
		ck_assert_str_eq(path, words[_i].path);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("log_wire");
	TCase *tc = tcase_create("log_wire");

	tcase_add_loop_test(tc, journal, 0, sizeof rows / sizeof *rows);
	tcase_add_loop_test(tc, any_end, 0, sizeof rows / sizeof *rows);
	tcase_add_test(tc, longest);
	tcase_add_test(tc, syslog_frame);
	tcase_add_loop_test(tc, parse, 0, sizeof words / sizeof *words);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
