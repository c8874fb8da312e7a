/*
 * maildir_spot: the file of one target, from no name to its name in new/, and
 * back.  In what order those of a message are taken is maildir_commit.c's.
 */
#include "worker/store/maildir_spot.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/store/files.h"
#include "worker/store/quota.h"

int
spot_enter(struct commit *c, struct spot *s)
{
	if (s->box.new != -1)
		return 0;
	return (c->lazy ? mailbox_enter_lazy : mailbox_enter)(c->md->boxes, s->target->dir, &s->folder, &s->box);
}

/* Take it out of new/.  A reader may have moved it away: then it stays, and stays counted. */
static void
spot_remove(struct commit *c, struct spot *s)
{
	char name[UNIQUE_MAX];
	int held, entered = quota_enter(c->md, s, &held);
	bool gone;

	unique_new(&c->md->unique, &s->new_name, s->size, name);
	gone = unlinkat(s->box.new, name, 0) == 0 || (errno != ENOENT && files_remove(s->box.new, name) == 0);
	if (gone && entered == 0)
		quota_release(c->md, s);
	quota_leave(held);
	s->counted = 0;
	s->in_new = false;
}

void
spot_undo(struct commit *c, struct spot *s)
{
	char name[UNIQUE_MAX];

	if (s->fd != -1 && s->fd != c->from)
		close(s->fd);
	s->fd = -1;
	s->nameless = false;
	if (!s->in_new)
		quota_release(c->md, s);
	if (!s->in_tmp && !s->in_new)
		return;
	for (int i = 0; i < MAILDIR_TRIES && (spot_enter(c, s) == -1 || (s->in_tmp && mailbox_tmp(&s->box) == -1)); i++)
		continue;
	if (s->box.new == -1)
		return;
	if (s->in_tmp && s->box.tmp != -1) {
		unique_tmp(&c->md->unique, &s->tmp_name, name);
		(void)files_remove(s->box.tmp, name);
		s->in_tmp = false;
	}
	if (s->in_new) {
		spot_remove(c, s);
		if (!c->lazy)
			(void)fsync(s->box.new);
	}
}

/* --- stage --- */

/* By errno: nameless files do not work here, or the folder went away at that moment.  Else it is the disk's fault. */
static bool
missed(struct maildir *md)
{
	if (errno == EIO || errno == EROFS || errno == ENOSPC || errno == EDQUOT || errno == EMFILE ||
	    errno == ENFILE || errno == ENOMEM)
		return false;
	if (atomic_fetch_add(&md->misses, 1) + 1 == MAILDIR_MISSES)
		log_msg(
		    LOG_L_INFO, "store", "files without a name cannot be used here: %s; using tmp/", strerror(errno));
	return true;
}

/* A file that has no name until it is placed: no entry of tmp/ is made, moved and left behind by a kill.  False: some other way. */
static bool
spot_nameless(struct commit *c, struct spot *s)
{
	if (!c->nameless || atomic_load_explicit(&c->md->misses, memory_order_relaxed) >= MAILDIR_MISSES)
		return false;
	if ((s->fd = files_nameless(s->box.new)) == -1) {
		(void)missed(c->md); /* whatever it was, tmp/ says it too */
		return false;
	}
	unique_next(&c->md->unique, &s->tmp_name);
	return s->nameless = true;
}

/* A file of its own: what stands before the content, then the content. */
static int
spot_write(struct commit *c, struct spot *s)
{
	char text[TRACE_TARGET_MAX];
	struct span prefix = s->prefix; /* the journal has written it already */

	if (prefix.n == 0) {
		ssize_t n = trace_target(c->m->txn, s->target, !c->links, c->m->received, text, sizeof(text));

		if (n == -1) {
			errno = EMSGSIZE;
			return -1;
		}
		prefix = span_of(text, (size_t)n);
	}
	s->size = prefix.n + c->content;
	if (!spot_nameless(c, s)) {
		s->fd = maildir_create(c->md, s->target->dir, &s->folder, &s->box, &s->tmp_name, c->lazy);
		s->in_tmp = s->fd != -1;
		if (!s->in_tmp)
			return -1;
	}
	if (c->from == -1)
		return files_write(s->fd, prefix, c->mem);
	if (files_write(s->fd, prefix, span_of(NULL, 0)) == -1)
		return -1;
	return files_copy(s->fd, c->from, c->at, c->content);
}

