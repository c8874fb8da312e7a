#!/usr/bin/env -S python3 -B
# check: timeout=180
"""mailboxes: letterplate-mailboxes by its command line: lists right and wrong, edits, rollback, kill -9, failing calls."""
import fcntl
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import BIN, TOP, Skip, check, equal, main, need_root, on_end, sanitized, scratch, test

TOOL = os.path.join(BIN, "letterplate-mailboxes")
EXAMPLE = os.path.join(TOP, "examples", "mailboxes.list")
FILES = {"mailboxes.lock", "mailboxes.mdb"}
_folders = []


class Dir:
    """A mailbox directory of one's own."""

    def __init__(self):
        self.top = scratch("mailboxes.")
        _folders.append(self.top)
        self.path = os.path.join(self.top, "d")
        os.mkdir(self.path)

    def command(self, *args):
        return [TOOL, "-d", self.path] + list(args)

    def run(self, *args, stdin=b"", status=0, **kw):
        p = subprocess.run(self.command(*args), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100, **kw)
        self.err = p.stderr.decode()
        if status is not None and p.returncode != status:
            raise AssertionError("%s: status %d, not %d: %s" % (" ".join(args), p.returncode, status, self.err))
        self.status = p.returncode
        return p.stdout.decode()

    def load(self, text, *options, **kw):
        return self.run("load", "-", *options, stdin=text if isinstance(text, bytes) else text.encode(), **kw)

    def list(self):
        return self.run("list").splitlines()

    def info(self):
        """Entries of the current snapshot and of its predecessor (None: there is none)."""
        n = [int(line.split()[1]) for line in self.run("info").splitlines() if line.startswith("  entries:")]
        return n[0], n[1] if len(n) > 1 else None

    def files(self):
        return set(os.listdir(self.path))

    def file(self, name="mailboxes.mdb"):
        with open(os.path.join(self.path, name), "rb") as f:
            return f.read()


def clean():
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)


on_end.append(clean)


def users(n, domain="example.org", prefix="user"):
    return "".join("%s%06d@%s\n" % (prefix, i, domain) for i in range(n))


@test
def usage():
    d = Dir()
    for args in (["-h"], ["--help"], ["-V"], ["--version"]):
        p = subprocess.run([TOOL] + args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=10)
        equal(p.returncode, 0, "status of %s" % args)
        check(b"letterplate-mailboxes" in p.stdout and not p.stderr, args)
    for args in ([], ["list"], ["-d", d.path], ["-x"], ["-d"]):
        p = subprocess.run([TOOL] + args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=10)
        equal(p.returncode, 64, "status of %s" % args)
        check(b"usage:" in p.stderr and not p.stdout, args)
    for args in (["frobnicate"], ["load"], ["load", "a", "b"], ["load", "-", "--max-shrink", "x"], ["load", "-", "--max-shrink", "101"],
                 ["load", "-", "--foo"], ["add"], ["remove"], ["remove", "a", "b"], ["list", "x"], ["show"], ["info", "x"], ["rollback", "x"]):
        d.run(*args, status=64)
        check(d.err, args)
    equal(d.files(), set(), "files after nothing but mistakes")


@test
def example_list():
    d = Dir()
    d.run("load", EXAMPLE)
    with open(EXAMPLE) as f:
        lines = [line for line in f if line.strip() and not line.startswith("#")]
    equal(len(d.list()), len(lines), "entries")
    equal(d.files(), FILES, "files")
    equal(os.stat(os.path.join(d.path, "mailboxes.mdb")).st_mode & 0o777, 0o644, "mode")


@test
def list_loads_again():
    d = Dir()
    d.run("load", EXAMPLE)
    first = d.run("list")
    d.load(first)
    equal(d.run("list"), first, "the list of a list")
    equal(d.load(first, "--diff").splitlines()[0], "0 added, 0 removed, 0 changed", "difference")


