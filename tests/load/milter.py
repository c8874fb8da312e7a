#!/usr/bin/env -S python3 -B
"""milter: what asking a milter costs, and whether a slow one holds others up.  Not a test.
    tests/load/milter.py [MESSAGES] [SESSIONS]      (6000 1000)
"""
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import harness
from server import Server, free_port

OBJ = os.path.join(harness.TOP, "build/obj", open(os.path.join(harness.TOP, "build/variant")).read().strip(), "tests/load")
BOXES = "".join("u%d@example.org\n" % i for i in range(1000))
QUIET = 'level = "error"'
MESSAGES = int(sys.argv[1]) if len(sys.argv) > 1 else 6000
SESSIONS = int(sys.argv[2]) if len(sys.argv) > 2 else 1000


def filter_(port, *more):
    p = subprocess.Popen([os.path.join(OBJ, "milter"), str(port), *more])
    time.sleep(0.3)
    return p


def rate(port, messages, connections=64):
    t0 = time.monotonic()
    r = subprocess.run([os.path.join(OBJ, "load"), "-p", str(port), "-c", str(connections), "-n", str(messages), "-m", "10",
                        "-s", "10240", "-d", "example.org"], capture_output=True, text=True)
    if r.returncode:
        sys.exit(r.stdout + r.stderr)
    return messages / (time.monotonic() - t0)


def cost(kind, *more):
    plain, asked, at = free_port(), free_port(), free_port()
    two = 'listener "plain" { address = {"127.0.0.1:%d"} }\nlistener "asked" { address = {"127.0.0.1:%d"} }' % (plain, asked)
    m = filter_(at, *more)
    try:
        with Server(BOXES, listener=two, count=False, log=QUIET,
                    extra='milter "m" {  socket = "inet:127.0.0.1:%d" listeners = {"asked"} }' % at):
            rate(plain, 500), rate(asked, 500)
            for _ in range(3):      # in turn: the disk is shared
                a, b = rate(plain, MESSAGES), rate(asked, MESSAGES)
                print("64 connections, 10 KiB: %.0f/s without, %.0f/s with a milter that answers %s: %.0f %%"
                      % (a, b, kind, 100 * b / a), flush=True)
    finally:
        m.terminate()


def slow():
    plain, asked, at = free_port(), free_port(), free_port()
    two = 'listener "plain" { address = {"127.0.0.1:%d"} }\nlistener "asked" { address = {"127.0.0.1:%d"} }' % (plain, asked)
    m = filter_(at, "5000")
    try:
        with Server(BOXES, listener=two, count=False, log=QUIET,
                    extra='milter "m" { socket = "inet:127.0.0.1:%d" timeout = "2m" listeners = {"asked"} }' % at) as s:
            rate(plain, 500)
            before = rate(plain, MESSAGES, 16)
            crowd = threading.Thread(target=rate, args=(asked, SESSIONS, SESSIONS))
            crowd.start()
            time.sleep(3)
            meanwhile = rate(plain, MESSAGES, 16)
            c, took = s.client(("127.0.0.1", plain)), []
            for _ in range(2000):
                t0 = time.monotonic()
                c.cmd("NOOP")
                took.append(time.monotonic() - t0)
            took.sort()
            waiting = crowd.is_alive()
            c.quit()
            crowd.join()
            print("16 connections beside %d sessions that wait 5 s for a milter: %.0f/s before, %.0f/s meanwhile; NOOP half %.2f, p99 %.2f, at most %.1f ms%s"
                  % (SESSIONS, before, meanwhile, took[1000] * 1e3, took[1980] * 1e3, took[-1] * 1e3, "" if waiting else " (they were through already)"))
    finally:
        m.terminate()


cost("at the end alone, as rspamd")
cost("at every step", "every")
slow()