/* One more name for the lead's file.  0, -1 with errno, or 1 when it takes a file of its own. */
static int
spot_link(struct commit *c, struct spot *s)
{
	char old[UNIQUE_MAX], name[UNIQUE_MAX];

	unique_next(&c->md->unique, &s->tmp_name);
	unique_tmp(&c->md->unique, &c->lead->tmp_name, old);
	unique_tmp(&c->md->unique, &s->tmp_name, name);
	if (spot_enter(c, c->lead) == -1 || mailbox_tmp(&c->lead->box) == -1 || mailbox_tmp(&s->box) == -1)
		return -1;
	if (linkat(c->lead->box.tmp, old, s->box.tmp, name, 0) == 0) {
		s->in_tmp = true;
		s->size = c->lead->size;
		return 0;
	}
	return errno == EXDEV || errno == EMLINK || errno == EPERM || errno == EOPNOTSUPP || errno == EEXIST ? 1 : -1;
}

int
spot_stage(struct commit *c, struct spot *s)
{
	int r;

	if (spot_enter(c, s) == -1)
		return -1;
	if (c->lead != NULL && (r = spot_link(c, s)) != 1)
		return r;
	return spot_write(c, s);
}

/* --- place --- */

int
spot_close(struct spot *s)
{
	int fd = s->fd;

	s->fd = -1;
	return close(fd);
}

/* Name it.  0; 1: it has to be written again, by way of tmp/; -1 with errno. */
static int
spot_name(struct commit *c, struct spot *s)
{
	s->new_name = s->tmp_name;
	if (files_name(s->fd, s->box.new, &c->md->unique, &s->new_name, s->size) == 0) {
		s->in_new = true;
		s->nameless = false;
		if (atomic_load_explicit(&c->md->misses, memory_order_relaxed) != 0)
			atomic_store(&c->md->misses, 0);
		return spot_close(s);
	}
	if (!missed(c->md))
		return -1;
	s->nameless = false;
	(void)spot_close(s); /* nobody will see it */
	return 1;
}

/* By way of tmp/, for a name in new/ that is chosen already. */
static int
spot_again(struct commit *c, struct spot *s)
{
	return spot_write(c, s) == -1 || spot_close(s) == -1 ? -1 : 0;
}

/* With the mailbox's quota held. */
static int
spot_move(struct commit *c, struct spot *s)
{
	struct unique_name named = s->tmp_name; /* by its record, if there is one */
	char name[UNIQUE_MAX];
	int r;

	if (s->nameless && ((r = spot_name(c, s)) != 1 || spot_again(c, s) == -1))
		return r == 0 ? 0 : -1;
	s->new_name = named;
	if (mailbox_tmp(&s->box) == -1)
		return -1;
	unique_tmp(&c->md->unique, &s->tmp_name, name);
	if (files_place(s->box.tmp, name, s->box.new, &c->md->unique, &s->new_name, s->size) == -1)
		return -1;
	s->tmp_name = named; /* nothing has the one that it was written anew with */
	s->in_tmp = false;
	s->in_new = true;
	return 0;
}

int
spot_place(struct commit *c, struct spot *s)
{
	int held, rc, err;

	if (spot_enter(c, s) == -1 || quota_enter(c->md, s, &held) == -1)
		return -1;
	rc = spot_move(c, s);
	err = errno;
	quota_leave(held);
	errno = err;
	return rc;
}
