/*
 * suite: what every unit suite shares: its main, which runs a Check suite and
 * prints a TAP line a test, and inputs that end on
 * a guard page, so that a read one octet too far dies.
 */
#ifndef TESTS_UNIT_SUITE_H_
#define TESTS_UNIT_SUITE_H_

#include <sys/mman.h>

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/span.h"

/* A copy of ${n} octets whose last one stands before an unreadable page.  Never freed: tests are short. */
static inline struct span
guarded(const void *p, size_t n)
{
	size_t   page = (size_t)sysconf(_SC_PAGESIZE);
	size_t   room = (n + page - 1) / page * page;
	uint8_t *base = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED || mprotect(base + room, page, PROT_NONE) != 0)
		abort();
	if (n > 0)
		memcpy(base + room - n, p, n);
	return (struct span){ base + room - n, n };
}

static inline struct span
guarded_str(const char *s)
{
	return guarded(s, strlen(s));
}

/* Run the suite, a TAP line a test (tests/run counts them); the exit code of main. */
static inline int
suite_run(Suite *s)
{
	SRunner *sr = srunner_create(s);
	int      failed, n;

	srunner_set_tap(sr, "-");
	srunner_run_all(sr, CK_SILENT);
	failed = srunner_ntests_failed(sr);
	n      = srunner_ntests_run(sr);
	srunner_free(sr);
	return failed == 0 && n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
#endif
