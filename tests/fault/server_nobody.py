#!/usr/bin/env -S python3 -B
# check: timeout=240
"""server_nobody: while no worker becomes ready, senders are told 421, by every listener and whatever they send; nobody is
told so in the gaps of a reload, an upgrade, or while killed workers come back.  TRUST S5."""
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from client import Client, Closed
from harness import BIN, TOP, check, equal, main, scratch, test
from server import Server, free_port, wait_for
import tls

ALICE = "alice@example.org"
TEXT = b"Subject: x\r\n\r\nbody\r\n"
FOLDER = scratch("nobody.")
os.chmod(FOLDER, 0o755)
MODULE = os.path.join(FOLDER, "newborn.so")
shutil.copy(os.path.join(TOP, "build/modules/newborn.so"), MODULE)
os.chmod(MODULE, 0o755)


class Fragile(Server):
    """Its workers crash at their start, or take their time, when they are told to."""

    def __init__(self, extra="", nofile=None, **more):
        super().__init__(start=False, **more)
        self.word = self.path("word")
        self.without = extra
        self.settings["extra"] = extra + 'handler "newborn" { module = "%s" argument = "%s" }\n' % (MODULE, self.word)
        os.chmod(self.root, 0o755)
        self.may_die = self.may_leave_tmp = True
        self.write_config()
        self.start(nofile=nofile)

    def tell(self, word):
        with open(self.word, "w") as f:
            f.write(word)

    def kill_workers(self):
        for pid in self.workers():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass                        # one that retired

    def crash(self):
        self.tell("crash")
        self.kill_workers()
        self.says("event=no-worker ")

    def recover(self):
        os.unlink(self.word)
        return self.line("worker-back")


def everything_on(s, port, unix):
    s.listener = ('listener "mx" { address = {"127.0.0.1:%d"} tls = "starttls" }\n'
                  'listener "lmtp" { address = {"unix:%s"} protocol = "lmtp" }\n'
                  'listener "behind" { address = {"127.0.0.1:%d"} proxy_from = {"127.0.0.1/32"} }\n'
                  'listener "smtps" { address = {"127.0.0.1:%d"} tls = "implicit" }\n' % (s.port, unix, port[0], port[1]))


def to_the_end(sock):
    """What comes until an orderly end; a reset, which on some systems discards what has not been read, is an error."""
    got = b""
    while more := sock.recv(65536):
        got += more
    return got


@test
def each_listener_says_so():
    port = [free_port(), free_port()]

    class All(Fragile):
        def write_config(self, text=None):
            everything_on(self, port, self.path("state", "lmtp"))
            super().write_config(text)
    with All(extra=tls.section(tls.certificate("mx.test.example")) + "\n") as s:
        s.crash()
        told = [s.client(), s.client(s.path("state", "lmtp")), s.client(("127.0.0.1", port[0]))]
        for c in told:
            c.greeting.is_(421, "4.3.2")
            check(c.greeting.text.startswith("4.3.2 mx.test.example "), c.greeting)
            equal(c.rest(), [], "what follows")
        c = s.client(("127.0.0.1", port[0]), greet=False)
        c.send(b"PROXY TCP4 192.0.2.7 198.51.100.2 4711 25\r\n")
        c.reply().is_(421, "4.3.2")
        c = s.client(("127.0.0.1", port[1]), greet=False)           # plain words are noise there
        equal(c.rest(), [], "said where TLS comes first")
        # Of each id there is a line, and it is explained.
        wait_for(lambda: told[0].greeting.session in s.log())
        r = subprocess.run([os.path.join(BIN, "letterplate-log"), "explain", told[0].greeting.session, s.log_path],
                           capture_output=True, text=True, timeout=30)
        check("while no worker served" in r.stdout and "421 4.3.2" in r.stdout and "How it ended" not in r.stdout, r.stdout + r.stderr)
        equal(s.counter("sessions_refused"), 5, "sessions_refused")
        equal([(x["code"], x["enhanced"], x["count"]) for x in s.stats()["reasons"] if x["reason"] == "no-worker"],
              [(421, "4.3.2", 4)], "counted by reason")
        check(any("STATUS=no worker serves" in x for x in s.notes), s.notes)
        r = s.ctl("status")
        check(r.returncode == 75 and "failing" in r.stdout, r.stdout)
        equal(s.recover()["n"], "5", "told so in all")
        c = s.client()
        c.greeting.is_(220)
        c.hello()
        c.quit()
        wait_for(lambda: "STATUS=serving with 2 workers" in s.notes[-1], why=lambda: s.notes[-1])
        equal(len(s.lines("no-worker")), 1, "times that it began")


