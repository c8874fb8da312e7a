#!/usr/bin/env -S python3 -B
# check: timeout=300
"""store_failnth: each system call of the store fails once, the first, the second, ... until a run passes untouched.

However it ends: nothing acknowledged is missing or torn, nothing refused is
visible, and nothing is left in tmp/.
"""
import errno
import os
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import check, equal, main, scratch, test
import store
from server import wait_for

# A small message, a streamed one, each to one mailbox or to three.
LOADS = {
    "one": ("-n", 2, "-c", 1, "-t", 1, "-b", 1, "-s", 3000, "-S", 500000),
    "three": ("-n", 2, "-c", 1, "-t", 1, "-b", 3, "-r", 3, "-s", 3000, "-S", 500000),
    "three-lmtp": ("-n", 2, "-c", 1, "-t", 1, "-b", 3, "-r", 3, "-L", "-s", 3000, "-S", 500000),
    "three-linked": ("-n", 2, "-c", 1, "-t", 1, "-b", 3, "-r", 3, "-1", "-s", 3000, "-S", 500000),
    "batches": ("-n", 1, "-c", 1, "-t", 1, "-b", 20, "-r", 20, "-s", 3000),
}
# The same through the journal.
JOURNAL = {
    "journal": ("-j", 8, "-n", 3, "-c", 3, "-t", 1, "-b", 1, "-s", 3000),
    "journal-three": ("-j", 8, "-n", 2, "-c", 2, "-t", 1, "-b", 3, "-r", 3, "-s", 3000),
    "journal-three-lmtp": ("-j", 8, "-n", 2, "-c", 2, "-t", 1, "-b", 3, "-r", 3, "-L", "-s", 3000),
    "journal-three-linked": ("-j", 8, "-n", 2, "-c", 2, "-t", 1, "-b", 3, "-r", 3, "-1", "-s", 3000),
}
# It lives on until the background has synced: JOURNAL_SYNC_MS of journal.h, and more.
SYNCED = {"journal-synced": JOURNAL["journal"] + ("-w", 1300)}
# For so many mailboxes that the file system is synced.
BULK = {
    "bulk": ("-n", 2, "-c", 2, "-t", 2, "-b", 70, "-r", 70, "-s", 3000),
    "bulk-lmtp-linked": ("-n", 1, "-c", 1, "-t", 1, "-b", 70, "-r", 70, "-L", "-1", "-s", 3000),
}
ALL = dict(LOADS, **JOURNAL, **SYNCED, **BULK)
SHORT = -1


def place():
    """In memory where there is a place: no disk makes a call that was not made fail."""
    if os.access("/dev/shm", os.W_OK):
        return tempfile.mkdtemp(prefix="letterplate-failnth.", dir="/dev/shm")
    return scratch()


def once(base, load, call, nth, error, on=""):
    """One run; (whether the call was reached, the messages).  ON "+": all of them fail from the nth on."""
    path, ledger, fired = (os.path.join(base, n) for n in ("mail", "ledger", "fired"))
    os.mkdir(path)
    env = store.shim(FAILNTH="%s:%d%s:%d" % (call, nth, on, error), FAILFIRED=fired)
    store.drive(path, ledger, *ALL[load], env=env)
    messages = store.read_ledger(ledger)
    what = "%s %d of %s: " % (call, nth, load)
    try:
        store.reckon(path, messages, delivered_to="-1" not in ALL[load])
        left = store.leftovers(path)
        check(not left, "left in tmp/: %s" % left)
        check(all(m.state != "sent" for m in messages.values()), "done() was not called")
    except AssertionError as why:
        raise AssertionError(what + str(why))
    reached = os.path.getsize(fired) > 0
    if not reached:
        check(all(m.state == "acked" for m in messages.values()), what + "refused without a fault")
    return reached, messages


def every(call, error, loads=LOADS, survives=False, at_least=1, on=""):
    """Fail each call of CALL, or with ON all from it on.  SURVIVES: the store knows another way, and acknowledges all the same."""
    total = refused = 0
    for load in loads:
        nth, reached = 0, True
        while reached:
            nth += 1
            base = place()
            try:
                reached, messages = once(base, load, call, nth, error, on)
            finally:
                shutil.rmtree(base)
            bad = [m for m in messages.values() if m.state == "refused"]
            refused += bool(bad)
            for m in bad:
                equal(m.errno, error, "errno of %s %d of %s" % (call, nth, load))
            if survives:
                check(not bad, "%s %d of %s was refused" % (call, nth, load))
            total += reached
    check(total >= at_least, "only %d calls of %s failed" % (total, call))
    check(survives or refused > 0, "no failure of %s was noticed" % call)


def in_use(segment):
    """Whether something in it is not retired: struct journal_head of journal.h."""
    with open(segment, "rb") as f:
        _, _, size, _, retired = struct.unpack("=IIQQQ", f.read(32))
    return retired < size


