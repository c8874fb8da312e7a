/*
 * statsfix: a segment in a folder of its own.  For test programs only.
 */
#ifndef TESTS_UNIT_STATSFIX_H_
#define TESTS_UNIT_STATSFIX_H_

#include "common/stats.h"
#include "tests/unit/suite.h"

static char dir[64], path[80];
static int  fd;

static void
setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%.40s/stats.XXXXXX", tmp != NULL && strlen(tmp) <= 40 ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/%s", dir, STATS_FILE);
	fd = stats_create(dir, "1.2.3");
	ck_assert_int_ge(fd, 0);
}

static void
teardown(void)
{
	close(fd);
	unlink(path);
	rmdir(dir);
}

static void
look(struct stats_sum *s)
{
	struct stats_map *m;

	ck_assert_int_eq(stats_open(path, &m), 0);
	ck_assert_int_eq(stats_read(m, s), 0);
	stats_close(m);
}

#endif
