/*
 * maildir_bulk: a message for very many mailboxes, made durable by two syncs
 * of the file system in place of several for each mailbox.
 * The steps are those of maildir_commit.c: nothing stands in new/ before all
 * of it is on disk, and nothing is acknowledged before its names are.
 */
#include <errno.h>
#include <unistd.h>

#include "worker/store/folders.h"
#include "worker/store/journal.h"
#include "worker/store/maildir.h"

static int
sync_fs(const struct maildir *md, int fs)
{
	int err;

	if (folders_sync_all(fs) == 0)
		return 0;
	err = errno;
	/* Journals whose owners are dead: nobody else may be told of it. */
	if (md->journal != NULL)
		journal_doubt(md->journal);
	errno = err;
	return -1;
}

/*
 * A descriptor of our own, from before the first write: an error of writing
 * back is told once to each, and whoever syncs by another one must not take
 * ours.
 */
static void
bulk(struct store_msg *m, int fs)
{
	if (sync_fs(m->md, fs) == -1) {
		maildir_unstage(m, errno);
		return;
	}
	maildir_place(m);
	/* What was taken back has to be durable as well: it stood in new/. */
	if (sync_fs(m->md, fs) == -1) {
		maildir_unstage(m, errno);
		(void)folders_sync_all(fs);
	}
}

void
maildir_bulk_run(struct iojob *j)
{
	struct store_msg *m = (struct store_msg *)(void *)j;
	int fs = folders_open(m->md->root, "."), r;

	if (fs == -1) {
		maildir_commit_run(j);
		return;
	}
	r = maildir_stage(m, false);
	if (r == 0) {
		bulk(m, fs);
	} else if (r == 1) { /* some mailbox is on another file system */
		maildir_unstage(m, 0);
		maildir_commit_run(j);
	}
	close(fs);
}
