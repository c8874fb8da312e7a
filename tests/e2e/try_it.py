#!/usr/bin/env -S python3 -B
"""try_it: what `make run` does once all is built: tools/run, from the first line to ^C."""
import os
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from harness import BIN, TOP, check, equal, main, test
from server import free_port, pids_where, wait_for


def run(folder, port):
    return subprocess.Popen([os.path.join(TOP, "tools/run"), folder, str(port)], stdout=open(folder + ".out", "wb"),
                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


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


@test
def a_taken_port_is_a_clear_line():
    folder = os.path.join(harness.scratch(), "run")
    with socket.create_server(("127.0.0.1", 0)) as k:
        port = k.getsockname()[1]
        p = run(folder, port)
        equal(p.wait(20), 1, "status")
    check("make run: port %d is taken" % port in text(folder).splitlines()[-1], text(folder))


main()
