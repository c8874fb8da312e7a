/*
 * maildir_spool: the pool's half while content is still coming.
 * A message over STORE_CHUNK goes, chunk by chunk, to a file in the tmp/ of
 * its first target.  Looks at the spool alone: the transaction may be gone.
 */
#include <errno.h>
#include <unistd.h>

#include "worker/store/files.h"
#include "worker/store/maildir.h"

/* The folders were there a moment ago, and are gone: somebody removes mailboxes.  Once more from the start. */
int
maildir_create(
    struct maildir *md, struct span dir, struct span *folder, struct mailbox *box, struct unique_name *n, bool lazy)
{
	int tmp = mailbox_tmp(box), fd = tmp == -1 ? -1 : files_create(tmp, &md->unique, n);

	if (fd == -1 && errno == ENOENT) {
		mailbox_leave(box);
		mailbox_forget(md->boxes, dir, *folder);
		if ((lazy ? mailbox_enter_lazy : mailbox_enter)(md->boxes, dir, folder, box) == -1)
			return -1;
		tmp = mailbox_tmp(box);
		fd = tmp == -1 ? -1 : files_create(tmp, &md->unique, n);
	}
	/* What the journal answers for is in tmp/ for milliseconds, and never old enough to be swept. */
	if (fd != -1 && !lazy)
		files_hold(fd);
	return fd;
}

/* Folders are looked up anew each time, so that a client that dawdles costs one descriptor and not three. */
static int
spool_create(struct store_msg *m)
{
	struct spool *sp = m->spool;
	struct mailbox box = { .make = sp->make };
	int err = 0;

	if (mailbox_enter(m->md->boxes, sp->dir, &sp->folder, &box) == -1)
		return -1;
	sp->created = true;
	if ((sp->fd = maildir_create(m->md, sp->dir, &sp->folder, &box, &sp->name, false)) == -1)
		err = errno;
	mailbox_leave(&box);
	errno = err;
	return err == 0 ? maildir_spool_write(m, span_of(sp->prefix, sp->nprefix)) : -1;
}

int
maildir_spool_write(struct store_msg *m, struct span s)
{
	int err;

	if (files_write(m->spool->fd, s, span_of(NULL, 0)) == 0)
		return 0;
	err = errno;
	maildir_spool_remove(m);
	errno = err;
	return -1;
}

void
maildir_spool_remove(struct store_msg *m)
{
	struct spool *sp = m->spool;
	struct mailbox box = { .make = false };
	char name[UNIQUE_MAX];

	if (sp == NULL || sp->fd == -1)
		return;
	unique_tmp(&m->md->unique, &sp->name, name);
	for (int i = 0; i < MAILDIR_TRIES; i++) {
		if (mailbox_enter(m->md->boxes, sp->dir, &sp->folder, &box) == -1)
			continue;
		(void)files_remove(box.tmp, name);
		mailbox_leave(&box);
		break;
	}
	close(sp->fd);
	sp->fd = -1;
}

void
maildir_append_run(struct iojob *j)
{
	struct store_msg *m = (struct store_msg *)(void *)j;
	struct spool *sp = m->spool;

	if ((sp->fd == -1 && spool_create(m) == -1) || maildir_spool_write(m, span_of(m->out, m->nout)) == -1)
		sp->err = errno;
	else
		sp->content += m->nout;
}

void
maildir_discard_run(struct iojob *j)
{
	maildir_spool_remove((struct store_msg *)(void *)j);
}
