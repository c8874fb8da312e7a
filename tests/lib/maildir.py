"""maildir: what stands in a Maildir, taken apart and checked.

A stored message is our trace lines and then the content as it came, CRLF made
LF; split() cuts there.
"""
import os
import re
import stat

from harness import check, equal

NAME = re.compile(r"\d+\.M\d+P\d+[A-Za-z0-9_#]*\.[^,/:]+,S=(\d+)")


class Stored:
    """One message file: its path, its trace lines by name, and its content."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            self.raw = f.read()
        self.trace, self.content = split(self.raw)

    def __getitem__(self, name):
        return self.trace[name]

    @property
    def id(self):
        m = re.search(r"\sid (\S+?);?\s", self.trace["Received"])
        return m.group(1) if m else ""


def split(raw):
    """(trace lines, content).  The order is fixed, so content that looks like trace lines is safe."""
    trace, at = {}, 0
    for name in ("Return-Path", "Delivered-To", "X-Original-To", "Received"):
        head = name.encode() + b": "
        if not raw.startswith(head, at):
            check(name not in ("Return-Path", "Received"), "no %s at octet %d of %r" % (name, at, raw[:300]))
            continue
        end = raw.index(b"\n", at) + 1
        while raw[end:end + 1] in (b" ", b"\t"):
            end = raw.index(b"\n", end) + 1
        trace[name] = raw[at + len(head):end - 1].decode("utf-8", "replace")
        at = end
    return trace, raw[at:]


def encode(part):
    """A local part as the path writes it."""
    out = "".join(c if re.fullmatch(r"[a-z0-9._+-]", c) else
                  "".join("%%%02X" % o for o in c.encode()) for c in part)
    return "%2E" + out[1:] if out.startswith(".") else out


class Maildir:
    def __init__(self, store, address):
        local, _, domain = address.rpartition("@")
        self.path = os.path.join(store, domain, encode(local))

    def files(self):
        try:
            return sorted(os.listdir(os.path.join(self.path, "new")))
        except FileNotFoundError:
            return []

    def messages(self):
        return [Stored(os.path.join(self.path, "new", f)) for f in self.files()]

    def one(self):
        """The only message; its place, name and modes are checked too."""
        found = self.messages()
        equal(len(found), 1, "messages in %s" % self.path)
        self.check_form()
        return found[0]

    def check_form(self):
        """Modes 0700 and 0600, and ",S=" the octets of each file."""
        for d in (self.path, *(os.path.join(self.path, x) for x in ("tmp", "new", "cur"))):
            equal(oct(stat.S_IMODE(os.stat(d).st_mode)), oct(0o700), "mode of " + d)
        for f in self.files():
            st = os.stat(os.path.join(self.path, "new", f))
            equal(oct(stat.S_IMODE(st.st_mode)), oct(0o600), "mode of " + f)
            m = NAME.fullmatch(f)
            check(m, "file name %r" % f)
            equal(int(m.group(1)), st.st_size, "S= of " + f)


def as_stored(wire):
    """Content as it came over the wire (dots unstuffed), in the form in which it is stored."""
    return wire.replace(b"\r\n", b"\n")
