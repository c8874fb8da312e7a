#!/usr/bin/env -S python3 -B
# check: timeout=180
"""live: the dialogues of tests/dialog/*.smtp against a running server, in step and octet by octet.

The format stands in script.h.  Dialogues that ask for what only the engine can
be asked (E lines, "engine", "early", "tls"), or for extensions that the server
does not offer, are left to tests/unit/dialog; how many is said.  A server that
offers more than a dialogue has in mind may list it in its answer to EHLO.
    live.py [NAME]...
"""
import glob
import os
import re
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from client import Client, Closed
from harness import TOP, check
from maildir import Stored, as_stored
from server import Server

HERE = os.path.join(TOP, "tests/dialog")
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))")
EXTENSIONS = {"chunking": ("CHUNKING", "BINARYMIME"), "smtputf8": ("SMTPUTF8",), "dsn": ("DSN",),
              "starttls": ("STARTTLS",), "requiretls": ("REQUIRETLS",)}
OCTETS_MAX = 4000       # input up to which it is also sent octet by octet


def unescape(text):
    def octet(m):
        return chr(int(m.group(1), 16)) if m.group(1) else {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}[m.group(2)]
    # what is not an escape is UTF-8 in the file
    return "".join(octet(m) if isinstance(m, re.Match) else m.encode().decode("latin-1")
                   for m in pieces(text)).encode("latin-1")


def pieces(text):
    at = 0
    for m in ESCAPE.finditer(text):
        yield text[at:m.start()]
        yield m
        at = m.end()
    yield text[at:]


class Script:
    def __init__(self, path):
        self.name = os.path.basename(path)
        self.config = {"size": "10000", "rcpt": "100", "errors": "20", "lmtp": False, "bare-newline": False, "xclient": False}
        self.steps, self.bodies, self.ext = [], [], set()
        self.engine = "not-offered" in self.name        # a server may offer it by now
        with open(path, encoding="utf-8", newline="\n") as f:
            for n, line in enumerate(f.read().split("\n"), 1):
                self.line(n, line)

    def line(self, n, line):
        word, _, rest = line.partition(" ")
        if not line or line.startswith("#"):
            return
        if word == "!":
            key, _, value = rest.partition(" ")
            if key in self.config:
                self.config[key] = value or True
            elif key == "ext":
                self.ext = set(value.split())
            else:
                self.engine = True
        elif word == "C:":
            self.send(n, rest.encode() + b"\r\n")
        elif word == "RAW:":
            self.send(n, unescape(rest))
        elif word == "FILL:":
            times, _, text = rest.partition(" ")
            self.send(n, unescape(text) * int(times))
        elif word == "S:":
            self.steps.append(("expect", n, rest))
        elif word == "B:":
            self.bodies.append((n, unescape(rest)))
        elif word == "T:":
            pass                        # the engine's own business, proved in-process
        elif line in ("CLOSE", "SPLIT", "PAUSE"):
            self.steps.append((line.lower(), n, None))
        elif line == "TLS" or word == "E:":
            self.engine = True
        else:
            raise AssertionError("%s:%d: no line of a dialogue" % (self.name, n))

    def send(self, n, octets):
        if self.steps and self.steps[-1][0] == "send":
            self.steps[-1] = ("send", n, self.steps[-1][2] + octets)
        else:
            self.steps.append(("send", n, octets))

    def octets(self):
        return sum(len(x) for kind, _, x in self.steps if kind == "send")


def matches(pattern, line):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))) + "( .*)?", line, re.S)


