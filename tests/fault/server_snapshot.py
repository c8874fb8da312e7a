#!/usr/bin/env -S python3 -B
# check: timeout=180
"""server_snapshot: a mailbox directory that is damaged, missing or swapped: 451, never 550, and no storm of dying workers."""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import Closed
from harness import Skip, check, equal, main, test
from server import MAILBOXES, Server, wait_for

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
LIST = MAILBOXES + "".join("user%d@example.org\n" % i for i in range(20000))


def publish(s, content):
    """Put CONTENT (None: nothing) where the snapshot stands, by rename, as the tool does."""
    path = s.path("directory", "mailboxes.mdb")
    if content is None:
        os.unlink(path)
        return
    with open(path + ".new", "wb") as f:
        f.write(content)
    os.rename(path + ".new", path)


def damaged(good):
    page = 4096
    yield "empty", b""
    yield "zero", bytes(len(good))
    yield "garbage", os.urandom(len(good))
    yield "text", b"alice@example.org\n" * 1000
    yield "one page short", good[:-page]
    yield "half", good[:len(good) // 2 // page * page]
    yield "two pages", good[:2 * page]
    yield "one octet short", good[:-1]
    yield "head of garbage", os.urandom(2 * page) + good[2 * page:]
    for i in range(4):
        yield "pages of garbage %d" % i, good[:(2 + i) * page] + os.urandom(page * 40) + good[(42 + i) * page:]
    yield "all but the head is zero", good[:2 * page] + bytes(len(good) - 2 * page)


def ask(s, rcpts):
    """The codes that RCPT gives in a fresh session; None when the worker was lost."""
    try:
        c = s.client(timeout=10)
        c.hello()
        c.cmd("MAIL FROM:<a@b.example>").is_(250)
        codes = [c.cmd("RCPT TO:<%s>" % r).code for r in rcpts]
        c.close()
        return codes
    except (OSError, Closed):
        return None


@test
def damage_found_at_the_start():
    """Workers come up on a damaged snapshot and say 451 until a good one is there."""
    with Server(mailboxes=LIST) as s:
        s.count = False
        with open(s.path("directory", "mailboxes.mdb"), "rb") as f:
            good = f.read()
        known = ["alice@example.org", "user7@example.org", "sales@example.org", "x@example.com"]
        s.may_die = True
        s.settings["limits"] = "connections_per_ip = 0 errors = 0"
        s.write_config()
        died = 0
        for name, content in [("missing", None)] + list(damaged(good)):
            publish(s, content)
            s.reload()
            for _ in range(3):
                codes = ask(s, known)
                if codes is None:       # what the check at opening cannot see may cost a worker; see S5
                    continue
                check(all(c in (250, 451) for c in codes), "%s: %s" % (name, codes))
                if name in ("missing", "empty", "zero", "garbage", "text", "one page short", "half", "two pages", "head of garbage"):
                    equal(codes, [451] * 4, name)
            now = s.counter("workers_died")
            check(now - died <= 4, "%s: %d workers died" % (name, now - died))
            if now != died:
                print("# %s: %d workers died" % (name, now - died))
            died = now
        publish(s, good)
        s.reload()
        equal(ask(s, known), [250] * 4, "codes with the good one")


KNOWN = ["alice@example.org", "user7@example.org", "user19999@example.org", "sales@example.org", "x@example.com"]
LOST, HELD = "every recipient gets 451 4.3.0", "the one before serves on"


class Asker:
    """Transactions of one session; the worker that has it must not die."""

    def __init__(self, s):
        self.c = s.client()
        self.c.hello()

    def codes(self, rcpts):
        self.c.send(b"MAIL FROM:<a@b.example>\r\n" + b"".join(b"RCPT TO:<%s>\r\n" % r.encode() for r in rcpts) + b"RSET\r\n")
        self.c.reply().is_(250)
        codes = [self.c.reply().code for _ in rcpts]
        self.c.reply().is_(250)
        return codes


def askers(s):
    """Sessions with both workers."""
    found = [Asker(s) for _ in range(6)]
    for a in found:
        a.codes(["alice@example.org"])
    return found


def overwrite(path, content, at=0):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(content)


def both(s, text, n):
    """Each of the two workers has said TEXT N times, and not more."""
    s.says(text, 2 * n)
    equal(s.log().count(text), 2 * n, "lines with %r" % text)


def published(s):
    """The snapshot's path, and what is in it; replies are not counted against what clients saw."""
    s.count = False
    path = s.path("directory", "mailboxes.mdb")
    with open(path, "rb") as f:
        return path, f.read()


def never_refused(s, name, sessions, rcpts=KNOWN):
    for a in sessions:
        codes = a.codes(rcpts)
        check(all(c in (250, 451) for c in codes), "%s: %s" % (name, codes))


def good_again(s, good, sessions, n):
    """The good one is published, and both workers have taken it up for the N-th time."""
    publish(s, good)
    s.says("taken up", 2 * n)
    asked, want = KNOWN + ["nobody@example.org", "a@elsewhere.example"], [250] * 5 + [550] * 2
    wait_for(lambda: all(a.codes(asked) == want for a in sessions), why=lambda: "with the good one: %s" % [a.codes(asked) for a in sessions])


@test
def damaged_where_it_stands():
    """The file that is open is itself written over: nothing can be known, and nobody is told that a mailbox is not there."""
    with Server(mailboxes=LIST, limits="connections_per_ip = 0 errors = 0") as s:
        path, good = published(s)
        flipped = bytes(b ^ 0xff if i % 97 == 0 else b for i, b in enumerate(good))
        sessions = askers(s)
        for n, (name, content) in enumerate((("flipped", flipped), ("zero", bytes(len(good))), ("garbage", os.urandom(len(good))),
                                             ("longer", b"x" * (2 * len(good))))):
            overwrite(path, content)
            never_refused(s, name, sessions)
            both(s, LOST, n + 1)
            for a in sessions:
                equal(a.codes(KNOWN + ["nobody@example.org", "a@elsewhere.example"]), [451] * 7, name)
            check("NO SNAPSHOT" in s.ctl("status").stdout, "status with it %s" % name)
            good_again(s, good, sessions, n + 2)
        equal(s.counter("workers_died"), 0, "workers_died")


@test
def pages_damaged_where_they_stand():
    """What the check at opening does not see: the names there are not known, the others are, and none is refused."""
    with Server(mailboxes=LIST, limits="connections_per_ip = 0 errors = 0") as s:
        path, good = published(s)
        sessions = askers(s)
        names = ["user%d@example.org" % i for i in range(0, 20000, 97)]
        for page in range(2, len(good) // 4096, 3):
            overwrite(path, os.urandom(64), page * 4096 + 128)
            never_refused(s, "page %d" % page, sessions[:1], names)
        good_again(s, good, sessions, 2)
        equal(s.counter("workers_died"), 0, "workers_died")


@test
def truncated_where_it_stands():
    """At every page, to nothing, to half: no worker dies of it, and none of the names is refused."""
    with Server(mailboxes=LIST, limits="connections_per_ip = 0 errors = 0") as s:
        path, good = published(s)
        sessions = askers(s)
        names = ["user%d@example.org" % i for i in range(0, 20000, 997)] + KNOWN
        for cut in range(len(good) // 4096 * 4096, -1, -4096):
            os.truncate(path, cut)
            never_refused(s, "cut at %d" % cut, sessions[cut // 4096 % 6:][:1], names)
        never_refused(s, "cut at 0", sessions)
        both(s, LOST, 1)
        for n, cut in enumerate((len(good) - 1, len(good) // 2, 2 * 4096, 4096, 4095, 0, None)):
            good_again(s, good, sessions, n + 2)
            if cut is None:
                with open(path, "wb") as f:
                    f.write(b"junk")
            else:
                os.truncate(path, cut)
            never_refused(s, "cut at %s" % cut, sessions, names)
            both(s, LOST, n + 2)
            for a in sessions:
                equal(a.codes(KNOWN + ["nobody@example.org"]), [451] * 6, "cut at %s" % cut)
        equal(s.counter("workers_died"), 0, "workers_died")


def unusable(s, path):
    """Name, and what makes the file at the path so, in one step, while the one that is open is whole."""
    def fifo():
        os.mkfifo(path + ".new")
        os.rename(path + ".new", path)

    def link(to):
        os.symlink(to, path + ".new")
        os.rename(path + ".new", path)

    yield "missing", lambda: os.unlink(path)
    yield "empty", lambda: publish(s, b"")
    yield "junk", lambda: publish(s, b"junk" * 5000)
    yield "a fifo", fifo
    yield "a folder", lambda: link(".")
    yield "a link to nothing", lambda: link("nowhere")
    if os.geteuid() == 0:
        yield "unreadable", lambda: os.chmod(path, 0)


@test
def the_newest_is_not_known():
    """The one before is asked for what it has; that a name is not in it says nothing."""
    with Server(mailboxes=LIST, limits="connections_per_ip = 0 errors = 0") as s:
        path, good = published(s)
        sessions = askers(s)
        unknown = ["nobody@example.org", "nobody+alice@example.org", "nobody@example.net", "a@elsewhere.example"]
        listed = ["old@example.org", "moving@example.org", "spamtrap@example.com", "a@[127.0.0.1]"]
        for n, (name, spoil) in enumerate(unusable(s, path)):
            errors = s.counter("lookup_errors")
            spoil()
            both(s, HELD, n + 1)
            for a in sessions:
                equal(a.codes(KNOWN + listed + unknown), [250] * 5 + [550, 450, 550, 550] + [451] * 4, name)
            wait_for(lambda: s.counter("lookup_errors") == errors + 24, why=lambda: "%s: %d" % (name, s.counter("lookup_errors")))
            check("NOT THE NEWEST" in s.ctl("status").stdout, "status with it %s" % name)
            good_again(s, good, sessions, n + 2)
            check("NOT THE NEWEST" not in s.ctl("status").stdout, "status with the good one after %s" % name)
        equal(s.counter("workers_died"), 0, "workers_died")


@test
def readable_again():
    """The very file that is held comes back: nothing is taken up, and what it lacks is refused again."""
    with Server(mailboxes=LIST, limits="connections_per_ip = 0 errors = 0") as s:
        s.count = False
        path = s.path("directory", "mailboxes.mdb")
        sessions = askers(s)
        for n in range(1, 3):
            os.rename(path, path + ".away")
            both(s, HELD, n)
            for a in sessions:
                equal(a.codes(["alice@example.org", "nobody@example.org"]), [250, 451], "away")
            os.rename(path + ".away", path)
            both(s, "can be read again", n)
            for a in sessions:
                equal(a.codes(["alice@example.org", "nobody@example.org"]), [250, 550], "back")


@test
def the_one_before_is_spoilt_too():
    """Junk takes its place, and then it is cut where it was moved to: the second is told as well, though the error is the same."""
    with Server(mailboxes=LIST, limits="connections_per_ip = 0 errors = 0") as s:
        s.count = False
        path = s.path("directory", "mailboxes.mdb")
        sessions = askers(s)
        os.link(path, path + ".away")
        publish(s, b"junk" * 5000)
        both(s, HELD, 1)
        os.truncate(path + ".away", 4096)
        both(s, LOST, 1)
        for a in sessions:
            equal(a.codes(KNOWN + ["nobody@example.org"]), [451] * 6, "codes with both spoilt")


@test
def nobody_may_read_it():
    if os.geteuid() != 0:
        raise Skip("needs root: the worker must be another user")
    with Server(mailboxes=LIST) as s:
        s.count = False
        os.chmod(s.path("directory", "mailboxes.mdb"), 0o600)
        s.reload()
        codes = ask(s, ["alice@example.org"])
        check(codes in ([451], [250]), "codes: %s" % codes)


@test
def published_over_and_over_under_look_ups():
    """Old or new, whole, and never a wrong answer (S6, in small)."""
    with Server(mailboxes=LIST, limits="connections_per_ip = 0 errors = 0") as s:
        done, wrong, asked = threading.Event(), [], [0]

        def look():
            c = s.client()
            c.hello()
            while not done.is_set():
                c.cmd("MAIL FROM:<a@b.example>").is_(250)
                c.send(b"".join(b"RCPT TO:<user%d@example.org>\r\n" % i for i in range(0, 500, 5)) +
                       b"RCPT TO:<nobody@example.org>\r\nRSET\r\n")
                codes = [c.reply().code for _ in range(102)]
                if codes != [250] * 100 + [550, 250]:
                    wrong.append(codes)
                asked[0] += 101
            c.quit()

        threads = [threading.Thread(target=look) for _ in range(3)]
        for t in threads:
            t.start()
        for _ in range(25):
            s.load(LIST)
            time.sleep(0.1)
        done.set()
        for t in threads:
            t.join()
        equal(wrong, [], "wrong answers")
        print("# %d look-ups while 25 snapshots were published" % asked[0])
        left = [f for f in os.listdir(s.path("directory")) if f not in ("mailboxes.mdb", "mailboxes.mdb.previous")]
        check(not [f for f in left if "lock" not in f], "left in the directory: %s" % left)


main()
