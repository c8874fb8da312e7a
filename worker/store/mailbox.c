/*
 * mailbox: opening a mailbox's folders, and the cache of those already made
 * sure of.  An entry holds the mailbox's own folder; new/, and tmp/ where it is
 * needed, are opened each time, which costs a microsecond, notices at once when they are gone,
 * and gives every delivery a descriptor that no other thread shares.  Of far
 * more mailboxes it is remembered that they were once complete: through the
 * journal these are opened by name, without being made and swept again.
 */
#include "worker/store/mailbox.h"

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/store/folders.h"

struct entry {
	TAILQ_ENTRY(entry) order;
	struct entry *next; /* in its bucket */
	uint32_t hash;
	unsigned users; /* threads that use home just now */
	bool listed;    /* can still be found */
	bool durable;   /* its folders were synced by this process */
	int home;       /* -1: the entry is free */
	dev_t dev;      /* ... and which folder that is */
	ino_t ino;
	char key[MAILBOX_KEY_MAX];
};
TAILQ_HEAD(entries, entry);

/* Where an entry comes from. */
enum origin { MAILBOX_MADE, MAILBOX_REMEMBERED };

struct mailboxes {
	pthread_mutex_t lock;
	int root;
	dev_t dev; /* of the root */
	const struct unique *unique;
	unsigned nlisted, max; /* remembered, and how many may be while nobody uses them */
	struct entries order;  /* latest used first */
	struct entry *bucket[MAILBOX_CACHE];
	struct entry entry[MAILBOX_CACHE];
	/* Hashes by their low bits.  Two that share one cost a sweep that is left out, and mkdir is tried when a folder is missing. */
	_Atomic uint32_t seen[MAILBOX_SEEN];
};

/* Where descriptors are few, what is remembered must not take those that deliveries need. */
static unsigned
remembered_max(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_cur >= MAILBOX_CACHE * MAILBOX_SHARE)
		return MAILBOX_CACHE;
	return (unsigned)rl.rlim_cur / MAILBOX_SHARE;
}

struct mailboxes *
mailbox_cache_new(int root, const struct unique *u)
{
	struct mailboxes *c = calloc(1, sizeof(*c));
	struct stat st;

	if (c == NULL)
		return NULL;
	c->dev = fstat(root, &st) == 0 ? st.st_dev : 0;
	pthread_mutex_init(&c->lock, NULL);
	TAILQ_INIT(&c->order);
	c->root = root;
	c->unique = u;
	c->max = remembered_max();
	for (size_t i = 0; i < MAILBOX_CACHE; i++) {
		c->entry[i].home = -1;
		TAILQ_INSERT_TAIL(&c->order, &c->entry[i], order);
	}
	return c;
}

void
mailbox_cache_free(struct mailboxes *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < MAILBOX_CACHE; i++)
		if (c->entry[i].home != -1)
			close(c->entry[i].home);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct entry *
find(struct mailboxes *c, const char *key, uint32_t h)
{
	struct entry *e = c->bucket[h % MAILBOX_CACHE];

	while (e != NULL && (e->hash != h || strcmp(e->key, key) != 0))
		e = e->next;
	return e;
}

static void
unlist(struct mailboxes *c, struct entry *e)
{
	struct entry **p = &c->bucket[e->hash % MAILBOX_CACHE];

	if (!e->listed)
		return;
	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	e->listed = false;
	c->nlisted--;
}

/* Nobody uses it and nobody can find it. */
static void
clear(struct mailboxes *c, struct entry *e)
{
	close(e->home);
	e->home = -1;
	TAILQ_REMOVE(&c->order, e, order);
	TAILQ_INSERT_TAIL(&c->order, e, order);
}

static struct entry *
acquire(struct mailboxes *c, const char *key, uint32_t h)
{
	struct entry *e;

	pthread_mutex_lock(&c->lock);
	if ((e = find(c, key, h)) != NULL) {
		e->users++;
		TAILQ_REMOVE(&c->order, e, order);
		TAILQ_INSERT_HEAD(&c->order, e, order);
	}
	pthread_mutex_unlock(&c->lock);
	return e;
}

