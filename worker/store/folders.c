/*
 * folders: openat, mkdirat and fsync, one component at a time.
 * Nothing follows a symbolic link: a mailbox leads nowhere but to itself, with
 * or without Landlock.
 */
#include "worker/store/folders.h"

#include <bsd/string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/steady.h"

bool
folders_name_ok(struct span s)
{
	return s.n > 0 && s.n <= NAME_MAX && s.p[0] != '.' && memchr(s.p, '/', s.n) == NULL &&
	    memchr(s.p, '\0', s.n) == NULL;
}

bool
folders_dir_ok(struct span s)
{
	const uint8_t *slash = s.n > 0 ? memchr(s.p, '/', s.n) : NULL;
	size_t n;

	if (slash == NULL)
		return false;
	n = (size_t)(slash - s.p);
	return folders_name_ok(span_head(s, n)) && folders_name_ok(span_skip(s, n + 1));
}

int
folders_open(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int
folders_open_made(int at, const char *name)
{
	int fd = folders_open(at, name);

	if (fd != -1 || errno != ENOENT)
		return fd;
	if (mkdirat(at, name, 0700) == -1 && errno != EEXIST)
		return -1;
	return folders_open(at, name);
}

int
folders_flush(int fd)
{
	struct stat st;

	return fsync(fd) == -1 || fstat(fd, &st) == -1 ? -1 : 0;
}

int
folders_sync_all(int fd)
{
	return syncfs(fd) == -1 ? -1 : folders_flush(fd);
}

int
folders_sync(int at)
{
	int fd = folders_open(at, "."), err;

	if (fd == -1)
		return -1;
	err = folders_flush(fd) == -1 ? errno : 0;
	if (close(fd) == -1 && err == 0)
		err = errno;
	errno = err;
	return err == 0 ? 0 : -1;
}

/* tmp/, new/ and cur/ of ${home}, whatever is there already; then sweep what a crash left in tmp/. */
static int
furnish(int home, const struct unique *u, bool lazy)
{
	static const char *const sub[] = { "tmp", "new", "cur" };
	int tmp;

	for (size_t i = 0; i < sizeof(sub) / sizeof(sub[0]); i++)
		if (mkdirat(home, sub[i], 0700) == -1 && errno != EEXIST)
			return -1;
	if ((tmp = folders_open(home, "tmp")) == -1)
		return -1;
	folders_sweep(tmp, u, steady_early());
	close(tmp);
	return lazy ? 0 : folders_sync(home);
}

static bool
folders_full(int local)
{
	_Alignas(struct dirent64) char buf[8192];
	const struct dirent64 *d;
	unsigned count = 0;
	ssize_t n;
	int fd = folders_open(local, ".");

	while (fd != -1 && (n = getdents64(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i += d->d_reclen) {
			d = (const struct dirent64 *)(const void *)(buf + i);
			count += d->d_name[0] == '.' ? 1 : 0;
		}
	if (fd != -1)
		close(fd);
	return count >= FOLDERS_MAX + 2; /* "." and ".." */
}

/*
 * The mark is Maildir++'s: deliverers find by it that the mailbox is one level
 * up.  A power cut may leave the folder without it, so it is looked after each
 * time a process comes to know the folder.
 */
static int
mark_folder(int home)
{
	int mark = openat(home, "maildirfolder", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return mark == -1 ? (errno == EEXIST ? 0 : -1) : close(mark);
}

/* Make .FOLDER in ${local}, which becomes a mailbox first where it is new. */
static int
make_folder(int local, const char *folder, const struct unique *u, bool lazy)
{
	if (folders_full(local)) {
		errno = EMLINK;
		return -1;
	}
	if (furnish(local, u, lazy) == -1 || (mkdirat(local, folder, 0700) == -1 && errno != EEXIST))
		return -1;
	return folders_open(local, folder);
}

/* The folder .FOLDER of ${local}, or ${local} itself when ${folder} is NULL. */
static int
open_home(int local, const char *folder, const struct unique *u, bool lazy, bool make)
{
	int home;

	if (folder == NULL)
		return folders_open(local, ".");
	home = folders_open(local, folder);
	if (home == -1 && errno == ENOENT && make)
		home = make_folder(local, folder, u, lazy);
	if (home != -1 && (!make || mark_folder(home) == 0) && (lazy || folders_sync(local) == 0))
		return home;
	if (home != -1) {
		int err = errno;

		close(home);
		errno = err;
	}
	return -1;
}

int
folders_find(int root, const char *key, const char *sub)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };
	char path[FOLDERS_PATH_MAX];

	if (strlcpy(path, key, sizeof(path)) >= sizeof(path) || strlcat(path, "/", sizeof(path)) >= sizeof(path) ||
	    strlcat(path, sub, sizeof(path)) >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/*
 * All folders are made first and synced then, so that the first fsync commits
 * what the others find already on disk.
 */
int
folders_make(int root, const char *key, const struct unique *u, bool lazy, bool make)
{
	char domain[256], local[256];
	const char *slash = strchr(key, '/'), *folder = strstr(key, "/.");
	int d = -1, l = -1, home = -1, err = 0;

	if (slash == NULL || slash - key >= (ptrdiff_t)sizeof(domain)) {
		errno = EINVAL;
		return -1;
	}
	snprintf(domain, sizeof(domain), "%.*s", (int)(slash - key), key);
	if (folder != NULL)
		snprintf(local, sizeof(local), "%.*s", (int)(folder - slash - 1), slash + 1);
	else
		strlcpy(local, slash + 1, sizeof(local));
	if ((d = folders_open_made(root, domain)) == -1 || (l = folders_open_made(d, local)) == -1 ||
	    (home = open_home(l, folder != NULL ? folder + 1 : NULL, u, lazy, make)) == -1 ||
	    furnish(home, u, lazy) == -1 || (!lazy && (folders_sync(d) == -1 || folders_sync(root) == -1)))
		err = errno;
	if (d != -1)
		close(d);
	if (l != -1)
		close(l);
	if (err == 0)
		return home;
	if (home != -1)
		close(home);
	errno = err;
	return -1;
}
