/*
 * maildir_commit: the pool's half once a message is complete.
 *
 * Three steps, each for all targets before the next begins: stage (files in
 * tmp/, written and synced), place (moved into new/, the folders synced), and
 * on failure undo.  So nothing stands in new/ before all of it is on disk
 * somewhere.  Files are synced in batches: the first fsync of a batch commits
 * the file system's journal for all of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "worker/store/files.h"
#include "worker/store/folders.h"
#include "worker/store/maildir_spot.h"
#include "worker/store/quota.h"

static void
spot_fail(struct commit *c, struct spot *s, int err)
{
	if (s->err == 0)
		s->err = err;
	if (c->err == 0)
		c->err = err;
}

/* --- stage --- */

/* The spool becomes its target's file: the rest is appended and all of it synced; others are copied from it or linked to it. */
static int
stage_spool(struct commit *c)
{
	struct spool *sp = c->m->spool;
	struct spot *s = c->m->spot;

	while (s->target != c->m->spool_target)
		s++;
	s->folder = sp->folder;
	s->tmp_name = sp->name;
	s->size = sp->nprefix + sp->content + c->mem.n;
	s->in_tmp = true;
	s->fd = c->from = sp->fd;
	c->at = (off_t)sp->nprefix;
	c->content = sp->content + c->mem.n;
	if (c->links)
		c->lead = s;
	return files_write(sp->fd, c->mem, span_of(NULL, 0)) == -1 || fsync(sp->fd) == -1 ? -1 : 0;
}

