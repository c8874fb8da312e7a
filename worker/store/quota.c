/*
 * quota: a mailbox's folder is opened for it, and its maildirsize read and
 * added to; see common/maildirsize.h for how that is right with many at once.
 */
#include "worker/store/quota.h"

#include <unistd.h>

#include "common/maildirsize.h"
#include "worker/store/folders.h"

/* The mailbox's own folder, whatever sub-folder the message goes to.  No link is followed. */
static int
quota_home(const struct maildir *md, struct span dir)
{
	char name[MAILBOX_KEY_MAX];
	const uint8_t *slash = memchr(dir.p, '/', dir.n);
	size_t domain = (size_t)(slash - dir.p);
	int at, home;

	memcpy(name, dir.p, dir.n);
	name[domain] = name[dir.n] = '\0';
	at = folders_open(md->root, name);
	if (at == -1)
		return -1;
	home = folders_open(at, name + domain + 1);
	close(at);
	return home;
}

int
quota_take(const struct maildir *md, struct spot *s)
{
	int home, rc;

	if (!md->env->quota || !quota_limited(&s->target->quota))
		return 0;
	home = quota_home(md, s->target->dir);
	if (home == -1)
		return -1;
	rc = maildirsize_room(home, &s->target->quota, s->size, &s->counted);
	close(home);
	return rc;
}

void
quota_settle(const struct maildir *md, struct spot *s)
{
	int home;

	if (s->counted == 0)
		return;
	home = quota_home(md, s->target->dir);
	if (home == -1)
		return;
	if (s->in_new)
		maildirsize_settle(home, s->size, s->counted);
	else
		maildirsize_release(home, s->size, s->counted);
	s->counted = 0;
	close(home);
}
