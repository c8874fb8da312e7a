"""server: a Letterplate of one's own in a scratch folder, and what it must be
true of it when it ends.

    with Server(MAILBOXES) as s:
        c = s.client()
        ...
        s.messages("alice@example.org")

Leaving the block stops the server and asserts: status 0, no process left, empty
tmp/ folders, no sanitizer report, no worker that died unasked, and that its
counters are those that the clients saw.
"""
import collections
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import harness
from client import Client
from harness import BIN, check, equal
from maildir import Maildir

MAILBOXES = """\
alice@example.org
bob@example.org       quota=2GiB
carol@example.org
sales@example.org     alias=alice@example.org,bob@example.org
old@example.org       reject="550 5.1.6 moved to new@example.org"
moving@example.org    defer="450 4.2.1 mailbox is being moved"
spamtrap@example.com  reject="550 5.1.1 no such mailbox"
@example.com          alias=carol@example.org
@example.net          domain-alias=example.org
"""
REPORT = re.compile(r"(ERROR|WARNING): \w*Sanitizer|: runtime error: |SUMMARY: \w*Sanitizer")
_alive = []


def free_port():
    """A port below the range that outgoing connections use, so that no client takes it."""
    while True:
        port = random.randint(21000, 31999)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def stat_fields(pid):
    """State, ppid, pgrp and session of a process; None when it is gone."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            w = f.read().rpartition(")")[2].split()
    except OSError:
        return None
    return w[0], int(w[1]), int(w[2]), int(w[3])


def pids_where(test):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            f = stat_fields(int(entry))
            if f and f[0] not in "ZX" and test(f):
                found.append(int(entry))
    return sorted(found)


def is_a(name, pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return b"letterplate-" + name in f.read()
    except OSError:
        return False


def is_keys(pid):
    return is_a(b"keys", pid)


class Server:
    def __init__(self, mailboxes=MAILBOXES, start=True, count=True, listener=None, store=None, own_bin=False, **settings):
        """SETTINGS override or add top-level lines of the config; `limits`, `timeouts`,
        `log` and `extra` are texts.  COUNT: compare the counters at the end.  OWN_BIN: copies of
        the programs, that the test may replace."""
        self.root = harness.scratch("server.")
        self.bin = BIN
        if own_bin:
            self.bin = os.path.join(self.root, "bin")
            os.mkdir(self.bin)
            for p in os.listdir(BIN):
                shutil.copy(os.path.join(BIN, p), self.bin)
        self.port = free_port()
        self.count, self.seen = count, collections.Counter()
        self.told_to_stop = False
        self.may_die = False            # workers are killed by the test
        self.may_leave_tmp = False      # tmp/ may hold files of the killed
        self.clients, self.child, self.notes, self.status = [], None, [], None
        self.log_path = self.path("log")
        self.store_path = store or self.path("mail")
        self.settings = settings
        self.listener = listener or 'listener "mx" { address = {"127.0.0.1:%d"} }' % self.port
        for d in ("state", "directory", "mail"):
            os.makedirs(self.path(d), exist_ok=True)
        if os.geteuid() == 0:
            for d in (self.path("state"), self.store_path):
                shutil.chown(d, "nobody", "nogroup")
        os.chmod(self.path("directory"), 0o755)
        if mailboxes is not None:
            self.load(mailboxes)
        self.write_config()
        if start:
            self.start()

    def path(self, *names):
        return os.path.join(self.root, *names)

    # -- config and directory

    def config(self):
        s = self.settings
        top = {"hostname": "mx.test.example", "user": "nobody", "workers": 2,
               "state_dir": self.path("state"), "directory": self.path("directory"),
               "message_size_limit": "1MiB"}
        top.update((k, v) for k, v in s.items() if k not in ("limits", "timeouts", "log", "extra", "delivered_to", "tls"))
        lines = ["%s = %s" % (k, v if isinstance(v, int) else '"%s"' % v) for k, v in top.items()]
        lines.append(self.listener)
        lines.append("timeouts { %s }" % s.get("timeouts", 'drain = "10s"'))
        lines.append("limits { %s }" % s.get("limits", "connections_per_ip = 0"))
        lines.append('store "maildir" { path = "%s" delivered_to = %s }'
                     % (self.store_path, s.get("delivered_to", "yes")))
        lines.append("log { %s }" % s.get("log", 'format = "logfmt" level = "info"'))
        lines.append(s.get("extra", ""))
        return "\n".join(lines) + "\n"

    def write_config(self, text=None):
        with open(self.path("letterplate.conf"), "w") as f:
            f.write(self.config() if text is None else text)

    def mailboxes(self, *args, text=None, ok=True):
        """Run letterplate-mailboxes on our directory; its CompletedProcess."""
        r = subprocess.run([os.path.join(BIN, "letterplate-mailboxes"), "-d", self.path("directory"), *args],
                           input=text, capture_output=True, text=True, timeout=120)
        if ok and r.returncode != 0:
            raise AssertionError("letterplate-mailboxes %s: %d: %s" % (args, r.returncode, r.stderr))
        return r

    def load(self, text):
        self.mailboxes("load", "-", text=text)

    # -- life

    def start(self, wait=True, nofile=None, through=()):
        """Start it; NOFILE is how many descriptors it may have; THROUGH a command that becomes it."""
        note = self.path("notify")
        if os.path.exists(note):
            os.unlink(note)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(note)
        os.chmod(note, 0o777)
        self.notes, self.status, self.told_to_stop = [], None, False
        self.hearer = threading.Thread(target=self._hear, args=(self.notify,), daemon=True)
        self.hearer.start()
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(
                (["prlimit", "--nofile=%d:%d" % (nofile, nofile)] if nofile else []) + list(through) +
                [os.path.join(self.bin, "letterplate"), "-c", self.path("letterplate.conf")],
                env=dict(os.environ, NOTIFY_SOCKET=note), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, process_group=0)
        _alive.append(self)
        if wait:
            self.wait_note("READY=1")

    def _hear(self, s):
        while note := s.recv(4096):
            self.notes.append(note.decode())

    def deafen(self):
        """The thread ends before its socket is closed: it would go on with the number, which is soon another server's."""
        if self.notify.fileno() != -1:
            self.notify.shutdown(socket.SHUT_RDWR)
            self.hearer.join()
            self.notify.close()

    def wait_note(self, word, timeout=30.0, n=1):
        """Wait until WORD was said N times."""
        def said():
            if self.child.poll() is not None:
                raise AssertionError("letterplate ended with %d: %s" % (self.child.returncode, self.log()[-2000:]))
            return sum(x.split("\n").count(word) for x in list(self.notes)) >= n
        wait_for(said, timeout, lambda: "no %s from letterplate, but %s: %s" % (word, self.notes[-5:], self.log()[-2000:]))

    @property
    def pid(self):
        return self.child.pid

    def workers(self):
        return [p for p in pids_where(lambda f: f[1] == self.pid) if not is_keys(p) and not is_a(b"reports", p) and not is_a(b"auth", p)]

    def key_processes(self):
        return [p for p in pids_where(lambda f: f[1] == self.pid) if is_keys(p)]

    def reports_processes(self):
        return [p for p in pids_where(lambda f: f[1] == self.pid) if is_a(b"reports", p)]

    def processes(self):
        """All processes that this master started, and itself."""
        return pids_where(lambda f: f[2] == self.pid)

    def signal(self, sig):
        self.told_to_stop |= sig in (signal.SIGTERM, signal.SIGINT)
        os.kill(self.pid, sig)

    def reload(self):
        n = sum(x.split("\n").count("READY=1") for x in list(self.notes))
        self.signal(signal.SIGHUP)
        self.wait_note("READY=1", n=n + 1)

    def replace(self, name, source):
        """Put another program in the place of bin/NAME, as a package does: a new file, renamed (OWN_BIN)."""
        shutil.copy(source, os.path.join(self.bin, "fresh"))
        os.rename(os.path.join(self.bin, "fresh"), os.path.join(self.bin, name))

    def ctl(self, *args, timeout=120):
        """letterplate ctl; its CompletedProcess."""
        return subprocess.run([os.path.join(BIN, "letterplate"), "ctl", "-d", self.path("state"), *args],
                              capture_output=True, text=True, timeout=timeout)

    def term(self, timeout=30.0):
        """TERM, if it was not told yet (a second one means "at once"); read what open clients are
        still told; return the status."""
        if self.child.poll() is None and not self.told_to_stop:
            self.signal(signal.SIGTERM)
        for c in self.clients:
            if not c.at_end:
                c.sock.settimeout(timeout)
                c.rest()
                c.close()
        try:
            self.status = self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError("letterplate still runs %d s after TERM" % timeout)
        self.deafen()
        return self.status

    def stop(self):
        """TERM, then all that must be true at the end."""
        equal(self.term(), 0, "exit status after TERM")
        wait_for(lambda: not self.processes(), 2.0, lambda: "processes left: %s" % self.processes())
        self.check_log()
        if not self.may_leave_tmp:
            equal(self.maildirs_tmp(), [], "files in tmp/ folders")
        if self.count:
            self.check_replies()

    def kill(self):
        """End all of it at once, whatever its state."""
        if self.child:
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.child.wait()
            self.deafen()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None and self.child and self.status is None:
            self.stop()
        if kind is None:
            _alive[:] = [s for s in _alive if s is not self]
            self.kill()
            shutil.rmtree(self.root, ignore_errors=True)
        return False

    # -- looking at it

    def log(self):
        try:
            with open(self.log_path, errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def says(self, text, n=1):
        """Wait until TEXT stands in the log N times or more: a line may come a moment after the reply that it tells of."""
        wait_for(lambda: self.log().count(text) >= n, why=lambda: "%r is not in the log %d times: %s" % (text, n, self.log()[-2000:]))

    def lines(self, event, n=1):
        """The log's lines of an event, as dicts, once there are N."""
        def found():
            return re.findall(r"^.* event=%s .*$" % event, self.log(), re.M)
        wait_for(lambda: len(found()) >= n, why=lambda: "%d of %d %s lines: %s" % (len(found()), n, event, self.log()[-2000:]))
        return [dict(re.findall(r'(\w+)=("(?:\\.|[^"\\])*"|\S+)', x)) for x in found()]

    def line(self, event, n=1):
        """The N-th of them."""
        return self.lines(event, n)[n - 1]

    def handlers_failed(self):
        """How often each handler failed, of those that did."""
        return {k: v["failed"] for k, v in self.stats()["handlers"].items() if v["failed"]}

    def check_log(self):
        text = self.log()
        m = REPORT.search(text)
        check(not m, "a sanitizer's report: %s" % text[m.start():m.start() + 1500] if m else "")
        if not self.may_die:
            equal(self.counter("workers_died"), 0, "workers that died unasked")

    def stats(self):
        r = subprocess.run([os.path.join(BIN, "letterplate-stats"), "-s", self.path("state/stats"), "--json"],
                           capture_output=True, text=True, timeout=60)
        check(r.returncode == 0, "letterplate-stats: %d: %s" % (r.returncode, r.stderr))
        return json.loads(r.stdout)

    def counter(self, name):
        return self.stats()["counters"][name]

    def sessions_open(self):
        return self.stats()["sessions"]["open"]

    def replies(self):
        return collections.Counter({int(k): v for k, v in self.stats()["replies"].items() if v})

    def check_replies(self):
        """The server counted what the clients saw, by code; and its reasons add up to the same."""
        seen = collections.Counter({k: v for k, v in self.seen.items() if v})
        equal(dict(sorted(self.replies().items())), dict(sorted(seen.items())), "replies counted and seen")
        by_reason = collections.Counter()
        for r in self.stats()["reasons"]:
            by_reason[r["code"]] += r["count"]
        for code, n in by_reason.items():
            check(n <= seen[code], "reasons of %d add up to %d, replies to %d" % (code, n, seen[code]))

    def client(self, address=None, **more):
        c = Client(address or ("127.0.0.1", self.port), self.seen, **more)
        self.clients.append(c)
        return c

    def maildir(self, address):
        return Maildir(self.store_path, address)

    def messages(self, address):
        return self.maildir(address).messages()

    def maildirs_tmp(self):
        left = []
        for folder, _, files in os.walk(self.store_path):
            if os.path.basename(folder) == "tmp":
                left += [os.path.join(folder, f) for f in files]
        return left


def wait_for(true, timeout=30.0, why="waited in vain", step=0.02):
    end = time.monotonic() + timeout * (3 if harness.sanitized() else 1)
    while not true():
        if time.monotonic() > end:
            raise AssertionError(why() if callable(why) else why)
        time.sleep(step)


@harness.on_failure.append
def _show_logs():
    time.sleep(0.2)         # what led to a failure may still be on its way there
    for s in _alive:
        for line in s.log().splitlines()[-12:]:
            print("# log: " + line[:400])
    sys.stdout.flush()


@harness.on_end.append
def _end_all():
    for s in _alive:
        s.kill()
    _alive.clear()