@test
def forms_of_input():
    d = Dir()
    want = ["a@example.org", "b@example.org quota=1KiB"]
    for text in (b"a@example.org\nb@example.org quota=1KiB\n",
                 b"a@example.org\nb@example.org quota=1KiB",
                 b"a@example.org\r\nb@example.org quota=1KiB\r\n",
                 b"\xef\xbb\xbfb@example.org quota=1KiB\n\n\n#\n\ta@example.org # x",
                 b"#" + b"x" * 60000 + b"\nb@example.org quota=1KiB\n" + b"\n" * 3000000 + b"A@EXAMPLE.org"):
        d.load(text)
        equal(d.list(), want, "entries")
    path = os.path.join(d.top, "list")
    with open(path, "wb") as f:
        f.write(b"c@example.org")
    d.run("load", path)
    equal(d.list(), ["c@example.org"], "entries")


def mistakes(text, *want, options=()):
    """A list with mistakes: status 65, each line of WANT is said, and nothing changes."""
    d = Dir()
    d.load("a@example.org\n")
    before = d.file()
    d.load(text, *options, status=65)
    for number, says in want:
        check(any(line.startswith("standard input:%d: " % number) and says in line for line in d.err.splitlines()),
              "no '%s' of line %d in: %s" % (says, number, d.err))
    check("nothing was changed" in d.err, d.err)
    equal(d.file(), before, "the snapshot")
    equal(d.files(), FILES, "files")
    return d


@test
def bad_lines():
    mistakes("a@example.org\nb\n\nc@example.org quota=x\n", (2, "needs a '@'"), (4, "no size"))
    mistakes(b"a@example.org\nb\0@example.org\n", (2, "NUL"))
    mistakes(b"\xff\xfe@example.org\n", (1, "not a valid address"))
    for n in (65537, 100000, 1 << 20, 3 << 20):
        mistakes(b"a@example.org\n" + b"x" * n + b"\nb\n", (2, "longer than 65536"), (3, "needs a '@'"))
        mistakes(b"a@example.org\n" + b"x" * n, (2, "longer than 65536"))
    d = mistakes("".join("bad%d\n" % i for i in range(100)), (1, "bad0"), (20, "bad19"))
    check("80 more" in d.err, d.err)
    check("bad20" not in d.err, d.err)


@test
def doubles():
    mistakes("a@example.org\nb@example.org\nA@EXAMPLE.org quota=1B\n", (3, "'a@example.org' stands in line 1 already"))
    mistakes("@example.org alias=a@example.org\na@example.org\n@EXAMPLE.org reject=\"550 x\"\n", (3, "stands in line 1 already"))
    mistakes("a@example.org\na@example.org\na@example.org\nbad\n", (2, "line 1"), (3, "line 1"), (4, "needs a '@'"))


@test
def foreign_targets():
    mistakes("a@example.org\ns@example.org alias=a@example.org,x@elsewhere.example\n", (2, "'elsewhere.example'"))
    mistakes("a@example.org\n@example.net domain-alias=elsewhere.example\n", (2, "'elsewhere.example'"))
    mistakes("a@example.org\n@example.org alias=x@sub.example.org\n", (2, "'sub.example.org'"))
    d = Dir()       # where the domain is listed does not matter
    d.load("s@example.org alias=a@example.com\n@example.net domain-alias=example.com\na@example.com\n")
    equal(d.err, "", "warnings")


@test
def warnings():
    d = Dir()
    d.load("s@example.org alias=a@example.org,nobody@example.org\na@example.org\n"
           "l@example.org alias=m@example.org\nm@example.org alias=l@example.org\n"
           "me@example.org alias=me@example.org,a@example.org\n"
           "t@example.org alias=a+x@example.org\n"
           "r@example.org alias=no@example.org\nno@example.org reject=\"550 5.1.1 no\"\n"
           "@ring1.example domain-alias=ring2.example\n@ring2.example domain-alias=ring1.example\n")
    for number, says in ((1, "'nobody@example.org' leads to no mailbox"), (3, "'m@example.org' goes round"), (4, "'l@example.org' goes round"),
                         (5, "'me@example.org' is an alias of itself"), (9, "'@ring2.example' goes round"), (10, "'@ring1.example' goes round")):
        check("standard input:%d: warning: %s" % (number, says) in d.err, "%s: %s" % (says, d.err))
    equal(len(d.err.splitlines()), 6, "warnings in: " + d.err)
    equal(d.info()[0], 10, "entries")


