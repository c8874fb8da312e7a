/*
 * directory: a small directory of mailboxes, made once a process with the
 * writer of letterplate-mailboxes, in a folder that goes when the process does.
 */
#ifndef TESTS_FUZZ_PARTS_DIRECTORY_H_
#define TESTS_FUZZ_PARTS_DIRECTORY_H_

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/entry.h"
#include "common/norm.h"
#include "common/report.h"
#include "tools/mailboxes/build.h"

static char directory_path[PATH_MAX / 4];

static void
directory_remove(void)
{
	static const char *const names[] = { MDB_FILE, MDB_PREVIOUS, TOOL_NEW, TOOL_OLD, TOOL_LOCK };
	static const char *const spool[] = { REPORT_SPOOL "/tmp", REPORT_SPOOL "/new", REPORT_SPOOL "/bad",
		REPORT_SPOOL };
	int                      fd      = open(directory_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; fd != -1 && i < sizeof(names) / sizeof(names[0]); i++)
		unlinkat(fd, names[i], 0);
	for (size_t i = 0; fd != -1 && i < sizeof(spool) / sizeof(spool[0]); i++)
		unlinkat(fd, spool[i], AT_REMOVEDIR);
	if (fd != -1)
		close(fd);
	rmdir(directory_path);
}

static void
directory_put(struct build *b, struct span line)
{
	static uint8_t       rec[ENTRY_RECORD_MAX];
	static const uint8_t marker[1] = { ENTRY_DOMAIN };
	char                 key[NORM_KEY_MAX], err[256];
	size_t               keylen, reclen;
	const uint8_t       *at;

	if (entry_parse(line, key, &keylen, rec, &reclen, err, sizeof(err)) < 0 ||
	    build_put(b, span_of(key, keylen), span_of(rec, reclen)) != 0)
		abort();
	at = memrchr(key, '@', keylen);
	if (key[0] != '@' &&
	    build_put(b, span_of(at, (size_t)((const uint8_t *)key + keylen - at)), span_of(marker, 1)) != 0)
		abort();
}

/* Publish the entries of ${list}, lines with LF; @domain lines come last. */
static void
directory_make(const char *list)
{
	const char   *tmp = getenv("TMPDIR");
	uint64_t      n   = 0;
	struct tool   t   = { .dir = directory_path, .lockfd = -1 };
	struct build *b;
	int           rc;

	snprintf(directory_path, sizeof(directory_path), "%s/letterplate-fuzz-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(directory_path) == NULL || tool_open(&t, directory_path) != 0)
		abort();
	atexit(directory_remove);
	b = build_new(&t, 65536, &rc);
	if (b == NULL)
		abort();
	for (const char *end; (end = strchr(list, '\n')) != NULL; list = end + 1, n++)
		directory_put(b, span_of(list, (size_t)(end - list)));
	if (build_done(b, n, 0) != 0 || tool_publish(&t, false) != 0)
		abort();
	close(t.dirfd);
}
#endif
