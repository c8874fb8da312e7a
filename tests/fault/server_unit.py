#!/usr/bin/env -S python3 -B
"""server_unit: the mounts that a service is given, and what the journal makes of them.

As the shipped unit makes them: a mount name space of its own, with a /proc that shows what the unit lets it show. Mail
that its owner has deleted stays away, whatever was killed.  And file systems that no journal can stand on.
"""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import Skip, check, equal, main, need_root, test
from server import Server, wait_for

BOX = "u1@example.org"
LIST = "".join("u%d@example.org\n" % i for i in range(80))
UNIT = os.path.join(harness.TOP, "contrib/letterplate.service")


def unit(name):
    with open(UNIT) as f:
        return [line.strip().partition("=")[2] for line in f if line.startswith(name + "=")]


def as_service():
    """The command that gives a program the mounts that the unit gives it: a name space, and /proc."""
    need_root()
    options = ["subset=pid"] if "pid" in unit("ProcSubset") else []
    options += ["hidepid=" + v for v in unit("ProtectProc")]
    through = ["unshare", "-m", "sh", "-c", 'mount -t proc -o "$0" proc /proc && exec "$@"', ",".join(options)]
    r = subprocess.run([*through, "true"], capture_output=True, text=True)
    if r.returncode != 0:
        raise Skip("no mount name space with a /proc here: %s" % r.stderr.strip())
    return through


def five(s):
    """Five messages, of which the owner deletes one at once: no background sync has come between."""
    c = s.client()
    c.hello()
    for i in range(5):
        c.envelope(BOX)
        c.data(b"Subject: %d\r\n\r\n" % i).is_(250)
    c.quit()
    victim = [m for m in s.messages(BOX) if m.content == b"Subject: 2\n\n"]
    equal(len(victim), 1, "messages to be deleted")
    os.unlink(victim[0].path)


def four_left(s, why):
    time.sleep(0.3)
    equal(sorted(m.content for m in s.messages(BOX)), [b"Subject: %d\n\n" % i for i in (0, 1, 3, 4)], why)
    equal(s.counter("journal_replayed"), 0, "messages replayed")


def serve():
    s = Server(mailboxes=BOX + "\n", workers=1, start=False, count=False)
    s.may_die = s.may_leave_tmp = True
    return s


def greets(s):
    """It serves: what a start replays is done by then."""
    c = s.client()
    c.hello()
    c.quit()


def kill_worker(s):
    old = s.workers()
    equal(len(old), 1, "workers")
    os.kill(old[0], signal.SIGKILL)
    wait_for(lambda: [p for p in s.workers() if p not in old], 15, "no new worker")
    greets(s)


def through_the_journal(s):
    """The first segment is made in the background; until then mail goes the direct way."""
    def went():
        c = s.client()
        c.hello()
        c.envelope(BOX)
        c.data(b"Subject: before\r\n\r\n").is_(250)
        c.quit()
        for m in s.messages(BOX):
            os.unlink(m.path)
        return s.counter("journal_records") > 0
    wait_for(went, 10, "the journal is not used")


@test
def a_killed_worker_brings_nothing_back():
    through = as_service()
    with serve() as s:
        s.start(through=through)
        through_the_journal(s)
        five(s)
        kill_worker(s)
        four_left(s, "after a worker was killed")


@test
def an_orderly_stop_leaves_nothing_to_replay():
    """Each start of the service has a new mount name space, and mounts with new numbers."""
    through = as_service()
    with serve() as s:
        s.start(through=through)
        through_the_journal(s)
        five(s)
        equal(s.term(), 0, "status after TERM")
        s.start(through=through)
        greets(s)
        four_left(s, "after a restart of the service")


@test
def a_service_that_is_killed_brings_nothing_back():
    """Not the mount's number is asked but the file system's own, where it has one (sysfs: ext4, XFS)."""
    through = as_service()
    with serve() as s:
        if subprocess.run(["stat", "-f", "-c", "%T", s.store_path], capture_output=True, text=True).stdout.strip() not in ("ext2/ext3", "xfs"):
            raise Skip("neither ext4 nor XFS")
        s.start(through=through)
        through_the_journal(s)
        five(s)
        s.kill()
        s.start(through=through)
        greets(s)
        four_left(s, "after all of the service was killed")


@test
def where_syncfs_does_not_tell_there_is_no_journal():
    """overlayfs says 0 to syncfs when what lies below could not be written."""
    need_root()
    harness.own_mounts()
    base = harness.scratch("overlay.")
    layers = [os.path.join(base, d) for d in ("lower", "upper", "work", "mail")]
    for d in layers:
        os.mkdir(d)
    r = subprocess.run(["mount", "-t", "overlay", "-o", "lowerdir=%s,upperdir=%s,workdir=%s" % tuple(layers[:3]), "none", layers[3]],
                       capture_output=True, text=True)
    if r.returncode != 0:
        raise Skip("no overlayfs here: %s" % r.stderr.strip())
    try:
        with Server(mailboxes=LIST, workers=1, store=layers[3], limits="connections_per_ip = 0") as s:
            c = s.client()
            c.hello()
            for rcpts in [[BOX]] * 20 + [LIST.split()]:
                c.envelope(rcpts)
                c.data(b"Subject: one\r\n\r\n").is_(250)
            c.quit()
            equal(s.counter("journal_records"), 0, "messages through the journal")
            check("(overlayfs)" in str(s.line("journal")), "it is not told")
            check(not os.path.exists(os.path.join(layers[3], ".journal")), "a journal was made")
            equal(len(s.messages(BOX)), 21, "messages")
    finally:
        subprocess.run(["umount", "-l", layers[3]], check=True)


main()
