/*
 * publish: how a snapshot takes another's place.
 * Only names change here.  After a crash at any point the name of the current
 * snapshot leads to a whole one: rename(2) replaces it in one step, and the
 * predecessor is a second name of the same file, made before that.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/mailboxes/tool.h"

void
tool_discard(const struct tool *t)
{
	(void)unlinkat(t->dirfd, TOOL_NEW, 0);
}

static int
rename_in(const struct tool *t, const char *from, const char *to)
{
	return renameat(t->dirfd, from, t->dirfd, to) == 0 ? 0 : tool_fail(t, "publish", to);
}

/* The names are durable only when their folder is. */
static int
sync_folder(const struct tool *t)
{
	return fsync(t->dirfd) == 0 ? 0 : tool_fail(t, "sync the folder of", MDB_FILE);
}

/* Give the current snapshot the predecessor's name too. */
static int
keep_current(const struct tool *t)
{
	if (linkat(t->dirfd, MDB_FILE, t->dirfd, TOOL_OLD, 0) != 0)
		return errno == ENOENT ? 0 : tool_fail(t, "keep", MDB_FILE);
	if (renameat(t->dirfd, TOOL_OLD, t->dirfd, MDB_PREVIOUS) != 0)
		return tool_fail(t, "keep", MDB_PREVIOUS);
	/* rename(2) leaves both names where they are one file already: after a crash between this and the next rename. */
	(void)unlinkat(t->dirfd, TOOL_OLD, 0);
	return 0;
}

int
tool_publish(const struct tool *t, bool keep)
{
	int rc = keep ? keep_current(t) : 0;

	if (rc == 0)
		rc = rename_in(t, TOOL_NEW, MDB_FILE);
	if (rc == 0)
		rc = sync_folder(t);
	if (rc != 0)
		tool_discard(t);
	return rc;
}

/* Where the file system cannot exchange two names in one step: a crash may lose the newer of the two, never both. */
static int
exchange_slowly(const struct tool *t)
{
	int rc;

	if (linkat(t->dirfd, MDB_FILE, t->dirfd, TOOL_OLD, 0) != 0)
		return tool_fail(t, "keep", MDB_FILE);
	if (linkat(t->dirfd, MDB_PREVIOUS, t->dirfd, TOOL_NEW, 0) != 0)
		return tool_fail(t, "keep", MDB_PREVIOUS);
	rc = rename_in(t, TOOL_NEW, MDB_FILE);
	return rc == 0 ? rename_in(t, TOOL_OLD, MDB_PREVIOUS) : rc;
}

static int
exchange(const struct tool *t)
{
	if (renameat2(t->dirfd, MDB_PREVIOUS, t->dirfd, MDB_FILE, RENAME_EXCHANGE) == 0)
		return 0;
	if (errno == ENOENT) /* there is no current one: the predecessor becomes it */
		return rename_in(t, MDB_PREVIOUS, MDB_FILE);
	if (errno == EINVAL || errno == ENOSYS)
		return exchange_slowly(t);
	return tool_fail(t, "publish", MDB_FILE);
}

int
tool_rollback(struct tool *t)
{
	struct mdb_info i;
	struct mdb *m;
	int rc = tool_lock(t);

	if (rc != 0)
		return rc;
	if (mdb_open(t->dir, MDB_PREVIOUS, &m) != 0) {
		if (errno != ENOENT)
			return tool_fail(t, "open", MDB_PREVIOUS);
		warnx("there is no predecessor in %s to roll back to", t->dir);
		return EX_NOINPUT;
	}
	mdb_info(m, &i);
	rc = mdb_check(m) == 0 ? 0 : tool_fail(t, "check", MDB_PREVIOUS);
	mdb_close(m);
	if (rc == 0)
		rc = exchange(t);
	if (rc == 0)
		rc = sync_folder(t);
	if (rc == 0)
		printf("rolled back to %llu entries; roll back again to undo this\n", (unsigned long long)i.entries);
	return rc;
}
