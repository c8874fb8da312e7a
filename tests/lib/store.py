"""store: driving the Maildir store without a server, and comparing what stands on disk with the ledger.

drive() runs tests/fault/storedrive; reckon() compares, octet by octet, with
what its messages must be; Order replays a trace of system calls on the most
pessimistic file system that POSIX allows.
"""
import os
import re
import subprocess

from harness import TOP, check

RECEIVED = b"Received: from drive by store; Tue, 24 Nov 2026 12:00:00 +0000\n"


def obj(name):
    with open(os.path.join(TOP, "build/variant")) as f:
        path = os.path.join(TOP, "build/obj", f.read().strip(), "tests/fault", name)
    check(os.path.exists(path), "%s is not built; run: make fault-programs" % path)
    return path


def shim(**settings):
    """The environment that loads failnth.so: shim(FAILNTH="fsync:3:5")."""
    env = dict(os.environ, LD_PRELOAD=obj("failnth.so"), **settings)
    # The library comes before the sanitizer's, which minds, and the sanitizer's own calls are none of the pool's.
    env["ASAN_OPTIONS"] = "verify_asan_link_order=0:" + env.get("ASAN_OPTIONS", "")
    return env


def command(store, ledger, *args):
    return [obj("storedrive"), "-d", store, "-l", ledger, *map(str, args)]


def drive(store, ledger, *args, env=None):
    """Run it to its end; what it said on standard output."""
    r = subprocess.run(command(store, ledger, *args), capture_output=True, text=True, env=env, timeout=120)
    check(r.returncode == 0, "storedrive %s: status %d: %s" % (" ".join(map(str, args)), r.returncode, r.stderr[-2000:]))
    return r.stdout


class Message:
    def __init__(self, ident, octets, boxes):
        self.id, self.octets, self.boxes = ident, octets, boxes
        self.state, self.errno = "sent", 0
        self.errors = {}        # of each box

    def content(self):
        text = b"X-Ledger: %s %d\n\n" % (self.id.encode(), self.octets)
        n, i, lines = len(text) + 2, 0, [text]
        while n < self.octets:
            head = b"%s %08d " % (self.id.encode(), i)
            lines.append(head + bytes([ord("a") + i % 26]) * (76 - len(head)) + b"\n")
            n, i = n + 78, i + 1
        return b"".join(lines) + b"end\n"

    def stands(self, box):
        """True: must be there; False: must not; None: may."""
        if self.state == "sent":
            return None
        return self.state == "acked" or self.errors.get(box) == 0


def read_ledger(path):
    messages = {}
    with open(path) as f:
        for line in f:
            word = line.split()
            if word[1] == "acked":
                messages[word[0]].state = "acked"
            elif word[1] == "refused":
                m = messages[word[0]]
                m.state, m.errno = "refused", int(word[2])
                m.errors = {b: int(e) for b, e in (pair.split(":") for pair in word[3].split(","))}
            else:
                messages[word[0]] = Message(word[0], int(word[1]), word[3].split(","))
    return messages


def found(store):
    """(ID, box, path, octets) of all that stands in new/ and cur/; what is not of the drive is an error."""
    for folder, _, files in os.walk(store):
        if os.path.basename(folder) not in ("new", "cur"):
            continue
        box = os.path.basename(os.path.dirname(folder))
        if box.startswith("."):         # a folder that a handler chose
            check(os.path.exists(os.path.join(os.path.dirname(folder), "maildirfolder")), "no maildirfolder in %s" % folder)
            box = os.path.basename(os.path.dirname(os.path.dirname(folder)))
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                raw = f.read()
            m = re.search(rb"^X-Ledger: (\S+) ", raw, re.M)
            check(m, "a torn or foreign file in new/: %s, %d octets" % (path, len(raw)))
            yield m.group(1).decode(), box, path, raw


def leftovers(store):
    return [os.path.join(folder, f) for folder, _, files in os.walk(store)
            if os.path.basename(folder) == "tmp" for f in files]