@test
def empty_list():
    d = Dir()
    d.load("# nothing\n")
    check("no entries" in d.err, d.err)
    equal(d.info(), (0, None), "entries")
    equal(d.list(), [], "list")
    d.load(users(10))
    d.load("", "--max-shrink", "99", status=65)
    check("--max-shrink 99" in d.err, d.err)
    equal(d.info(), (10, 0), "entries")
    d.load("", "--max-shrink", "100")
    check("no entries" in d.err, d.err)
    equal(d.info(), (0, 10), "entries")


@test
def max_shrink():
    d = Dir()
    d.load(users(100), "--max-shrink", "0")
    d.load(users(90), "--max-shrink", "9", status=65)
    check("--max-shrink 9" in d.err, d.err)
    equal(d.info()[0], 100, "entries")
    d.load(users(90), "--max-shrink=10")
    equal(d.info(), (90, 100), "entries")
    d.load(users(95), "--max-shrink", "0")
    d.load(users(95), "--max-shrink", "0")
    d.load(users(94), "--max-shrink", "0", status=65)
    d.load(users(1))
    equal(d.info(), (1, 95), "entries")


@test
def a_reply_that_is_too_long_is_told_how_long_it_may_be():
    d = Dir()
    for key, code in ("reject", "550 5.1.1"), ("defer", "450 4.2.1"), ("reject", "550"):
        for n, status in (400, 0), (401, 65), (5000, 65):
            d.load('a@example.org %s="%s %s"\n' % (key, code, "x" * n), status=status)
            check(status == 0 or "is too long: its text may have 400 octets" in d.err, d.err)
    for text in "\xe4" + "x" * 500, "x" * 395 + "\xe4":
        d.load('a@example.org reject="550 5.1.1 %s"\n' % text, status=65)
        check("is no reply" in d.err, d.err)


