#!/usr/bin/env -S python3 -B
"""try_it: what `make run` does once all is built: tools/run, from the first line to ^C."""
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import BIN, TOP, check, equal, main, test
from server import free_port, pids_where, wait_for


def run(folder, port):
    # A shell cannot trap what was ignored when it began, as HUP is below nohup(1).
    return subprocess.Popen([os.path.join(TOP, "tools/run"), folder, str(port)], stdout=open(folder + ".out", "wb"),
                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))


def end(p, folder):
    """Whatever happened: the script goes, and its server, which has a session of its own."""
    p.kill()
    p.wait()
    for pid in pids_where(lambda f: True):
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                if (folder + "/letterplate.conf").encode() in f.read().split(b"\0"):
                    os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def text(folder):
    with open(folder + ".out", errors="replace") as f:
        return f.read()


@test
def from_the_first_line_to_the_last():
    folder, port = os.path.join(harness.scratch(), "run"), free_port()
    p = run(folder, port)
    try:
        wait_for(lambda: "It stays up until ^C" in text(folder) or p.poll() is not None, 20, lambda: text(folder))
        check(p.poll() is None, "it ended: " + text(folder))
        out = text(folder)
        for want in ("mailboxes.list", "250 2.0.0 queued as", "Subject: A first letter", "Return-Path: <you@client.example>",
                     "It came in by the slot.", "accepted and stored"):
            check(want in out, "no %r in %s" % (want, out))
        with socket.create_connection(("127.0.0.1", port), 5) as k:
            check(k.recv(100).startswith(b"220 "), "no greeting while it stays up")
        r = subprocess.run([os.path.join(BIN, "letterplate-mailboxes"), "-d", folder + "/directory", "list"],
                           capture_output=True, text=True)
        check("alice@example.org" in r.stdout, "no alice in its directory: %s" % r)
        p.send_signal(signal.SIGINT)
        equal(p.wait(20), 0, "status after ^C")
        check("Stopped, with status 0" in text(folder), text(folder)[-300:])
    finally:
        end(p, folder)


def servers(folder):
    """The processes that its config started."""
    def ours(pid):
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                return (folder + "/letterplate.conf").encode() in f.read().split(b"\0")
        except OSError:
            return False
    return [pid for pid in pids_where(lambda f: True) if ours(pid)]


@test
def whatever_ends_it_ends_its_server():
    # At several moments: as soon as the server is there, a little later, and while it stays up.
    for sig, wait, status in ((signal.SIGTERM, 0, 0), (signal.SIGINT, 0.2, 0), (signal.SIGHUP, 1, 0), (signal.SIGTERM, None, 0),
                              (signal.SIGKILL, None, -9)):
        folder, port = os.path.join(harness.scratch(), "run"), free_port()
        p = run(folder, port)
        try:
            if wait is None:
                wait_for(lambda: "It stays up until ^C" in text(folder) or p.poll() is not None, 30, lambda: text(folder))
            else:
                wait_for(lambda: servers(folder) or p.poll() is not None, 20, lambda: text(folder))
                time.sleep(wait)
            p.send_signal(sig)
            equal(p.wait(30), status, "status after %s: %s" % (sig, text(folder)[-500:]))
            wait_for(lambda: not servers(folder), 20, lambda: "after %s these are left: %s" % (sig, servers(folder)))
        finally:
            end(p, folder)


@test
def a_second_one_leaves_the_first_alone():
    folder, port = os.path.join(harness.scratch(), "run"), free_port()
    p = run(folder, port)
    try:
        wait_for(lambda: "It stays up until ^C" in text(folder) or p.poll() is not None, 30, lambda: text(folder))
        mail = sorted(os.listdir(folder + "/mail"))
        for other in (port, free_port()):
            r = subprocess.run([os.path.join(TOP, "tools/run"), folder, str(other)], capture_output=True, text=True, timeout=30)
            equal(r.returncode, 1, r.stdout + r.stderr)
            check("a server runs in %s already" % folder in r.stderr, r.stderr)
        # Another folder, the same port: what stands there stays.
        kept = os.path.join(harness.scratch(), "run")
        os.makedirs(kept + "/mail/kept")
        r = subprocess.run([os.path.join(TOP, "tools/run"), kept, str(port)], capture_output=True, text=True, timeout=30)
        equal(r.returncode, 1, r.stdout + r.stderr)
        check("port %d is taken" % port in r.stderr and os.path.isdir(kept + "/mail/kept"), r.stderr)
        equal(sorted(os.listdir(folder + "/mail")), mail, "what the first one has")
        with socket.create_connection(("127.0.0.1", port), 5) as k:
            check(k.recv(100).startswith(b"220 "), "no greeting of the first one")
    finally:
        p.terminate()
        p.wait(30)
        end(p, folder)


@test
def a_taken_port_is_a_clear_line():
    folder = os.path.join(harness.scratch(), "run")
    with socket.create_server(("127.0.0.1", 0)) as k:
        port = k.getsockname()[1]
        p = run(folder, port)
        equal(p.wait(20), 1, "status")
    check("make run: port %d is taken" % port in text(folder).splitlines()[-1], text(folder))


main()
