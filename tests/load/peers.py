"""peers: the servers that a benchmark compares, each set up in a folder of its own.

Each has a name, a port, and pids(): its processes, for their processor time.  All
know the mailboxes u0 to u999@example.org and refuse others.  Peers are as their
packages set them up: what they promise when they say 250 is theirs.
"""
import grp
import os
import pwd
import shutil
import socket
import subprocess
import time

import server as lib

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


class Peer:
    durable, scale = False, 1       # SCALE: of how many messages one is sent, where a server is slow

    def __init__(self, root, port):
        self.root, self.port = os.path.join(root, self.name.replace(" ", "-")), port
        os.makedirs(self.root)
        os.chmod(self.root, 0o755)

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
    name = "null"

    def command(self):
        return [program("null"), "-p", str(self.port)]


class NullWriting(Peer):
    name = "null writing"

    def command(self):
        for d in "tmp", "new":
            os.makedirs(os.path.join(self.root, d))
        return [program("null"), "-p", str(self.port), "-d", self.root]


class NullSyncing(NullWriting):
    name, durable = "null syncing", True

    def command(self):
        return super().command() + ["-y"]


class Letterplate(Peer):
    name, durable = "Letterplate", True

    def start(self):
        self.s = lib.Server(mailboxes=None, start=False, count=False, limits="connections_per_ip = 0 errors = 0", delivered_to="yes",
                            store=self.root, listener='listener "mx" { address = {"127.0.0.1:%d"} }' % self.port, message_size_limit="50MiB")
        self.s.load("\n".join(USERS) + "\n")
        self.s.start(wait=False)
        self.first = greeting(self.port)

    def pids(self):
        return self.s.processes()

    def stop(self):
        self.s.term()
        shutil.rmtree(self.s.root, ignore_errors=True)


class Postfix(Peer):
    name, durable, scale = "Postfix", True, 8

    @staticmethod
    def missing():
        return None if os.geteuid() == 0 and os.path.exists("/usr/lib/postfix/sbin/smtpd") else "needs root and the package postfix"

    def start(self):
        etc, mail = os.path.join(self.root, "etc"), os.path.join(self.root, "mail")
        for d in etc, mail, self.root + "/spool", self.root + "/data":
            os.makedirs(d)
        user = pwd.getpwnam("nobody")
        os.chown(mail, user.pw_uid, user.pw_gid)
        os.chown(self.root + "/data", pwd.getpwnam("postfix").pw_uid, -1)
        with open(etc + "/main.cf", "w") as f:
            f.write("compatibility_level = 3.6\nqueue_directory = %s/spool\ndata_directory = %s/data\nmyhostname = mx.test.example\n"
                    "mydestination =\nalias_maps =\nalias_database =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n"
                    "smtpd_relay_restrictions = reject_unauth_destination\nvirtual_mailbox_domains = example.org\n"
                    "virtual_mailbox_base = %s\nvirtual_mailbox_maps = hash:%s/boxes\nvirtual_uid_maps = static:%d\n"
                    "virtual_gid_maps = static:%d\nvirtual_minimum_uid = 100\nmaillog_file = %s/log\nmaillog_file_prefixes = %s\n"
                    % (self.root, self.root, mail, etc, user.pw_uid, grp.getgrnam("nogroup").gr_gid, self.root, self.root))
        with open("/usr/share/postfix/master.cf.dist") as f, open(etc + "/master.cf", "w") as out:
            for line in f:
                w = line.split()
                if len(w) > 7 and w[0] == "smtp" and w[1] == "inet":
                    w[0] = "127.0.0.1:%d" % self.port
                if len(w) > 7 and not line.startswith(("#", " ")):
                    w[4] = "n"
                    line = " ".join(w) + "\n"
                out.write(line)
            out.write("postlog unix-dgram n - n - 1 postlogd\n")
        with open(etc + "/boxes", "w") as f:
            f.writelines("%s %s/\n" % (u, u.partition("@")[0]) for u in USERS)
        subprocess.run(["postmap", "-c", etc, "hash:%s/boxes" % etc], check=True)
        subprocess.run(["postfix", "-c", etc, "start"], check=True, capture_output=True)
        self.first = greeting(self.port)

    def pids(self):
        with open(self.root + "/spool/pid/master.pid") as f:
            return descendants(int(f.read()))

    def settle(self):
        queues = [os.path.join(self.root, "spool", q) for q in ("incoming", "active")]
        lib.wait_for(lambda: not any(files for q in queues for _, _, files in os.walk(q)), 120, "Postfix still delivers")

    def stop(self):
        subprocess.run(["postfix", "-c", self.root + "/etc", "stop"], capture_output=True)


class SmtpServer(Peer):
    name = "smtp-server"
    scale = 2
    mode = ()

    @staticmethod
    def missing():
        there = shutil.which("node") and os.path.exists(os.path.join(TOP, "build/peers/node_modules/smtp-server"))
        return None if there else "needs node, and make bench-peers"

    def command(self):
        return ["node", "tests/load/node.js", str(self.port), self.root, *self.mode]


class SmtpServerSyncing(SmtpServer):
    name, durable, mode = "smtp-server fsync", True, ("fsync",)


OURS = [Null, NullWriting, NullSyncing, Letterplate]
PEERS = [Postfix, SmtpServer, SmtpServerSyncing]
