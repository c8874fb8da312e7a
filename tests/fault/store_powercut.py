#!/usr/bin/env -S python3 -B
# check: timeout=300 alone
"""store_powercut: cut the power of the store's file system, for real, and compare what stands there with what was acknowledged.

A loop device and the file system's shutdown ioctl without a log flush: all
that was not durable is gone, as after a power cut; mounting replays the
journal.  Half of the rounds cut right after an acknowledgement (which finds a
missing fsync almost always), half at a random instant.  ROUNDS=N for more.
"""
import errno
import os
import random
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from disk import Disk
from harness import check, main, test
import store

ROUNDS = int(os.environ.get("ROUNDS", "6"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
LOADS = (
    ("-c", 16),
    ("-c", 1),
    ("-c", 8, "-B"),
    ("-c", 8, "-s", 3000, "-S", 200000),
    ("-c", 8, "-r", 3, "-s", 3000, "-S", 90000),
    ("-c", 4, "-b", 30, "-r", 20),
    ("-c", 8, "-r", 3, "-1", "-s", 3000, "-S", 90000),
)
FOLDERS = (                             # that handlers choose, each made when its first message comes
    ("-c", 8, "-f", 400),
    ("-c", 1, "-f", 3),
    ("-c", 8, "-f", 50, "-r", 3, "-s", 3000, "-S", 90000),
)


def replay(path, ledger, rng, *journal):
    """Let readers take what they find, then start the store and end it."""
    for folder, _, files in os.walk(path):
        if os.path.basename(folder) == "new":
            for name in files:
                if rng.random() < 0.3:
                    os.rename(os.path.join(folder, name), os.path.join(folder, "../cur", name + ":2,S"))
    store.drive(path, ledger, "-n", 0, *journal)


def one_round(disk, n, rng, journal=(), loads=LOADS):
    """Mount, deliver, cut, mount again, compare; (acknowledged, unknown that stand)."""
    name = "round%d" % n
    load = rng.choice(loads)
    ledger = os.path.join(disk.ledgers, name)
    if n % 2 == 0:
        when = ("-k", rng.randint(1, 150))
    else:
        when = ("-K", rng.randint(1000, 1500000 if journal and n % 4 == 3 else 150000))
    disk.mount()
    path = os.path.join(disk.path, name)
    os.mkdir(path)
    os.sync()               # the store's own folder is the administrator's
    out = store.drive(path, ledger, "-i", name, "-n", 100000, *load, *journal, *when)
    check(not out, "the power stayed on: %s" % out)
    disk.umount()
    disk.mount()
    if journal:             # who starts next replays, with a journal or without; as a reader may have moved some, that must not double them
        replay(path, ledger, rng, *rng.choice((journal, ("-j", 0))))
    messages = store.read_ledger(ledger)
    for m in messages.values():
        # Between the cut and the end of the process calls fail: nobody would have heard that answer, nor could it be taken back.
        if m.state == "refused" and m.errno in (errno.EIO, errno.EROFS, errno.ESHUTDOWN):
            m.state = "sent"
        check(m.state != "refused", "%s was refused with %d" % (m.id, m.errno))
    try:
        unknown = store.reckon(path, messages, "-1" not in load, "-f" in load)
    except AssertionError as why:
        raise AssertionError("%s, round %d of SEED=%d (%s): %s" % (disk.kind, n, SEED, " ".join(map(str, load + journal + when)), why))
    shutil.rmtree(path)
    disk.umount()
    return sum(m.state == "acked" for m in messages.values()), unknown


def rounds(kind, journal=(), loads=LOADS):
    disk, rng = Disk(kind), random.Random(SEED)
    acked = unknown = 0
    for n in range(ROUNDS):
        a, u = one_round(disk, n, rng, journal, loads)
        acked, unknown = acked + a, unknown + u
    print("# %s: %d rounds, SEED=%d: %d acknowledged, 0 lost, 0 torn; %d not acknowledged stand there" %
          (kind, ROUNDS, SEED, acked, unknown))
    check(acked > 0, "nothing was acknowledged in any round")


def dies_before_each_fsync(kind):
    """The file system shuts down (a log that cannot be written) and we live: what is lost with it must not be acknowledged.

    XFS then says 0 to fsync of a folder.
    """
    disk, nth, reached = Disk(kind), 0, True
    while reached:
        nth += 1
        name = "death%d" % nth
        disk.mount()
        path, ledger = os.path.join(disk.path, name), os.path.join(disk.ledgers, name)
        fired = ledger + ".fired"
        os.mkdir(path)
        os.sync()
        store.drive(path, ledger, "-i", name, "-n", 2, "-c", 1, "-t", 1, "-s", 3000,
                    env=store.shim(FAILNTH="fsync:%d:-2" % nth, FAILFIRED=fired))
        disk.umount()
        disk.mount()
        messages = store.read_ledger(ledger)
        reached = os.path.getsize(fired) > 0
        bad = [m for m in messages.values() if m.state == "refused"]
        check(bool(bad) == reached, "fsync %d: %d refused" % (nth, len(bad)))
        store.reckon(path, messages)
        disk.umount()
    check(nth > 5, "only %d calls" % nth)


@test
def ext4_dies_before_each_fsync():
    dies_before_each_fsync("ext4")


@test
def xfs_dies_before_each_fsync():
    dies_before_each_fsync("xfs")


@test
def ext4():
    rounds("ext4")


@test
def xfs():
    rounds("xfs")


@test
def ext4_journal():
    rounds("ext4", ("-j", 8))


@test
def xfs_journal():
    rounds("xfs", ("-j", 8))


@test
def ext4_folders():
    for journal in (), ("-j", 8):
        rounds("ext4", journal, FOLDERS)


@test
def xfs_folders():
    for journal in (), ("-j", 8):
        rounds("xfs", journal, FOLDERS)


if __name__ == "__main__":
    main()
