"""stubmaster: a master with a stub for its workers, in a folder of its own; the stub's
words stand in tests/master/stubworker.c.  Whatever happens, nothing of it stays."""
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import harness
from harness import BIN, TOP, check, equal
from server import free_port

masters = []
PORTS = iter(free_port, None)


def variant():
    with open(os.path.join(TOP, "build/variant")) as f:
        return f.read().strip()


# How long something may take that is only to happen at all; a machine may be busy with other things.
PATIENCE = 60.0


def wait_for(what, timeout=PATIENCE, why="not in time"):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError(why() if callable(why) else why)


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Master:
    """A master with a stub, in a folder of its own."""

    def __init__(self, stub="", workers=2, abstract=False, extra="", start=True, env=None):
        self.root = harness.scratch("master.")
        for d in ("bin", "state", "directory", "mail"):
            os.mkdir(self.path(d), 0o755)
        shutil.copy(os.path.join(BIN, "letterplate"), self.path("bin/letterplate"))
        shutil.copy(os.path.join(TOP, "build/obj", variant(), "tests/master/stubworker"),
                    self.path("bin/letterplate-worker"))
        # A list of nobody.
        subprocess.run([os.path.join(BIN, "letterplate-mailboxes"), "-d", self.path("directory"), "load", "-"], input=b"",
                       stdout=subprocess.DEVNULL, check=True)
        self.port, self.port2 = next(PORTS), next(PORTS)
        self.workers_wanted, self.extra = workers, extra
        self.child, self.notes = None, []
        self.note_name = "@lp-test-%d-%d" % (os.getpid(), self.port) if abstract else self.path("notify")
        self.env, self.conf_name = env or {}, "c.conf"
        self.stub(stub)
        self.write()
        masters.append(self)
        if start:
            self.start()

    def path(self, name):
        return os.path.join(self.root, name)

    def stub(self, words):
        with open(self.path("stub"), "w") as f:
            f.write(words)

    def config(self, addresses=None, **more):
        addresses = addresses or ["127.0.0.1:%d" % self.port]
        # The stub stays who it was started as; what the config names belongs to all.
        user = more.get("user", "nobody")
        return ('hostname = "mx.example.org"\nuser = "%s"\nworkers = %d\nstate_dir = "%s"\ndirectory = "%s"\n'
                'listener "mx" {\n\taddress = {%s}\n}\nstore "maildir" { path = "%s" }\n'
                'timeouts { drain = "%s" }\n%s\n'
                % (user, more.get("workers", self.workers_wanted), more.get("state", self.path("state")),
                   more.get("directory", self.path("directory")),
                   ", ".join('"%s"' % a for a in addresses), more.get("mail", self.path("mail")),
                   more.get("drain", "1s"), more.get("extra", self.extra)))

    def write(self, text=None, **more):
        if os.geteuid() == 0:
            shutil.chown(self.path("mail"), "nobody")
        with open(self.path("c.conf"), "w") as f:
            f.write(self.config(**more) if text is None else text)

    def run(self, *args):
        """Run it to its end; its CompletedProcess."""
        return subprocess.run([self.path("bin/letterplate"), *args], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=30, cwd=self.root)

    def start(self, wait=True, pass_fds=(), prefix=()):
        """PREFIX: a command that executes what follows it."""
        if os.path.exists(self.path("notify")):
            os.unlink(self.path("notify"))
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind("\0" + self.note_name[1:] if self.note_name[0] == "@" else self.note_name)
        self.notify.setblocking(False)
        self.notes.clear()
        self.log = open(self.path("log"), "ab")
        self.child = subprocess.Popen([*prefix, self.path("bin/letterplate"), "-c", self.path(self.conf_name)],
                                      env=dict(os.environ, NOTIFY_SOCKET=self.note_name, **self.env),
                                      stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, pass_fds=pass_fds)
        if wait:
            self.wait_note("READY=1")

    def hear(self):
        while True:
            try:
                self.notes.append(self.notify.recv(4096).decode())
            except OSError:
                return self.notes

    def said(self, word):
        return sum(word in n.split("\n") for n in self.hear())

    def wait_note(self, word, n=1, timeout=PATIENCE):
        wait_for(lambda: self.said(word) >= n or self.child.poll() is not None, timeout,
                 lambda: "no %s: %s: %s" % (word, self.notes, self.text()))
        check(self.said(word) >= n, "ended with %s: %s" % (self.child.poll(), self.text()))

    def text(self):
        with open(self.path("log"), errors="replace") as f:
            return f.read()

    def wait_log(self, pattern, n=1, timeout=PATIENCE):
        return wait_for(lambda: (lambda f: f if len(f) >= n else None)(re.findall(pattern, self.text())), timeout,
                        lambda: "no %s in: %s" % (pattern, self.text()))

    def given(self, slot, generation):
        """What that stub wrote down: a dict of lists."""
        out = {}
        with open(self.path("stub.%d.%d" % (slot, generation))) as f:
            for line in f:
                k, _, v = line.rstrip("\n").partition("=")
                out.setdefault(k, []).append(v)
        return out

    def pids(self):
        # Not by ps: a walk through /proc may leave a process out when others end meanwhile.
        with open("/proc/%d/task/%d/children" % (self.child.pid, self.child.pid)) as f:
            return sorted(p for p in map(int, f.read().split()) if alive(p))

    def a_worker(self):
        return wait_for(self.pids)[0]

    def greeting(self, port=None):
        with socket.create_connection(("127.0.0.1", port or self.port), 30) as c:
            return c.recv(100).decode()

    def served_by(self, generation):
        """Wait until that generation answers: an old one accepts until it has heard that it is retired."""
        wait_for(lambda: self.greeting().endswith(" %d\r\n" % generation),
                 why=lambda: "generation %d does not serve: %s" % (generation, self.text()))

    def signal(self, sig):
        os.kill(self.child.pid, sig)

    def stats(self):
        r = subprocess.run([os.path.join(BIN, "letterplate-stats"), "--prometheus", "-s", self.path("state/stats")],
                           capture_output=True, text=True)
        equal(r.returncode, 0, "letterplate-stats: " + r.stderr)
        return dict(re.findall(r"^letterplate_([a-z_]+?)(?:_total)? ([0-9]+)$", r.stdout, re.M))

    def replace(self, name, source):
        """Put another program in the place of bin/NAME, as a package does: a new file, renamed."""
        shutil.copy(source, self.path("bin/fresh"))
        os.rename(self.path("bin/fresh"), self.path("bin/" + name))

    def ctl(self, *args, timeout=60):
        """letterplate ctl; its CompletedProcess."""
        return subprocess.run([os.path.join(BIN, "letterplate"), "ctl", "-d", self.path("state"), *args],
                              capture_output=True, text=True, timeout=timeout)

    def term(self, timeout=PATIENCE):
        self.signal(signal.SIGTERM)
        return self.child.wait(timeout)

    def end(self):
        """Whatever happened: nothing of it stays."""
        if self.child is not None:
            left = self.pids() if self.child.poll() is None else []
            for pid in [self.child.pid] * (self.child.poll() is None) + left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.child.wait()
            self.notify.close()
            self.log.close()
        shutil.rmtree(self.root, ignore_errors=True)


def end_all():
    while masters:
        masters.pop().end()


def show():
    for m in masters:
        if os.path.exists(m.path("log")):
            print("# " + m.text().replace("\n", "\n# "))


harness.on_end.append(end_all)
harness.on_failure.append(show)
