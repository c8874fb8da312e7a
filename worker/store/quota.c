/*
 * quota: a mailbox's folder is opened for it, and its maildirsize read and
 * added to; see common/maildirsize.h for how that is right with many at once.
 */
#include "worker/store/quota.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/maildirsize.h"
#include "worker/store/folders.h"

/* The mailbox's own folder, whatever sub-folder the message goes to.  No link is followed. */
static int
quota_home(const struct maildir *md, struct span dir)
{
	char domain[MAILBOX_KEY_MAX];
	const uint8_t *slash = memchr(dir.p, '/', dir.n);
	const char *local = domain + (slash - dir.p) + 1;
	int at, home;

	memcpy(domain, dir.p, dir.n);
	domain[slash - dir.p] = domain[dir.n] = '\0';
	home = folders_find(md->root, domain, local);
	if (home != -1 || (errno != EXDEV && errno != ENOSYS))
		return home;
	at = folders_open(md->root, domain);
	if (at == -1)
		return -1;
	home = folders_open(at, local);
	close(at);
	return home;
}

/* --- mailboxes that others keep --- */

static uint32_t
now_s(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint32_t)t.tv_sec;
}

/* Its name above, and until when, below.  Two that share a place: the later one is known. */
static void
shun(struct maildir *md, struct span dir)
{
	uint32_t h = span_hash(dir);

	atomic_store(&md->shunned[h % MAILDIR_SHUNNED], (uint64_t)h << 32 | (now_s() + QUOTA_SHUN_S));
}

static bool
is_shunned(struct maildir *md, struct span dir)
{
	uint32_t h = span_hash(dir);
	uint64_t v = atomic_load(&md->shunned[h % MAILDIR_SHUNNED]);

	return v >> 32 == h && (uint32_t)v > now_s();
}

/* By errno ${err}: waited in vain.  An operator can do something about it. */
static void
quota_kept(struct maildir *md, struct span dir, int err)
{
	if (err != EBUSY)
		return;
	shun(md, dir);
	log_msg(LOG_L_WARN, "quota",
	    "%.*s has been locked for %d s by another program that counts it, or a stopped one that delivers to it: "
	    "look with lslocks(8); its mail is deferred at once for %d s",
	    (int)dir.n, (const char *)dir.p, MAILDIRSIZE_WAIT_MS / 1000, QUOTA_SHUN_S);
}

/* --- */

int
quota_take(struct maildir *md, struct spot *s)
{
	int home, rc;

	if (!md->env->quota || !quota_limited(&s->target->quota))
		return 0;
	if (is_shunned(md, s->target->dir)) {
		errno = EBUSY;
		return -1;
	}
	home = quota_home(md, s->target->dir);
	if (home == -1)
		return -1;
	rc = maildirsize_room(home, &s->target->quota, s->size, &s->counted);
	if (rc == -1) {
		int err = errno;

		s->counted = 0;
		quota_kept(md, s->target->dir, err);
		errno = err;
	}
	close(home);
	return rc;
}

int
quota_enter(struct maildir *md, struct spot *s, int *held)
{
	*held = -1;
	if (s->counted == 0)
		return 0;
	if (is_shunned(md, s->target->dir)) {
		errno = EBUSY;
		return -1;
	}
	for (int i = 0; i < QUOTA_TRIES; i++) {
		int home = quota_home(md, s->target->dir), err;

		if (home == -1)
			return -1;
		if (maildirsize_hold(home, s->in_new ? 0 : s->counted) == 0) {
			*held = home;
			return 0;
		}
		err = errno;
		close(home);
		quota_kept(md, s->target->dir, err);
		errno = err;
		if (err != ESTALE)
			return -1;
		quota_release(md, s); /* if it was not counted anew, but could not be looked at */
		if (quota_take(md, s) == -1)
			return -1;
	}
	errno = EAGAIN;
	return -1;
}

void
quota_leave(int held)
{
	if (held != -1)
		close(held);
}

void
quota_release(const struct maildir *md, struct spot *s)
{
	int home;

	if (s->counted == 0)
		return;
	home = quota_home(md, s->target->dir);
	if (home != -1) {
		maildirsize_release(home, s->size, s->in_new ? 0 : s->counted);
		close(home);
	}
	s->counted = 0;
}

void
quota_forget(const struct maildir *md, struct span dir)
{
	int home = md->env->quota ? quota_home(md, dir) : -1;

	if (home == -1)
		return;
	(void)unlinkat(home, MAILDIRSIZE_FILE, 0);
	close(home);
}
