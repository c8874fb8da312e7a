/*
 * reports: what the worker left in the spool of delivery reports: one for each
 * that it counts, of messages that were accepted, and nothing half made.
 */
#ifndef TESTS_FUZZ_PARTS_REPORTS_H_
#define TESTS_FUZZ_PARTS_REPORTS_H_

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/report.h"
#include "tests/fuzz/parts/directory.h"
#include "tests/fuzz/parts/ledger.h"

/* The entries of ${sub}, which go; how many there were. */
static unsigned
reports_take(const char *sub)
{
	char           path[PATH_MAX];
	struct dirent *e;
	unsigned       n = 0;
	DIR           *d;

	snprintf(path, sizeof(path), "%s/%s/%s", directory_path, REPORT_SPOOL, sub);
	d = opendir(path);
	if (d == NULL)
		abort();
	while ((e = readdir(d)) != NULL) {
		const char *id = strchr(e->d_name, '.');

		if (e->d_name[0] == '.')
			continue;
		if (id == NULL || ledger_of(span_str(id + 1))->accepted == 0)
			breach("a report tells of %s, which was not accepted", e->d_name);
		n++;
		unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
	return n;
}

static void
reports_check(uint64_t counted)
{
	unsigned n = reports_take("new"), half = reports_take("tmp");

	if (n != counted || half != 0)
		breach("%u reports and %u half made, and %llu are counted", n, half, (unsigned long long)counted);
}
#endif
