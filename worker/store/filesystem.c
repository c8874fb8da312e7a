/*
 * filesystem: kinds of file system by their numbers (linux/magic.h, and the
 * sources of those that are not in it).
 * syncfs(2) asks a file system's own sync_fs, which not all have: where the
 * files are another machine's or another program's, what has been written to it
 * may lie in its memory.  fsync(2) of a file or a folder is handed on by all.
 */
#include "worker/store/filesystem.h"

#include <stddef.h>
#include <sys/vfs.h>

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
