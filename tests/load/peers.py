"""peers: the servers that a benchmark compares, each set up in a folder of its own.

Each has a name, a port, and pids(): its processes, for their processor time.  All
know the mailboxes u0 to u999@example.org and refuse others.  Peers are as their
packages set them up: what they promise when they say 250 is theirs.  mtas.py has
those that are mail transfer agents.
"""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

import server as lib
import tls

TOP = lib.harness.TOP
USERS = ["u%d@example.org" % i for i in range(1000)]


def program(name):
    with open(os.path.join(TOP, "build/variant")) as f:
        return os.path.join(TOP, "build/obj", f.read().strip(), "tests/load", name)


def descendants(pid):
    """PID and all below it."""
    parents = {}
    for p in lib.pids_where(lambda f: parents.setdefault(f[1], []) is not None):
        f = lib.stat_fields(p)
        if f:
            parents.setdefault(f[1], []).append(p)
    found, todo = [], [pid]
    while todo:
        p = todo.pop()
        found.append(p)
        todo += parents.get(p, [])
    return found


def greeting(port, timeout=30):
    """Wait for a 220; the time in seconds."""
    began = time.monotonic()
    while time.monotonic() - began < timeout:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                if s.recv(4) == b"220 ":
                    return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.005)
    raise AssertionError("no greeting on port %d" % port)


class Cpu:
    """Processor time of a server's processes, those that have ended too: of a control group where one can be made, else of /proc."""

    def __init__(self, pids):
        self.pids, self.group = pids, None
        for base in "/sys/fs/cgroup", "/sys/fs/cgroup/unified":
            if os.geteuid() == 0 and os.path.exists(base + "/cgroup.controllers"):
                self.group = tempfile.mkdtemp(prefix="letterplate-bench.", dir=base)
                self.join()
                break

    def join(self):
        """Their children follow; what was started meanwhile is found the second time."""
        for pid in self.pids() + self.pids():
            with contextlib.suppress(OSError), open(self.group + "/cgroup.procs", "w") as f:
                f.write(str(pid))

    def seconds(self):
        if self.group:
            with open(self.group + "/cpu.stat") as f:
                return int(f.readline().split()[1]) / 1e6
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(OSError), open("/proc/%d/stat" % pid) as f:
                ticks += sum(int(x) for x in f.read().rpartition(")")[2].split()[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def close(self):
        if self.group:
            with contextlib.suppress(OSError):
                os.rmdir(self.group)


def switches(pids):
    """Context switches of each."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            found[pid] = 0
            for t in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/status" % (pid, t)) as f:
                    found[pid] += sum(int(x) for x in re.findall(r"ctxt_switches:\s+(\d+)", f.read()))
    return found


class Peer:
    tls = False             # whether it can offer STARTTLS here
    slow = False            # measured once where no aim is concerned
    idle_most = 0           # idle sessions that it is asked to hold
    mail = "."              # where its messages end up, below its root

    def __init__(self, root, port, pair=None):
        """PAIR: certificate and key; then it offers STARTTLS."""
        self.root, self.port, self.pair = os.path.join(root, self.name.replace(" ", "-")), port, pair
        os.makedirs(self.root)
        os.chmod(self.root, 0o755)

    @staticmethod
    def missing():
        """Why it cannot be started; None."""

    def start(self):
        self.child = subprocess.Popen(self.command(), cwd=TOP, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.first = greeting(self.port)

    def pids(self):
        return descendants(self.child.pid)

    def settle(self):
        """Wait until nothing is left to do for what was acknowledged: it would slow the next one down."""

    def stop(self):
        self.child.terminate()
        self.child.wait()


class Null(Peer):
    name, tls, idle_most = "null", True, 10000
    tickets = False

    def command(self):
        return [program("null"), "-p", str(self.port)] + (["-k", ",".join(self.pair)] if self.pair else []) + ["-t"] * self.tickets


class NullTickets(Null):
    """Sessions are resumed: what it is compared with issues tickets too."""
    tickets = True


class NullWriting(Peer):
    name = "null writing"

    def command(self):
        for d in "tmp", "new":
            os.makedirs(os.path.join(self.root, d))
        return [program("null"), "-p", str(self.port), "-d", self.root]


class NullSyncing(NullWriting):
    name = "null syncing"

    def command(self):
        return super().command() + ["-y"]


class Letterplate(Peer):
    name, tls, idle_most = "Letterplate", True, 10000
    limits, timeouts, more = "connections_per_ip = 0 errors = 0", 'command = "10m" drain = "10s"', {}
    store = ""              # more of its section

    def start(self):
        offer = ' tls = "starttls"' if self.pair else ""
        self.s = lib.Server(mailboxes=None, start=False, count=False, limits=self.limits, timeouts=self.timeouts, delivered_to="yes " + self.store,
                            store=self.root, message_size_limit="50MiB", extra=tls.section(self.pair) if self.pair else "",
                            listener='listener "mx" { address = {"127.0.0.1:%d"}%s }' % (self.port, offer), **self.more)
        self.prepare()
        self.s.start(wait=False)
        self.first = greeting(self.port)

    def prepare(self):
        self.s.load("\n".join(USERS) + "\n")

    def pids(self):
        return self.s.processes()

    def stop(self):
        self.s.term()
        shutil.rmtree(self.s.root, ignore_errors=True)


class SmtpServer(Peer):
    name, tls, idle_most = "smtp-server", True, 10000
    mode = "plain"

    @staticmethod
    def missing():
        there = shutil.which("node") and os.path.exists(os.path.join(TOP, "build/peers/node_modules/smtp-server"))
        return None if there else "needs node, and make bench-peers"

    def command(self):
        return ["node", "tests/load/node.js", str(self.port), self.root, self.mode, *(self.pair or ())]


class SmtpServerSyncing(SmtpServer):
    name, tls, idle_most, mode = "smtp-server fsync", False, 0, "fsync"


OURS = [Null, NullWriting, NullSyncing, Letterplate]
