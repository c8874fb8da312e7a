"""disk: a file system of one's own on a loop device, whose power can be cut for real.

The shutdown ioctl of ext4 and XFS, without a log flush: all that was not
durable is gone, as after a power cut; mounting replays the file system's journal.
"""
import fcntl
import os
import shutil
import struct
import subprocess
import time

import harness
from harness import Skip, need_root, scratch

# Sparse.  A journal takes in 300 MiB of large messages before the latest cut, and nothing here is about full disks.
KINDS = {
    "ext4": (1 << 30, ("mkfs.ext4", "-q", "-F")),
    "xfs": (1 << 30, ("mkfs.xfs", "-q", "-f")),
}
CUT_IOCTL = 0x8004587D          # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN
NOLOGFLUSH = 2                  # the same number in both
mounted = []                    # what is unmounted at the end; who mounts something else adds it
harness.own_mounts()


def run(*args):
    r = subprocess.run(args, capture_output=True, text=True)
    if r.returncode != 0:
        raise Skip("%s: %s" % (" ".join(args), r.stderr.strip()))


@harness.on_end.append
def unmount():
    while mounted:
        subprocess.run(["umount", "-l", mounted.pop()], capture_output=True)


class Disk:
    """KIND of file system, not mounted yet; PATH is where it will be, LEDGERS a folder that no cut reaches."""

    def __init__(self, kind):
        need_root()
        size, mkfs = KINDS[kind]
        if not shutil.which(mkfs[0]):
            raise Skip("%s is not installed" % mkfs[0])
        self.kind, self.path = kind, scratch("cut.")
        self.image, self.ledgers = self.path + ".img", scratch("ledgers.")
        with open(self.image, "wb") as f:
            f.truncate(size)
        run(*mkfs, self.image)

    def mount(self):
        run("mount", "-o", "loop", self.image, self.path)
        mounted.append(self.path)

    def cut(self):
        """The power is off: nothing is written any more, and calls fail."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, CUT_IOCTL, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(fd)

    def umount(self):
        """The file system ends with it: whatever is read at the next mount comes from the image."""
        for _ in range(100):    # the threads of one that was killed may take a moment to end
            r = subprocess.run(["umount", self.path], capture_output=True, text=True)
            if r.returncode == 0:
                break
            time.sleep(0.1)
        else:
            raise AssertionError("umount: %s" % r.stderr.strip())
        mounted.remove(self.path)
        for _ in range(100):
            if not subprocess.run(["losetup", "-j", self.image], capture_output=True, text=True).stdout:
                return
            time.sleep(0.1)
        raise AssertionError("%s is still mounted somewhere: mount would find the file system that was shut down" % self.image)
