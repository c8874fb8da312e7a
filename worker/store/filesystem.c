/*
 * filesystem: kinds of file system by their numbers (linux/magic.h, and the
 * sources of those that are not in it).
 * syncfs(2) asks a file system's own sync_fs, which not all have: where the
 * files are another machine's or another program's, what has been written to it
 * may lie in its memory.  fsync(2) of a file or a folder is handed on by all.
 */
#include "worker/store/filesystem.h"

#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MNT_ID_UNIQUE 0x4000U      /* STATX_MNT_ID_UNIQUE, Linux 6.8; not in the headers of Debian 12 */
#define LIFE_OF_SYSFS (1ULL << 63) /* numbers of the two kinds are never equal */

static const struct {
	uint32_t type;
	const char *name;
} unsure[] = {
	{ 0x65735546, "FUSE" }, /* told of syncfs only if it is virtiofs: FUSE_SYNCFS */
	{ 0x01021997, "9p" },   /* has no sync_fs */
	{ 0x00006969, "NFS" },
	{ 0xff534d42, "CIFS" },
	{ 0xfe534d42, "SMB" },
	{ 0x0000517b, "SMB" },
	{ 0x00c36400, "Ceph" },
	{ 0x6b414653, "AFS" },
	{ 0x5346414f, "AFS" },
	{ 0x73757245, "Coda" },
	{ 0x0000564c, "NCP" },
	{ 0x0bd00bd0, "Lustre" },
	{ 0x47504653, "GPFS" },
	{ 0x20030528, "OrangeFS" },
	{ 0x786f4256, "vboxsf" },
	{ 0xbacbacbc, "vmhgfs" },
	{ 0x00c0ffee, "hostfs" },
	{ 0x0000f15f, "eCryptfs" }, /* no sync_fs: what it has written lies unsynced below it */
	/* It syncs what lies below, and does not tell when that could not be written: seen with XFS below, Linux 6.18. */
	{ 0x794c7630, "overlayfs" },
};

const char *
filesystem_unsure(uint64_t type)
{
	for (size_t i = 0; i < sizeof(unsure) / sizeof(unsure[0]); i++)
		if ((uint32_t)type == unsure[i].type)
			return unsure[i].name;
	return NULL;
}

const char *
filesystem_unsure_at(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 ? filesystem_unsure((uint64_t)fs.f_type) : "unknown";
}

/* ext4 and XFS have a folder each for what is mounted; of others we do not know that. */
static const char *
kind_of(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == -1)
		return NULL;
	switch ((uint32_t)fs.f_type) {
	case 0xef53:
		return "ext4";
	case 0x58465342:
		return "xfs";
	default:
		return NULL;
	}
}

/*
 * The folder of sysfs that stands for the mounted file system is made at the mount and goes when it is shut down.  The
 * number of its inode is counted up with each that sysfs makes, in 64 bits (Linux 5.5), as those of cgroups are.
 */
static uint64_t
life_of_sysfs(int fd)
{
	const char *kind = kind_of(fd), *name;
	char path[PATH_MAX], to[PATH_MAX];
	struct statfs fs;
	struct stat st;
	ssize_t n;

	if (kind == NULL || fstat(fd, &st) == -1)
		return 0;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	if ((n = readlink(path, to, sizeof(to) - 1)) <= 0)
		return 0;
	to[n] = '\0';
	name = strrchr(to, '/') != NULL ? strrchr(to, '/') + 1 : to;
	snprintf(path, sizeof(path), "/sys/fs/%s/%.255s", kind, name);
	if (stat(path, &st) == -1 || statfs(path, &fs) == -1 || (uint32_t)fs.f_type != 0x62656572 /* sysfs */)
		return 0;
	return (uint64_t)st.st_ino | LIFE_OF_SYSFS;
}

uint64_t
filesystem_life(int fd)
{
	uint64_t life = life_of_sysfs(fd);
	struct statx stx;

	if (life != 0)
		return life;
	if (statx(fd, "", AT_EMPTY_PATH, MNT_ID_UNIQUE, &stx) == -1 || (stx.stx_mask & MNT_ID_UNIQUE) == 0)
		return 0;
	return stx.stx_mnt_id;
}