@test
def general_options_stand_anywhere():
    """-d, -h and -V, before the command and behind it; an address that looks like one is none."""
    d = Dir()

    def run(*args, status=0, text=b""):
        p = subprocess.run([TOOL, *args], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        equal(p.returncode, status, "status of %s: %s" % (args, p.stderr))
        return p.stdout.decode()
    run("load", "-d", d.path, "-", text=b"a@example.org\n")
    run("load", "--dry-run", "-", "-d", d.path, text=b"a@example.org\n")
    run("add", "-dx@example.org", "-d", d.path, "quota=1KiB")
    run("add", "-d", d.path, "-d@example.org")
    equal(run("list", "-d", d.path).splitlines(), ["-d@example.org", "-dx@example.org quota=1KiB", "a@example.org"], "entries")
    check("delivered to a@example.org" in run("show", "a@example.org", "--delimiters", "+", "-d", d.path), "show")
    check("delivered to a@example.org" in run("show", "-d", d.path, "a-d@example.org", "--delimiters", "-d"), "show")
    run("remove", "-dx@example.org", "-d", d.path)
    check("entries: 2" in run("info", "-d", d.path), "info")
    run("rollback", "-d", d.path)
    for word in "-h", "--help", "-V", "--version":
        check("letterplate-mailboxes" in run("list", word), word)
        check("letterplate-mailboxes" in run("-d", d.path, "show", word), word)
    run("list", "-d", status=64)
    run("list", "-x", "-d", d.path, status=64)


@test
def dry_run_and_diff():
    d = Dir()
    d.load("a@example.org\nb@example.org\nc@example.org quota=1KiB\n")
    before = d.file()
    new = "a@example.org\nc@example.org quota=2KiB\nd@example.org\n"
    out = d.load(new, "--dry-run", "--diff").splitlines()
    equal(out[:5], ["- b@example.org", "- c@example.org quota=1KiB", "+ c@example.org quota=2KiB", "+ d@example.org",
                    "1 added, 1 removed, 1 changed"], "difference")
    check(out[5].startswith("would load 3 entries"), out)
    equal(d.file(), before, "the snapshot after a dry run")
    equal(d.files(), FILES, "files after a dry run")
    d.load("bad\n", "--dry-run", status=65)
    out = d.load(new, "--diff").splitlines()
    equal(out[4], "1 added, 1 removed, 1 changed", "difference")
    equal(d.list(), new.splitlines(), "entries")
    d.load("", "--dry-run", "--max-shrink", "5", status=65)


@test
def dry_run_needs_no_right_to_write():
    """Nor does it touch the folder, or wait for whoever changes it."""
    d = Dir()
    d.load("a@example.org\n")
    os.chmod(d.top, 0o755)
    os.chmod(d.path, 0o555)
    os.chmod(os.path.join(d.path, "mailboxes.mdb"), 0o444)
    before, files, tmp = os.stat(d.path), d.files(), os.path.join(d.top, "tmp")
    os.mkdir(tmp)
    os.chmod(tmp, 0o1777)
    as_whom = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
    with open(os.path.join(d.path, "mailboxes.lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for extra, status in ([], 0), (["--max-shrink", "0"], 65):
            out = d.load("b@example.org\nc@example.org\n" if not extra else "", "--dry-run", "--diff", *extra, status=status,
                         env=dict(os.environ, TMPDIR=tmp), **as_whom)
            check(extra or out.splitlines()[:3] == ["- a@example.org", "+ b@example.org", "+ c@example.org"], out)
            check(extra or "would load 2 entries" in out, out)
            equal(os.listdir(tmp), [], "left behind")
    after = os.stat(d.path)
    equal((d.files(), after.st_mtime_ns, after.st_ctime_ns), (files, before.st_mtime_ns, before.st_ctime_ns), "the folder")
    d.load("b@example.org\n", "--dry-run", status=73, env=dict(os.environ, TMPDIR=os.path.join(d.top, "nowhere")))
    check("TMPDIR" in d.err, d.err)
    os.chmod(d.path, 0o755)


@test
def add_and_remove():
    d = Dir()
    d.run("add", "Alice@Example.org")                   # the first makes the directory
    equal(d.run("add", "sales@example.org", "alias=alice@example.org"), "+ sales@example.org alias=alice@example.org\n", "output")
    d.run("add", "old@example.org", "reject=550 5.1.6 moved to \"new\"@example.org")
    d.run("add", "older@example.org", 'reject="550 5.1.6 moved"')
    d.run("add", "@example.net", "domain-alias=example.org")
    equal(d.list(), ["@example.net domain-alias=example.org", "alice@example.org",
                     "old@example.org reject=\"550 5.1.6 moved to \\\"new\\\"@example.org\"", "older@example.org reject=\"550 5.1.6 moved\"",
                     "sales@example.org alias=alice@example.org"], "entries")
    equal(d.info(), (5, 4), "entries")
    before = d.file()
    check(d.run("add", "alice@example.org").startswith("unchanged"), "an add of what is there")
    for args, says in ((["bob"], "needs a '@'"), (["bob@example.org", "quota=x"], "no size"), (["bob@example.org", "x"], "no key=value"),
                       (["bob@example.org", "alias=x@elsewhere.example"], "no domain of this list"), (["#"], "no address"),
                       (["@x.example", "domain-alias=elsewhere.example"], "no domain of this list"), ([""], "no address")):
        d.run("add", *args, status=65)
        check(says in d.err and "nothing was changed" in d.err, d.err)
    for args, status in (("nobody@example.org", 67), ("bob", 65), ("@example.org", 67), ("@elsewhere.example", 67)):
        d.run("remove", args, status=status)
        check("nothing was changed" in d.err, d.err)
    equal(d.file(), before, "the snapshot after edits that failed")
    d.run("add", "sales@example.org", "alias=nobody@example.org")
    check("leads to no mailbox" in d.err, d.err)
    equal(d.run("add", "alice@example.org", "quota=1GiB"), "- alice@example.org\n+ alice@example.org quota=1GiB\n", "output")
    equal(d.info()[0], 5, "entries")
    equal(d.run("remove", "ALICE@example.org"), "- alice@example.org quota=1GiB\n", "output")
    equal(d.info()[0], 4, "entries")


def domains(d):
    return int([line.split()[1] for line in d.run("info").splitlines() if line.startswith("  domains:")][0])


@test
def last_of_a_domain():
    d = Dir()
    d.load("a@one.example\nb@one.example\nc@two.example\ns@two.example alias=a@one.example\n")
    equal(domains(d), 2, "domains")
    d.run("remove", "b@one.example")
    check("550 5.1.1" in d.run("show", "b@one.example"), "the domain is still ours")
    d.run("remove", "a@one.example", status=65)
    check("aliases still lead there" in d.err, d.err)
    d.run("remove", "s@two.example")
    d.run("remove", "a@one.example")
    equal(domains(d), 1, "domains")
    check("550 5.7.1" in d.run("show", "a@one.example"), "the domain is not ours any more")
    d.run("add", "@two.example", "alias=c@two.example")
    equal(domains(d), 1, "domains")
    d.run("remove", "@two.example")
    check("550 5.1.1" in d.run("show", "x@two.example"), "the domain is still ours")
    d.run("remove", "c@two.example")
    equal((domains(d), d.info()[0], d.list()), (0, 0, []), "what is left")
    d.run("add", "@three.example", "reject=550 5.7.1 closed")
    d.run("remove", "@three.example")
    check("550 5.7.1 mail for" in d.run("show", "x@three.example"), "the domain is not ours any more")


@test
def edits_and_a_load_agree():
    """Random edits leave what loading the same entries makes."""
    d, e = Dir(), Dir()
    r = random.Random(1)
    want = {}
    d.load("keep@d0.example\n")
    want["keep@d0.example"] = "keep@d0.example"
    for _ in range(150):
        key = "u%d@d%d.example" % (r.randrange(12), r.randrange(4))
        if key in want and r.random() < 0.6:
            d.run("remove", key)
            del want[key]
        else:
            quota = r.randrange(1, 4)
            d.run("add", key, "quota=%dKiB" % quota)
            want[key] = "%s quota=%dKiB" % (key, quota)
    e.load("\n".join(want.values()) + "\n")
    equal(d.list(), e.list(), "entries")
    equal(d.info()[0], len(want), "number of entries")
    equal(domains(d), domains(e), "domains")
    check(len(d.file()) < 300000, "the file does not grow with every edit: %d octets" % len(d.file()))


@test
def show():
    d = Dir()
    d.run("load", EXAMPLE)
    for args, last in ((["alice+x@EXAMPLE.org"], "delivered to alice@example.org in example.org/alice, extension x"),
                       (["info@example.net"], "delivered to bob@example.org in example.org/bob, quota 2147483648 octets"),
                       (["old@example.org"], "refused: 550 5.1.6 moved to new@example.org"),
                       (["moving@example.org"], "try again later: 450 4.2.1 mailbox is being moved"),
                       (["a@[192.0.2.1]"], "refused: 550 5.7.1 mail for address literals is not received here"),
                       (["Postmaster", "--postmaster", "Bob@example.org"], "delivered to bob@example.org in example.org/bob, quota 2147483648 octets"),
                       (["bob-x@example.org", "--delimiters", "-"], "delivered to bob@example.org in example.org/bob, extension x, quota 2147483648 octets")):
        equal(d.run("show", *args).splitlines()[-1], last, "the end of show %s" % args)
    d.run("show", "a b@example.org", status=64)
    check("alias with 2 targets" in d.run("show", "sales@example.org"), "steps")


@test
def rollback():
    d = Dir()
    d.run("rollback", status=66)
    d.load(users(3))
    d.run("rollback", status=66)
    check("no predecessor" in d.err, d.err)
    d.load(users(5))
    d.load(users(7))
    equal(d.info(), (7, 5), "entries")
    d.run("rollback")
    equal(d.info(), (5, 7), "entries")
    d.run("rollback")
    equal(d.info(), (7, 5), "entries")
    os.unlink(os.path.join(d.path, "mailboxes.mdb"))
    d.run("rollback")                                   # no current one: the predecessor becomes it
    equal(d.info(), (5, None), "entries")
    d.load(users(6))
    with open(os.path.join(d.path, "mailboxes.mdb.previous"), "r+b") as f:
        f.truncate(8192)
    d.run("rollback", status=65)
    check("damaged" in d.err, d.err)
    equal(d.run("list"), users(6), "entries")


@test
def a_lost_directory_is_not_begun_anew():
    """One entry where there were many: all others would be refused for good."""
    d = Dir()
    d.load(users(5))
    d.load(users(7))
    os.unlink(os.path.join(d.path, "mailboxes.mdb"))
    before = d.files()
    for args in (["add", "x@example.org"], ["remove", "user000001@example.org"]):
        d.run(*args, status=66)
        check("predecessor" in d.err and "'rollback'" in d.err and "'load'" in d.err, d.err)
        equal(d.files(), before, "files")
    d.load(users(6))
    equal(d.info(), (6, 5), "entries")
    os.unlink(os.path.join(d.path, "mailboxes.mdb"))
    d.run("rollback")
    d.run("add", "x@example.org")
    equal(d.info(), (6, 5), "entries")


@test
def damaged_snapshot():
    d = Dir()
    d.load(users(500))
    d.load(users(600))
    good = d.file()
    for what in (b"", b"rubbish", bytes(len(good)), good[:-4096], good[:-1], good[:4096]):
        with open(os.path.join(d.path, "mailboxes.mdb"), "wb") as f:
            f.write(what)
        for args in (["list"], ["info"], ["add", "x@example.org"], ["remove", "user000001@example.org"], ["show", "a@example.org"]):
            d.run(*args, status=65)
            check("damaged" in d.err, d.err)
    bad = bytearray(good)
    bad[5 * 4096 + 2000] ^= 4                           # in a page: found when it is read
    with open(os.path.join(d.path, "mailboxes.mdb"), "wb") as f:
        f.write(bad)
    d.run("info")
    for args in (["list"], ["add", "x@example.org"], ["remove", "user000001@example.org"]):
        d.run(*args, status=65)
    d.run("rollback")
    equal(d.run("list"), users(500), "entries")
    # A load over a damaged one keeps the good predecessor.
    with open(os.path.join(d.path, "mailboxes.mdb"), "wb") as f:
        f.write(good[:-1])
    os.unlink(os.path.join(d.path, "mailboxes.mdb.previous"))
    d.load(users(3))
    check("will not be kept" in d.err, d.err)
    equal(d.info(), (3, None), "entries")


@test
def missing_things():
    d = Dir()
    for args in (["list"], ["info"], ["show", "a@example.org"], ["load", os.path.join(d.top, "nowhere")], ["load", d.path]):
        d.run(*args, status=66)
        check(d.err, args)
    d.run("remove", "a@example.org", status=67)
    p = subprocess.run([TOOL, "-d", os.path.join(d.top, "none"), "list"], stderr=subprocess.PIPE, timeout=10)
    equal(p.returncode, 66, "status without a folder")
    if os.geteuid() == 0:
        return
    os.chmod(d.path, 0o555)
    d.load(users(1), status=73)
    os.chmod(d.path, 0o755)


# --- crashes ---

class Watcher(threading.Thread):
    """Looks at the directory all the time; each look must find a whole snapshot that is one of the two."""

    def __init__(self, d, sizes):
        super().__init__()
        self.d, self.sizes, self.looks, self.bad, self.done = d, sizes, 0, [], False

    def run(self):
        while not self.done:
            p = subprocess.run(self.d.command("list"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.looks += 1
            if p.returncode != 0 or p.stdout.count(b"\n") not in self.sizes:
                self.bad.append((p.returncode, p.stdout.count(b"\n"), p.stderr))


def leftovers_go(d):
    check(d.files() <= FILES | {"mailboxes.mdb.previous", "mailboxes.mdb.new", "mailboxes.mdb.old"}, d.files())
    d.run("rollback", status=None)                      # any job that changes something sweeps first
    check(d.files() <= FILES | {"mailboxes.mdb.previous"}, "left behind: %s" % d.files())


@test
def kill_9():
    d = Dir()
    sizes = (20000, 30000)
    lists = []
    for n in sizes:
        lists.append(os.path.join(d.top, "list%d" % n))
        with open(lists[-1], "w") as f:
            f.write(users(n))
    d.run("load", lists[0])
    began = time.monotonic()
    d.run("load", lists[1])
    whole = time.monotonic() - began
    w = Watcher(d, sizes)
    w.start()
    r = random.Random(7)
    killed = done = 0
    try:
        end = time.monotonic() + (20 if sanitized() else 6)
        while time.monotonic() < end:
            p = subprocess.Popen(d.command("load", lists[r.randrange(2)]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(r.random() * whole * 2)
            p.send_signal(signal.SIGKILL)
            if p.wait() == 0:
                done += 1
            else:
                killed += 1
            check(d.info()[0] in sizes, "entries after a kill")
    finally:
        w.done = True
        w.join()
    equal(w.bad, [], "looks that did not find a whole snapshot")
    check(killed > 5 and done > 0 and w.looks > 20, "too little happened: %d killed, %d done, %d looks" % (killed, done, w.looks))
    leftovers_go(d)


def strace(d, inject, *args, stdin=b""):
    if not shutil.which("strace"):
        raise Skip("strace is missing")
    trace = os.path.join(d.top, "trace")
    cmd = ["strace", "-f", "-o", trace, "-e", "trace=" + inject.split(":")[0], "-e", "inject=" + inject] + d.command(*args)
    p = subprocess.run(cmd, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    if b"ptrace" in p.stderr or b"PTRACE" in p.stderr:
        raise Skip("strace may not trace here")
    with open(trace) as f:
        injected = f.read().count("(INJECTED)")
    return p.returncode, p.stderr.decode(), injected


@test
def kill_at_each_call():
    """Kill -9 right before each call that changes something on disk, in turn: old or new, whole."""
    if sanitized():
        raise Skip("a sanitizer's runtime under strace is another program")
    d = Dir()
    d.load(users(10))
    d.load(users(20))
    for call in ("openat", "pwrite64", "pwritev", "ftruncate", "fsync", "linkat", "renameat", "unlinkat", "copy_file_range", "flock"):
        for args, stdin in ((("load", "-"), users(30).encode()), (("add", "x@example.org"), b""), (("rollback",), b"")):
            for when in range(1, 30):
                before = d.info()[0]
                status, _, injected = strace(d, "%s:signal=KILL:when=%d" % (call, when), *args, stdin=stdin)
                if status in (0, 65) and injected == 0:
                    break
                now = len(d.list())
                check(now in (before, 30, 10, 20, 31, 11, 21) and now == d.info()[0], "%s, call %d of %s: %d entries" % (args[0], when, call, now))
                prev = d.info()[1]
                check(prev is not None, "%s, call %d of %s: the predecessor is gone" % (args[0], when, call))
            if len(d.list()) != 20:
                d.load(users(10))
                d.load(users(20))
            check(d.files() == FILES | {"mailboxes.mdb.previous"}, "left behind: %s" % d.files())


@test
def failing_calls():
    if sanitized():
        raise Skip("a sanitizer's runtime under strace is another program")
    d = Dir()
    d.load(users(10))
    d.load(users(20))
    want = d.run("list")
    for inject, args in (("fsync:error=EIO:when=1", ("load", "-")), ("pwrite64:error=ENOSPC:when=3+", ("load", "-")),
                         ("pwritev:error=EIO", ("load", "-")), ("ftruncate:error=EIO", ("load", "-")),
                         ("renameat:error=EIO:when=2", ("load", "-")), ("linkat:error=EPERM", ("load", "-")),
                         ("copy_file_range:error=ENOSPC", ("add", "x@example.org")), ("fsync:error=EIO:when=1", ("add", "x@example.org")),
                         ("renameat2:error=EACCES", ("rollback",)), ("flock:error=ENOLCK", ("add", "x@example.org"))):
        status, err, injected = strace(d, inject, *args, stdin=users(5).encode())
        if injected == 0 and inject.startswith(("pwritev", "ftruncate")):
            d.load(users(10))                           # this build of LMDB or libc calls another
            d.load(users(20))
            continue
        check(injected > 0, "%s was not called" % inject)
        check(status in (71, 73, 74), "%s: status %d, %s" % (inject, status, err))
        check("letterplate-mailboxes: cannot" in err, err)
        equal(d.run("list"), want, "entries after %s" % inject)
        check(d.files() == FILES | {"mailboxes.mdb.previous"}, "left behind after %s: %s" % (inject, d.files()))
    for args, call in ((("load", "-"), 2), (("add", "x@example.org"), 2), (("rollback",), 1)):     # the folder's sync
        status, err, injected = strace(d, "fsync:error=EIO:when=%d" % call, *args, stdin=users(20).encode())
        equal((status, injected), (74, 1), "status of %s when the folder cannot be synced: %s" % (args[0], err))
    d.load(users(20))
    d.load(users(10))
    status, err, _ = strace(d, "renameat2:error=EINVAL", "rollback")   # a file system that cannot exchange
    equal((status, d.info()), (0, (20, 10)), "a slow rollback: " + err)
    check(d.files() == FILES | {"mailboxes.mdb.previous"}, d.files())


@test
def file_too_large():
    """A limit on a file's size: one clear line, and the old snapshot stays."""
    d = Dir()
    d.load(users(10))

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    d.load(users(100000), status=74, preexec_fn=limit, restore_signals=False)
    check("cannot write" in d.err, d.err)
    equal(d.run("list"), users(10), "entries")
    equal(d.files(), FILES, "files")


@test
def full_disk():
    need_root()
    d = Dir()
    os.mkdir(os.path.join(d.top, "src"))
    with open(os.path.join(d.top, "src", "list"), "w") as f:
        f.write(users(60000))
    script = """mount -t tmpfs -o size=1m tmpfs "$2" || exit 1
        "$1" -d "$2" load - <<X || exit 2
a@example.org
X
        "$1" -d "$2" load "$3"; echo "status $?"
        dd if=/dev/zero of="$2/filler" bs=4k 2>/dev/null
        "$1" -d "$2" add b@example.org; echo "status $?"
        rm "$2/filler"; "$1" -d "$2" list; ls "$2" """
    p = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", TOOL, d.path, os.path.join(d.top, "src", "list")],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    if p.returncode == 1:
        raise Skip("cannot mount: %s" % p.stderr.decode())
    out, err = p.stdout.decode().splitlines(), p.stderr.decode()
    equal([line for line in out if line.startswith("status")], ["status 73"] * 2, "status on a full disk; " + err)
    equal(err.count("No space left"), 2, "messages that name the cause: " + err)
    equal(out[-3:], ["a@example.org", "mailboxes.lock", "mailboxes.mdb"], "what is left")


@test
def the_lock_is_its_makers_alone():
    d = Dir()
    lock = os.path.join(d.path, "mailboxes.lock")
    d.load(users(1))
    equal(os.stat(lock).st_mode & 0o7777, 0o600, "mode")
    os.chmod(lock, 0o644)           # as earlier versions made it
    d.run("add", "x@example.org")
    equal(os.stat(lock).st_mode & 0o7777, 0o600, "mode of one that was there")


@test
def two_at_once():
    d = Dir()
    d.load(users(1))
    jobs = [subprocess.Popen(d.command("add", "p%d@example.org" % i), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for i in range(12)]
    equal([p.wait() for p in jobs], [0] * 12, "status of twelve at once")
    equal(d.info(), (13, 12), "entries")


@test
def spills():
    """More than the sorter's memory holds, out of order: records of 60 KB make it quick."""
    d = Dir()
    r = random.Random(3)
    names = ["u%05d" % i for i in range(5000)]
    r.shuffle(names)
    targets = ",".join("t%d.%s@example.org" % (i, "x" * 225) for i in range(250))

    def lines():
        for name in names:
            yield "%s@example.org alias=%s\n" % (name, targets)
        for i in range(250):
            yield "t%d.%s@example.org\n" % (i, "x" * 225)

    path = os.path.join(d.top, "list")
    with open(path, "w") as f:
        f.writelines(lines())
    p = subprocess.Popen(d.command("load", path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(p.pid, 0)
    equal(status, 0, "status: %s" % p.stderr.read())
    p.stderr.close()
    equal(d.info()[0], 5250, "entries")
    if not sanitized():
        check(usage.ru_maxrss < 400 << 10, "it held %d KiB" % usage.ru_maxrss)
    check(d.run("show", "u00017@example.org").count("delivered to") == 250, "an entry")


@test
def progress_bar():
    """Only a terminal gets one."""
    d = Dir()
    path = os.path.join(d.top, "list")
    with open(path, "w") as f:
        for i in range(1500000):
            f.write("user%07d@example.org\n" % (i * 7919 % 1500000))
    d.run("load", path)
    equal(d.err, "", "standard error without a terminal")
    master, slave = os.openpty()
    p = subprocess.Popen(d.command("load", path), stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    seen = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(master)
    equal(p.wait(), 0, "status")
    check(b"reading  [#" in seen and b"writing  [" in seen and b" a second" in seen, seen)
    check(seen.endswith(b"\r\033[K"), "the bar goes away at the end")


main()
