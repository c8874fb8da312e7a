#!/usr/bin/env -S python3 -B
# check: timeout=120
"""server_diskfull: a disk without room or inodes: 452 4.3.1, nothing half-written, and service is back when there is room."""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from disk import mounted, run
import harness
from harness import check, equal, main, need_root, test
from server import Server, wait_for

ALICE, BOB = "alice@example.org", "bob@example.org"
HEAD = b"Subject: x\r\n\r\n"


def mount(kind, **options):
    need_root()
    root = harness.scratch("disk.")
    if kind == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", "mode=0755," + options["options"], "none", root)
    else:
        image = root + ".img"
        with open(image, "wb") as f:
            f.truncate(options["size"])
        run("mkfs.ext4", "-q", "-m", "0", "-N", str(options["inodes"]), "-O", "^has_journal", image)
        run("mount", "-o", "loop", image, root)
    mounted.append(root)
    store = os.path.join(root, "mail")
    os.mkdir(store)
    return store


def fill(path):
    with open(path, "wb", buffering=0) as f:
        for chunk in (1 << 20, 1 << 16, 4096, 512, 1):
            try:
                while True:
                    f.write(b"f" * chunk)
            except OSError:
                pass


def full_then_not(store, exhaust, release):
    with Server(store=store) as s:
        workers = s.workers()
        c = s.client()
        c.hello()
        c.message([ALICE, BOB], HEAD + b"before\r\n").is_(250)
        exhaust()
        for content in (HEAD + b"small\r\n", HEAD + b"0123456789\r\n" * 20000):
            for rcpts in (ALICE, [ALICE, BOB]):
                c.cmd("MAIL FROM:<a@b.example>").is_(250)
                for r in [rcpts] if isinstance(rcpts, str) else rcpts:
                    c.cmd("RCPT TO:<%s>" % r).is_(250)
                r = c.cmd("DATA")
                if r.code == 354:       # there may be no room for the first octet, or for the last
                    c.send(content + b".\r\n")
                    r = c.reply()
                if not (r.code == 250 and len(content) < 200):
                    r.is_(452, "4.3.1")
                wait_for(lambda: not s.maildirs_tmp(), 5, lambda: "left in tmp/: %s" % s.maildirs_tmp())
                c.cmd("RSET").is_(250)
        refused_new = len(s.messages(ALICE))
        release()
        c.message([ALICE, BOB], HEAD + b"after\r\n" * 1000).is_(250)
        c.quit()
        for a in (ALICE, BOB):
            found = [m.content for m in s.messages(a)]
            check(HEAD.replace(b"\r", b"") + b"before\n" in found, "what was there is gone")
            check(HEAD.replace(b"\r", b"") + b"after\n" * 1000 in found, "the one after it is missing")
            s.maildir(a).check_form()
        check(refused_new <= 3, "refused messages stand in new/")
        equal(s.workers(), workers, "workers")
        check(s.counter("store_errors") > 0, "store_errors not counted")


@test
def tmpfs_without_room():
    store = mount("tmpfs", options="size=2m")
    filler = os.path.join(os.path.dirname(store), "filler")
    full_then_not(store, lambda: fill(filler), lambda: os.unlink(filler))


@test
def ext4_without_room():
    store = mount("ext4", size=16 << 20, inodes=2000)
    filler = os.path.join(os.path.dirname(store), "filler")
    full_then_not(store, lambda: fill(filler), lambda: os.unlink(filler))


@test
def tmpfs_without_inodes():
    store = mount("tmpfs", options="size=16m,nr_inodes=60")
    folder = os.path.join(os.path.dirname(store), "filler")

    def exhaust():
        os.mkdir(folder)
        try:
            for i in range(1000):
                open(os.path.join(folder, str(i)), "w").close()
        except OSError:
            pass

    full_then_not(store, exhaust, lambda: shutil.rmtree(folder))


@test
def a_store_that_went_away():
    """Its folder cannot be written: 451, as for every error that passes; other sessions do not notice."""
    need_root()
    with Server() as s:
        c = s.client()
        c.hello()
        c.message(ALICE, HEAD).is_(250)
        box = s.maildir(ALICE).path
        shutil.rmtree(os.path.join(box, "new"))
        with open(os.path.join(box, "new"), "w"):
            pass
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        c.cmd("RCPT TO:<%s>" % ALICE).is_(250)
        r = c.cmd("DATA")
        if r.code == 354:
            c.send(HEAD + b".\r\n")
            r = c.reply()
        r.is_(451, "4.3.0")
        c.message(BOB, HEAD).is_(250)
        os.unlink(os.path.join(box, "new"))
        c.message(ALICE, HEAD).is_(250)
        c.quit()


main()