@test
def open_a_folder():
    every("openat", errno.EMFILE)


@test
def create():
    every("create", errno.ENOSPC)


@test
def create_a_name_that_exists():
    every("create", errno.EEXIST, survives=True)


@test
def create_in_a_folder_that_went():
    every("create", errno.ENOENT, survives=True)


@test
def mkdir():
    every("mkdirat", errno.EDQUOT)


@test
def write():
    every("writev", errno.ENOSPC)


@test
def write_over_quota():
    every("writev", errno.EDQUOT)


@test
def write_short():
    every("writev", SHORT, survives=True)


@test
def copy():
    every("copy_file_range", errno.EIO, loads=("three", "three-lmtp"))


@test
def copy_not_here():
    every("copy_file_range", errno.EXDEV, loads=("three",), survives=True)


@test
def copy_short():
    every("copy_file_range", SHORT, loads=("three",), survives=True)


@test
def fsync():
    every("fsync", errno.EIO, at_least=100)


@test
def close():
    every("close", errno.EIO)


@test
def rename():
    every("renameat2", errno.EIO)


@test
def rename_noreplace_unknown():
    every("renameat2", errno.EINVAL, survives=True)


@test
def rename_to_a_name_that_exists():
    every("renameat2", errno.EEXIST, survives=True)


@test
def link():
    every("linkat", errno.EIO, loads=("three-linked",))


@test
def link_elsewhere():
    every("linkat", errno.EXDEV, loads=("three-linked",), survives=True)


@test
def link_too_many():
    every("linkat", errno.EMLINK, loads=("three-linked",), survives=True)


@test
def lock():
    every("flock", errno.ENOLCK, survives=True)


@test
def start_writing():
    every("sync_file_range", errno.EIO, loads=("three", "batches"), survives=True)


@test
def journal_create():
    every("create", errno.ENOSPC, loads=JOURNAL)


@test
def journal_create_in_a_folder_that_went():
    every("create", errno.ENOENT, loads=JOURNAL, survives=True)


@test
def journal_open_a_folder():
    every("openat", errno.EMFILE, loads=JOURNAL)


@test
def journal_open_a_folder_by_path():
    for error in errno.ENOSYS, errno.EXDEV, errno.EMFILE:
        every("openat2", error, loads=JOURNAL, survives=True)


@test
def bulk_sync():
    every("syncfs", errno.EIO, loads=BULK)


@test
def bulk_sync_that_did_nothing():
    """syncfs says 0 on a file system that has become read-only; the fsync of the store's folder behind it knows better."""
    every("fsync", errno.EROFS, loads=BULK)


@test
def bulk_place():
    every("renameat2", errno.EIO, loads=BULK)


@test
def journal_write():
    every("writev", errno.EDQUOT, loads=JOURNAL)


@test
def journal_close():
    every("close", errno.EIO, loads=JOURNAL)


@test
def journal_rename():
    every("renameat2", errno.EIO, loads=JOURNAL)


@test
def journal_rename_to_a_name_that_exists():
    every("renameat2", errno.EEXIST, loads=JOURNAL, survives=True)


# A message for one mailbox that has no name until it is placed: "journal" is the load of such.
@test
def journal_nameless():
    for error in errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.ENOSPC:
        every("tmpfile", error, loads=("journal",), survives=True)
    every("tmpfile", errno.EOPNOTSUPP, loads=("journal",), survives=True, on="+")


@test
def journal_name():
    for error in errno.EIO, errno.ENOSPC, errno.EDQUOT:
        every("linkat", error, loads=("journal",))


@test
def journal_name_not_let_through():
    # By the descriptor, by /proc, and neither: then by way of tmp/.
    every("linkat", errno.ENOENT, loads=("journal",), survives=True)
    for error in errno.ENOENT, errno.EPERM, errno.EXDEV, errno.EACCES:
        every("linkat", error, loads=("journal",), survives=True, on="+")


@test
def journal_name_not_let_through_seen_once():
    # What stands in new/ for a moment may be read there: it is never taken out again to be delivered anew.
    base = place()
    try:
        path, trace = os.path.join(base, "mail"), os.path.join(base, "trace")
        os.mkdir(path)
        env = store.shim(FAILNTH="linkat:1+:%d" % errno.EPERM, FAILFIRED=os.path.join(base, "fired"), FAILTRACE=trace)
        store.drive(path, os.path.join(base, "ledger"), *ALL["journal"], env=env)
        with open(trace) as f:
            calls = [line.split() for line in f]
    finally:
        shutil.rmtree(base)
    shown = [c for c in calls if c[0] == "rename" and "/new/" in c[2]]
    equal(len(shown), 3, "times that something came into new/")
    check(not [c for c in calls if c[0] == "unlink" and "/new/" in c[1]], "taken out of new/")


@test
def journal_name_that_exists():
    every("linkat", errno.EEXIST, loads=("journal",), survives=True)