class Player:
    """One run of a script on one connection."""

    def __init__(self, server, script, octet_by_octet):
        self.server, self.script, self.slow = server, script, octet_by_octet
        self.client = Client(server.address, server.seen, greet=False, timeout=20)
        self.ids = []
        self.more = {"250%s%s" % (dash, line) for e in server.ext - script.ext for line in EXTENSIONS[e] for dash in " -"}

    def expect(self, n, pattern):
        try:
            line = self.client.line().decode("utf-8", "replace")
            while line in self.more:
                line = self.client.line().decode("utf-8", "replace")
        except (Closed, TimeoutError) as e:
            raise AssertionError('line %d: %s where "%s" should be' % (n, e, pattern))
        if line[3:4] == " ":
            self.server.seen[int(line[:3])] += 1
        m = re.match(r"250 2\.0\.0 queued as (\S+)$", line)
        if m and m.group(1) not in self.ids:
            self.ids.append(m.group(1))
        check(matches(pattern, line), 'line %d: "%s" is not "%s"' % (n, line, pattern))

    def send(self, octets):
        try:
            for piece in (octets[i:i + 1] for i in range(len(octets))) if self.slow else (octets,):
                self.client.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass                        # it closed before it had read all; what it said is compared

    def silent(self, n):
        """Nothing more is said up to the end."""
        replies = self.client.rest()
        check(not replies and not self.client.buf, "line %d: a reply too many: %s" % (n, replies))

    def play(self):
        last = 0
        for kind, n, what in self.script.steps:
            last = n
            if kind == "send":
                check(not self.client.buf, "line %d: said before it was asked: %r" % (n, self.client.buf))
                self.send(what)
            elif kind == "expect":
                self.expect(n, what)
            elif kind == "pause":
                time.sleep(0.05)
            elif kind == "close":
                self.silent(n)
        try:
            self.client.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self.silent(last)
        self.client.close()
        self.bodies()

    def bodies(self):
        stored = {m.id: m for m in self.server.all_messages()}
        for (n, body), ident in zip(self.script.bodies, self.ids):
            check(ident in stored, "line %d: %s is not in the store" % (n, ident))
            check(stored[ident].content == as_stored(body), "line %d: %r is stored" % (n, stored[ident].content[:300]))
        check(len(self.ids) >= len(self.script.bodies), "%d messages of %d were accepted"
              % (len(self.ids), len(self.script.bodies)))


class DialogServer(Server):
    """A server with the settings that a dialogue asks for."""

    def __init__(self, config):
        with open(os.path.join(HERE, "mailboxes.list")) as f:
            mailboxes = f.read()
        super().__init__(mailboxes, start=False, workers=1, hostname="mx.example.org", postmaster="alice@example.org",
                         message_size_limit=config["size"] + "B",
                         recipient_limit=int(config["rcpt"]), limits='connections_per_ip = 0 error_pause = "0s" errors = ' + config["errors"])
        more = 'bare_newline_from = {"127.0.0.0/8"}' if config["bare-newline"] else ""
        more += ' xclient_from = {"127.0.0.0/8"}' if config["xclient"] else ""
        self.address = ("127.0.0.1", self.port)
        if config["lmtp"]:
            self.address = self.path("state", "lmtp")
            self.listener = 'listener "lmtp" { address = {"unix:%s"} protocol = "lmtp" %s }' % (self.address, more)
        else:
            self.listener = 'listener "mx" { address = {"127.0.0.1:%d"} %s }' % (self.port, more)
        self.write_config()
        self.start()
        c = self.client(self.address)
        lines = c.cmd("LHLO probe.example" if config["lmtp"] else "EHLO probe.example").lines
        c.quit()
        self.ext = {e for e, names in EXTENSIONS.items() if names[0] in lines}

    def all_messages(self):
        for folder, _, files in os.walk(self.store_path):
            if os.path.basename(folder) == "new":
                for f in files:
                    yield Stored(os.path.join(folder, f))


def play(server, script):
    try:
        Player(server, script, False).play()
        if script.octets() <= OCTETS_MAX:
            Player(server, script, True).play()
        print("ok live/%s" % script.name)
        return True
    except (AssertionError, OSError) as why:
        print("not ok live/%s: %s" % (script.name, " ".join(str(why).split())))
        server.count = False
        return False
    finally:
        sys.stdout.flush()


def main():
    names = sys.argv[1:] or sorted(glob.glob(os.path.join(HERE, "*.smtp")))
    scripts = [Script(n) for n in names]
    groups, good = {}, True
    for s in scripts:
        if not s.engine:
            groups.setdefault(tuple(sorted(s.config.items())), []).append(s)
    left = [s.name for s in scripts if s.engine]
    for config, group in groups.items():
        try:
            with DialogServer(dict(config)) as server:
                left += [s.name for s in group if s.ext - server.ext]
                good = all([play(server, s) for s in group if not s.ext - server.ext]) and good
        except Exception as why:
            good = False
            print("not ok live: server with %s: %s" % (dict(config), " ".join(str(why).split())))
            for f in harness.on_failure + harness.on_end:
                f()
    print("# %d dialogues, %d of them for the engine alone: %s" % (len(scripts), len(left), " ".join(left)))
    sys.exit(0 if good else 1)


main()