def reckon(store, messages, delivered_to=True, folders=False):
    """Nothing acknowledged is missing, torn or doubled; nothing refused is there.  How many of unknown fate are."""
    seen, unknown = {}, 0
    for ident, box, path, raw in found(store):
        check(("/.Chosen" in path) == folders, "not in the folder that was chosen: %s" % path)
        check(ident in messages, "a message that nobody sent: %s" % path)
        m = messages[ident]
        prefix, _, content = raw.partition(RECEIVED)
        check(content == m.content(), "torn: %s in %s, %d octets" % (ident, path, len(raw)))
        want = b"Return-Path: <>\n" + (b"Delivered-To: " if delivered_to else b"")
        check(prefix.startswith(want), "begins wrongly: %s" % path)
        check(path.removesuffix(":2,S").endswith(",S=%d" % len(raw)), "wrong size in its name: %s, %d octets" % (path, len(raw)))
        seen[ident, box] = seen.get((ident, box), 0) + 1
    for m in messages.values():
        for box in m.boxes:
            n, stands = seen.get((m.id, box), 0), m.stands(box)
            check(n <= 1, "%s stands %d times in %s" % (m.id, n, box))
            check(stands is not True or n == 1, "LOST: %s was acknowledged and is not in %s" % (m.id, box))
            check(stands is not False or n == 0, "%s was refused (%d) and stands in %s" % (m.id, m.errno, box))
            unknown += n if stands is None else 0
    return unknown


class Inode:
    def __init__(self):
        self.clean = False      # its octets are durable
        self.entries = {}       # of a folder: name -> Inode
        self.durable = {}       # the same as of its last fsync


class Order:
    """Replays a trace: only what was fsynced is durable, in a folder no less than in a file.

    What was there before the trace began is taken for not durable, as if
    another process had made it a moment ago; the store's path itself is.
    """
    def __init__(self, store):
        self.store, self.root = os.path.realpath(store), Inode()
        self.scan(self.store, self.root)
        self.errors = []

    def scan(self, path, node):
        for e in os.scandir(path):
            node.entries[e.name] = child = Inode()
            if e.is_dir(follow_symlinks=False):
                self.scan(e.path, child)

    def parts(self, path):
        return [p for p in os.path.relpath(path, self.store).split(os.sep) if p != "."]

    def node(self, path):
        node = self.root
        for p in self.parts(path):
            node = node.entries[p]
        return node

    def parent(self, path):
        return self.node(os.path.dirname(path)), os.path.basename(path)

    def is_durable(self, path):
        """None, or which part of the way is not."""
        node, way = self.root, self.store
        for p in self.parts(path):
            way = os.path.join(way, p)
            if node.durable.get(p) is not node.entries.get(p):
                return "entry " + way
            node = node.entries[p]
        return None if node.clean else "content of " + way

    def sync(self, node):
        node.clean, node.durable = True, dict(node.entries)
        for child in node.entries.values():
            self.sync(child)

    def play(self, line, paths):
        """${paths}: ID -> where its files stand in the end."""
        op, _, rest = line.rstrip("\n").partition(" ")
        if op in ("create", "mkdir"):
            folder, name = self.parent(rest)
            folder.entries[name] = Inode()
        elif op == "write":
            self.node(rest).clean = False
        elif op == "fsync":
            node = self.node(rest)
            node.clean, node.durable = True, dict(node.entries)
        elif op == "syncfs":
            self.sync(self.root)
        elif op == "unlink":
            folder, name = self.parent(rest)
            del folder.entries[name]
        elif op in ("rename", "link"):
            old, new = rest.split(" ")
            a, b = self.parent(old), self.parent(new)
            b[0].entries[b[1]] = node = a[0].entries[a[1]]
            if op == "rename":
                del a[0].entries[a[1]]
            if os.path.basename(os.path.dirname(new)) == "new" and not node.clean:
                self.errors.append("visible before its content is durable: %s" % new)
        elif op == "note":
            ident, what = rest.split(" ")[:2]
            if what == "acked":
                for path in paths[ident]:
                    why = self.is_durable(path)
                    if why:
                        self.errors.append("%s acknowledged, not durable: %s" % (ident, why))
