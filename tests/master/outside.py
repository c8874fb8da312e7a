#!/usr/bin/env -S python3 -B
"""outside: what a master makes of the machine around it: what its config names and may be there later, and the modes of what it makes."""
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from harness import TOP, check, equal, main, test
from stubmaster import Master, wait_for


@test
def the_check_warns_of_what_may_be_true_later():
    """An address that is not this machine's, a relay without an address, a postmaster nobody lists: 0, and a word of each."""
    m = Master(start=False)
    os.symlink(os.path.join(TOP, "build/bin/letterplate-mailboxes"), m.path("bin/letterplate-mailboxes"))
    m.write(addresses=["127.0.0.1:%d" % m.port, "203.0.113.77:25"],
            extra='postmaster = "alice@elsewhere.example"\ndsn = yes\ndsn_relay = "relay.invalid:25"\n')
    began = time.monotonic()
    r = m.run("-t", "-c", "c.conf")
    equal((r.returncode, r.stdout), (0, "c.conf: ok\n"), "-t: " + r.stderr)
    check(time.monotonic() - began < 20, "it took %.1f s" % (time.monotonic() - began))
    told = r.stderr.splitlines()
    for line, pattern in ((7, r'address = "203\.0\.113\.77:25": this machine has no such address now; .*'),
                          (13, r'dsn_relay = "relay\.invalid:25": it has no address now: .*'),
                          (11, r'postmaster = "alice@elsewhere\.example": the mailbox directory refuses it: 550 5\.7\.1 .*')):
        check(any(re.fullmatch(r"c\.conf:%d: warning: %s" % (line, pattern), t) for t in told), "no %s in %s" % (pattern, r.stderr))
    equal(len(told), 3, "warnings")
    subprocess.run([os.path.join(TOP, "build/bin/letterplate-mailboxes"), "-d", m.path("directory"), "load", "-"],
                   input=b"alice@elsewhere.example\n", stdout=subprocess.DEVNULL, check=True)
    m.write(extra='postmaster = "alice@elsewhere.example"\ndsn = yes\ndsn_relay = "[::1]:25"\n')
    r = m.run("-t", "-c", "c.conf")
    equal((r.returncode, r.stdout, r.stderr), (0, "c.conf: ok\n", ""), "-t where all is there")
    # Without a directory nobody knows.
    shutil.rmtree(m.path("directory"))
    os.mkdir(m.path("directory"), 0o755)
    r = m.run("-t", "-c", "c.conf")
    check(r.returncode == 0 and "there is no" in r.stderr and "postmaster" not in r.stderr, r.stderr)


@test
def modes_are_the_same_whatever_the_umask():
    want = {"own": 0o640, "own.1": 0o640, "mx": 0o666, "state/control": 0o600, "state/lock": 0o600, "state/stats": 0o644}
    for umask in "000", "022", "077", "777":
        m = Master(start=False)
        m.write(addresses=["unix:" + m.path("mx")], extra='log { to = "file:%s" }' % m.path("own"))
        m.start(wait=False, prefix=["sh", "-c", 'umask %s; exec "$@"' % umask, "sh"])
        m.wait_note("READY=1")
        os.rename(m.path("own"), m.path("own.1"))
        m.signal(signal.SIGUSR1)
        wait_for(lambda: os.path.exists(m.path("own")))
        equal({n: oct(os.stat(m.path(n)).st_mode & 0o7777) for n in want}, {n: oct(v) for n, v in want.items()}, "umask " + umask)
        equal(m.term(), 0, "status")


if __name__ == "__main__":
    main()
