/*
 * journal_start: taking a journal up, and what a crash of the machine has
 * left in all of them: that is delivered before anything else.
 * All that may wait for the disk is the background's, the first segment too,
 * and until it is there mail goes the direct way.  With `journal = 0` there is
 * none to be taken up, but an earlier life may have left some.
 */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/log.h"
#include "worker/store/filesystem.h"
#include "worker/store/folders.h"
#include "worker/store/journal.h"

/* Where nobody knows the number it stays 0: then every journal found is replayed by name. */
static void
life_get(struct journal *j)
{
	const char *boot = j->md->env->boot;

	if (boot == NULL || boot[0] == '\0' || (j->life.mount = filesystem_life(j->md->root)) == 0)
		return;
	strlcpy(j->life.boot, boot, sizeof(j->life.boot));
}

/* Once open it stays so: threads that sync for themselves look at it. */
static int
folder_open(struct journal *j)
{
	if (j->size > 0 && mkdirat(j->md->root, JOURNAL_FOLDER, 0700) == -1 && errno != EEXIST)
		return -1;
	if (j->dir == -1)
		j->dir = folders_open(j->md->root, JOURNAL_FOLDER);
	if (j->dir == -1)
		return -1;
	return j->size > 0 && (folders_flush(j->dir) == -1 || folders_flush(j->md->root) == -1) ? -1 : 0;
}

/* The slot's own; while a worker of a master that was killed still holds that, a spare one. */
static int
owner_lock(struct journal *j)
{
	for (j->id = j->md->env->slot; j->id < JOURNAL_IDS; j->id += STATS_SLOT_REPORTS + 1)
		if ((j->lock = journal_lock(j, j->id, true)) != -1)
			return 0;
	return -1;
}

static int
start(struct journal *j)
{
	if (folder_open(j) == -1)
		return j->size == 0 && errno == ENOENT ? 0 : -1;
	j->id = JOURNAL_IDS;
	if (j->size > 0 && owner_lock(j) == -1)
		return -1;
	life_get(j);
	j->pending_own = j->size > 0 && journal_recover(j, JOURNAL_OWN) == -1;
	(void)journal_recover(j, JOURNAL_CRASHED);
	j->pending_others = true; /* also what has just failed */
	return 0;
}

void
journal_start(struct journal *j)
{
	bool again = j->pending_start;

	j->pending_start = start(j) == -1;
	if (j->pending_start && !again)
		log_msg(LOG_L_WARN, "journal",
		    "cannot use %s/" JOURNAL_FOLDER
		    ": %s; every message is synced by itself, and what a crash may have left "
		    "there waits: it is tried again",
		    j->md->env->conf->path, strerror(errno));
	else if (again && !j->pending_start)
		log_msg(LOG_L_INFO, "journal", "%s/" JOURNAL_FOLDER " can be used now", j->md->env->conf->path);
	j->broken = j->size == 0 || j->pending_start || j->pending_own;
}