@test
def whatever_the_sender_has_said_by_then():
    """Unread input resets a connection that is closed: the reply must be there all the same."""
    with Fragile(workers=1) as s:
        s.crash()
        for n in 1, 4096, 60000:
            for _ in range(5):
                c = s.client(greet=False)
                c.send(b"EHLO early.example\r\n" * (n // 20 + 1))
                time.sleep(0.05)
                c.send(b"MAIL FROM:<a@client.example>\r\n")
                c.buf = to_the_end(c.sock)
                c.reply().is_(421, "4.3.2")
                equal(c.buf, b"", "what follows")
        s.recover()


@test
def a_crowd_does_not_keep_the_master_from_its_work():
    """Nor from its descriptors: it has few here, and starts a worker all the same."""
    with Fragile(workers=1, count=False, nofile=96) as s:
        s.crash()
        over, codes, errors = threading.Event(), [], []

        def crowd():
            while not over.is_set():
                try:
                    codes.append(Client(("127.0.0.1", s.port), {421: 0, 220: 0}, timeout=60).greeting.code)
                except (Closed, OSError) as e:
                    errors.append(e)
        threads = [threading.Thread(target=crowd, daemon=True) for _ in range(8)]
        for t in threads:
            t.start()
        wait_for(lambda: len(codes) > 400, why=lambda: "%d told, %s" % (len(codes), errors[:3]))
        equal(s.ctl("status").returncode, 75, "status meanwhile")
        s.recover()
        wait_for(lambda: 220 in codes, why="nobody is greeted")
        over.set()
        for t in threads:
            t.join()
        equal(set(codes) - {421, 220}, set(), "replies")
        equal(errors, [], "connections without a reply")
        seconds = float(s.line("worker-back")["ms"]) / 1000
        check(s.log().count("reason=no-worker") <= seconds + 2, "a line for each: %d in %.1f s" % (s.log().count("reason=no-worker"), seconds))


@test
def a_reload_ends_it():
    with Fragile() as s:
        s.crash()
        s.client().greeting.is_(421)
        s.settings["extra"] = s.without
        s.write_config()
        s.reload()
        s.line("worker-back")
        c = s.client()
        c.greeting.is_(220)
        c.hello()
        c.quit()


@test
def a_stop_ends_it():
    with Fragile() as s:
        s.crash()
        s.client().greeting.is_(421)
        equal(s.term(), 0, "status")


@test
def whoever_waits_for_a_slow_start_is_greeted():
    """Somebody killed them: their successors are to blame for nothing yet."""
    with Fragile(workers=1) as s:
        s.tell("slow")
        s.kill_workers()
        s.line("worker-died")
        c = s.client(timeout=60)
        c.greeting.is_(220)
        c.hello()
        c.message([ALICE], TEXT).is_(250)
        c.quit()
        check("event=no-worker" not in s.log(), "told too early")


@test
def nobody_is_told_without_need():
    """Reloads, upgrades, and all workers killed at once, under load."""
    with Fragile(workers=2, count=False) as s:
        over, codes, threads = threading.Event(), [], []

        def sender():
            while not over.is_set():
                try:
                    c = Client(("127.0.0.1", s.port), {k: 0 for k in range(200, 600)}, timeout=60)
                    codes.append(c.greeting.code)
                    c.hello()
                    codes.append(c.message([ALICE], TEXT).code)
                    c.quit()
                except (Closed, OSError):
                    pass                    # its worker was killed
        threads = [threading.Thread(target=sender, daemon=True) for _ in range(6)]
        for t in threads:
            t.start()
        for n in range(1, 4):
            s.kill_workers()
            wait_for(lambda: len(s.workers()) == 2 and s.log().count("event=worker-ready") >= 2 * n + 2, 60)
            s.reload()
            equal(s.ctl("upgrade").returncode, 0, "upgrade")
        over.set()
        for t in threads:
            t.join()
        check(len(codes) > 20, "hardly anybody came")
        equal(set(codes), {220, 250}, "replies")
        check("event=no-worker" not in s.log(), "somebody was told")


main()
