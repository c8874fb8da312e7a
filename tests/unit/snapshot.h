/*
 * snapshot: makes a directory's snapshot in a folder of its own from the lines
 * of a list, with the writer of letterplate-mailboxes but without its checks,
 * so that a test may hold what the tool would refuse.
 */
#ifndef TESTS_UNIT_SNAPSHOT_H_
#define TESTS_UNIT_SNAPSHOT_H_

#include <fcntl.h>
#include <limits.h>

#include "common/entry.h"
#include "tests/unit/suite.h"
#include "tools/mailboxes/build.h"

struct snapshot {
	char        dir[PATH_MAX / 4];
	struct tool t;
};

static inline void
snapshot_init(struct snapshot *s)
{
	const char *tmp = getenv("TMPDIR");

	*s = (struct snapshot){ 0 };
	snprintf(s->dir, sizeof(s->dir), "%s/letterplate-unit-XXXXXX", tmp != NULL ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(s->dir));
	ck_assert_int_eq(tool_open(&s->t, s->dir), 0);
}

static inline void
snapshot_path(const struct snapshot *s, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", s->dir, name);
}

static inline void
snapshot_fini(struct snapshot *s)
{
	static const char *const names[] = { MDB_FILE, MDB_PREVIOUS, TOOL_NEW, TOOL_OLD, TOOL_LOCK };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlinkat(s->t.dirfd, names[i], 0);
	close(s->t.dirfd);
	ck_assert_int_eq(rmdir(s->dir), 0);
}

static inline void
snapshot_put(struct build *b, const char *line, size_t n)
{
	static uint8_t       rec[ENTRY_RECORD_MAX];
	static const uint8_t marker[1] = { ENTRY_DOMAIN };
	char                 key[NORM_KEY_MAX], err[256] = "";
	size_t               keylen, reclen;

	ck_assert_msg(entry_parse(span_of(line, n), key, &keylen, rec, &reclen, err, sizeof(err)) >= 0, "%.*s: %s",
	    (int)n, line, err);
	ck_assert_int_eq(build_put(b, span_of(key, keylen), span_of(rec, reclen)), 0);
	if (key[0] != '@') {
		const uint8_t *at     = memrchr(key, '@', keylen);
		struct span    domain = span_of(at, (size_t)((const uint8_t *)key + keylen - at));

		ck_assert_int_eq(build_put(b, domain, span_of(marker, sizeof(marker))), 0);
	}
}

/* Publish the entries of ${list}, lines with LF; @domain lines come last. */
static inline void
snapshot_load(struct snapshot *s, const char *list)
{
	uint64_t      entries = 0;
	struct build *b;
	int           rc;

	b = build_new(&s->t, strlen(list) * 4 + 4096, &rc);
	ck_assert_ptr_nonnull(b);
	for (const char *end; (end = strchr(list, '\n')) != NULL; list = end + 1, entries++)
		snapshot_put(b, list, (size_t)(end - list));
	ck_assert_int_eq(build_done(b, entries, 0), 0);
	ck_assert_int_eq(tool_publish(&s->t, true), 0);
}
#endif
