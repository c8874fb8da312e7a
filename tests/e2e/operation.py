#!/usr/bin/env -S python3 -B
# check: timeout=120
"""operation: the lines that docs/OPERATION.md shows are those that an operator sees, and its commands do what it says."""
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import TOP, Skip, check, equal, main, need_root, own_mounts, test
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


def made_anew(s):
    os.mkdir(s.store_path)
    if os.geteuid() == 0:
        shutil.chown(s.store_path, "nobody", "nogroup")


def refuses(s, c):
    """Nothing is acknowledged that would lie where nobody looks."""
    wait_for(lambda: s.log().count("event=store-moved") == 2, why=lambda: "not noticed: %s" % s.log()[-2000:])
    for _ in range(2):
        c.envelope("alice@example.org", sender="a@b.example")
        c.cmd("DATA").is_(451, "4.3.0")
        c.cmd("RSET").is_(250)


def takes_one(s, what):
    """Mail is taken again, and lies where it is looked for."""
    c = s.client()
    c.hello()
    c.message("alice@example.org", b"x\r\n").is_(250)
    c.quit()
    equal(len(s.messages("alice@example.org")), 1, what)


@test
def the_store_is_another_folder():
    with Server() as s:
        c, moved = s.client(), s.store_path + ".old"
        c.hello()
        c.message("alice@example.org", b"x\r\n").is_(250)
        os.rename(s.store_path, moved)
        made_anew(s)
        refuses(s, c)
        seen(s, "The store is another folder")
        equal(os.listdir(s.store_path), [], "the new folder")
        equal(s.ctl("reload").returncode, 0, "reload")
        takes_one(s, "messages in the new folder")
        c.rest() if c.at_end else c.quit()


@test
def the_store_is_another_folder_while_content_comes():
    with Server() as s:
        c = s.client()
        c.hello()
        c.envelope("alice@example.org", sender="a@b.example")
        c.cmd("DATA").is_(354)
        c.send(b"x\r\n")
        os.rename(s.store_path, s.store_path + ".old")
        wait_for(lambda: s.log().count("event=store-moved") == 2, why=lambda: "not noticed: %s" % s.log()[-2000:])
        c.send(b".\r\n")
        c.reply().is_(451, "4.3.0")
        c.quit()
        os.rename(s.store_path + ".old", s.store_path)
        wait_for(lambda: s.log().count("event=store-back") == 2, why=lambda: "not noticed: %s" % s.log()[-2000:])
        takes_one(s, "messages")


@test
def the_store_is_made_anew():
    with Server() as s:
        c = s.client()
        c.hello()
        while os.path.exists(s.store_path):     # a journal that is just being made gets in the way
            shutil.rmtree(s.store_path, ignore_errors=True)
        made_anew(s)
        refuses(s, c)
        c.quit()
        equal(s.ctl("reload").returncode, 0, "reload")
        takes_one(s, "messages in the new folder")


@test
def something_is_mounted_over_the_store():
    need_root()
    with Server() as s:
        c = s.client()
        c.hello()
        if subprocess.run(["mount", "-t", "tmpfs", "none", s.store_path], capture_output=True).returncode != 0:
            raise Skip("no mount here")
        try:
            refuses(s, c)
            c.quit()
        finally:
            subprocess.run(["umount", "-l", s.store_path], check=True)
        wait_for(lambda: s.log().count("event=store-back") == 2, why=lambda: "not noticed: %s" % s.log()[-2000:])
        d = s.client()
        d.hello()
        d.message("alice@example.org", b"x\r\n").is_(250)
        d.quit()


@test
def a_worker_dies():
    with Server() as s:
        s.may_die = True
        os.kill(s.workers()[0], signal.SIGKILL)
        seen(s, "A worker dies")
        wait_for(lambda: len(s.workers()) == 2)


own_mounts()
main()
