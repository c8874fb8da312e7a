#!/usr/bin/env -S python3 -B
# check: timeout=120
"""operation: the lines that docs/OPERATION.md shows are those that an operator sees, and its commands do what it says."""
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, check, equal, main, need_root, test
from server import Server, wait_for

with open(os.path.join(TOP, "docs/OPERATION.md")) as f:
    PAGE = f.read()


def shown(title):
    """The log lines of a section, as patterns: "…" stands for anything."""
    section = PAGE.split("\n## %s\n" % title)
    equal(len(section), 2, "sections \"%s\"" % title)
    lines = re.findall(r"^(level=.*)$", section[1].split("\n## ")[0], re.M)
    check(lines, "no line in \"%s\"" % title)
    return [".*".join(map(re.escape, line.split("…"))) for line in lines]


def seen(s, title):
    for pattern in shown(title):
        wait_for(lambda: re.search(pattern, s.log()), why=lambda: "no %s in %s" % (pattern, s.log()[-3000:]))


@test
def a_reload_is_refused():
    with Server() as s:
        s.write_config(s.config() + 'colour = "red"\n')
        r = s.ctl("reload")
        equal(r.returncode, 75, r.stderr)
        seen(s, "A reload is refused")


@test
def an_upgrade_is_refused():
    with Server(own_bin=True) as s:
        s.replace("letterplate", "/bin/false")
        equal(s.ctl("upgrade").returncode, 75, "status")
        seen(s, "An upgrade is refused")


@test
def the_directory_is_damaged():
    with Server() as s:
        fresh = s.path("directory", "fresh")
        with open(fresh, "wb") as f:
            f.write(os.urandom(50000))
        os.chmod(fresh, 0o644)
        os.rename(fresh, s.path("directory", "mailboxes.mdb"))
        seen(s, "The mailbox directory is damaged or missing")


@test
def the_store_cannot_be_written():
    need_root()
    with Server() as s:
        os.chown(s.store_path, 0, 0)
        os.chmod(s.store_path, 0o755)
        c = s.client()
        c.hello()
        c.message("alice@example.org", b"x\r\n").is_(451, "4.3.0")
        c.quit()
        seen(s, "The store cannot be written")


@test
def a_worker_dies():
    with Server() as s:
        s.may_die = True
        os.kill(s.workers()[0], signal.SIGKILL)
        seen(s, "A worker dies")
        wait_for(lambda: len(s.workers()) == 2)


main()
