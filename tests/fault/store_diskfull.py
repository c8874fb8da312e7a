#!/usr/bin/env -S python3 -B
"""store_diskfull: the store on a disk without room or inodes: ENOSPC is told, nothing half-written stands anywhere, and it goes on when there is room."""
import errno
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from disk import mounted, run
from harness import check, equal, main, need_root, scratch, test
import store


def disk(kind, options="", size=0, mkfs=()):
    """A small file system; the path of a store on it."""
    need_root()
    base = scratch("disk.")
    if kind == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", options, "none", base)
    else:
        image = base + ".img"
        with open(image, "wb") as f:
            f.truncate(size)
        run(*mkfs, image)
        run("mount", "-o", "loop", image, base)
    mounted.append(base)
    path = os.path.join(base, "mail")
    os.mkdir(path)
    return path


def fill(path, leave=300 << 10):
    """Take all room but a little."""
    with open(path, "wb", buffering=0) as f:
        for chunk in (1 << 20, 1 << 16, 4096):
            try:
                while True:
                    f.write(b"f" * chunk)
            except OSError as e:
                equal(e.errno, errno.ENOSPC)
        f.truncate(max(0, os.path.getsize(path) - leave))
        os.fsync(f.fileno())


def take_inodes(path):
    os.mkdir(path)
    n = 0
    try:
        while True:
            os.close(os.open(os.path.join(path, str(n)), os.O_CREAT | os.O_WRONLY))
            n += 1
    except OSError as e:
        equal(e.errno, errno.ENOSPC)
    for i in range(min(n, 20)):
        os.unlink(os.path.join(path, str(i)))


def give_back(path):
    if os.path.isdir(path):
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))
    else:
        os.unlink(path)


def until_full_and_on(path, exhaust, *args, delivered_to=True):
    """Fill the disk, deliver until the first refusal, make room, deliver the rest: in one process."""
    ledger = scratch() + "/ledger"
    hog = os.path.join(os.path.dirname(path), "hog")
    exhaust(hog)
    p = subprocess.Popen(store.command(path, ledger, "-p", "-n", 300, "-c", 8, *args),
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        equal(p.stdout.readline(), "refused %d\n" % errno.ENOSPC, "the first refusal")
        give_back(hog)
        p.stdin.write("x")
        p.stdin.flush()
        out, _ = p.communicate(timeout=60)
    finally:
        p.kill()
        p.wait()
    equal(p.returncode, 0, "status of storedrive")
    messages = store.read_ledger(ledger)
    refused = [m for m in messages.values() if m.state == "refused"]
    acked = [m for m in messages.values() if m.state == "acked"]
    check(all(m.errno == errno.ENOSPC for m in refused), "refused for another reason")
    equal(len(refused) + len(acked), 300, "answers")
    # Those that were under way while the disk was full may fail; those after that may not.
    check(len(refused) <= 16, "%d refused though there was room again" % len(refused))
    store.reckon(path, messages, delivered_to)
    left = store.leftovers(path)
    check(not left, "left in tmp/: %s" % left[:3])


@test
def tmpfs_size():
    until_full_and_on(disk("tmpfs", "size=16m"), fill)


@test
def tmpfs_inodes():
    until_full_and_on(disk("tmpfs", "size=64m,nr_inodes=500"), take_inodes)


@test
def ext4_size():
    path = disk("ext4", size=24 << 20, mkfs=("mkfs.ext4", "-q", "-m", "0"))
    until_full_and_on(path, fill)


@test
def ext4_size_streamed():
    path = disk("ext4", size=64 << 20, mkfs=("mkfs.ext4", "-q", "-m", "0"))
    until_full_and_on(path, fill, "-s", 70000, "-S", 130000)


@test
def ext4_size_several_recipients():
    path = disk("ext4", size=64 << 20, mkfs=("mkfs.ext4", "-q", "-m", "0"))
    until_full_and_on(path, fill, "-r", 3)


def journal_ready(path):
    """Let the journal have its first segment before there is no room."""
    store.drive(path, scratch() + "/ledger", "-n", 0, "-j", 8)


def journal_segments(path):
    folder = os.path.join(path, ".journal")
    for name in sorted(os.listdir(folder)):
        if not name.endswith((".lock", ".made")):
            with open(os.path.join(folder, name), "rb") as f:
                yield name, f.read(80)


@test
def ext4_size_journal():
    path = disk("ext4", size=64 << 20, mkfs=("mkfs.ext4", "-q", "-m", "0"))
    journal_ready(path)
    until_full_and_on(path, fill, "-j", 8)


@test
def ext4_size_no_journal_fits():
    """There was never room for a segment: everything goes the direct way, and the journal begins when there is."""
    path = disk("ext4", size=24 << 20, mkfs=("mkfs.ext4", "-q", "-m", "0"))
    until_full_and_on(path, fill, "-j", 8)


@test
def xfs_size_journal():
    path = disk("xfs", size=320 << 20, mkfs=("mkfs.xfs", "-q", "-f"))
    journal_ready(path)
    until_full_and_on(path, fill, "-j", 8)


@test
def ext4_replay_without_room():
    """The power fails, and who starts next has no room for what was acknowledged: it is kept, and delivered later."""
    path = disk("ext4", size=64 << 20, mkfs=("mkfs.ext4", "-q", "-m", "0"))
    base, ledger = os.path.dirname(path), scratch() + "/ledger"
    os.sync()
    out = store.drive(path, ledger, "-n", 100000, "-c", 16, "-s", 9000, "-j", 8, "-k", 150)
    check(not out, "the power stayed on: %s" % out)
    run("umount", base)
    run("mount", "-o", "loop", base + ".img", base)
    messages = store.read_ledger(ledger)
    before = dict(journal_segments(path))
    hog = os.path.join(base, "hog")
    fill(hog, 0)
    r = subprocess.run(store.command(path, scratch() + "/ledger2", "-n", 0, "-j", 8),
                       capture_output=True, text=True, timeout=60)
    equal(r.returncode, 0, "status without room: %s" % r.stderr)
    check("could not be replayed: No space left on device" in r.stderr, "what it said: %r" % r.stderr)
    after = dict(journal_segments(path))
    kept = [n for n in before if after[n] == before[n]]
    check(kept, "no segment is still to be replayed")
    # Others were done with: retired to their ends.
    equal([n for n in before if n not in kept and after[n][8:16] != after[n][24:32]], [], "segments with another head")
    # In one process: it is tried again when there is room.
    p = subprocess.Popen(store.command(path, scratch() + "/ledger3", "-n", 0, "-j", 8, "-w", 8000),
                         stderr=subprocess.PIPE, text=True)
    try:
        check(any("could not be replayed" in line for line in p.stderr), "no word of it")
        os.unlink(hog)
        _, err = p.communicate(timeout=60)
    finally:
        p.kill()
        p.wait()
    check("was left behind" in err, "nothing was replayed: %r" % err)
    store.reckon(path, messages)


@test
def ext4_inodes():
    path = disk("ext4", size=32 << 20, mkfs=("mkfs.ext4", "-q", "-m", "0", "-N", "1024"))
    until_full_and_on(path, take_inodes)


@test
def ext4_inodes_linked():
    path = disk("ext4", size=32 << 20, mkfs=("mkfs.ext4", "-q", "-m", "0", "-N", "1024"))
    until_full_and_on(path, take_inodes, "-r", 3, "-1", delivered_to=False)


if __name__ == "__main__":
    main()
