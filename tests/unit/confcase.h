/*
 * confcase: parsing a config inside a unit test, with what was reported kept.
 * For the suites of conf (conf.c, confcheck.c).
 */
#ifndef TESTS_UNIT_CONFCASE_H_
#define TESTS_UNIT_CONFCASE_H_

#include "common/conf.h"
#include "tests/unit/suite.h"

/* Reports, a line each. */
struct told {
	char   text[64 << 10];
	size_t n, lines;
};

static void
take(void *arg, const char *line)
{
	struct told *t = arg;
	int          n = snprintf(t->text + t->n, sizeof t->text - t->n, "%s\n", line);

	ck_assert(n > 0 && (size_t)n < sizeof t->text - t->n);
	t->n += (size_t)n;
	t->lines++;
}

static struct told told;

/* Parse ${text}, which ends on a guard page; NULL when it was refused. */
static struct conf *
parse(const char *text)
{
	struct conf *cf = NULL;
	struct span  s  = guarded_str(text);
	int          rc;

	memset(&told, 0, sizeof told);
	rc = conf_parse("x.conf", (const char *)s.p, s.n, take, &told, &cf);
	ck_assert_int_eq(rc, cf != NULL ? 0 : -1);
	ck_assert_msg((rc == 0) == (told.lines == 0), "%d with: %s", rc, told.text);
	return cf;
}

/* The same for what must be right. */
static struct conf *
good(const char *text)
{
	struct conf *cf = parse(text);

	ck_assert_msg(cf != NULL, "%s", told.text);
	return cf;
}

#define HOST "hostname = \"mx.example.org\"\n"
#define MX   "listener \"mx\" { address = \"127.0.0.1:2525\" }\n"
#endif