@test
def journal_killed_while_it_is_full():
    # A kill before anything was retired, and all places taken by such segments: the next process's journal comes on (storedrive waits for it).
    base = place()
    try:
        path, ledger, made = (os.path.join(base, x) for x in ("mail", "ledger", "mail/.journal"))
        os.mkdir(path)
        drive = subprocess.Popen(store.command(path, ledger, "-j", 8, "-n", 20000, "-c", 48, "-t", 8, "-b", 9, "-s", 500, "-S", 2000),
                                 stdout=subprocess.DEVNULL)
        used = os.path.join(made, "0.0")
        wait_for(lambda: os.path.exists(used) and in_use(used), why="no segment is in use")
        drive.kill()
        drive.wait()
        for no in range(1, 16):
            shutil.copyfile(used, os.path.join(made, "0.%d" % no))
        store.reckon(path, store.read_ledger(ledger))
        store.drive(path, ledger, "-i", "z", "-j", 8, "-n", 20, "-c", 8, "-b", 9)
        store.reckon(path, store.read_ledger(ledger))
    finally:
        shutil.rmtree(base)


@test
def journal_append():
    every("pwritev", errno.EIO, loads=JOURNAL)


@test
def journal_append_short():
    every("pwritev", SHORT, loads=JOURNAL, survives=True)


@test
def journal_sync():
    every("fdatasync", errno.EIO, loads=JOURNAL)


@test
def journal_sync_of_mailboxes():
    every("syncfs", errno.EIO, loads=SYNCED, survives=True)


@test
def journal_sync_of_mailboxes_that_did_nothing():
    every("fsync", errno.EROFS, loads=SYNCED, survives=True, at_least=4)


@test
def journal_begin():
    every("pwrite", errno.EIO, loads=SYNCED, survives=True)


@test
def journal_take_back_and_sync():
    # A refused message cannot be taken back, so the segment is condemned; then the mailboxes cannot be synced either.  The
    # others of its batch are acknowledged all the same: each is written anew, in tmp/, with an fsync of its own.
    for _ in range(10):
        base = place()
        try:
            path, ledger, trace = (os.path.join(base, n) for n in ("mail", "ledger", "trace"))
            os.mkdir(path)
            env = store.shim(FAILNTH="linkat:3:%d,fdatasync:2:%d,syncfs:1:%d" % (errno.ENOSPC, errno.EIO, errno.EIO), FAILTRACE=trace)
            store.drive(path, ledger, "-j", 8, "-n", 8, "-c", 8, "-t", 1, "-b", 1, "-s", 3000, env=env)
            messages = store.read_ledger(ledger)
            with open(trace) as f:
                calls = [line.split()[:2] for line in f]
            store.reckon(path, messages)
            equal(store.leftovers(path), [], "left in tmp/")
        finally:
            shutil.rmtree(base)
        refused = [m.errno for m in messages.values() if m.state == "refused"]
        if refused == [errno.ENOSPC]:   # else the third was not of the first batch
            break
    equal(refused, [errno.ENOSPC], "what was refused, and why")
    failed = next(i for i, c in enumerate(calls) if c[0] == "create" and c[1].endswith("/0.repair"))
    placed = [c for c in calls[:failed] if c[0] == "link" and "/new/" in c[1]]
    anew = [c for c in calls[failed:] if c[0] == "fsync" and "/box0/tmp/" in c[1]]
    check(len(placed) > 1, "only %d in the batch" % len(placed))
    equal(len(anew), len(placed), "messages written anew")


def at_random(*args):
    """Every call may fail, while cleaning up too."""
    for seed in range(int(os.environ.get("ROUNDS", "4"))):
        base = place()
        try:
            path, ledger = os.path.join(base, "mail"), os.path.join(base, "ledger")
            os.mkdir(path)
            store.drive(path, ledger, "-n", 400, "-c", 16, "-s", 2000, "-S", 150000, *args,
                        env=store.shim(FAILRATE="5:%d" % (seed * 1000003)))
            messages = store.read_ledger(ledger)
            store.reckon(path, messages, delivered_to="-1" not in args)
            left = store.leftovers(path)
            check(not left, "seed %d: %d left in tmp/: %s" % (seed, len(left), left[:3]))
            check({m.state for m in messages.values()} == {"acked", "refused"}, "seed %d: no mix" % seed)
        finally:
            shutil.rmtree(base)


@test
def one_in_twenty():
    at_random("-b", 20)


@test
def one_in_twenty_several_recipients():
    at_random("-b", 20, "-r", 3, "-L")


@test
def one_in_twenty_journal():
    at_random("-b", 20, "-j", 8)


@test
def one_in_twenty_journal_several_recipients():
    at_random("-b", 20, "-r", 3, "-L", "-j", 8)


@test
def one_in_twenty_linked():
    at_random("-b", 20, "-r", 3, "-1", "-L")


if __name__ == "__main__":
    main()