/* Forget those that were not used for longest, down to what may be remembered. */
static void
trim(struct mailboxes *c)
{
	struct entry *e, *before;

	for (e = TAILQ_LAST(&c->order, entries); e != NULL && c->nlisted > c->max; e = before) {
		before = TAILQ_PREV(e, entries, order);
		if (e->listed && e->users == 0) {
			unlist(c, e);
			clear(c, e);
		}
	}
}

static void
release(struct mailboxes *c, struct entry *e)
{
	pthread_mutex_lock(&c->lock);
	if (--e->users == 0 && !e->listed)
		clear(c, e);
	trim(c);
	pthread_mutex_unlock(&c->lock);
}

/* Remember ${home} (now owned) under ${key} and acquire it; another thread may have been faster. */
static struct entry *
insert(struct mailboxes *c, const char *key, uint32_t h, int home, bool durable)
{
	struct stat st = { 0 };
	struct entry *e;

	/* If it fails, the entry matches nothing and is looked up anew each time. */
	(void)fstat(home, &st);
	pthread_mutex_lock(&c->lock);
	if ((e = find(c, key, h)) != NULL) {
		close(home);
		e->users++;
		e->durable |= durable;
		goto out;
	}
	e = TAILQ_LAST(&c->order, entries);
	while (e != NULL && e->users > 0)
		e = TAILQ_PREV(e, entries, order);
	if (e == NULL) /* more threads than entries: a broken build */
		abort();
	if (e->home != -1) {
		unlist(c, e);
		close(e->home);
	}
	strlcpy(e->key, key, sizeof(e->key));
	e->hash = h;
	e->home = home;
	e->dev = st.st_dev;
	e->ino = st.st_ino;
	e->users = 1;
	e->listed = true;
	e->durable = durable;
	c->nlisted++;
	e->next = c->bucket[h % MAILBOX_CACHE];
	c->bucket[h % MAILBOX_CACHE] = e;
	TAILQ_REMOVE(&c->order, e, order);
	TAILQ_INSERT_HEAD(&c->order, e, order);
out:
	pthread_mutex_unlock(&c->lock);
	return e;
}

static void
forget(struct mailboxes *c, const char *key)
{
	uint32_t h = span_hash(span_str(key));
	struct entry *e;

	atomic_store_explicit(&c->seen[h % MAILBOX_SEEN], ~h, memory_order_relaxed);
	pthread_mutex_lock(&c->lock);
	if ((e = find(c, key, h)) != NULL) {
		unlist(c, e);
		if (e->users == 0)
			clear(c, e);
	}
	pthread_mutex_unlock(&c->lock);
}

