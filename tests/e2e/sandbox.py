#!/usr/bin/env -S python3 -B
"""sandbox: live workers, after real work, hold no more than they should; tests/sandbox/inspect.sh looks."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, Skip, check, equal, main, sanitized, test
from server import Server, wait_for

TEXT = b"Subject: x\r\n\r\nbody\r\n"


def work(s):
    c = s.client()
    c.hello()
    c.message(["alice@example.org", "bob@example.org"], TEXT).is_(250)
    c.cmd("MAIL FROM:<a@b.example>").is_(250)
    c.cmd("RCPT TO:<nobody@example.org>").is_(550)
    c.quit()


def inspect(s, when):
    if sanitized():
        raise Skip("built with a sanitizer, for which the sandbox gives way")
    r = subprocess.run([os.path.join(TOP, "tests/sandbox/inspect.sh"), str(s.pid)], capture_output=True, text=True, timeout=60)
    lines = r.stdout.splitlines()
    bad = [x for x in lines if x.startswith("not ok")]
    check(r.returncode == 0 and not bad, "%s: status %d: %s %s" % (when, r.returncode, bad, r.stderr))
    check(any(x.startswith("ok") for x in lines) or os.geteuid() != 0, "%s: it looked at nothing: %s" % (when, lines))
    print("# %s: %d looks" % (when, len(lines)))


@test
def live_workers_hold_no_more_than_they_should():
    with Server() as s:
        work(s)
        held = [s.client() for _ in range(20)]
        inspect(s, "with sessions")
        for c in held:
            c.quit()
        s.reload()
        work(s)
        wait_for(lambda: len(s.workers()) == 2, 15, "old workers stay")
        inspect(s, "after a reload")


@test
def a_replaced_worker_is_no_freer():
    with Server() as s:
        s.may_die = True
        for pid in s.workers():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(s.workers()) == 2 and s.log().count("event=worker-ready") == 4, 10, "no new workers")
        work(s)
        inspect(s, "after a kill")
        equal(s.counter("workers_died"), 2, "workers_died")


main()