/* Sync what was written in spots i..end.  Starting the writes of all first lets the first fsync take the rest along. */
static void
sync_batch(struct commit *c, uint32_t i, uint32_t end)
{
	struct spot *s;

	if (end - i > 1 && !c->lazy)
		for (s = c->m->spot + i; s < c->m->spot + end; s++)
			if (s->fd != -1 && s->fd != c->from)
				(void)sync_file_range(s->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	for (s = c->m->spot + i; s < c->m->spot + end; s++) {
		int fd = s->fd;

		if (fd == -1 || fd == c->from || (s->nameless && s->err == 0))
			continue;
		s->fd = -1;
		if (s->err != 0 || (c->all && c->err != 0))
			close(fd);
		else if ((c->lazy ? close(fd) : files_finish(fd)) == -1)
			spot_fail(c, s, errno);
	}
	for (s = c->m->spot + i; s < c->m->spot + end; s++) {
		if (s->err != 0)
			spot_undo(c, s);
		if (c->m->nspot > MAILDIR_BATCH && s != c->lead)
			mailbox_leave(&s->box);
	}
}

/* A batch ends early behind the file that the others will be linked to: it must be good first. */
static void
stage_all(struct commit *c)
{
	uint32_t i = 0, end;

	while (i < c->m->nspot && !(c->all && c->err != 0)) {
		for (end = i; end < c->m->nspot && end - i < MAILDIR_BATCH; end++) {
			struct spot *s = c->m->spot + end;

			if (s->in_tmp) /* the spool */
				continue;
			if (spot_stage(c, s) == -1)
				spot_fail(c, s, errno);
			if ((c->links && c->lead == NULL) || (c->all && c->err != 0)) {
				end++;
				break;
			}
		}
		sync_batch(c, i, end);
		if (c->links && c->lead == NULL && c->m->spot[end - 1].err == 0)
			c->lead = &c->m->spot[end - 1];
		i = end;
	}
}

/* What is staged is counted, before anything of it can be seen. */
static void
take_all(struct commit *c)
{
	for (uint32_t i = 0; i < c->m->nspot && !(c->all && c->err != 0); i++) {
		struct spot *s = &c->m->spot[i];

		if (s->err == 0 && quota_take(c->md, s) == -1) {
			spot_fail(c, s, errno);
			spot_undo(c, s);
		}
	}
}

/* --- place --- */

/* The moves of a batch first, so that the first fsync commits them all. */
static void
place_batch(struct commit *c, uint32_t i, uint32_t end)
{
	struct spot *s;

	for (s = c->m->spot + i; s < c->m->spot + end && !(c->all && c->err != 0); s++)
		if (s->err == 0 && spot_place(c, s) == -1)
			spot_fail(c, s, errno);
	for (s = c->m->spot + i; s < c->m->spot + end; s++) {
		if (s->in_new && !c->lazy && !(c->all && c->err != 0) && folders_flush(s->box.new) == -1)
			spot_fail(c, s, errno);
		if (s->err != 0)
			spot_undo(c, s);
		if (c->m->nspot > MAILDIR_BATCH)
			mailbox_leave(&s->box);
	}
}

static void
place_all(struct commit *c)
{
	for (uint32_t i = 0; i < c->m->nspot && !(c->all && c->err != 0); i += MAILDIR_BATCH)
		place_batch(c, i, i + MAILDIR_BATCH < c->m->nspot ? i + MAILDIR_BATCH : c->m->nspot);
}

/* --- the whole --- */

/* The spool's descriptor was kept to copy from.  What close() says counts as long as nothing stands in new/. */
static void
close_spool(struct commit *c)
{
	struct spot *s = c->m->spot;

	if (c->from == -1)
		return;
	while (s->fd != c->from)
		s++;
	s->fd = -1;
	if (close(c->from) == -1) {
		spot_fail(c, s, errno);
		if (c->lead == s) /* one file for all */
			for (uint32_t i = 0; i < c->m->nspot; i++)
				spot_fail(c, &c->m->spot[i], errno);
	}
	c->from = -1;
	c->m->spool->fd = -1;
	for (uint32_t i = 0; i < c->m->nspot; i++)
		if (c->m->spot[i].err != 0)
			spot_undo(c, &c->m->spot[i]);
}

static void
conclude(struct commit *c)
{
	struct store_msg *m = c->m;

	m->result.err = c->err;
	m->result.nstored = 0;
	for (uint32_t i = 0; i < m->nspot; i++) {
		struct spot *s = &m->spot[i];

		if (c->all && c->err != 0) {
			spot_undo(c, s);
			s->err = s->err != 0 ? s->err : c->err;
		}
		mailbox_leave(&s->box);
		m->result.nstored += s->in_new ? 1 : 0;
	}
}

static struct commit
commit_of(struct store_msg *m, bool lazy)
{
	return (struct commit){ .m = m,
		.md = m->md,
		.all = m->all,
		.links = !m->md->env->conf->delivered_to,
		.lazy = lazy,
		.mem = span_of(m->fill, m->nfill),
		.from = -1,
		.content = m->nfill };
}

/* Descriptors of folders are kept for the second half only by the first few that wait for it. */
int
maildir_stage(struct store_msg *m, bool keep)
{
	struct commit c = commit_of(m, true);
	bool foreign = false, some = false;

	c.nameless = keep && m->nspot == 1;
	stage_all(&c);
	take_all(&c);
	for (uint32_t i = 0; i < m->nspot; i++) {
		foreign |= m->spot[i].box.foreign;
		some |= m->spot[i].err == 0;
		if (!keep)
			mailbox_leave(&m->spot[i].box);
	}
	m->result.err = c.err;
	if (c.err != 0 && (c.all || !some)) {
		conclude(&c);
		return -1;
	}
	return foreign ? 1 : 0;
}

void
maildir_place(struct store_msg *m)
{
	struct commit c = commit_of(m, true);

	c.err = m->result.err;
	place_all(&c);
	conclude(&c);
}

/* Take back what was staged.  ${err} is its end, or 0: it starts over. */
void
maildir_unstage(struct store_msg *m, int err)
{
	struct commit c = commit_of(m, true);

	for (uint32_t i = 0; i < m->nspot; i++) {
		struct spot *s = &m->spot[i];

		spot_undo(&c, s);
		mailbox_leave(&s->box);
		if (err == 0) {
			s->err = 0;
			s->folder = s->target->folder;
		} else if (s->err == 0) {
			s->err = err;
		}
	}
	m->result.err = err;
	m->result.nstored = 0;
}

void
maildir_commit_run(struct iojob *j)
{
	struct store_msg *m = (struct store_msg *)(void *)j;
	struct commit c = commit_of(m, false);

	if (m->spool != NULL && stage_spool(&c) == -1) {
		/* The only whole copy of the content is condemned, so every target is. */
		int err = errno;

		for (uint32_t i = 0; i < m->nspot; i++)
			spot_fail(&c, &m->spot[i], err);
	} else {
		stage_all(&c);
	}
	close_spool(&c);
	take_all(&c);
	place_all(&c);
	conclude(&c);
}