/* Whether the folder that is remembered still has that name: mail must not follow one that was moved away. */
static bool
still_there(struct mailboxes *c, const struct entry *e)
{
	struct stat st;

	return fstatat(c->root, e->key, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == e->dev && st.st_ino == e->ino;
}

/* The entry at ${key}, with its folders as durable as asked for.  NULL with errno. */
static struct entry *
entry_get(struct mailboxes *c, const char *key, bool lazy, bool make, enum origin *from)
{
	uint32_t h = span_hash(span_str(key));
	struct entry *e = acquire(c, key, h);
	int home;

	*from = MAILBOX_REMEMBERED;
	if (e != NULL && (lazy || e->durable))
		return e;
	if (e != NULL)
		release(c, e);
	*from = MAILBOX_MADE;
	if ((home = folders_make(c->root, key, c->unique, lazy, make)) == -1)
		return NULL;
	atomic_store_explicit(&c->seen[h % MAILBOX_SEEN], h, memory_order_relaxed);
	return insert(c, key, h, home, !lazy);
}

/* Open new/ of the mailbox at ${key}, and tmp/ unless ${lazy}. */
static int
enter(struct mailboxes *c, const char *key, struct mailbox *mb, bool lazy, enum origin *from)
{
	struct entry *e = entry_get(c, key, lazy, mb->make, from);
	int err = 0;

	if (e == NULL)
		return -1;
	mb->foreign = e->dev != c->dev;
	if (*from == MAILBOX_REMEMBERED && !still_there(c, e))
		err = ENOENT;
	else if ((mb->new = folders_open(e->home, "new")) == -1 || (!lazy && mailbox_tmp(mb) == -1))
		err = errno;
	release(c, e);
	if (err == 0)
		return 0;
	mailbox_leave(mb);
	errno = err;
	return -1;
}

/* Those that were once made sure of are opened by name: no entry, no lock, and what was moved away is noticed.  False: some other way. */
static bool
enter_seen(struct mailboxes *c, const char *key, struct mailbox *mb)
{
	uint32_t h = span_hash(span_str(key));

	if (atomic_load_explicit(&c->seen[h % MAILBOX_SEEN], memory_order_relaxed) != h)
		return false;
	mb->foreign = false;
	return (mb->new = folders_find(c->root, key, "new")) != -1;
}

/* ENOENT below a remembered folder: somebody removed or moved what was there a moment ago.  Start over, once. */
static int
enter_again(struct mailboxes *c, const char *key, struct mailbox *mb, bool lazy)
{
	enum origin from;

	if ((lazy && enter_seen(c, key, mb)) || enter(c, key, mb, lazy, &from) == 0)
		return 0;
	if (errno != ENOENT || from == MAILBOX_MADE)
		return -1;
	forget(c, key);
	return enter(c, key, mb, lazy, &from);
}

/* Write "DOMAIN/LOCAL" or "DOMAIN/LOCAL/.FOLDER" as a string. */
static int
key_set(char key[static MAILBOX_KEY_MAX], struct span dir, struct span folder)
{
	size_t n = dir.n;

	if (!folders_dir_ok(dir) || (folder.n > 0 && !folders_name_ok(folder)) ||
	    dir.n + folder.n + sizeof("/.") > MAILBOX_KEY_MAX) {
		errno = EINVAL;
		return -1;
	}
	memcpy(key, dir.p, n);
	if (folder.n > 0) {
		memcpy(key + n, "/.", 2);
		memcpy(key + n + 2, folder.p, folder.n);
		n += 2 + folder.n;
	}
	key[n] = '\0';
	return 0;
}

static int
mailbox_get(struct mailboxes *c, struct span dir, struct span *folder, struct mailbox *mb, bool lazy)
{
	char key[MAILBOX_KEY_MAX];

	mb->tmp = mb->new = -1;
	if (key_set(key, dir, *folder) == -1)
		return -1;
	if (folder->n > 0) {
		if (enter_again(c, key, mb, lazy) == 0)
			return 0;
		if (errno != ENOENT)
			return -1;
		folder->n = 0;
		key[dir.n] = '\0';
	}
	return enter_again(c, key, mb, lazy);
}

int
mailbox_enter(struct mailboxes *c, struct span dir, struct span *folder, struct mailbox *mb)
{
	return mailbox_get(c, dir, folder, mb, false);
}

int
mailbox_enter_lazy(struct mailboxes *c, struct span dir, struct span *folder, struct mailbox *mb)
{
	return mailbox_get(c, dir, folder, mb, true);
}

void
mailbox_forget(struct mailboxes *c, struct span dir, struct span folder)
{
	char key[MAILBOX_KEY_MAX];

	if (key_set(key, dir, folder) == 0)
		forget(c, key);
}

/* By way of new/, so that it is the same mailbox's whatever its name leads to by now. */
int
mailbox_tmp(struct mailbox *mb)
{
	if (mb->tmp == -1)
		mb->tmp = folders_open_made(
		    mb->new, "../tmp"); /* where somebody removed it alone: nothing in it is to last */
	return mb->tmp;
}

void
mailbox_leave(struct mailbox *mb)
{
	if (mb->tmp != -1)
		close(mb->tmp);
	if (mb->new != -1)
		close(mb->new);
	mb->tmp = mb->new = -1;
}
